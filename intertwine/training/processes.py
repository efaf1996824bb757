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
from collections.abc import Collection, Iterator
from pathlib import Path

import torch

from intertwine.numerics import InputError, IntertwineError
from intertwine.numerics.devices import computing_device
from intertwine.training.options import TrainingOptions

READY = "ready"
GRACE_S = 2.0  # s


def check_processes(options: TrainingOptions, *, callbacks: bool, store: bool) -> None:
    """Raise an :class:`InputError` if there are fewer cores, or GPUs, than processes are asked for, or if there are
    ``callbacks`` or a ``store`` in memory that several processes would have to share."""
    devices, gpus = options.devices, torch.cuda.device_count()
    on_gpu = options.accelerator not in ("auto", "cpu") or (options.accelerator == "auto" and gpus > 0)
    there, name = (gpus, "GPUs") if on_gpu else (os.cpu_count() or 1, "cores")
    if on_gpu and not there:
        raise InputError(
            "torch sees no GPU",
            where="training.accelerator",
            remedy="install torch with CUDA and a driver, or train on the CPU: --device cpu.",
        )
    if ":" in options.accelerator:
        computing_device(options.accelerator, "training.accelerator")
        if options.processes > 1:
            what, remedy = f"{options.processes} processes on one GPU", "train on cuda, or with one device."
            raise InputError(what, where="training.accelerator", remedy=remedy)
    if devices > there:
        raise InputError(
            f"{devices} processes on {there} {name}", where="training.devices", remedy=f"give at most {there}."
        )
    if options.processes > 1 and callbacks:
        remedy = "train with one device."
        raise InputError("objects in memory can't be shared by several processes", where="callbacks", remedy=remedy)
    if options.processes > 1 and store:
        what, remedy = "data in memory can't be shared by several processes", "save them to a file and give its path."
        raise InputError(what, where="training.devices", remedy=remedy)


def accelerator(choice: str) -> str:
    """Lightning's name for where to compute: CUDA or the CPU. Its own "auto" would take Apple's MPS, which has no
    float64.
    """
    return "cuda" if choice not in ("auto", "cpu") or (choice == "auto" and torch.cuda.is_available()) else "cpu"


def chosen_devices(choice: str, count: int) -> int | list[int]:
    """Lightning's ``devices``: the GPU of "cuda:1" as ``[1]``, else how many."""
    _, colon, number = choice.partition(":")
    return [int(number)] if colon else count


def free_port() -> int:
    """A port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def helpers(
    folder: Path, devices: int, threads: int, allow: Collection[str] = (), node: int = 0, port: int = 0
) -> Iterator[int]:
    """Processes 1 ... ``devices - 1``, on this machine, of the run in ``folder``, alive and prepared inside the
    ``with`` block; gives the port to meet at, a free one if none is given.

    They run ``python -m intertwine.training FOLDER NODE RANK PORT [MODULE ...]``, which reads configuration and split
    from the folder, writes nothing, may load classes from these modules, and ends when this process does.

    Raises:
        IntertwineError: one of them died; with what it said last.
    """
    port = port or free_port()
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    pipe = subprocess.PIPE
    with tempfile.TemporaryFile("w+") as said, contextlib.ExitStack() as stack:
        others = []
        for rank in range(1, devices):
            command = [
                sys.executable,
                "-m",
                "intertwine.training",
                str(folder),
                str(node),
                str(rank),
                str(port),
                *allow,
            ]
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
    end = time.monotonic() + GRACE_S
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
        remedy="train with one device (--devices 1) to see the whole error.",
    )
