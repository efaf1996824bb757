"""`intertwine label`: nothing is lost or done twice by a kill, failures are told, and the file is a data set."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.io import write
from labelled_water import cheap, content, here, structure, water
from typer.testing import CliRunner

from intertwine.cli import app
from intertwine.data import open_dataset, read_structures
from intertwine.data.label_files import packed, read_labels, unpacked
from intertwine.labels import Journal, Outcome, Recipe, journal_of, label, label_structure, pool, recipe, run
from intertwine.numerics import CheckpointError, DataError, InputError

h5py = pytest.importorskip("h5py")
pytest.importorskip("pyscf")
pytest.importorskip("tblite")


@pytest.fixture
def inline(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Computes in this process; the frames that it computed."""
    computed: list[int] = []
    monkeypatch.setattr(run, "processes", here(computed.append))
    return computed


def quiet(frames: list[Atoms], how: Recipe, output: Path, **options: Any) -> Any:
    return label(frames, how, output, **({"progress": False} | options))


def mixed() -> list[Atoms]:
    """Water, a radical, ammonia, and a crystal that is none."""
    ammonia = Atoms("NH3", [[0, 0, 0.1], [0, 0.94, -0.27], [0.81, -0.47, -0.27], [-0.81, -0.47, -0.27]])
    crystal = Atoms("H2", [[0, 0, 0], [0, 0, 0.74]], cell=4 * np.eye(3), pbc=True)
    first, second, third = water(3)
    return [first, Atoms("OH", [[0, 0, 0], [0, 0, 0.97]]), ammonia, second, crystal, third]


def test_the_file_has_labels_recipe_and_failures(tmp_path: Path, inline: list[int]) -> None:
    frames, how = mixed(), cheap()
    summary = quiet(frames, how, tmp_path / "a.h5", source="mixed.xyz")
    assert inline == list(range(6))
    assert summary.failures.keys() == {1, 4}
    told, groups = read_labels(tmp_path / "a.h5")
    assert Recipe.of(json.dumps(told)) == how
    assert [group.frames.tolist() for group in groups] == [[0, 3, 5], [2]]
    for group in groups:
        for k, frame in enumerate(group.frames):
            alone = label_structure(structure(frames[frame]), how).labels
            assert np.array_equal(group.positions[k], frames[frame].positions)
            for name, value in alone.items():
                symmetric = unpacked(packed(value)) if name in ("density", "hamiltonian") else value
                assert np.array_equal(group.labels[name][k], symmetric), name
                assert np.allclose(symmetric, value, atol=1e-12)
    with h5py.File(tmp_path / "a.h5") as file:
        assert file["failures/frame"][()].tolist() == [1, 4]
        assert [reason.decode() for reason in file["failures/reason"]] == list(summary.failures.values())
        assert {"xc", "basis", "grid", "energy_threshold_Eh", "program"} <= set(file.attrs)
        assert file["molecules/000000/hamiltonian"].attrs["units"] == "Hartree"
    assert not journal_of(tmp_path / "a.h5").exists()


def test_the_file_is_a_data_set(tmp_path: Path, inline: list[int]) -> None:
    quiet(water(4), cheap(), tmp_path / "a.h5")
    store = open_dataset(str(tmp_path / "a.h5"), progress=False)
    _, (group,) = read_labels(tmp_path / "a.h5")
    assert np.allclose(store.field("energy").flatten(), group.labels["energy"], rtol=1e-14)
    assert np.allclose(store.field("forces"), group.labels["forces"].reshape(-1, 3), rtol=1e-14)
    assert np.allclose(store.field("pos"), group.positions.reshape(-1, 3), rtol=1e-14)
    assert any(note.startswith("labels: hf/sto-3g (hf) by pyscf ") for note in store.notes)
    assert any("left out: density, hamiltonian" in note for note in store.notes)


