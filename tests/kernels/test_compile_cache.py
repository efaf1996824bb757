"""The cache of compiled kernels: found by new processes, never trusted when damaged or another's, and never in
the way.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from random_plans import case_of, depthwise

from intertwine.kernels.convolution import cpu as backend
from intertwine.kernels.convolution.fused import Fused
from intertwine.kernels.llvm import compile

SCRIPT = """
import numpy as np, torch
from intertwine.kernels import Operand, Plan, Table
from intertwine.kernels.llvm import compile
from intertwine.kernels.convolution.fused import Fused
count, real = [], compile._Jit.compile
compile._Jit.compile = lambda self, text: count.append(text) or real(self, text)
vectors = Operand.of([(5, 3)], "ir_mul")
table = Table.of(np.eye(3)[:, None, :] * 0.5)
fused = Fused(Plan.of(vectors, Operand.of([(1, 1)]), vectors, [(0, 0, 0, "uvu", False, 1.0, table)]))
x = torch.arange(30.0).view(2, 15)
z = fused.convolve(x, torch.tensor([[2.0]]), None, torch.tensor([1]), torch.tensor([0]), 2)
assert torch.equal(z, torch.stack([x[1], torch.zeros(15)]))
print(len(count))
"""
KERNELS = 2  # the sort of edges, and the product


def start(**environment: str | None) -> subprocess.Popen:
    variables = {key: value for key, value in (os.environ | environment).items() if value is not None}
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT], env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def compiled_by(process: subprocess.Popen) -> int:
    out, err = process.communicate(timeout=900)
    assert process.returncode == 0, err
    return int(out)


def objects(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in (folder / "kernels").iterdir()}


def test_new_processes_and_those_that_start_together(tmp_path: Path) -> None:
    """Three on an empty cache at once; then one that finds all; none leaves a temporary file."""
    together = [start(INTERTWINE_CACHE=str(tmp_path)) for _ in range(3)]
    assert all(0 <= compiled_by(process) <= KERNELS for process in together)
    found = objects(tmp_path)
    assert len(found) == KERNELS
    assert all(name.endswith(".o") for name in found)
    assert (tmp_path / "kernels").stat().st_mode & 0o077 == 0
    assert compiled_by(start(INTERTWINE_CACHE=str(tmp_path))) == 0
    assert objects(tmp_path) == found


def test_a_home_that_cannot_be_written_or_is_not_there(tmp_path: Path) -> None:
    """A file where the home should be: no user, not even root, can write there. The temporary folder takes
    its place.
    """
    blocked = tmp_path / "home"
    blocked.write_text("no folder")
    places = {"one": {"HOME": str(blocked)}, "two": {"HOME": "/proc/no/home", "INTERTWINE_CACHE": str(blocked)}}
    processes = []
    for name, variables in places.items():
        (tmp_path / name).mkdir()
        processes.append(start(**({"INTERTWINE_CACHE": None, "TMPDIR": str(tmp_path / name)} | variables)))
    assert [compiled_by(process) for process in processes] == [KERNELS, KERNELS]
    for name in places:
        (cache,) = (tmp_path / name).glob("intertwine-*")
        assert len(objects(cache)) == KERNELS


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """An own cache folder; ``forget()`` is what a new process would begin with; ``texts`` are those compiled since."""
    monkeypatch.setenv("INTERTWINE_CACHE", str(tmp_path))

    class Cache:
        folder, texts = tmp_path, []

        def forget(self) -> None:
            backend._kernel.cache_clear()
            monkeypatch.setattr(compile, "_functions", {})
            self.texts.clear()

        def run(self) -> int:
            """Kernels that had to be compiled."""
            self.forget()
            one = case_of(PLAN, 0, dtype=torch.float32)
            assert torch.equal(Fused(PLAN).convolve(one.x, one.y, one.w, *one.ends), WANTED)
            return len(self.texts)

    made, real = Cache(), compile._Jit.compile
    monkeypatch.setattr(compile._Jit, "compile", lambda self, text: made.texts.append(text) or real(self, text))
    yield made
    backend._kernel.cache_clear()


PLAN = depthwise("3x0e", "0e", 0)
ONE = case_of(PLAN, 0, dtype=torch.float32)
WANTED = Fused(PLAN).convolve(ONE.x, ONE.y, ONE.w, *ONE.ends)


DAMAGE = {
    "a byte short": lambda data: data[:-1],
    "a few bytes": lambda data: data[:10],
    "empty": lambda data: b"",
    "a flipped bit": lambda data: data[:60] + bytes([data[60] ^ 1]) + data[61:],
    "zeros": lambda data: b"\0" * len(data),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_object_is_compiled_again(damage, cache) -> None:
    assert (cache.run(), cache.run()) == (KERNELS, 0)
    whole = objects(cache.folder)
    for name, data in whole.items():
        (cache.folder / "kernels" / name).write_bytes(damage(data))
    assert (cache.run(), cache.run()) == (KERNELS, 0)
    assert objects(cache.folder) == whole


def test_an_upgrade_finds_nothing_old(cache, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cache.run() == KERNELS
    monkeypatch.setattr(compile, "_origin", lambda: "another version")
    assert (cache.run(), cache.run()) == (KERNELS, 0)
    assert len(objects(cache.folder)) == 2 * KERNELS


def test_what_a_kernel_is_made_from(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The sources of this package, LLVM and the processor are all in the name of an object."""
    import llvmlite.binding as llvm

    origin = compile._origin.__wrapped__
    before = origin()
    assert origin() == before
    with monkeypatch.context() as patch:
        patch.setattr(llvm, "get_host_cpu_name", lambda: "another-processor")
        assert origin() != before
    with monkeypatch.context() as patch:
        patch.setattr(llvm, "llvm_version_info", (99, 0, 0))
        assert origin() != before
    room = Path(compile.__file__).parents[1]
    real = Path.read_bytes
    for changed in (room / "convolution" / "cpu_text.py", room / "convolution" / "forms.py"):
        with monkeypatch.context() as patch:
            patch.setattr(Path, "read_bytes", lambda self, changed=changed: real(self) + b"#" * (self == changed))
            assert origin() != before


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o702])
def test_a_folder_that_others_can_write_is_not_used(mode: int, cache) -> None:
    """Objects are run: what somebody else may have put there must not be."""
    assert cache.run() == KERNELS
    folder = cache.folder / "kernels"
    folder.chmod(mode)
    assert (cache.run(), cache.run()) == (KERNELS, KERNELS)
    folder.chmod(0o700)
    assert cache.run() == 0


