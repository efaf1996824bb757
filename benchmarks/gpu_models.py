"""NequIP and MACE on a graphics card, beside nequip and mace-torch at the same weights: eager, as CUDA graphs, and
where the time goes.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from gpu import timed
from models import LARGEST_RELATIVE_DIFFERENCE, Outputs, Pair, compared, mace, nequip, prepared, silicon, step, timings
from peers import ethanol
from torch import Tensor

from intertwine.geometry import Graph, connect

if TYPE_CHECKING:
    from gpu_parts import Record

PROFILED_KERNELS = 15  # in a profile
MOVED_ANGSTROM = 0.01  # A: between a capture and its replay

Build = Callable[[str], tuple[Pair, Tensor]]


def cases(dry: bool) -> dict[str, Build]:
    """Title -> how to make both models on a device, and the positions that both read: what the issue names first, then
    the other two.
    """
    small: dict[str, dict[str, int]] = {"nequip": {}, "mace": {}}
    if dry:
        small = {
            "nequip": {"layers": 1, "features": 2, "lmax": 1},
            "mace": {"channels": 2, "lmax": 1, "correlation": 2},
        }

    def pair_of(which: Callable[..., Pair], graphs: Callable[[], Graph], device: str) -> tuple[Pair, Tensor]:
        graph = graphs().to(device)
        return prepared(lambda: which(graph, device, **small[which.__name__])), graph.pos

    ethanols = {number: partial(ethanol, number) for number in ((1,) if dry else (20, 200))}
    crystals = {8 * number**3: partial(silicon, number) for number in ((1,) if dry else (2, 4, 8))}
    if dry:  # the smallest crystal has hundreds of edges: a minute in the interpreter
        crystals = {2: pair_of_atoms}
    first = {f"NequIP, {number} ethanol": partial(pair_of, nequip, graphs) for number, graphs in ethanols.items()}
    first |= {f"MACE, {number} silicon": partial(pair_of, mace, graphs) for number, graphs in crystals.items()}
    other = {f"NequIP, {number} silicon": partial(pair_of, nequip, graphs) for number, graphs in crystals.items()}
    other |= {f"MACE, {number} ethanol": partial(pair_of, mace, graphs) for number, graphs in ethanols.items()}
    return first if dry else first | other


def pair_of_atoms() -> Graph:
    """Two silicon atoms in a large box."""
    places = torch.tensor([[0.0, 0.0, 0.0], [1.5, 1.0, 0.9]], dtype=torch.float32)
    box = 12.0 * torch.eye(3, dtype=torch.float32)[None]
    return connect(Graph(places, z=torch.tensor([14, 14]), cell=box, pbc=torch.ones(1, 3, dtype=torch.bool)), 5.0)


def measure(record: Record, title: str, build: Build) -> None:
    """The rows of a case: both passes eagerly, then energies and forces by CUDA graphs."""
    pair, places = build(str(record.device))
    theirs, run_theirs, ours, run_ours = pair
    difference = compared(title, pair)
    for kind, times in timings(pair, timed).items():
        record.add(row(title, kind, times) | {"outputs differ by": difference})
    ours.eval()
    theirs.eval()
    calls: dict[str, Callable[[], Any]] = {}
    for name, run in (("ours", run_ours), ("theirs", run_theirs)):
        with record.attempt(f"{title}, {name} as a CUDA graph", 0 if record.dry else 4) as there:
            if there and record.device.type == "cuda":
                calls[name] = captured(run, places)
    if calls:
        record.add(row(title, "energy + forces, CUDA graph", timed(calls)))


def row(title: str, kind: str, times: dict[str, float]) -> dict[str, Any]:
    """A line of the table."""
    line: dict[str, Any] = {"case": title, "pass": kind} | {f"{name}, ms": time for name, time in times.items()}
    return line | ({"ratio": times["theirs"] / times["ours"]} if len(times) == 2 else {})


def captured(run: Callable[[], Outputs], places: Tensor) -> Callable[[], Any]:
    """A call as a CUDA graph, whose inputs stay where they are; checked on other positions than those of the capture.

    Raises:
        ValueError: the graph gives something else than the call.
    """
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):  # compilation, checks on first use, and the allocations of libraries
        for _ in range(3):
            run()
    torch.cuda.current_stream().wait_stream(side)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        outputs = run()
    generator = torch.Generator().manual_seed(1)
    places += MOVED_ANGSTROM * torch.randn(places.shape, generator=generator).to(places)
    graph.replay()
    expected = run()
    for name in ("energy", "forces"):
        worst = float((outputs[name] - expected[name]).abs().max() / expected[name].abs().max())
        if not worst <= LARGEST_RELATIVE_DIFFERENCE:
            raise ValueError(f"{name} of the CUDA graph are off by {worst:.2g} of the largest")
    return graph.replay


def profiled(record: Record) -> None:
    """The kernels that take most of the time of MACE, ours, for energies and forces and for a training step."""
    title, build = [case for case in cases(record.dry).items() if case[0].startswith("MACE") and "silicon" in case[0]][
        -1
    ]
    (_, _, ours, run), _ = build(str(record.device))
    names = ("energy", "forces")
    for kind, training in (("energy + forces", False), ("training step", True)):
        with record.attempt(f"{title}, {kind}") as there:
            if there:
                ours.train(training)
                record.add(
                    *kernels(step(ours, run, names) if training else run, record.device.type, f"{title}, {kind}")
                )


def kernels(call: Callable[[], Any], device: str, title: str) -> list[dict[str, Any]]:
    """The kernels of a call by their time, the longest first; on the processor torch's operations."""
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as profiler

    for _ in range(2):
        call()
    card = device == "cuda"
    with profiler(
        activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA] if card else [ProfilerActivity.CPU]
    ) as trace:
        call()
        if card:
            torch.cuda.synchronize()
    attribute = "self_device_time_total" if card else "self_cpu_time_total"
    events = [
        event
        for event in trace.key_averages()
        if getattr(event, attribute) > 0 and (not card or "cuda" in str(event.device_type).lower())
    ]
    total = sum(getattr(event, attribute) for event in events)
    largest = sorted(events, key=lambda event: -getattr(event, attribute))[:PROFILED_KERNELS]
    head = {
        "case": title,
        "kernel": "all",
        "ms": 1e-3 * total,
        "share": 1.0,
        "calls": sum(event.count for event in events),
    }
    return [head] + [
        {
            "case": title,
            "kernel": event.key[:120],
            "ms": 1e-3 * getattr(event, attribute),
            "share": getattr(event, attribute) / total,
            "calls": event.count,
        }
        for event in largest
    ]
