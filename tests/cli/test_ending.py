"""How commands end: by signals, without memory, disk or listeners, and beside code of the user's. Exit codes, messages, what is kept."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from ase.io import read, write

import intertwine
import intertwine.training
from intertwine.cli import console
from intertwine.numerics import progress as bars
from intertwine.numerics import progress_bar
from intertwine.training import load_checkpoint, load_run

ENDLESS = ["--model", "schnet", "--epochs", 100_000, "--set", "training.patience=0", "--set", "training.certify=false"]
SMALL = ["--set", "model.width=8", "--set", "model.layers=1", "--set", "training.threads=1", "--set", "model.cutoff=3.5"]
SIGNALS = {"SIGINT": 130, "SIGTERM": 143, "SIGHUP": 129}


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def usual_signals() -> None:
    """In a child: as a shell starts it, also where the tests run under nohup."""
    for name in SIGNALS:
        signal.signal(getattr(signal, name), signal.SIG_DFL)


@contextlib.contextmanager
def started(*arguments: object, before: Callable[[], None] = usual_signals, **options: Any) -> Iterator[subprocess.Popen]:
    """The command in a process, which ends with the block."""
    environment = os.environ | {"PYTHONPATH": str(Path(intertwine.__file__).parents[1]), "OMP_NUM_THREADS": "1"} | options.pop("env", {})
    streams: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "preexec_fn": before} | options
    command = [sys.executable, "-m", "intertwine", *map(str, arguments)]
    with subprocess.Popen(command, env=environment, **streams) as process:
        try:
            yield process
        finally:
            process.kill()


def finished(*arguments: object, **options: Any) -> tuple[int, str, str]:
    """Exit code and both streams of the command."""
    with started(*arguments, **options) as process:
        out, err = process.communicate(timeout=200)
        return process.returncode, out, err


def wait_for(condition: Callable[[], Any], process: subprocess.Popen, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.05)


def children(process: subprocess.Popen) -> list[int]:
    return [int(k) for k in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def last() -> bool:
    return Path("r/last.safetensors").exists()


# Signals, and one writer to a folder


def test_a_training_is_stopped_resumed_and_alone_in_its_folder(ethanol_file: Path) -> None:
    """One process after the other in one folder: SIGTERM, a second training beside it, kill -9, SIGHUP."""
    with started("train", ethanol_file, *ENDLESS, "--run", "r", *SMALL) as process:
        wait_for(last, process)
        for arguments in (["train", ethanol_file, *ENDLESS, "--run", "r", *SMALL], ["train", "--resume", "r"]):
            code, out, err = finished(*arguments)
            assert code == 2, (out, err)
            assert f"another training is at work in it: process {process.pid} on " in err
            assert "Traceback" not in err
        assert load_run("r").epoch >= 1  # reading needs no lock
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=60)
        assert process.returncode == 143, err
        assert "stopped; go on with: intertwine train --resume r" in out
        assert "Everything up to epoch" in out
        assert "SIGTERM" in err
        assert "Traceback" not in out + err
    epoch = load_checkpoint("r/last.safetensors")["epoch"]
    assert not list(Path("r").glob(".*"))
    with started("train", "--resume", "r") as process:
        wait_for(lambda: load_checkpoint("r/last.safetensors")["epoch"] > epoch, process)
        process.kill()
        process.communicate()
    assert Path("r/.lock").exists()  # and nobody holds it
    with started("train", "--resume", "r") as process:
        before = load_checkpoint("r/last.safetensors")["epoch"]
        wait_for(lambda: load_checkpoint("r/last.safetensors")["epoch"] > before, process)
        process.send_signal(signal.SIGHUP)
        out, err = process.communicate(timeout=60)
        assert process.returncode == 129, err
        assert "go on with" in out


def test_two_at_once_into_one_folder(ethanol_file: Path) -> None:
    arguments = ["train", ethanol_file, "--model", "schnet", "--epochs", 2, "--run", "r", "--set", "training.certify=false", *SMALL]
    with started(*arguments) as one, started(*arguments) as two:
        ends = [(process.communicate(timeout=200), process.returncode) for process in (one, two)]
    assert sorted(code for _, code in ends) == [0, 2], ends
    refused = next(err for (_, err), code in ends if code == 2)
    assert "another training is at work" in refused or "exists and is not empty" in refused
    assert json.loads(Path("r/report.json").read_text())["epochs"] == 2


@pytest.mark.parametrize("moment", ["reading", "certificate", "pictures"])
def test_a_signal_before_and_after_the_epochs(moment: str, run_cli, ethanol_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module, name = {
        "reading": ("intertwine.training.run", "open_sets"),
        "certificate": ("intertwine.training.certification", "certify_run"),
        "pictures": ("intertwine.training.pictures", "draw"),
    }[moment]

    def stop(*_: object, **__: object) -> None:
        signal.raise_signal(signal.SIGTERM)
        raise AssertionError

    with monkeypatch.context() as patch:
        patch.setattr(f"{module}.{name}", stop)
        result = run_cli("train", ethanol_file, "--model", "schnet", "--epochs", 1, "--run", "r", *SMALL)
    assert result.exit_code == 143, result.output
    assert "go on with: intertwine train --resume r" in result.stdout
    assert not Path("r/.lock").exists()
    again = run_cli("train", "--resume", "r", "--json")
    assert again.exit_code == 0, again.output
    assert json.loads(again.stdout)["certificate"]["passed"]


@pytest.mark.parametrize("name", SIGNALS)
@pytest.mark.parametrize("command", ["predict", "evaluate", "certify", "md", "relax", "models"])
def test_every_command_is_stopped_by_every_signal(
    command: str, name: str, run_cli, trained, ethanol_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    former = signal.signal(getattr(signal, name), signal.SIG_DFL if name != "SIGINT" else signal.default_int_handler)

    def stop(*_: object, **__: object) -> None:
        signal.raise_signal(getattr(signal, name))
        raise AssertionError

    try:
        if command == "models":
            monkeypatch.setattr(importlib.import_module("intertwine.bench.architectures"), "architectures", stop)
        else:
            monkeypatch.setattr("intertwine.training.load_run", stop)
            monkeypatch.setattr("intertwine.integrations.calculator.load_run", stop, raising=False)
        arguments = {"models": [], "certify": [trained[0]], "evaluate": [trained[0]]}.get(command, [trained[0], ethanol_file])
        result = run_cli(command, *arguments)
        assert result.exit_code == SIGNALS[name], result.output
        assert ("interrupted" if name == "SIGINT" else name) in result.stderr
        assert "Traceback" not in result.output
        assert signal.getsignal(getattr(signal, name)) is not signal.SIG_IGN
    finally:
        signal.signal(getattr(signal, name), former)


# Helpers and workers


def test_helpers_end_with_the_first_process_and_the_other_way_round(ethanol_file: Path) -> None:
    several = ["train", ethanol_file, *ENDLESS, "--run", "r", "--devices", 2, *SMALL]
    with started(*several) as process:
        wait_for(last, process)
        helpers = [k for k in children(process) if alive(k)]
        assert helpers
        os.kill(helpers[0], signal.SIGTERM)  # as `kill` to the whole group would: the first process's to answer
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=60)
        assert process.returncode == 143, err
        assert "go on with" in out
        assert not any(alive(k) for k in helpers)
    epoch = load_checkpoint("r/last.safetensors")["epoch"]
    with started("train", "--resume", "r") as process:
        wait_for(lambda: load_checkpoint("r/last.safetensors")["epoch"] > epoch, process)
        for helper in children(process):
            os.kill(helper, signal.SIGKILL)
        out, err = process.communicate(timeout=100)
        assert process.returncode == 2, err
        assert "one of the processes failed: it was killed" in err
        assert "Traceback" not in out + err


def test_a_killed_worker_of_the_loader_is_named(ethanol_file: Path) -> None:
    with started("train", ethanol_file, *ENDLESS, "--run", "r", "--set", "training.workers=2", *SMALL) as process:
        wait_for(last, process)
        os.kill(children(process)[-1], signal.SIGKILL)
        out, err = process.communicate(timeout=100)
        assert process.returncode == 2, err
        assert "training.workers: a process that prepares batches was killed" in err
        assert "Everything up to epoch" in out
        assert "Traceback" not in out + err


def test_an_error_in_a_worker_is_that_error(ethanol_file: Path) -> None:
    from intertwine.data import GraphStore, open_dataset
    from intertwine.numerics import DataError
    from intertwine.training import Loader

    class Broken(GraphStore):
        def __init__(self) -> None:
            pass

        def __len__(self) -> int:
            return 4

        def __getitem__(self, k: int) -> Any:
            raise DataError("broken", where=f"entry {k}", remedy="mend it.")

    with pytest.raises(DataError) as raised:
        list(Loader(Broken(), 2, workers=1))
    assert str(raised.value) == "entry 0: broken\n  Remedy: mend it."
    store = open_dataset(str(ethanol_file), progress=False)
    assert sum(batch.num_graphs for batch in Loader(store, 3, workers=1)) == len(store)


# Memory


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 123456789012 bytes."),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        MemoryError("Unable to allocate 7.45 GiB for an array"),
        OSError(12, "Cannot allocate memory"),
        RuntimeError("std::bad_alloc"),
    ],
)
@pytest.mark.parametrize("command", ["train", "predict", "evaluate"])
def test_lack_of_memory_is_no_bug(
    command: str, error: Exception, run_cli, trained, ethanol_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("intertwine.training.module.TrainingModule.training_step", full)
    monkeypatch.setattr("intertwine.tasks.force_field.ForceField.predict", full)
    options = {"train": [ethanol_file, "--model", "schnet", "--run", "r", *SMALL], "evaluate": [trained[0]]}
    result = run_cli(command, *options.get(command, [trained[0], ethanol_file]))
    assert result.exit_code == 2, result.output
    assert "there is not enough memory" in result.stderr
    assert "Remedy: " in result.stderr
    assert "bug" not in result.stderr


def test_a_limit_of_memory(trained) -> None:
    """Whatever runs out first: a message, and neither a traceback nor success."""

    def little() -> None:
        usual_signals()
        resource.setrlimit(resource.RLIMIT_DATA, (300 * 2**20, 300 * 2**20))

    code, out, err = finished("certify", trained[0], "--json", before=little)
    assert code != 0
    assert "bug in intertwine" not in err
    assert out == ""


# Streams


FULL = [["--help"], ["train", "--help"], ["--version"], ["datasets"], ["datasets", "--json"]]


@pytest.mark.parametrize("arguments", FULL, ids=" ".join)
def test_standard_output_that_is_full_is_an_error(arguments: list[str]) -> None:
    with Path("/dev/full").open("w") as full:
        code, _, err = finished(*arguments, stdout=full)
    assert code == 2
    assert "standard output can't be written: No space left on device" in err
    assert "Traceback" not in err
    assert "Exception ignored" not in err


def test_closed_streams_and_readers_that_have_enough(trained) -> None:
    def closed() -> None:
        usual_signals()
        os.close(1)

    def silent() -> None:
        usual_signals()
        os.close(2)

    code, _, err = finished("datasets", before=closed, stdout=None)
    assert code == 2
    assert "standard output can't be written" in err
    assert finished("datasets", "--json", before=silent, stderr=None)[0] == 0
    assert finished("evaluate", "absent", before=silent, stderr=None)[0] == 2
    with started("datasets") as process:
        process.stdout.close()
        process.wait(60)
        assert process.returncode == 0  # as `| head` does
        assert process.stderr.read() == ""


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_names_that_are_no_text(encoding: str, trained) -> None:
    odd = os.fsdecode(b"odd-\xff\xfe-\xe6\xb0\xb4")
    environment = {"PYTHONIOENCODING": encoding}
    for arguments in (["evaluate", odd], ["predict", trained[0], odd], ["certify", odd], ["train", odd, "--run", "x"]):
        code, out, err = finished(*arguments, env=environment)
        assert code == 2, (arguments, out, err)
        assert "error:" in err
        assert "odd-" in err
        assert "Traceback" not in err
    shutil.copytree(trained[0], odd)
    code, out, err = finished("evaluate", odd, env=environment)
    assert code == 0, err
    assert "odd-" in out


def test_what_is_nested_too_deeply(run_cli, trained) -> None:
    deep = "[" * 100_000
    Path("deep.toml").write_text(f"a = {deep}")
    shutil.copytree(trained[0], "r")
    Path("r/splits.json").write_text(deep)
    header = ('{"__metadata__": ' + '{"a": ' * 100_000).encode()
    Path("h.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)
    for arguments in (
        ["train", "--config", "deep.toml"],
        ["train", "--set", f"model.width={deep}"],
        ["train", "--set", ".".join(["model"] * 5000) + "=1"],
        ["evaluate", "r"],
        ["certify", "h.safetensors"],
    ):
        result = run_cli(*arguments)
        assert result.exit_code == 2, (arguments[:2], result.output[-500:])
        assert "bug" not in result.stderr
        assert len(result.stderr) < 3000


def test_a_missing_package_is_named(run_cli, trained, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object, **__: object) -> None:
        raise ModuleNotFoundError("No module named 'lightning'", name="lightning.pytorch")

    monkeypatch.setattr(intertwine.training, "load_run", missing)
    result = run_cli("evaluate", trained[0])
    assert result.exit_code == 2
    assert "pip install lightning" in result.stderr


def test_exit_codes_are_in_the_help(run_cli) -> None:
    text = " ".join(run_cli("--help").stdout.split())
    for code in (0, 1, 2, 3, *SIGNALS.values()):
        assert str(code) in text[text.index("Exit codes") :]
        assert f"\n{code:<5}" in console.__doc__


# Progress where there is no terminal


def test_lines_of_progress(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    clock = [0.0]
    monkeypatch.setattr(bars.time, "monotonic", lambda: clock[0])
    with console.bar(40, "measuring") as reach:
        for done in range(1, 41):
            clock[0] += 3.0
            reach(done)
    out, err = capsys.readouterr()
    lines = err.splitlines()
    assert out == ""
    assert len(lines) == 10
    assert lines[0] == "measuring: 4 of 40, 10 %, 12 s, about 108 s left"
    with progress_bar("reading", None) as advance:
        for _ in range(5):
            clock[0] += 11.0
            advance(7)
    assert capsys.readouterr().err.splitlines()[-1] == "reading: 35, 55 s"
    with progress_bar("quiet", 3, enabled=False) as advance:
        clock[0] += 100
        advance(1)
    with progress_bar("quick", 3) as advance:
        advance(3)
    assert capsys.readouterr().err == ""


def test_a_certificate_in_two_precisions_is_certified_once(run_cli, trained, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bars, "SILENCE", 0.0)
    said = [line for line in run_cli("certify", trained[0], "-o", "/dev/null").stderr.splitlines() if line.startswith("certifying:")]
    shares = [int(line.split(",")[1].split("%")[0]) for line in said]
    assert shares == sorted(shares)
    assert shares[-1] == 100
    assert not any("-" in line for line in said)


# A certificate that can't be stored; the user's code


def test_a_certificate_is_printed_where_it_can_not_be_stored(run_cli, trained) -> None:
    shutil.copytree(trained[0], "r")
    for how in ("read-only", "a folder"):
        Path("r/certificate.json").chmod(0o444) if how == "read-only" else (
            Path("r/certificate.json").unlink(),
            Path("r/certificate.json").mkdir(),
        )
        result = run_cli("certify", "r", "--json")
        assert result.exit_code == 0, result.output
        assert json.loads(result.stdout)["passed"]
        assert "warning: the certificate is not stored" in result.stderr
    Path("net.py").write_text(NET)
    result = run_cli("certify", "net:Wrong", "-o", "/dev/full")
    assert result.exit_code == 1  # the verdict's
    assert "not stored" in result.stderr
    Path("file").write_text("")
    result = run_cli("certify", "net:Wrong", "-o", "file/c.json")
    assert (result.exit_code, result.stdout) == (2, "")  # said before the work
    Path("nowhere.json").symlink_to("/dev/full")
    for target in ("/dev/full", "nowhere.json"):
        result = run_cli("certify", "net:Right", "-o", target)
        assert result.exit_code == 2  # it was asked for
        assert "passed" in result.stdout
        assert "error: the certificate is not stored" in result.stderr
    assert run_cli("certify", "net:Right", "-o", "/dev/null").exit_code == 0
    assert Path("/dev/null").is_char_device()


NET = """
import atexit, os, sys, threading, warnings
import torch
from intertwine.nn import pool