@pytest.mark.parametrize("pattern", ["", "*.h5"])
def test_labels_of_another_method_are_refused_by_name(tmp_path: Path, inline: list[int], pattern: str) -> None:
    folder = tmp_path / "labels"
    folder.mkdir()
    quiet(water(2), recipe("hf/sto-3g"), folder / "a.h5")
    quiet(water(2, seed=1), recipe("hf/sto-3g"), folder / "b.h5")
    assert len(open_dataset(str(folder / pattern), progress=False)) == 4
    quiet(water(2, seed=2), recipe("hf/sto-3g", threshold=1e-8), folder / "c.h5")
    notes = open_dataset(str(folder / pattern), progress=False).notes
    assert any("c.h5: labelled with other energy_threshold" in note for note in notes)
    quiet(water(2, seed=3), recipe("pbe/sto-3g", grid=0), folder / "d.h5")
    with pytest.raises(DataError, match=r"d\.h5.*another method than those of .*a\.h5 \(method: hf/sto-3g and pbe/st"):
        open_dataset(str(folder / pattern), progress=False)


def test_a_journal_that_is_cut_anywhere_keeps_what_is_whole(tmp_path: Path) -> None:
    """Every length that a kill, or a lost block of the disk, can leave."""
    path, how = tmp_path / "journal", cheap()
    ends, outcomes = [], [
        Outcome(4, {"energy": np.array(1.5)}, "", 2.0),
        Outcome(0, reason="an open shell", seconds=0.1),
        Outcome(7, {"energy": np.array(-2.0), "forces": np.ones((2, 3))}, "", 0.5),
    ]  # fmt: skip
    with Journal(path, how, "s") as journal:
        ends.append(journal.end)
        for outcome in outcomes:
            journal.append(outcome)
            ends.append(journal.end)
    whole = path.read_bytes()
    assert len(whole) == ends[-1]
    for length in range(ends[0], len(whole) + 1):
        path.write_bytes(whole[:length])
        kept = [o for o, end in zip(outcomes, ends[1:], strict=True) if end <= length]
        with Journal(path, how, "s") as journal:
            assert list(journal.places) == [o.frame for o in kept]
            for o in kept:
                back = journal.read(o.frame)
                assert (back.reason, back.seconds, back.labels.keys()) == (o.reason, o.seconds, o.labels.keys())
                assert all(np.array_equal(back.labels[name], value) for name, value in o.labels.items())
        assert path.stat().st_size == ends[len(kept)]
    for place in range(ends[0], len(whole), 7):  # a byte that the disk changed
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 255]) + whole[place + 1 :])
        with Journal(path, how, "s") as journal:
            assert {o.frame for o, end in zip(outcomes, ends[1:], strict=True) if end <= place} <= set(journal.places)


def test_a_journal_of_something_else(tmp_path: Path) -> None:
    how = cheap()
    with Journal(tmp_path / "journal", how, "s"), pytest.raises(CheckpointError, match="another process labels"):
        Journal(tmp_path / "journal", how, "s")
    with pytest.raises(InputError, match="--spin: 0 then, 2 now"):
        Journal(tmp_path / "journal", cheap(want=["energy"], spin=2), "s")
    with pytest.raises(
        InputError, match=r"(?s)otherwise \(the structures\).*Remedy: to go on, give the structures of then, with their"
    ):
        Journal(tmp_path / "journal", how, "t")
    (tmp_path / "journal").write_text("nothing\n")
    with pytest.raises(InputError, match="no journal of labels"):
        Journal(tmp_path / "journal", how, "s")


