"""Averages of a network without symmetry over frames: how many there are, what they cost, and how far energies jump at
methane. Prints three tables, and makes a picture.

python benchmarks/frames.py
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import matplotlib.pyplot as plt
import torch
from ase.build import molecule
from measure import DOCS, insert, markdown
from torch import Tensor, nn

from intertwine import Graph
from intertwine.data.embedded import ethanol
from intertwine.geometry import collate
from intertwine.geometry.frames import FRAMES, Frames

GROUP = "SE(3)"
WAYS: dict[str, tuple[str, dict[str, Any]]] = {
    "pca": ("pca", {}),
    "pca, minimal signs": ("pca", {"signs": "minimal"}),
    "minimal": ("minimal", {}),
    "weighted": ("weighted", {}),
}
COLOURS = {"pca": "#c8553d", "pca, minimal signs": "#e0a458", "minimal": "#7a9e7e", "weighted": "#2a6f97"}
WIDTHS = (0.05, 0.1, 0.2, 0.3, 0.5, 1.0)
STEPS = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-9, 1e-10)
DIRECTIONS = 20


class Generic(nn.Module):
    """A smooth function of coordinates and species, summed over atoms, that knows no rotation; random weights."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.inner = nn.Sequential(nn.Linear(4, 32), nn.Tanh(), nn.Linear(32, 32)).double()
        self.outer = nn.Linear(32, 1).double()
        for parameter in self.parameters():
            rows = parameter.shape[-1] ** 0.5
            parameter.data = torch.randn(parameter.shape, generator=generator, dtype=torch.float64) / rows

    def forward(self, local: Tensor, z: Tensor, owner: Tensor, graphs: int) -> Tensor:
        """Of atoms in frames (nodes, frames, 3): (graphs, frames)."""
        kind = (z.to(local) / 6)[:, None, None].expand(*local.shape[:2], 1)
        y = self.inner(torch.cat([local, kind], dim=-1))
        return self.outer(y.new_zeros(graphs, *y.shape[1:]).index_add(0, owner, y).sin()).squeeze(-1)


def with_forces(network: Generic, graph: Graph, way: str, **options: Any) -> tuple[Tensor, Tensor]:
    """Energies and forces of the average."""
    name, chosen = WAYS[way]
    pos = graph.pos.detach().requires_grad_()
    frames = FRAMES[name].build(graph.replaced(pos=pos), group=GROUP, **chosen, **options)
    owner = graph.membership()
    energy = frames.average(network(frames.into(pos, owner), graph.z, owner, graph.graphs))
    return energy.detach(), torch.autograd.grad(energy.sum(), pos)[0]


def methane() -> tuple[Tensor, Tensor]:
    corners = torch.tensor([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]], dtype=torch.float64)
    return torch.cat([corners.new_zeros(1, 3), 1.09 / math.sqrt(3) * corners]), torch.tensor([6, 1, 1, 1, 1])


def displaced(lengths: Tensor, directions: Tensor) -> Graph:
    """Methane moved by each length (A, of all atoms together) in each direction (n, 5, 3): a batch, lengths first."""
    x, z = methane()
    return collate([Graph(x + t * step, z=z) for t in lengths.tolist() for step in directions])


