"""The two tiers of tests: nothing is lost on the way, and what is skipped can truly be absent."""

from __future__ import annotations

import ast
import functools
import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import reach
import tiers

TESTS = Path(__file__).parent
FILES = sorted(path for path in TESTS.rglob("*.py") if "files" not in path.parts and "only_these" not in path.parts)

#: Every reason for which a test may be skipped, and what it is that can be absent. A file of the repository can not.
ABSENT = {
    "no CUDA device": "a graphics card",
    "node is not installed": "a program of the system",
    "Triton is not installed": "an optional package",
    "Triton interprets here": "a compiler",
    "this process has no compiler of Triton": "a compiler",
    "no C++ compiler": "a compiler",
    "Triton is for Linux": "a platform",
    "another signal": "a platform",
    "no fork here": "a platform",
    "no processes of this kind": "a platform",
    "no {} here": "a platform",
    "not Linux": "a platform",
    "no full device": "a platform",
    "no such devices": "a platform",
    "no limits": "a platform",
    "users have no numbers here": "a platform",
    "the system does not say how much memory a process had": "a platform",
    'qm9pack is not installed: pip install "intertwine[qm9]"': "an optional package",
    "schnetpack is not installed": "an optional package",
    "the network needs torch-scatter": "an optional package",
    "pip can't fetch the source distribution of e3nn: {}": "a network",
    "pip reaches no package index": "a network",
    "no data at {}": "the shared data beside the repository",
    "no lecture {} at {}": "the lectures beside the repository",
    "plain torch stores the messages": "compiled kernels, switched off by INTERTWINE_KERNELS=reference",
    "does not apply: {}": "nothing: the test says nothing about this member of its family",
}


def calls(path: Path) -> Iterator[tuple[str, ast.Call]]:
    """Calls of pytest's functions and marks that skip."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("pytest."):
            name = ast.unparse(node.func).split(".")[-1]
            if name in {"skip", "skipif", "importorskip", "xfail"}:
                yield name, node


def text(node: ast.expr) -> str:
    if isinstance(node, ast.JoinedStr):
        return "".join(part.value if isinstance(part, ast.Constant) else "{}" for part in node.values)
    return node.value if isinstance(node, ast.Constant) else ast.unparse(node)


def test_what_is_skipped_can_be_absent() -> None:
    """A platform, a device, an optional package: never a file of the repository or a dependency of the package."""
    project = tomllib.loads((TESTS.parent / "pyproject.toml").read_text())["project"]
    needed = {one.split(">=")[0].split("==")[0].replace("-", "_") for one in project["dependencies"]}
    seen = set()
    for path in FILES:
        for name, call in calls(path):
            where = f"{path.relative_to(TESTS)}:{call.lineno}"
            if name == "importorskip":
                package = text(call.args[0]).split(".")[0]
                assert package not in needed, f"{where}: the package can't do without {package}"
            else:
                reason = text(([word.value for word in call.keywords if word.arg == "reason"] or call.args)[-1])
                assert reason in ABSENT, f"{where}: what is absent where {reason!r}? Say so in {Path(__file__).name}"
                seen.add(reason)
    assert seen == set(ABSENT)


@functools.cache
def named(folder: Path) -> set[str]:
    """Names of all tests in the files of a folder, of classes of theirs, and of the contracts that are inherited."""
    paths = folder.glob("*.py") if folder == TESTS else folder.rglob("*.py")
    trees = [ast.parse(path.read_text()) for path in paths]
    return {node.name for tree in trees for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def test_what_begins_first_is_there_and_keeps_its_order() -> None:
    assert all((TESTS.parent / path).is_file() for path in tiers.FIRST)
    names = [f"{path}::test_a" for path in ("tests/a.py", *reversed(tiers.FIRST), "tests/b.py")]
    assert sorted(names, key=tiers.place) == [
        *(f"{path}::test_a" for path in tiers.FIRST),
        "tests/a.py::test_a",
        "tests/b.py::test_a",
    ]


def test_the_table_names_tests_that_are() -> None:
    stale = []
    for name in tiers.FEW:
        folder, test = name.split("::")
        if not test.startswith("test_") or test not in named(TESTS / folder):
            stale.append(name)
    assert stale == [], "tests/few.py: they are no tests any more: remove them or say their new names"


PRODUCT = """
import pytest

