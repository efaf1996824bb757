"""The benchmark of the kernels: what is measured, part by part, as one document."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from intertwine.bench import others
from intertwine.bench.child import in_child, scaled
from intertwine.bench.clock import copy_bandwidth, installed, machine
from intertwine.bench.contest import OURS, PASSES, contest
from intertwine.bench.convolutions import SIZES, Problem, has_compiler, peers
from intertwine.numerics import InputError, choose

#: What can be asked for: the sizes of the convolution, and the other parts.
PARTS = (*SIZES, "harmonics", "contraction", "first-use", "edges", "memory")

#: What is measured by default; the others take most of the time: peers at larger sizes, processes
#: of their own.
USUAL = ("A", "tiny", "harmonics", "contraction")

#: distribution -> how to have it beside.
PEERS = {
    "e3nn": "pip install e3nn==0.6.0",
    "cuequivariance-torch": "pip install cuequivariance-torch",
    "sphericart-torch": "pip install sphericart-torch",
    "mace-torch": "pip install mace-torch --no-deps",
}
EDGES = (1_000, 10_000, 100_000, 1_000_000)
_PEERS_MOST_EDGES = 100_000  # edges: they need ten times the memory
_VECTORS = 100_000
_SLOW_REPEATS = 3  # repeats of what takes a second

Tick = Callable[[], object]


@dataclass(frozen=True)
class Job:
    """One measurement: its part, how often it reports progress, and how to run it."""

    part: str
    steps: int
    run: Callable[[Tick], list[dict[str, Any]]]


def jobs(only: Collection[str] = PARTS, repeats: int = 5, compiled: Collection[str] = ("A",)) -> list[Job]:
    """What there is to do.

    Args:
        only: of :data:`PARTS`.
        repeats: samples of each time.
        compiled: sizes at which e3nn is measured under ``torch.compile`` as well.

    Raises:
        InputError: an unknown part or size, or no repeats.
    """
    for part in only:
        choose(part, PARTS, kind="part", where="bench")
    for size in compiled:
        choose(size, tuple(SIZES), kind="size", where="bench")
    if repeats < 1:
        raise InputError(f"{repeats} repeats", where="bench", remedy="give 1 or more.")
    slow_repeats, ticks = min(repeats, _SLOW_REPEATS), len(PASSES) * repeats
    planned = [Job(size, ticks, partial(_convolution, size, repeats, size in compiled)) for size in SIZES]
    planned += [Job("harmonics", ticks, partial(_harmonics, l, repeats)) for l in (2, 6)]
    planned += [Job("contraction", ticks, partial(_contraction, repeats))]
    planned += [Job("first-use", 1, partial(_first_use, size)) for size in ("A", "B", "C")]
    planned += [Job("edges", 2 * slow_repeats, partial(_edges, edges, None, slow_repeats)) for edges in EDGES]
    planned += [Job("edges", 2 * slow_repeats, partial(_edges, EDGES[-1], 1, slow_repeats))]
    planned += [Job("memory", 1, partial(_memory, kind)) for kind in ("forward", "forward + backward")]
    return [job for job in planned if job.part in only]


def measure(
    todo: Collection[Job], repeats: int, progress: Callable[[int], object] = lambda done: None
) -> dict[str, Any]:
    """Run jobs, one after the other.

    Returns:
        document: ``machine``, ``copy_bandwidth`` in bytes per second, ``missing`` peers and how to have them, and
        ``rows``, each with its ``part`` and ``case``; times in ms, first uses in s, memory in bytes.

    Raises:
        DataError: a peer computes something else, or a process of the benchmark failed.
    """
    done = 0

    def tick() -> None:
        nonlocal done
        done += 1
        progress(done)

    rows = [row for job in todo for row in job.run(tick)]
    missing = {name: how for name, how in PEERS.items() if not installed(name)}
    if not has_compiler():
        missing["a C++ compiler, for torch.compile"] = "install g++"
    bandwidth = copy_bandwidth()
    for row in rows:
        if "bytes" in row:
            row["bandwidth"] = row["bytes"] / (1e-3 * row["ms"][OURS]) / bandwidth
    return {"machine": machine(), "repeats": repeats, "copy_bandwidth": bandwidth, "missing": missing, "rows": rows}


def _convolution(name: str, repeats: int, compiled: bool, tick: Tick) -> list[dict[str, Any]]:
    size = SIZES[name]
    rows = contest(peers(Problem.of(size), compiled=compiled), repeats, tick, where=f"size {name}")
    case = (
        f"{name}: {size.edges:,} edges, {size.channels} channels, "
        f"l {size.degrees[0]}x{size.degrees[1]}->{size.degrees[2]}"
    )
    moved = size.bytes
    return [
        {"part": name, "case": case, **row, **({"bytes": moved[row["pass"]]} if row["pass"] in moved else {})}
        for row in rows
    ]


def _harmonics(l: int, repeats: int, tick: Tick) -> list[dict[str, Any]]:
    case = f"harmonics l <= {l}, {_VECTORS:,} vectors"
    return [
        {"part": "harmonics", "case": case, **row}
        for row in contest(others.harmonics(_VECTORS, l), repeats, tick, where=case)
    ]


def _contraction(repeats: int, tick: Tick) -> list[dict[str, Any]]:
    case = "symmetric contraction, 64 nodes, 128 channels, l <= 1, correlation 3"
    return [
        {"part": "contraction", "case": case, **row}
        for row in contest(others.contraction(128, 1, 64), repeats, tick, where=case)
    ]


def _first_use(size: str, tick: Tick) -> list[dict[str, Any]]:
    """With an empty cache, then in a new process with the cache of the first; e3nn once: its imports take long."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for case in ("empty cache", "from the cache", "e3nn"):
            if case != "e3nn" or (size == "A" and installed("e3nn")):
                seconds = in_child("first", size, "e3nn" if case == "e3nn" else "ours", cache=Path(folder))
                extra = seconds["construction"] + sum(
                    max(0.0, seconds[name] - seconds[f"{name}, again"]) for name in PASSES
                )
                rows.append({"part": "first-use", "case": f"{size}, {case}", "s": seconds, "extra": extra})
    tick()
    return rows


def _edges(edges: int, graphs: int | None, repeats: int, tick: Tick) -> list[dict[str, Any]]:
    size = scaled(edges, graphs)
    needed = 3 * size.bytes["forward"]
    if needed > available_memory():
        return [{"part": "edges", "case": edges, "graphs": size.graphs, "pass": "left out", "ms": {}, "needed": needed}]
    problem = Problem.of(size)
    candidates = peers(problem, compiled=False)
    contestants = candidates if edges <= _PEERS_MOST_EDGES else {OURS: candidates[OURS]}
    rows = contest(contestants, repeats, tick, passes=("forward", "forward + backward"), check=False)
    return [
        {"part": "edges", "case": edges, "graphs": size.graphs, **row, "bytes": size.bytes[row["pass"]]} for row in rows
    ]


def _memory(kind: str, tick: Tick) -> list[dict[str, Any]]:
    edges = EDGES[-1]
    sizes = in_child("memory", str(edges), kind) if 3 * scaled(edges).bytes["forward"] < available_memory() else None
    tick()
    return [{"part": "memory", "case": f"{edges:,} edges", "pass": kind, "bytes_of": sizes}] if sizes else []


def available_memory() -> int:
    """Bytes that programs can still have."""
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():
        for line in meminfo.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return 1024 * int(line.split()[1])
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2 if hasattr(os, "sysconf") else 2**33