class Right(torch.nn.Module):
    irreps_out = "1x0e"
    def forward(self, graph):
        return pool(graph.pos.new_ones(graph.num_nodes, 1), graph)

class Wrong(Right):
    def forward(self, graph):
        return pool(graph.pos[:, :1], graph)

class Rude(BaseException):
    pass

def stops(error, where):
    class Net(Right):
        def __init__(self):
            super().__init__()
            if where == "made":
                raise error
        def forward(self, graph):
            if where == "called":
                raise error
            return super().forward(graph)
    return Net

ExitMade, ExitCalled = stops(SystemExit(0), "made"), stops(SystemExit(), "called")
InterruptMade, InterruptCalled = stops(KeyboardInterrupt(), "made"), stops(KeyboardInterrupt(), "called")
RudeMade, RudeCalled = stops(Rude("no"), "made"), stops(GeneratorExit(), "called")

class LeavesMade(Right):
    def __init__(self):
        os._exit(0)

class LeavesCalled(Right):
    def forward(self, graph):
        os._exit(0)

class Forks(Right):
    def forward(self, graph):
        child = os.fork()
        if child == 0:
            os._exit(7)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        return super().forward(graph)

class Late(Right):
    def __init__(self):
        super().__init__()
        atexit.register(print, "at the end")
        threading.Thread(target=lambda: (threading.main_thread().join(), print("from a thread"))).start()

