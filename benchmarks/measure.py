"""Timing for the benchmarks: contestants take turns, so that a machine that slows down slows down for all of them.

from measure import interleaved, machine
times = interleaved({"ours": f, "e3nn": g})  # medians, ms
"""

from __future__ import annotations

import gc
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parent / "results"
SHORTEST = 2e-4  # s: a sample of a faster function is the mean of several calls
PEERS = ("torch", "numpy", "e3nn", "sphericart-torch", "opt-einsum-fx")


def interleaved(functions: Mapping[str, Callable[[], Any]], repeats: int = 21, warmup: int = 3) -> dict[str, float]:
    """Median time of a call in ms: one sample of each function, then the next round, each round in the opposite order of the last.

    Args:
        functions: name -> what is timed, called without arguments.
        repeats: number of samples of each.
        warmup: calls before the first sample (compilation, caches, allocation).
    """
    calls = {}
    for name, function in functions.items():
        for _ in range(max(warmup, 1)):
            start = time.perf_counter()
            function()
            last = time.perf_counter() - start
        calls[name] = max(1, min(1000, round(SHORTEST / max(last, 1e-7))))
    samples: dict[str, list[float]] = {name: [] for name in functions}
    collecting = gc.isenabled()
    gc.disable()
    try:
        for turn in range(repeats):
            for name in list(functions) if turn % 2 else list(functions)[::-1]:
                function, number = functions[name], calls[name]
                start = time.perf_counter()
                for _ in range(number):
                    function()
                samples[name].append((time.perf_counter() - start) / number)
            gc.collect(0)
    finally:
        if collecting:
            gc.enable()
    return {name: 1e3 * statistics.median(values) for name, values in samples.items()}


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
        "versions": {name: version for name in PEERS if (version := _version(name))},
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
    }


def table(rows: list[dict[str, Any]]) -> str:
    """Rows of a benchmark as text; the columns are the keys in order of appearance, times and ratios with three digits."""
    keys = list(dict.fromkeys(key for row in rows for key in row))
    cells = [keys, *([_cell(row.get(key)) for key in keys] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells)]
    numeric = [any(isinstance(row.get(key), int | float) for row in rows) for key in keys]
    return "\n".join(
        "  ".join(cell.rjust(width) if right else cell.ljust(width) for cell, width, right in zip(line, widths, numeric)).rstrip()
        for line in cells
    )


def write(name: str, content: Mapping[str, Any]) -> Path:
    """One JSON under benchmarks/results/, with the machine that it was measured on."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps({"machine": machine(), **content}, indent=1) + "\n")
    return path


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.3g}" if isinstance(value, float) and abs(value) < 1000 else f"{value:.0f}" if isinstance(value, float) else str(value)


def _version(name: str) -> str | None:
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
