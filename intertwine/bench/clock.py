"""Times and memory of calls, and the machine that they were measured on.

Contestants take turns, so that a machine that slows down slows down for all of them. A turn is a call that finds the
caches full of what the others left there, and then calls in a row.
"""

from __future__ import annotations

import contextlib
import gc
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

SHORTEST = 0.02  # s: a sample of a faster function is the mean of several calls
LIBRARIES = (
    "torch", "numpy", "e3nn", "sphericart-torch", "cuequivariance-torch", "nequip", "mace-torch", "torch-geometric",
    "schnetpack", "egnn-pytorch", "opt-einsum-fx", "llvmlite", "triton",
)  # fmt: skip
_COPIED = 256 * 2**20  # bytes: far more than the caches hold


class Times(NamedTuple):
    """Medians in ms by name: of the calls in a row, and of the first call after the other contestants."""

    steady: dict[str, float]
    cold: dict[str, float]


def interleaved(
    functions: Mapping[str, Callable[[], Any]],
    repeats: int = 21,
    warmup: int = 3,
    progress: Callable[[], object] | None = None,
) -> Times:
    """Times of calls: one turn of each function, then the next round, each round in the opposite order of the last.

    Args:
        functions: name -> what is timed, called without arguments.
        repeats: turns of each.
        warmup: calls before the first turn (compilation, caches, allocation).
        progress: called after every round.

    >>> sorted(interleaved({"sum": lambda: sum(range(99)), "nothing": lambda: None}, repeats=3).steady)
    ['nothing', 'sum']
    """
    calls = {}
    for name, function in functions.items():
        last = min(_seconds(function, 1) for _ in range(max(warmup, 1)))
        calls[name] = max(1, min(1000, round(SHORTEST / max(last, 1e-7))))
    steady: dict[str, list[float]] = {name: [] for name in functions}
    cold: dict[str, list[float]] = {name: [] for name in functions}
    collecting = gc.isenabled()
    gc.disable()
    try:
        for turn in range(repeats):
            for name in list(functions) if turn % 2 else list(functions)[::-1]:
                cold[name].append(_seconds(functions[name], 1))
                steady[name].append(_seconds(functions[name], calls[name]))
            gc.collect(0)
            if progress is not None:
                progress()
    finally:
        if collecting:
            gc.enable()
    return Times(*({name: 1e3 * statistics.median(values) for name, values in kind.items()} for kind in (steady, cold)))


def _seconds(function: Callable[[], Any], calls: int) -> float:
    """Mean time of some calls in a row."""
    start = time.perf_counter()
    for _ in range(calls):
        function()
    return (time.perf_counter() - start) / calls


def copy_bandwidth(repeats: int = 7) -> float:
    """Bytes per second, read and written, of the fastest of some copies of a large tensor by torch's threads."""
    import torch

    source = torch.ones(_COPIED // 4)
    target = torch.empty_like(source)
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        target.copy_(source)
        times.append(time.perf_counter() - start)
    return 2 * _COPIED / min(times)


def peak_memory(function: Callable[[], Any]) -> int:
    """Most bytes that torch held at one time during a call, beyond those it held before.

    Every allocation and release of torch's CPU allocator is read from its profiler, in order: nothing that an operation
    makes and drops inside escapes, and the count is exact and the same every time. What a library takes from elsewhere
    is not seen.
    """
    from torch.profiler import ProfilerActivity, profile

    record = profile(activities=[ProfilerActivity.CPU], profile_memory=True)
    with _silent():
        record.start()
    try:
        kept = function()
    finally:
        with _silent():
            record.stop()
    results: Any = record.profiler.kineto_results.events()  # type: ignore[union-attr]
    changes = sorted((event.start_ns(), event.nbytes()) for event in results if event.name() == "[memory]")
    del kept
    held = most = 0
    for _, change in changes:
        held += change
        most = max(most, held)
    return most


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """The profiler greets on the standard error of the process, which no setting prevents."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def machine() -> dict[str, Any]:
    """Hardware, threads and versions: what a time means nothing without."""
    import torch

    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "usable_cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": torch.get_num_threads(),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": {name: version for name in LIBRARIES if (version := installed(name))},
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
    }


def installed(name: str) -> str | None:
    """The version of an installed distribution; None if there is none.

    >>> installed("no such library") is None
    True
    """
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    if Path("/proc/cpuinfo").exists():
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