def directions() -> Tensor:
    step = torch.randn(DIRECTIONS, 5, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return step / step.norm(dim=(1, 2), keepdim=True)


def changes(network: Generic, way: str) -> tuple[list[float], list[float]]:
    """Largest change of the energy, relative, and of a force over all directions, for each of ``STEPS`` from exact
    methane.
    """
    there = displaced(torch.tensor(STEPS), directions())
    energy, force = with_forces(network, there, way)
    here, pulled = with_forces(network, displaced(torch.zeros(1), directions()[:1]), way)
    energy = (energy - here).abs().view(len(STEPS), -1).amax(1) / here.abs()
    force = (force.view(len(STEPS), DIRECTIONS, 5, 3) - pulled).norm(dim=-1).amax((1, 2))
    return energy.tolist(), force.tolist()


def least_ms(function: Callable[[], object], calls: int = 200) -> float:
    """The shortest of many calls, in ms: on a machine that others use, what the work itself takes."""
    times = []
    for _ in range(calls):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return 1e3 * min(times)


def ways(network: Generic) -> list[dict[str, Any]]:
    """Numbers of frames, times, and what a displacement of 1e-8 A does at methane."""
    data = ethanol()
    batch = collate([data[k] for k in range(64)]).without_edges()
    molecules = [Graph(*methane()), *(Graph.from_ase(molecule(name)) for name in ("C6H6", "C60", "C2H2"))]
    rows = []
    for way, (name, options) in WAYS.items():
        number = FRAMES[name].build(batch, group=GROUP, **options).number()
        counts = [int(FRAMES[name].build(graph, group=GROUP, **options).number()[0]) for graph in molecules]

        def build(name: str = name, options: dict[str, Any] = options) -> Frames:
            return FRAMES[name].build(batch, group=GROUP, **options)

        def both(name: str = name, options: dict[str, Any] = options) -> Tensor:
            pos = batch.pos.detach().requires_grad_()
            frames = FRAMES[name].build(batch.replaced(pos=pos), group=GROUP, **options)
            return torch.autograd.grad((frames.rotation.sum((2, 3)) * frames.weight).sum(), pos)[0]

        energy, force = changes(network, way)
        rows.append(
            {
                "frames": way,
                "ethanol, mean (most)": f"{float(number.double().mean()):.1f} ({int(number.max())})",
                "methane": counts[0],
                "benzene": counts[1],
                "C60": counts[2],
                "acetylene": counts[3],
                "64 ethanols, ms": f"{least_ms(build):.2g}",
                "with derivative, ms": f"{least_ms(both):.2g}",
                "relative change of energy": f"{energy[STEPS.index(1e-8)]:.0e}",
                "change of forces": f"{force[STEPS.index(1e-8)]:.0e}",
            }
        )
    return rows


def widths(network: Generic) -> list[dict[str, Any]]:
    """What the width of the weights costs, and how fast forces change, on 64 ethanols."""
    data = ethanol()
    batch = collate([data[k] for k in range(64)]).without_edges()
    step = torch.randn(batch.pos.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    rows = []
    for way, options in [*[("weighted", {"width": width}) for width in WIDTHS], ("pca", {})]:
        energy, force = with_forces(network, batch, way, **options)
        _, moved = with_forces(network, batch.replaced(pos=batch.pos + 1e-4 * step), way, **options)
        number = FRAMES[way].build(batch, group=GROUP, **options).number()
        rate = float((moved - force).square().mean().sqrt()) / 1e-4
        rows.append(
            {
                "frames": f"weighted, width {options['width']:g}" if options else way,
                "mean number": f"{float(number.double().mean()):.1f}",
                "rms force over spread of energies, 1/A": f"{float(force.square().mean().sqrt() / energy.std()):.2g}",
                "rms change of forces for 1 A over that spread, 1/A^2": f"{rate / float(energy.std()):.2g}",
            }
        )
    return rows


def picture(network: Generic) -> Any:
    """The energy along a path through methane, and changes against displacements."""
    figure, (path, energies, forces) = plt.subplots(1, 3, figsize=(11.5, 3.5), layout="constrained")
    t = torch.linspace(-0.1, 0.1, 402, dtype=torch.float64)
    for way in ("pca", "weighted"):
        energy, _ = with_forces(network, displaced(t, directions()[:1]), way)
        middle = energy[len(t) // 2 - 1 : len(t) // 2 + 1].mean()
        for part in (slice(0, len(t) // 2), slice(len(t) // 2, None)):
            label = way if part.start else None
            path.plot(t[part], 1e3 * (energy[part] - middle) / middle.abs(), color=COLOURS[way], lw=1.6, label=label)
    path.set_xticks([-0.1, -0.05, 0, 0.05, 0.1])
    path.set_xlabel("displacement from methane (A)", fontsize=9)
    path.set_ylabel("relative change of the energy (1e-3)", fontsize=9)
    for way in WAYS:
        energy, force = changes(network, way)
        for axes, values in ((energies, energy), (forces, force)):
            axes.loglog(STEPS, values, color=COLOURS[way], marker="o", ms=3, lw=1.4, label=way)
    energies.set_ylabel("largest change of the energy, relative", fontsize=9)
    forces.set_ylabel("largest change of a force", fontsize=9)
    for axes in (energies, forces):
        axes.set_xlabel("displacement from methane (A)", fontsize=9)
    for axes in (path, energies, forces):
        axes.tick_params(labelsize=8)
        axes.grid(True, color="#dddddd", linewidth=0.6)
        axes.spines[["top", "right"]].set_visible(False)
    path.legend(fontsize=8, frameon=False)
    forces.legend(fontsize=8, frameon=False)
    return figure


if __name__ == "__main__":
    generic = Generic()
    tables = [markdown(ways(generic)), markdown(widths(generic))]
    print(*tables, sep="\n\n")
    insert(DOCS / "frames.md", "frames.py", "\n\n".join(tables))
    picture(generic).savefig(DOCS / "images" / "frames.png", dpi=150)
