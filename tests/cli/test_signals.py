"""How commands end by signals, with one writer to a folder, and with helpers and workers. Exit codes, messages, what is
kept.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from child_processes import ENDLESS, SIGNALS, SMALL, alive, children, last, started, wait_for

from intertwine.training import load_checkpoint, load_run

pytestmark = pytest.mark.usefixtures("own_folder")


# Signals, and one writer to a folder


def test_a_training_is_stopped_resumed_and_alone_in_its_folder(run_cli, ethanol_file: Path) -> None:
    """One process after the other in one folder: SIGTERM, a second training beside it, kill -9, SIGHUP."""
    with started("train", ethanol_file, *ENDLESS, "--run", "r", *SMALL) as process:
        wait_for(last, process)
        for arguments in (["train", ethanol_file, *ENDLESS, "--run", "r", *SMALL], ["train", "--resume", "r"]):
            refused = run_cli(*arguments)  # this process is another one, too
            assert refused.exit_code == 2, refused.output
            assert f"another training is at work in it: process {process.pid} on " in refused.stderr
            assert "Traceback" not in refused.stderr
        assert load_run("r").epoch >= 1  # reading needs no lock
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=900)
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
        out, err = process.communicate(timeout=900)
        assert process.returncode == 129, err
        assert "go on with" in out


def test_two_at_once_into_one_folder(ethanol_file: Path) -> None:
    arguments = ["train", ethanol_file, "--model", "schnet", "--epochs", 2, "--run", "r"]
    arguments += ["--set=training.certify=false", *SMALL]
    with started(*arguments) as one, started(*arguments) as two:
        ends = [(process.communicate(timeout=900), process.returncode) for process in (one, two)]
    assert sorted(code for _, code in ends) == [0, 2], ends
    refused = next(err for (_, err), code in ends if code == 2)
    assert "another training is at work" in refused or "exists and is not empty" in refused
    assert json.loads(Path("r/report.json").read_text())["epochs"] == 2


@pytest.mark.parametrize("moment", ["reading", "certificate", "pictures"])
def test_a_signal_before_and_after_the_epochs(
    moment: str, run_cli, ethanol_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
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
    goes_on = {  # after the last epoch nothing is left to train: what is lacking is said, and what gives it
        "reading": "go on with: intertwine train --resume r",
        "certificate": "are in r/report.json; only the certificate and the pictures are lacking (intertwine certify r)",
        "pictures": "The training is complete, its errors are in r/report.json; only the pictures are lacking",
    }[moment]
    assert goes_on in result.stdout
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
        arguments = {"models": [], "certify": [trained[0]], "evaluate": [trained[0]]}.get(
            command, [trained[0], ethanol_file]
        )
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
        out, err = process.communicate(timeout=900)
        assert process.returncode == 143, err
        assert "go on with" in out
        assert not any(alive(k) for k in helpers)
    epoch = load_checkpoint("r/last.safetensors")["epoch"]
    with started("train", "--resume", "r") as process:
        wait_for(lambda: load_checkpoint("r/last.safetensors")["epoch"] > epoch, process)
        for helper in children(process):
            os.kill(helper, signal.SIGKILL)
        out, err = process.communicate(timeout=900)
        assert process.returncode == 2, err
        assert "one of the processes failed: it was killed" in err
        assert "Traceback" not in out + err


def test_a_killed_worker_of_the_loader_is_named(ethanol_file: Path) -> None:
    with started("train", ethanol_file, *ENDLESS, "--run", "r", "--set", "training.workers=2", *SMALL) as process:
        wait_for(last, process)
        os.kill(children(process)[-1], signal.SIGKILL)
        out, err = process.communicate(timeout=900)
        assert process.returncode == 2, err
        assert "training.workers: a process that prepares batches was killed" in err
        assert "Everything up to epoch" in out
        assert "Traceback" not in out + err


def test_a_worker_that_is_left_while_it_hands_a_batch_over_is_silent() -> None:
    program = """import os, sys
from multiprocessing import resource_sharer
from multiprocessing.connection import Client
from multiprocessing.process import current_process
from intertwine.data.loader import quiet_when_left
quiet_when_left(0)
address, _ = resource_sharer.DupFd(os.open(os.devnull, os.O_RDONLY))._id
for _ in range(3):
    Client(address, authkey=current_process().authkey).close()
resource_sharer.stop(timeout=30)
print("left", flush=True)
raise ValueError("another error is told")"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=900)
    assert (result.returncode, result.stdout) == (1, "left\n")
    assert "EOFError" not in result.stderr
    assert "another error is told" in result.stderr


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


@pytest.mark.parametrize("module", ["typer", "intertwine.cli.console", "intertwine.cli.use"])
def test_an_interrupt_while_modules_are_imported_is_no_traceback(module: str) -> None:
    program = f"""import signal, sys
class Interrupt:
    def find_spec(self, name, *rest):
        if name == {module!r}:
            signal.raise_signal(signal.SIGINT)
sys.meta_path.insert(0, Interrupt())
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job of a shell ignores it
from intertwine.__main__ import main
main()"""
    result = subprocess.run([sys.executable, "-c", program, "--help"], capture_output=True, text=True, timeout=900)
    assert (result.returncode, result.stderr, result.stdout) == (130, "interrupted\n", "")