class Closes(Right):
    def __init__(self):
        super().__init__()
        os.close(1)

class Asked(Right):
    @property
    def cutoff(self):
        sys.exit(0)

class Warns(Right):
    def __init__(self):
        super().__init__()
        warnings.simplefilter("error")
        sys.stdout = sys.stderr = None

class Prints(Right):
    def forward(self, graph):
        print("from Python")
        os.write(1, b"from the system")
        return super().forward(graph)
"""


@pytest.mark.parametrize(
    "name", ["ExitMade", "ExitCalled", "InterruptMade", "InterruptCalled", "RudeMade", "RudeCalled", "Asked", "LeavesMade", "LeavesCalled"]
)
def test_the_users_code_decides_no_exit_code(name: str, run_cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    Path("rude_net.py").write_text(NET)
    result = run_cli("certify", f"rude_net:{name}")
    assert result.exit_code == 2, result.output
    assert f"rude_net:{name}" in result.stderr
    assert "rude_net.py, line" in result.stderr
    assert "passed" not in result.stdout


@pytest.mark.parametrize(
    "line",
    ["import os; os._exit(0)", "raise SystemExit", "import sys; sys.exit(0)", "raise KeyboardInterrupt", "exit()", "raise GeneratorExit"],
)
def test_nor_does_its_import(line: str, run_cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    module = f"stops_{abs(hash(line))}"
    Path(f"{module}.py").write_text(f"{line}\n")
    result = run_cli("certify", f"{module}:Net")
    assert result.exit_code == 2, result.output
    assert "can't import" in result.stderr


def test_the_users_code_leaves_the_document_alone() -> None:
    Path("loud_net.py").write_text("print('imported')\n" + NET)
    for name in ("Prints", "Warns", "Late", "Closes", "Forks"):
        code, out, err = finished("certify", f"loud_net:{name}", "--json")
        assert code == 0, err
        assert json.loads(out)["passed"]
        assert "imported" in err


def test_the_run_is_called_after_its_model(run_cli, ethanol_file: Path) -> None:
    options = ["--epochs", 1, "--set", "training.certify=false", "--set", "training.threads=1", "--set", "model.width=4", "--quiet"]
    flat = read(ethanol_file, index=":12")
    for k, atoms in enumerate(flat):
        atoms.calc = None
        atoms.info["homo"] = -0.25 - 0.001 * k
    write("labels.xyz", flat, format="extxyz")
    for arguments in (["train", ethanol_file], ["train", "labels.xyz", "--target", "homo"], ["train", ethanol_file, "--model", "egnn"]):
        result = run_cli(*arguments, *options)
        assert result.exit_code == 0, result.output
    for folder in Path("runs").iterdir():
        assert f"-{load_run(folder).config.model.name}-" in folder.name
    assert {load_run(folder).config.model.name for folder in Path("runs").iterdir()} == {"mace", "painn", "egnn"}