def _labels_until_killed(frames: list[Atoms], output: Path, log: Path) -> None:
    def tell(frame: int) -> None:
        with log.open("a") as file:
            file.write(f"{os.getpid()} {frame}\n")

    run.processes = here(tell)  # type: ignore[assignment]  # of this child alone
    quiet(frames, cheap(), output)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_killed_at_ten_random_moments(tmp_path: Path, inline: list[int]) -> None:
    """The file is that of one run, and no structure that was on the disk is computed again."""
    frames, output, log = water(30), tmp_path / "killed.h5", tmp_path / "log"
    start = time.monotonic()
    quiet(frames, cheap(), tmp_path / "whole.h5")
    seconds = time.monotonic() - start
    rng, context, kills = np.random.default_rng(0), multiprocessing.get_context("fork"), 0
    while kills < 10:
        before = set()
        if journal_of(output).exists():
            with Journal(journal_of(output), cheap(), _digest_of(frames)) as journal:
                before = set(journal.places)
        log.unlink(missing_ok=True)
        child = context.Process(target=_labels_until_killed, args=(frames, output, log))
        child.start()
        child.join(rng.uniform(0, 0.2 * seconds))
        if child.exitcode is None:
            os.kill(child.pid, signal.SIGKILL)
            kills += 1
        child.join()
        computed = [int(line.split()[1]) for line in log.read_text().splitlines()] if log.exists() else []
        assert len(computed) == len(set(computed))
        assert not before & set(computed)
        if output.exists():  # it was done: begin again, for ten kills
            assert content(output) == content(tmp_path / "whole.h5")
            output.unlink()
    quiet(frames, cheap(), output)
    assert content(output) == content(tmp_path / "whole.h5")
    assert not journal_of(output).exists()


def _digest_of(frames: list[Atoms]) -> str:
    return run._digest(run._structures(frames, cheap())[0])


def test_what_is_done_is_not_done_again(tmp_path: Path, inline: list[int]) -> None:
    output = tmp_path / "a.h5"
    quiet(mixed(), cheap(), output)
    before = output.read_bytes()
    summary = quiet(mixed(), cheap(), output)
    assert (summary.before, len(inline), len(summary.failures)) == (6, 6, 2)
    assert output.read_bytes() == before
    with pytest.raises(InputError, match=r"there already, and was labelled otherwise \(the structures\)"):
        quiet(water(2), cheap(), output)
    with pytest.raises(
        InputError, match=r"otherwise \(--want: energy,forces,dipole,density,hamiltonian then, energy n"
    ):
        quiet(mixed(), cheap(want=["energy"]), output)
    quiet(water(2), cheap(), output, overwrite=True)
    assert read_labels(output)[1][0].frames.tolist() == [0, 1]


def test_nothing_could_be_labelled(tmp_path: Path, inline: list[int]) -> None:
    with pytest.raises(
        DataError, match=r"no structure could be labelled: 9 electrons are an open shell.*\(2 of them\)"
    ):
        quiet([mixed()[1]] * 2, cheap(), tmp_path / "a.h5")
    assert not (tmp_path / "a.h5").exists()


def test_the_charge_is_that_of_the_file_or_the_option(tmp_path: Path, inline: list[int]) -> None:
    hydroxide, radical = (Atoms("OH", [[0, 0, 0], [0, 0, 0.97]]) for _ in range(2))
    hydroxide.info["charge"] = -1
    odd = hydroxide.copy()
    odd.info["charge"] = 0.5
    summary = quiet([hydroxide, radical, odd], cheap(), tmp_path / "a.h5")
    assert "open shell" in summary.failures[1]
    assert "no whole number" in summary.failures[2]
    assert read_labels(tmp_path / "a.h5")[1][0].labels["total_charge"].tolist() == [-1]
    radical.info["charge"] = 1
    summary = quiet([hydroxide, radical], cheap(charge=-1), tmp_path / "b.h5")
    assert summary.failures == {1: "the file says charge 1, and --charge -1"}


def test_two_processes_are_one(tmp_path: Path) -> None:
    for workers in (1, 2):
        quiet(water(6), cheap(), tmp_path / f"{workers}.h5", workers=workers)
    assert content(tmp_path / "1.h5") == content(tmp_path / "2.h5")