def test_a_folder_of_another_user_is_not_used(cache, monkeypatch: pytest.MonkeyPatch) -> None:
    if not hasattr(os, "getuid"):
        pytest.skip("users have no numbers here")
    assert cache.run() == KERNELS
    own = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: own + 1)
    assert (cache.run(), cache.run()) == (KERNELS, KERNELS)


def test_a_disk_that_is_full_or_cannot_be_written_costs_only_time(cache, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        assert (cache.run(), cache.run()) == (KERNELS, KERNELS)
        assert not objects(cache.folder)  # nothing half-written either
    assert (cache.run(), cache.run()) == (KERNELS, 0)
    with monkeypatch.context() as patch:
        patch.setattr(compile, "cache_folder", full)
        assert cache.run() == KERNELS


def test_a_file_where_the_folder_should_be(cache) -> None:
    (cache.folder / "kernels").write_text("not a folder")
    assert cache.run() == KERNELS


def test_long_compilations_are_announced(cache, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture) -> None:
    cache.run()
    assert capfd.readouterr().err == ""
    real = compile.compiled
    monkeypatch.setattr(
        backend, "compiled", lambda name, described, write, *_, **__: real(name, described, write, long=True)
    )
    monkeypatch.setattr(compile, "_origin", lambda: "another version")
    cache.run()
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == 1
    assert any("compiling a product of 1 paths (gather, float32)" in line for line in lines)
    cache.run()
    assert capfd.readouterr().err == ""


def test_exchanged_and_damaged_objects_are_not_run(tmp_path: Path) -> None:
    """Two hundred of them, in a process of its own: one that was run would end it."""
    script = Path(__file__).with_name("damaged_objects.py")
    variables = os.environ | {"INTERTWINE_CACHE": str(tmp_path)}
    command = [sys.executable, str(script), str(tmp_path), "200"]
    found = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=900)
    assert (found.returncode, found.stdout.strip()) == (0, "200 cases of 34 kinds: none was run"), found.stderr


