"""The script for a machine with a graphics card: its dry run, its deadlines, its wheels. tests/kernels/test_gpu.py has
the kernels.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import types
import zipfile
from importlib import import_module, metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PARTS = ("machine", "certificates", "convolutions", "models", "profile", "demo")


@pytest.fixture(autouse=True)
def _benchmarks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))


@pytest.fixture
def check() -> types.ModuleType:
    return import_module("gpu_check")


@pytest.fixture
def wheels() -> types.ModuleType:
    pytest.importorskip("packaging")
    return import_module("gpu_wheels")


def refusing(names: list[str], folder: Path) -> dict[str, str]:
    """The environment of a process that can't import some modules."""
    (folder / "refused.txt").write_text("\n".join(names))
    path = [str(ROOT / "tests" / "only_these"), str(ROOT), os.environ.get("PYTHONPATH", "")]
    return os.environ | {
        "REFUSED": str(folder / "refused.txt"),
        "PYTHONPATH": os.pathsep.join(filter(None, path)),
        "OMP_NUM_THREADS": "1",
    }


# ---------------------------------------------------------------------------------------------------------- the dry run


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Triton is for Linux")
def test_the_dry_run_passes_with_only_the_packages_of_that_machine(wheels: types.ModuleType, tmp_path: Path) -> None:
    pytest.importorskip("triton")
    pytest.importorskip("nequip")
    pytest.importorskip("mace")
    canonical = wheels.canonicalize_name
    names = wheels.there((wheels.HERE / "gpu_there.txt").read_text()) | {"intertwine"}
    for group in wheels.listed((wheels.HERE / "gpu_wheels.txt").read_text()):
        names |= {canonical(wheels.Requirement(one).name) for one in group.packages}
    owners = metadata.packages_distributions()
    refused = [module for module, found in owners.items() if not any(canonical(name) in names for name in found)]
    assert {"beartype", "pyscf"} <= set(refused)  # or this test shows nothing
    out = tmp_path / "out"
    command = [
        "bash",
        str(ROOT / "scripts" / "gpu_check.sh"),
        "--dry",
        "--out",
        str(out),
        "--wheels",
        str(tmp_path / "none"),
        "--minutes",
        "20",
    ]
    environment = refusing(refused, tmp_path) | {"PYTHON": sys.executable}
    # about a minute on a quiet machine
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=1500)
    assert done.returncode == 0, done.stderr[-3000:]
    assert len(list(out.iterdir())) <= 8
    for part in PARTS:
        found = json.loads((out / f"{part}.json").read_text())
        assert found["errors"] == [], part
        assert found["skipped"] == [], part
        assert found["finished"], part
        assert found["rows"] or found["report"]["test"], part
        assert f"{part}: done" in done.stdout
    certificates = json.loads((out / "certificates.json").read_text())
    assert certificates["tests"]["exit code"] == 0
    assert all(row["passed"] for row in certificates["rows"])
    assert {row["dtype"] for row in certificates["rows"] if "layer" in row} == {
        f"torch.{kind}" for kind in ("float64", "float32", "bfloat16")
    }
    assert (out / "summary.txt").read_text() == done.stdout[-len((out / "summary.txt").read_text()) :]


def test_without_a_card_and_not_dry_every_part_says_so(check: types.ModuleType, tmp_path: Path) -> None:
    code = f"import gpu_check, pathlib; print(gpu_check.check(pathlib.Path({str(tmp_path)!r}), 60, ['profile'], False))"
    path = os.pathsep.join([str(ROOT / "benchmarks"), str(ROOT), os.environ.get("PYTHONPATH", "")])
    environment = os.environ | {"PYTHONPATH": path, "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=900, check=True
    )
    assert "exit code 1" in done.stdout
    assert "no CUDA device here" in json.loads((tmp_path / "profile.json").read_text())["errors"][0]["error"]


# -------------------------------------------------------------------------------------------------- deadlines, failures


@pytest.mark.parametrize("pace", [0.0, 0.3, 0.9, 1.0])
def test_the_parts_together_never_take_more_than_there_is(check: types.ModuleType, pace: float) -> None:
    """Each takes a share of what it may; what is left goes to those after it."""
    plan, now, given = check.Plan(480.0, started=100.0), 100.0, []
    for place in range(len(check.PARTS)):
        seconds = plan.deadline(place, now)
        assert seconds is not None
        given.append(seconds)
        now += pace * seconds
    assert now <= 100.0 + 480.0 - check.RESERVE_S + 1e-6
    assert given[-1] >= check.PARTS[-1].share * 0.9
    assert [part.name for part in check.PARTS] == list(PARTS)


