"""A run whose processes others start: by hand on each machine, by torchrun, by srun. They train as one with the batches
of all.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from intertwine.numerics import InputError
from intertwine.training import load_checkpoint, train
from intertwine.training.nodes import launch
from intertwine.training.options import TrainingOptions
from intertwine.training.processes import free_port

LIMIT = 900.0  # s for a command of a few seconds: a stop for one that hangs, on a machine that is shared with others
OURS = ("MASTER_", "SLURM_", "TORCHELASTIC_", "NODE_RANK", "LOCAL_RANK", "GROUP_RANK", "WORLD_SIZE", "RANK")


@contextlib.contextmanager
def started(
    commands: list[tuple[list[str], dict[str, str]]], elsewhere: Path | None = None
) -> Iterator[list[subprocess.Popen]]:
    """These commands under these variables, the last in another folder, each a group that does not outlive the ``with``
    block.
    """
    clean = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    pipe = subprocess.PIPE
    processes = []
    try:
        for command, variables in commands:
            environment = clean | {"PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"} | variables
            place = {"cwd": elsewhere} if processes else {}
            processes.append(
                subprocess.Popen(
                    command, stdout=pipe, stderr=pipe, env=environment, text=True, start_new_session=True, **place
                )
            )
        yield processes
    finally:
        for process in processes:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


def said(processes: list[subprocess.Popen]) -> list[tuple[int, str, str]]:
    """Exit code, standard output and error of each."""
    results = []
    for process in processes:
        out, err = process.communicate(timeout=LIMIT)
        results.append((process.returncode, out, err))
    return results


def run(how: str, arguments: list[str], elsewhere: Path | None = None) -> list[tuple[int, str, str]]:
    """Two processes of ``intertwine train``, started in one of three ways; the second may be in another folder. Ports
    are tried anew.
    """
    for _ in range(3):
        port = str(free_port())
        meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        program = ["-m", "intertwine", "train"]
        if how == "torchrun":
            launcher = [
                "-m",
                "torch.distributed.run",
                "--nproc-per-node",
                "2",
                "--master-addr",
                "127.0.0.1",
                "--master-port",
                port,
            ]
            commands = [([sys.executable, *launcher, "-m", "--", *program[1:], *arguments], {})]
        else:
            variables = [_srun(k) if how == "srun" else {"NODE_RANK": str(k)} for k in range(2)]
            commands = [([sys.executable, *program, *arguments], meeting | own) for own in variables]
        with started(commands, elsewhere) as processes:
            results = said(processes)
        if not any("EADDRINUSE" in err for _, _, err in results):
            return results
    raise AssertionError("three ports were taken between their choice and their use")


def _srun(rank: int) -> dict[str, str]:
    """What srun tells process ``rank`` of two on one machine."""
    names = {
        "NTASKS": 2,
        "NTASKS_PER_NODE": 2,
        "STEP_NUM_TASKS": 2,
        "PROCID": rank,
        "LOCALID": rank,
        "NODEID": 0,
        "NNODES": 1,
        "JOB_ID": 7,
    }
    return {f"SLURM_{name}": str(value) for name, value in names.items()} | {
        "SLURM_JOB_NAME": "train",
        "SLURM_NODELIST": "localhost",
    }


SIZES = {
    "hand": ["--nodes", "2"],
    "torchrun": ["--devices", "2"],
    "srun": ["--devices", "2"],
}


@pytest.fixture
def arguments(molecules: Path) -> list[str]:
    sizes = ["width=8", "layers=1", "radial_size=6", "cutoff=4.0"]
    settings = [f"model.{each}" for each in sizes] + ["data.test_size=0"]
    settings += [
        f"training.{each}"
        for each in ("threads=1", "precision='float64'", "certify=false", "schedule='plateau'", "patience=0")
    ]
    given = [str(molecules), "--model", "painn", "--epochs", "2", "--train", "20", "--validation", "4", "--json"]
    return [*given, *(part for each in settings for part in ("--set", each))]


@pytest.fixture(scope="session")
def alone(molecules: Path, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, float]]:
    """The history of one process with batches of six."""
    config = {
        "data": {"source": str(molecules), "train": 20, "validation": 4, "test_size": 0},
        "model": {"name": "painn", "width": 8, "layers": 1, "radial_size": 6, "cutoff": 4.0},
        "training": {
            "epochs": 2,
            "batch_size": 6,
            "threads": 1,
            "patience": 0,
            "schedule": "plateau",
            "certify": False,
        },
    }
    config["training"]["precision"] = "float64"
    folder = tmp_path_factory.mktemp("alone") / "run"
    train(config, progress=False, run=folder)
    return load_checkpoint(folder / "last.safetensors")["rows"]


@pytest.mark.parametrize("how", ["hand", "torchrun", "srun"])
def test_two_that_others_start_are_one_with_twice_the_batch(
    how: str, arguments: list[str], alone: list[dict], tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    results = run(how, [*arguments, *SIZES[how], "--batch-size", "3", "--run", str(folder)])
    assert [code for code, _, _ in results] == [0] * len(results), results
    assert json.loads("".join(out for _, out, _ in results))["run"] == str(folder)  # one of them reports, and only once
    rows = load_checkpoint(folder / "last.safetensors")["rows"]
    assert len(rows) == 2
    for row, other in zip(alone, rows, strict=True):
        for name in row.keys() - {"seconds"}:
            assert other[name] == pytest.approx(row[name], rel=1e-9), name


def test_two_machines_with_two_processes_each(
    arguments: list[str], alone: list[dict], tmp_path: Path, monkeypatch
) -> None:
    given = [*arguments, "--nodes", "2", "--devices", "2", "--batch-size", "2"]
    first = run("hand", [*given, "--epochs", "1", "--run", str(tmp_path / "run")])
    assert [code for code, _, _ in first] == [0, 0], first
    sizes = ["--nodes", "2", "--devices", "2", "--epochs", "2"]
    second = run("hand", ["--resume", str(tmp_path / "run"), *sizes, "--quiet"])
    assert [code for code, _, _ in second] == [0, 0], second
    rows = load_checkpoint(tmp_path / "run" / "last.safetensors")["rows"]
    whole = tmp_path / "whole"
    config = {**_sections(tmp_path / "run")}
    config["training"] |= {"nodes": 1, "devices": 1, "batch_size": 8}
    train(config, progress=False, run=whole)
    for row, other in zip(load_checkpoint(whole / "last.safetensors")["rows"], rows, strict=True):
        assert other["validation_loss"] == pytest.approx(row["validation_loss"], rel=1e-5)


def _sections(folder: Path) -> dict:
    return load_checkpoint(folder / "last.safetensors")["config"]


@pytest.mark.parametrize(
    ("how", "sizes"), [("hand", ["--nodes", "1"]), ("torchrun", ["--devices", "1"]), ("srun", ["--nodes", "2"])]
)
def test_another_number_than_was_started(how: str, sizes: list[str], arguments: list[str], tmp_path: Path) -> None:
    results = run(how, [*arguments, *sizes, "--run", str(tmp_path / "run")])
    errors = "".join(err for _, _, err in results)
    if how == "hand":  # the first one is a run of its own
        assert results[1][0] == 2
        assert "training.nodes: this is machine 1" in results[1][2]
    else:
        assert all(code != 0 for code, _, _ in results)
        assert errors.count("the command was started 2 times") == 2
        assert not (tmp_path / "run").exists()


def test_what_fails_in_one_ends_all(arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first finds no data; or the second, because it looks elsewhere."""
    source, *options = [*arguments, "--nodes", "2", "--epochs", "10000", "--run", str(tmp_path / "run")]
    here, elsewhere = tmp_path / "here", tmp_path / "elsewhere"
    here.mkdir()
    elsewhere.mkdir()
    # a data set of one's own, as paths of files are the same for all
    module = f"from intertwine.data import open_dataset\n\n\ndef own():\n    return open_dataset({source!r})\n"
    (here / "only_here.py").write_text(module)
    monkeypatch.chdir(here)
    for failing, data, place in ((0, str(tmp_path / "absent.xyz"), None), (1, "only_here:own", elsewhere)):
        results = run("hand", [data, *options], place)
        assert [code for code, _, _ in results] == [2, 2], results
        assert Path(data).name.split(":")[0] in results[failing][2]
        assert f"process {failing} failed" in results[1 - failing][2], results
    assert not (tmp_path / "run").exists()


def test_what_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(OURS):
            monkeypatch.delenv(name)
    assert launch(1).by == ""
    with pytest.raises(InputError, match="MASTER_ADDR is not in the environment"):
        launch(2)
    monkeypatch.setenv("SLURM_NTASKS", "2")
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    assert launch(1).by == ""  # a script of sbatch, without srun
    assert TrainingOptions(nodes=2, devices=3).processes == 6
