"""The command in a process of its own: started, waited for, and stopped."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import intertwine
import intertwine.training

ENDLESS = ["--model", "schnet", "--epochs", 100_000, "--set", "training.patience=0", "--set", "training.certify=false"]
SMALL = ["--set=model.width=8", "--set=model.layers=1", "--set=training.threads=1", "--set=model.cutoff=3.5"]
SIGNALS = {"SIGINT": 130, "SIGTERM": 143, "SIGHUP": 129}


def usual_signals() -> None:
    """In a child: as a shell starts it, also where the tests run under nohup."""
    for name in SIGNALS:
        signal.signal(getattr(signal, name), signal.SIG_DFL)


@contextlib.contextmanager
def started(
    *arguments: object, before: Callable[[], None] = usual_signals, **options: Any
) -> Iterator[subprocess.Popen]:
    """The command in a process, which ends with the block."""
    environment = (
        os.environ
        | {"PYTHONPATH": str(Path(intertwine.__file__).parents[1]), "OMP_NUM_THREADS": "1"}
        | options.pop("env", {})
    )
    streams: dict[str, Any] = {
        "stdout": subprocess.PIPE,
        "stderr": subprocess.PIPE,
        "text": True,
        "preexec_fn": before,
    } | options
    command = [sys.executable, "-m", "intertwine", *map(str, arguments)]
    with subprocess.Popen(command, env=environment, **streams) as process:
        try:
            yield process
        finally:
            process.kill()


def finished(*arguments: object, **options: Any) -> tuple[int, str, str]:
    """Exit code and both streams of the command."""
    with started(*arguments, **options) as process:
        out, err = process.communicate(timeout=900)
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