@pytest.mark.parametrize(("seconds", "some"), [(30.0, True), (9.0, False), (1.0, False), (200.0, True)])
def test_a_part_is_not_started_when_time_is_short(check: types.ModuleType, seconds: float, some: bool) -> None:
    plan = check.Plan(seconds, started=0.0)
    given = [plan.deadline(place, 0.0) for place in range(len(check.PARTS))]
    assert all(one is None or one >= part.least for one, part in zip(given, check.PARTS))
    assert (given[-1] is not None) == (seconds - check.RESERVE_S >= check.PARTS[-1].least)
    assert any(one is None for one in given) or not some or seconds >= 200


@pytest.mark.parametrize(
    ("body", "seconds", "ending"),
    [
        ("import time; time.sleep(60)", 1.0, "stopped after 1 s"),
        ("raise SystemExit(3)", 60.0, "ended with exit code 3"),
        ("import os; os.kill(os.getpid(), 11)", 60.0, "ended with exit code -11"),
        ("print('fine')", 60.0, "done"),
        (
            "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(60)'])",
            1.5,
            "stopped after 2 s",
        ),
    ],
    ids=["hangs", "fails", "crashes", "ends", "has a child that hangs"],
)
def test_a_part_ends_in_time_whatever_it_does(
    check: types.ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, body: str, seconds: float, ending: str
) -> None:
    (tmp_path / "gpu_parts.py").write_text(body)
    monkeypatch.setattr(check, "HERE", tmp_path)
    started = time.monotonic()
    with (tmp_path / "log.txt").open("w") as log:
        assert check.run(check.Part("machine", 1, 1), seconds, tmp_path, log, []) == ending
    assert time.monotonic() - started < 30


def test_a_row_that_fails_is_written_down_and_the_next_one_comes(tmp_path: Path) -> None:
    record = import_module("gpu_parts").Record(tmp_path / "x.json", 10.0, dry=True)
    for number in range(4):
        with record.attempt(f"row {number}", needs=1e6 if number == 3 else 0.0) as there:
            if there:
                record.add({"number": number, "inverse": 1 / (number - 1)})
    found = json.loads((tmp_path / "x.json").read_text())
    assert [row["number"] for row in found["rows"]] == [0, 2]
    assert [(one["what"], one["error"]) for one in found["errors"]] == [
        ("row 1", "ZeroDivisionError: division by zero")
    ]
    assert "1 / (number - 1)" in "\n".join(found["errors"][0]["traceback"])
    assert found["skipped"][0].startswith("row 3: ")


def test_the_summary_judges_the_goals(check: types.ModuleType) -> None:
    row = {"task": "forward", "missing": {"openequivariance": "ImportError: none"}, "deviation, eps": 2.0}
    rows = [
        {"size": "A", "ours ms": 1.0, "e3nn ms": 4.0, "cuequivariance ms": 0.8, "bytes / copy bandwidth": 0.2} | row,
        {"size": "A x 50", "ours ms": 9.0, "e3nn ms": 90.0, "bytes / copy bandwidth": 0.7} | row,
    ]
    found = {part: {} for part in PARTS}
    found["convolutions"] = {
        "dry": False,
        "finished": True,
        "rows": rows,
        "errors": [],
        "skipped": ["C: 1 s are left"],
        "large": ["A x 50"],
    }
    text = check.summary(found, dict.fromkeys(PARTS, "skipped: too little time is left"), 0.6)
    assert "large sizes: met (A x 50: 0.70)" in text
    assert "fastest peer at any size: NOT MET (A, forward: cuequivariance 1.25x)" in text
    assert "models not slower than their packages: not measured" in text
    assert "openequivariance (ImportError: none)" in text
    assert "skipped C: 1 s are left" in text
    assert text.count("skipped: too little time is left") == len(PARTS)
    rows[1]["bytes / copy bandwidth"] = 0.59
    assert "large sizes: NOT MET (A x 50: 0.59)" in check.summary(found, {}, 0.6)


# --------------------------------------------------------------------------------------------------------------- wheels


def wheel(folder: Path, name: str, tag: str = "py3-none-any", needs: tuple[str, ...] = (), size: int = 100) -> Path:
    """A file that looks like a wheel."""
    package, version = name.split("==")
    path = folder / f"{package.replace('-', '_')}-{version}-{tag}.whl"
    text = f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n" + "".join(
        f"Requires-Dist: {need}\n" for need in needs
    )
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{package}-{version}.dist-info/METADATA", text)
        archive.writestr("data", os.urandom(size))
    return path


def found_in(wheels: types.ModuleType, folder: Path, limit: int = 10**6) -> list[str]:
    return wheels.faults(
        [wheels.Wheel.read(path) for path in sorted(folder.glob("*.whl"))], {"numpy", "typing-extensions"}, limit
    )


