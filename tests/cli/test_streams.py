"""How commands end without memory, disk or listeners, and what they say where there is no terminal. Exit codes and
messages.
"""

from __future__ import annotations

import os
import resource
import shutil
from pathlib import Path

import pytest
import torch
from child_processes import SIGNALS, SMALL, finished, started, usual_signals

import intertwine
import intertwine.training
from intertwine.cli import console
from intertwine.numerics import progress as bars
from intertwine.numerics import progress_bar

pytestmark = pytest.mark.usefixtures("own_folder")


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


@pytest.mark.parametrize(
    ("encoding", "commands"),
    [("ascii", ("evaluate", "certify")), ("latin-1", ("predict",)), ("utf-8", ("train",))],
    ids=["ascii", "latin-1", "utf-8"],
)
def test_names_that_are_no_text(encoding: str, commands: tuple[str, ...], trained) -> None:
    """Each command, and each encoding for an error and for a table."""
    odd = os.fsdecode(b"odd-\xff\xfe-\xe6\xb0\xb4")
    environment = {"PYTHONIOENCODING": encoding}
    before, after = {"predict": [trained[0]]}, {"train": ["--run", "x"]}
    for command in commands:
        arguments = [command, *before.get(command, []), odd, *after.get(command, [])]
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
    with progress_bar("labelling", 40, starting=2) as advance:
        for seconds in (14.0, 1.0, 10.0, 15.0):
            clock[0] += seconds
            advance(1)
    assert capsys.readouterr().err.splitlines() == [
        "labelling: 1 of 40, 2 %, 14 s",
        "labelling: 3 of 40, 8 %, 25 s, about 370 s left",
        "labelling: 4 of 40, 10 %, 40 s, about 450 s left",
    ]
    with progress_bar("quiet", 3, enabled=False) as advance:
        clock[0] += 100
        advance(1)
    with progress_bar("quick", 3) as advance:
        advance(3)
    assert capsys.readouterr().err == ""


def test_a_certificate_in_two_precisions_is_certified_once(run_cli, trained, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bars, "SILENCE_S", 0.0)
    said = [
        line
        for line in run_cli("certify", trained[0], "-o", "/dev/null").stderr.splitlines()
        if line.startswith("certifying:")
    ]
    shares = [int(line.split(",")[1].split("%")[0]) for line in said]
    assert shares == sorted(shares)
    assert shares[-1] == 100
    assert not any("-" in line for line in said)