def test_training_reads_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, inline: list[int]) -> None:
    monkeypatch.chdir(tmp_path)
    quiet(water(24), recipe("gfn2-xtb"), tmp_path / "a.h5")
    small = ["--set", "model.width=4", "--set", "model.layers=1", "--epochs", "1", "--run", "run"]
    result = CliRunner().invoke(app, ["train", "a.h5", "--model", "schnet", *small])
    assert result.exit_code == 0, result.output


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_processes_end_with_the_command(tmp_path: Path) -> None:
    """Killed without a word, the command leaves no process behind, and the next one goes on."""
    write(tmp_path / "water.xyz", water(400), format="extxyz")
    words = ["label", "water.xyz", "-o", "a.h5", "--method", "pbe/def2-svp", "--processes", "2", "--want", "energy"]
    command = [sys.executable, "-m", "intertwine", *words]
    child = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    journal, least = journal_of(tmp_path / "a.h5"), 0
    while not least or journal.stat().st_size <= least:
        assert child.poll() is None
        time.sleep(0.05)
        least = least or (journal.stat().st_size if journal.exists() else 0)
    workers = _children(child.pid)
    assert len(workers) >= 2
    child.kill()
    child.wait()
    end = time.monotonic() + 60
    while any(_alive(pid) for pid in workers):
        assert time.monotonic() < end
        time.sleep(0.05)
    frames = read_structures(tmp_path / "water.xyz", progress=False).atoms
    with Journal(journal, recipe("pbe/def2-svp", ["energy"]), _digest_of(frames)) as left:
        assert left.places


def _children(pid: int) -> list[int]:
    """The processes that a process started, on Linux."""
    path = Path(f"/proc/{pid}/task/{pid}/children")
    if not path.exists():
        pytest.skip("not Linux")
    return [int(word) for word in path.read_text().split()]


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_by_dask(tmp_path: Path) -> None:
    distributed = pytest.importorskip("distributed")
    quiet(mixed(), cheap(), tmp_path / "here.h5")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=False, dashboard_address=None
    ) as workers:
        quiet(mixed(), cheap(), tmp_path / "there.h5", scheduler=workers.scheduler_address)
    assert content(tmp_path / "here.h5") == content(tmp_path / "there.h5")


def test_without_dask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(InputError, match=r'pip install "intertwine\[dask\]"'):
        quiet(water(1), cheap(), tmp_path / "a.h5", scheduler="tcp://127.0.0.1:1")


UNGUARDED = """
{first}
from labelled_water import cheap, water
from intertwine.labels import label
{guard}label(water(3), cheap(), {output!r}, workers=2, progress=False)
"""


@pytest.mark.parametrize("how", ["no guard", "an import that fails"])
def test_processes_that_cannot_start_are_named_as_that(how: str, tmp_path: Path) -> None:
    broken = "import multiprocessing\nassert multiprocessing.current_process().name == 'MainProcess'"
    guard = "" if how == "no guard" else "if __name__ == '__main__': "
    text = UNGUARDED.format(first="" if how == "no guard" else broken, guard=guard, output=str(tmp_path / "a.h5"))
    (tmp_path / "script.py").write_text(text)
    paths = [str(Path(__file__).parent), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
    )  # fmt: skip
    assert done.returncode == 1
    last = done.stderr[done.stderr.rindex("InputError") :]
    assert "the processes could not start" in last
    assert "__main__" in last
    assert "memory" not in done.stderr


@pytest.mark.parametrize(
    ("codes", "began", "said"),
    [
        ([-signal.SIGKILL, -signal.SIGTERM], True, "was killed at one of the frames 3, 5; memory may be lacking"),
        ([-signal.SIGKILL], False, "memory may be lacking"),
        ([-signal.SIGSEGV, -signal.SIGTERM], True, "ended by SIGSEGV at one of the frames 3, 5"),
        ([1, 1], True, "ended with the exit code 1 at one of the frames 3, 5"),
        ([1, -signal.SIGTERM], False, "could not start"),
        ([None, -signal.SIGTERM], True, "ended without a reason"),
    ],
)
def test_memory_is_named_only_of_a_kill(codes: list[int | None], began: bool, said: str) -> None:
    text = str(pool._broken(codes, [3, 5], began))
    assert said in text
    assert ("memory" in text) == (-signal.SIGKILL in codes)
