"""Several processes on one machine: this one is the first, and it starts the others."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from intertwine.numerics import IntertwineError

READY = "ready"
GRACE = 2.0  # s


def free_port() -> int:
    """A port on which nobody listens now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def helpers(folder: Path, devices: int, threads: int) -> Iterator[int]:
    """Processes 1 ... ``devices - 1`` of the run in ``folder``, alive and prepared inside the ``with`` block; gives the port to meet at.

    They run ``python -m intertwine.training FOLDER RANK PORT``, which reads configuration and split from the folder, writes nothing,
    and ends when this process does.

    Raises:
        IntertwineError: one of them died; with what it said last.
    """
    port = free_port()
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    pipe = subprocess.PIPE
    with tempfile.TemporaryFile("w+") as said, contextlib.ExitStack() as stack:
        others = []
        for rank in range(1, devices):
            command = [sys.executable, "-m", "intertwine.training", str(folder), str(rank), str(port)]
            others.append(subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=said, env=environment, text=True))
            stack.callback(_end, others[-1])
        for process in others:
            if process.stdout is None or READY not in process.stdout.readline():
                process.wait()
                raise _failure(said)
        try:
            yield port
        except RuntimeError as error:  # the connection broke: perhaps a helper knows why
            if isinstance(error, IntertwineError) or not _died(others):
                raise
            raise _failure(said) from error
        for process in others:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=20)


def end_with_parent() -> None:
    """In a helper: end when the first process ends, at whatever moment and however it does."""
    threading.Thread(target=lambda: (os.read(0, 1), os._exit(1)), daemon=True).start()


def say_ready() -> None:
    """In a helper: the first process may begin."""
    print(READY, flush=True)


def _died(others: list[subprocess.Popen]) -> bool:
    """Whether a helper failed; its connection may break a moment before it is seen to be dead."""
    end = time.monotonic() + GRACE
    while time.monotonic() < end:
        if any(process.poll() not in (None, 0) for process in others):
            return True
        time.sleep(0.05)
    return False


def _end(process: subprocess.Popen) -> None:
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()


def _failure(said) -> IntertwineError:
    said.seek(0)
    lines = [line for line in said.read().splitlines() if line.strip()]
    return IntertwineError(
        "one of the processes failed: " + (" | ".join(lines[-3:]) or "it was killed"),
        where="training.devices",
        remedy="train with one device to find out more.",
    )