@pytest.mark.parametrize(
    "tag",
    [
        "py3-none-any",
        "py2.py3-none-any",
        "cp312-cp312-manylinux_2_28_x86_64",
        "cp39-abi3-manylinux2014_x86_64.manylinux_2_17_x86_64",
        "py3-none-manylinux_2_39_x86_64",
        "cp312-abi3-manylinux1_x86_64",
    ],
)
def test_wheels_that_fit_are_taken(wheels: types.ModuleType, tmp_path: Path, tag: str) -> None:
    needs = (
        "numpy>=1.2",
        "Typing_Extensions",
        'tomli; python_version < "3.11"',
        'x; extra == "dev"',
        'y; sys_platform == "win32"',
    )
    wheel(tmp_path, "one==1.0", tag, (*needs, "Other.One>=2"))
    wheel(tmp_path, "other-one==2.1")
    assert found_in(wheels, tmp_path) == []


@pytest.mark.parametrize(
    "tag",
    [
        "cp311-cp311-manylinux_2_28_x86_64",
        "cp313-abi3-manylinux_2_28_x86_64",
        "cp312-cp312-manylinux_2_28_aarch64",
        "cp312-cp312-musllinux_1_2_x86_64",
        "cp312-cp312-macosx_14_0_arm64",
        "cp312-cp312-manylinux_2_41_x86_64",
        "py2-none-any",
    ],
)
def test_wheels_for_another_machine_are_named(wheels: types.ModuleType, tmp_path: Path, tag: str) -> None:
    path = wheel(tmp_path, "one==1.0", tag)
    assert found_in(wheels, tmp_path) == [f"{path.name}: no tag fits Python 3.12 on x86-64 Linux"]


@pytest.mark.parametrize(
    ("needs", "said"),
    [
        (("lacking>=2",), "one needs lacking>=2: it is neither there nor brought"),
        (('lacking; python_version >= "3.12"',), "neither there nor brought"),
        (("other==3",), "one needs other==3: version 2.1 is brought"),
        (("other<2",), "version 2.1 is brought"),
    ],
)
def test_needs_that_nobody_meets_are_named(
    wheels: types.ModuleType, tmp_path: Path, needs: tuple[str, ...], said: str
) -> None:
    wheel(tmp_path, "one==1.0", needs=needs)
    wheel(tmp_path, "other==2.1")
    [fault] = found_in(wheels, tmp_path)
    assert said in fault


def test_too_much_and_two_versions_are_named(wheels: types.ModuleType, tmp_path: Path) -> None:
    wheel(tmp_path, "one==1.0")
    wheel(tmp_path, "one==2.0", size=5000)
    faults = found_in(wheels, tmp_path, limit=2000)
    assert faults[0] == "one: two versions"
    assert "the largest is one-2.0-py3-none-any.whl" in faults[1]


def test_a_group_that_does_not_fit_is_left_out(
    wheels: types.ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sizes = {"one==1.0": 100, "large==1.0": 5000, "small==1.0": 100}

    def fetch(requirement: str, built: bool, folder: Path) -> str:
        if requirement not in sizes:
            return "ERROR: no such package"
        wheel(folder, requirement, size=sizes[requirement])
        return ""

    monkeypatch.setattr(wheels, "fetch", fetch)
    lists = [
        "# what",
        "[needed] first",
        "one==1.0 built",
        "[optional] second",
        "large==1.0",
        "small==1.0",
        "[optional] third",
        "small==1.0",
    ]
    text = "\n".join([*lists, "", "[needed] fourth", "no==1  # there is none"])
    groups = wheels.listed(text)
    assert [(group.name, group.needed) for group in groups] == [
        ("first", True),
        ("second", False),
        ("third", False),
        ("fourth", True),
    ]
    assert groups[0].packages == {"one==1.0": True}
    (tmp_path / "former-1.0-py3-none-any.whl").touch()
    assert wheels.collect(groups, tmp_path, limit=3000) == ["fourth: no==1: ERROR: no such package"]
    assert {path.name.split("-")[0] for path in tmp_path.glob("*.whl")} == {"one", "small"}
    printed = capsys.readouterr().out
    assert "left out: second: its" in printed
    assert "left out: fourth: no==1" in printed


def test_what_is_brought_is_pinned_and_not_there_already(wheels: types.ModuleType) -> None:
    present = wheels.there((wheels.HERE / "gpu_there.txt").read_text())
    assert {"torch", "triton", "e3nn", "llvmlite", "lightning", "torch-geometric"} <= present
    packages = [one for group in wheels.listed((wheels.HERE / "gpu_wheels.txt").read_text()) for one in group.packages]
    assert all(len(wheels.Requirement(one).specifier) == 1 and "==" in one for one in packages)
    brought = {wheels.canonicalize_name(wheels.Requirement(one).name) for one in packages}
    assert brought & present == {"e3nn"}  # in the version that nequip needs
    assert {"ase", "vesin", "tomli-w", "nequip", "mace-torch"} <= brought