@pytest.mark.parametrize("value", range(4))
@pytest.mark.parametrize(("a", "b"), [(1, 1), (1, 2), (2, 1), (2, 2), (3, 1)])
def test_product(a, b, value):
    pass

class TestOne:
    @pytest.fixture(params=["x", "y"])
    def model(self, request):
        return request.param

    @pytest.mark.parametrize("seed", [0, 1])
    def test_of_model(self, model, seed):
        pass

def test_alone():
    pass
"""


MANY = 6  # of this suite


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    """A suite of its own with the two plugins of this one."""
    (tmp_path / "pytest.ini").write_text("[pytest]\ntestpaths = tests\n")
    (tmp_path / "tests" / "room").mkdir(parents=True)
    (tmp_path / "tests" / "conftest.py").write_text(
        f"import sys\nsys.path.insert(0, {str(TESTS)!r})\nimport tiers\ntiers.MANY = {MANY}\n"
        "tiers.FEW['room::test_long'] = 1\n"
        "tiers.FEW['room::test_never'] = 0\n"
        "def pytest_configure(config):\n    config.pluginmanager.register(tiers.Tiers(config), 'tiers')\n"
    )
    (tmp_path / "tests" / "room" / "test_product.py").write_text(PRODUCT)
    return tmp_path


def ran(suite: Path, *arguments: str, everything: str | None = None) -> tuple[list[str], str]:
    """Names of the tests that passed, without their files; and the whole of what was printed."""
    environment = {
        name: value for name, value in os.environ.items() if name not in (tiers.ALL, tiers.TIMES, "PYTEST_XDIST_WORKER")
    }
    environment |= {} if everything is None else {tiers.ALL: everything}
    command = [sys.executable, "-m", "pytest", "-v", "-rA", "-p", "no:cacheprovider", "-p", "no:jaxtyping", *arguments]
    done = subprocess.run(command, cwd=suite, env=environment, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = [line.split(" ", 1)[1] for line in done.stdout.splitlines() if line.startswith("PASSED ")]
    return sorted(line.split("::", 1)[1] for line in lines), done.stdout


def test_every_value_of_every_parameter_is_in_the_quick_tier(suite: Path) -> None:
    found, printed = ran(suite)
    rows = {name.split("[")[1].rsplit("-", 1)[0] for name in found if name.startswith("test_product")}
    assert rows == {"1-1", "1-2", "2-1", "2-2", "3-1"}
    assert {name[-2] for name in found if name.startswith("test_product")} == set("0123")
    assert len(found) == 5 + 2 + 1
    assert "left 17 tests out" in printed
    assert "`make test-all` runs them too" in printed


@pytest.mark.parametrize(
    ("arguments", "everything", "count"),
    [
        ([], "1", 25),
        (["tests/room/test_product.py"], None, 25),
        (["tests/room"], "0", 8),
        (["-k", "test_of_model"], None, 4),
        (["-n", "2"], None, 8),
        (["-n", "2"], "1", 25),
        (["-n", "2", "tests/room"], None, 25),
    ],
    ids=str,
)
def test_when_everything_runs(arguments: list[str], everything: str | None, count: int, suite: Path) -> None:
    """Where it is asked for, and where tests are named; in one process as in several."""
    found, printed = ran(suite, *arguments, everything=everything)
    assert len(found) == count
    assert (f"left {25 - count} tests out" in printed) == (count == 8)


def test_very_many_members_are_volume(suite: Path) -> None:
    many = f"import pytest\n@pytest.mark.parametrize('x', range({MANY + 5}))\ndef test_many(x): pass\n"
    for folder in ("tests", "tests/room"):
        (suite / folder / f"test_many_{len(folder)}.py").write_text(many)
    found, _ = ran(suite)
    assert sum(name.startswith("test_many") for name in found) == 2 * MANY + 5
    assert f"test_many[{MANY + 4}]" in found


def test_the_table_thins_a_family_further(suite: Path) -> None:
    (suite / "tests" / "room" / "test_long.py").write_text(
        "import pytest\n@pytest.mark.parametrize('x', range(9))\ndef test_long(x): pass\ndef test_never(): pass\n"
    )
    found, printed = ran(suite, "-n", "2")
    assert [name for name in found if "long" in name] == ["test_long[0]"]
    assert "test_never" not in found
    assert "left 26 tests out" in printed


def test_a_contract_is_shared_by_the_files_that_inherit_it() -> None:
    share = tiers.CONTRACTS["models"]
    files = [f"tests/models/test_{name}.py" for name in "abcdefghijkl"]
    tests = [(file, name) for file in files for name in ("test_1", "test_2", "test_3", "test_4")]
    tests += [(files[0], "test_own"), *((f"tests/o3/test_{k}.py", "test_1") for k in range(9))]
    left = [test for test in tests if test not in tiers.elsewhere(tests)]
    for k in (1, 2, 3, 4):
        assert sum(test == f"test_{k}" for file, test in left if "models" in file) == len(files) // share
    assert all(1 <= sum(file == own for file, test in left if test != "test_own") <= 2 for own in files)
    assert (files[0], "test_own") in left
    assert sum("o3" in file for file, _ in left) == 9


@pytest.mark.parametrize("workers", [[], ["-n", "2"]], ids=["one process", "two"])
def test_skips_are_told_by_reason(workers: list[str], suite: Path) -> None:
    (suite / "tests" / "room" / "test_skips.py").write_text(
        "import pytest\n@pytest.mark.parametrize('x', range(7))\ndef test_a(x): pytest.skip('no moon')\n"
        "@pytest.mark.skipif(True, reason='no sun')\ndef test_b(): pass\n"
    )
    (suite / "tests" / "room" / "test_module.py").write_text("import pytest\npytest.importorskip('no_such_package')\n")
    _, printed = ran(suite, *workers)
    assert f"    {MANY}  no moon  (tests/room/test_skips.py)" in printed
    assert "    1  no sun  (tests/room/test_skips.py)" in printed
    assert "    1  could not import 'no_such_package'" in printed


def test_the_cost_of_each_tier_is_told() -> None:
    given = {f"tests/a/test_b.py::test_c[{k}]": {"cpu": 3.0 + k, "quick": k == 4} for k in range(5)}
    given |= {"tests/a/test_d.py::E::test_c[0]": {"cpu": 8.0, "quick": True}, "tests/test_f.py::test_g": {}}
    first, folders, *lines = tiers.costs(given)
    assert first == f"33 s of CPU in 7 tests; in the 2 of the quick tier 15 of {tiers.BUDGET} s"
    assert folders == "quick, by folder: a 15 s"
    assert lines == ["    15.0 s  quick: 2 of a::test_c", "    18.0 s  the rest: 4 of a::test_c"]


def test_spread() -> None:
    assert tiers.spread(list("abcdefghi"), 3) == list("aei")
    assert tiers.spread(list("ab"), 3) == list("ab")
    assert tiers.spread(list("abc"), 1) == ["a"]
    assert tiers.spread(list("abc"), 0) == []


def test_reach_sees_functions_that_ran(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.py").write_text(
        "import functools\nVALUE = 1\n\ndef ran():\n    return inner()\n\n@functools.cache\n"
        "def inner():\n    return 1\n\ndef idle():\n    return 2\n\n"
        "def abstract():\n    ...\n\ndef refuses():\n    raise NotImplementedError\n"
    )
    monkeypatch.setattr(reach, "PACKAGE", tmp_path)
    known = reach.functions(tmp_path)["a.py"]
    assert {name for _, name, _ in known.values()} == {"ran", "inner", "idle"}
    monkeypatch.syspath_prepend(str(tmp_path))
    import cProfile

    profile = cProfile.Profile()
    space: dict[str, object] = {}
    exec(compile((tmp_path / "a.py").read_text(), str(tmp_path / "a.py"), "exec"), space)
    running: Any = sys.getprofile()  # of the whole run, if it is profiled: there can be one at a time
    if running is not None:
        running.disable()
    profile.enable()
    space["ran"]()
    profile.disable()
    if running is not None:
        running.enable()
    assert {known[place][1] for place in reach._ran(profile.getstats()) if place in known} == {"ran", "inner"}