def test_an_object_under_another_kernels_name(tmp_path: Path) -> None:
    """The case of November 2026: every object of a layer under the name of every other one, as many at once as there
    are.
    """
    source = (Path(__file__).parents[1] / "cases" / "cache_object_under_another_name.py").read_text()
    job = next(
        ast.literal_eval(node.value)
        for node in ast.parse(source).body
        if isinstance(node, ast.Assign) and node.targets[0].id == "job"
    )
    job += "; print(len(made))"
    count = "from intertwine.kernels.llvm import compile; made, real = [], compile._Jit.compile\n"
    count += "compile._Jit.compile = lambda self, text: made.append(text) or real(self, text)\n"

    def run() -> list[str]:
        variables = os.environ | {"INTERTWINE_CACHE": str(tmp_path)}
        found = subprocess.run(
            [sys.executable, "-c", count + job], env=variables, capture_output=True, text=True, timeout=200
        )
        assert found.returncode == 0, found.stderr
        return found.stdout.split()

    run()
    whole = objects(tmp_path)
    names = sorted(whole)
    assert len(names) >= 3
    for turn in range(1, len(names)):
        for place, name in enumerate(names):
            (tmp_path / "kernels" / name).write_bytes(whole[names[(place + turn) % len(names)]])
        assert run() == ["ok", str(len(names))]
        assert objects(tmp_path) == whole


@pytest.mark.parametrize("mode", [0o777, 0o775, 0o703])
def test_a_folder_above_that_others_can_write_is_not_used(mode: int, cache) -> None:
    """They could put another folder in the place of ours."""
    assert cache.run() == KERNELS
    cache.folder.chmod(mode)
    assert (cache.run(), cache.run()) == (KERNELS, KERNELS)
    cache.folder.chmod(0o700)
    assert cache.run() == 0


@pytest.mark.parametrize("change", ["mode", "owner"])
def test_the_temporary_folder_may_have_been_made_by_somebody_else(
    change: str, cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """/tmp/intertwine-1000 is a name that everybody can guess, and /tmp a place where everybody can make it."""
    blocked = cache.folder / "file"
    blocked.write_text("no folder")
    monkeypatch.setenv("INTERTWINE_CACHE", str(blocked))
    monkeypatch.setenv("HOME", str(blocked))
    monkeypatch.setattr("tempfile.tempdir", str(cache.folder))
    with pytest.warns(RuntimeWarning, match="can't be written"):
        assert cache.run() == KERNELS
    (place,) = cache.folder.glob("intertwine-*")
    monkeypatch.setattr(compile, "cache_folder", lambda: place)
    assert cache.run() == 0
    if change == "mode":
        place.chmod(0o777)
    else:
        number = place.stat().st_ino
        monkeypatch.setattr(Path, "stat", lambda self, **_: other_owner(os.stat(self), number))
    before = objects(place)
    assert (cache.run(), cache.run()) == (KERNELS, KERNELS)
    assert objects(place) == before


def other_owner(about: os.stat_result, number: int) -> os.stat_result:
    """What ``stat`` says, with another owner for one file."""
    return os.stat_result((*about[:4], about.st_uid + (about.st_ino == number), *about[5:]))
