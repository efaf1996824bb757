"""What equivariance from outside costs, and how far it is from exact: prints two tables.

    python benchmarks/symmetrize.py

1. Time of a mean over 8 frames beside one call with a batch that is 8 times larger; of an averaged calculator beside
   its own calls. Medians of repeated pairs of CPU times of one thread, in memory that is kept.
2. Equivariance error (of the size of the energy, worst of 8 rotations) and time against the number of elements, of
   quadratures, samples and frames, for a smooth network of ethanol.
"""

from __future__ import annotations

import ctypes
import itertools
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from ase.build import molecule
from ase.calculators.calculator import Calculator, all_changes

from intertwine.geometry import Graph, act, collate
from intertwine.groups import Isometry
from intertwine.integrations import AveragedCalculator
from intertwine.integrations.averaged_calculator import turned_atoms
from intertwine.models import FrameTransformer, PointNet
from intertwine.symmetrize import FrameAverage, GridFrames

PAIRS = 30


def keep_memory() -> None:
    """Let glibc keep what it was given: whether it returns the memory of a call to the system, and the next one asks
    for it page by page, hangs on the order of what was allocated, and doubles times of some milliseconds by chance.
    """
    library = ctypes.CDLL(None)
    if hasattr(library, "mallopt"):
        trim_threshold, mmap_threshold, most = -1, -3, 2**31 - 1  # malloc.h
        library.mallopt(mmap_threshold, most)
        library.mallopt(trim_threshold, most)


def seconds(run: Callable[[], object]) -> float:
    start = time.process_time()
    run()
    return time.process_time() - start


def ratio(first: Callable[[], object], second: Callable[[], object]) -> float:
    """Median of the ratio of two times, measured in turn."""
    first(), second()
    return statistics.median(seconds(first) / seconds(second) for _ in range(PAIRS))


class Heavy(Calculator):  # type: ignore[misc]
    """A force field without symmetry that takes some milliseconds, as those of other programs do."""

    implemented_properties = ("energy", "forces")

    def calculate(self, atoms: Any = None, properties: Any = ("energy",), system_changes: Any = all_changes) -> None:
        super().calculate(atoms, properties, system_changes)
        x = self.atoms.positions - self.atoms.positions.mean(0)
        generator = np.random.default_rng(0)
        w = generator.normal(size=(3, 60_000)) / 3
        phase = x @ w
        slopes = np.cos(phase) @ w.T / 60_000
        self.results = {"energy": np.sin(phase).mean(1).sum(), "forces": -(slopes - slopes.mean(0))}


def call(function: Callable[[Graph], torch.Tensor], graph: Graph, derivative: bool) -> None:
    """The features, and the derivative of their sum."""
    graph = graph.replaced(pos=graph.pos.clone().requires_grad_(derivative))
    with torch.set_grad_enabled(derivative):
        value = function(graph).sum()
    if derivative:
        torch.autograd.grad(value, graph.pos)


def costs() -> None:
    ethanol = Graph.from_ase(molecule("CH3CH2OH")).cast(torch.float32)
    print("| what | beside | ratio |\n|---|---|---|")
    networks = {
        "PointNet": PointNet(width=64, pooled=1024, hidden=128).eval(),  # as published
        "small PointNet": PointNet(width=64, pooled=256, hidden=128).eval(),
        "transformer": FrameTransformer().eval(),
    }
    cases = itertools.product(networks.items(), (10, 100), ("pca", "weighted"), (False, True))
    for (kind, network), graphs, name, derivative in cases:
        batch, mean = collate([ethanol] * graphs), FrameAverage(network, name)
        frames = mean.framing(batch).rotation.shape[1]
        wide = collate([ethanol] * (frames * graphs))
        r = ratio(partial(call, mean, batch, derivative), partial(call, network, wide, derivative))
        what = "features and derivatives" if derivative else "features"
        print(f"| {frames} {name} frames of {graphs} molecules, {what} | {kind}, {frames} times the batch | {r:.2f} |")
    atoms = molecule("CH3CH2OH")
    inner, around = Heavy(), AveragedCalculator(Heavy(), order=3)
    turned = [turned_atoms(atoms, rotation.T) for rotation in around.rotations]

    def own() -> None:
        for each in turned:
            inner.calculate(each, ["energy", "forces"], all_changes)

    r = ratio(partial(around.calculate, atoms, ["energy", "forces"]), own)
    print(f"| quadrature of order 3 on a calculator | its own {len(turned)} calls | {r:.2f} |")


def milliseconds(mean: FrameAverage, graph: Graph) -> float:
    return 1e3 * statistics.median(seconds(partial(mean, graph)) for _ in range(5))


class Smooth(torch.nn.Module):
    """A perceptron of each node's place and of sums over all, (graphs,)."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = torch.nn.Linear(4, 24), torch.nn.Linear(24, 1)

    def forward(self, graph: Graph) -> torch.Tensor:
        x = torch.cat([graph.pos / 2, graph.z.unsqueeze(1).to(graph.pos) / 8], dim=1)
        h = self.first(x).tanh()
        total = h.new_zeros(graph.graphs, 24).index_add(0, graph.membership(), h)
        return self.second(total.tanh()).squeeze(-1)


def error(mean: FrameAverage, graphs: list[Graph], size: float) -> float:
    with torch.no_grad():
        values = torch.cat([mean(graph) for graph in graphs])
    return float((values - values[0]).abs().max()) / size


def errors() -> None:
    torch.manual_seed(0)
    network, ethanol = Smooth().double(), Graph.from_ase(molecule("CH3CH2OH"))
    generator = torch.Generator().manual_seed(1)
    graphs = [ethanol, *(act(Isometry.random(3, generator=generator), ethanol) for _ in range(8))]
    size = float(FrameAverage(network, GridFrames(order=8))(ethanol).detach().abs().max())
    with torch.no_grad():
        alone = float((torch.cat([network(g) for g in graphs]) - network(ethanol)).abs().max()) / size
    print("\n| elements | quadrature, order | error | ms | samples, error | ms |\n|---|---|---|---|---|---|")
    print(f"| 1 (the network alone) | | {alone:.1e} | | | |")
    for order in range(8):
        grid = FrameAverage(network, GridFrames("SE(3)", order=order))
        count = grid.framing(ethanol).rotation.shape[1]
        drawn = FrameAverage(network, GridFrames("SE(3)", samples=count))
        ms = [milliseconds(each, ethanol) for each in (grid, drawn)]
        cells = error(grid, graphs, size), ms[0], error(drawn, graphs, size), ms[1]
        print(f"| {count} | {order} | {cells[0]:.1e} | {cells[1]:.2f} | {cells[2]:.1e} | {cells[3]:.2f} |")
    for name in ("pca", "minimal", "weighted"):
        mean = FrameAverage(network, name, group="SE(3)")
        count = mean.framing(ethanol).rotation.shape[1]
        print(f"| {count} | {name} frames | {error(mean, graphs, size):.1e} | {milliseconds(mean, ethanol):.2f} | | |")


if __name__ == "__main__":
    torch.set_num_threads(1)
    keep_memory()
    costs()
    errors()
