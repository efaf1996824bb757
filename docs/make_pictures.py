"""The pictures of the pages: python docs/make_pictures.py writes docs/images/*.png, all but demo.png and
iterations.png, which are of runs.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from intertwine import o3, plots
from intertwine.data.water import water
from intertwine.orbitals import Basis, BlockLayout, even_tempered, orbital_matrix
from intertwine.orbitals.density import fitted
from intertwine.orbitals.grid import values_on_grid
from intertwine.orbitals.values import expanded_density, matrix_density
from intertwine.tasks.density_pictures import surface_grid

IMAGES = Path(__file__).resolve().parent / "images"
COPIES = ("#0072B2", "#E69F00", "#009E73")
CONTESTANTS = {"ours": "#0072B2", "e3nn": "#E69F00", "cuequivariance": "#009E73"}


def rotation() -> torch.Tensor:
    """One rotation for all pictures, in float64."""
    return o3.axis_angle_to_matrix(
        torch.tensor([0.48, 0.6, 0.64], dtype=torch.float64), torch.tensor(1.1, dtype=torch.float64)
    )


def harmonics() -> Any:
    return plots.spherical_harmonics(3)


def polar_axes() -> Any:
    """Degree 2, order 0: along y here, along z in a textbook, whose (x, y, z) are our (z, x, y)."""
    picture = plots.figure(6.2, 3.0)
    here, there = picture.subplots(1, 2)
    harmonic = torch.zeros(5, dtype=torch.float64)
    harmonic[2] = 1.0
    # takes y to x, z to y, x to z
    cycle = torch.tensor([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]], dtype=torch.float64)
    plots.spherical_tensor(harmonic, "2e", axes=here, title="here: $Y_{2,0}$ about y")
    plots.spherical_tensor(
        o3.Irreps("2e").matrix(cycle.T) @ harmonic, "2e", axes=there, title="textbooks: $Y_{2,0}$ about z"
    )
    return picture


def representations() -> Any:
    """The outer product of two vectors rotates by the first matrix; in the spherical basis by the second."""
    picture = plots.figure(7.6, 3.6)
    before, after = picture.subplots(1, 2)
    matrix = rotation()
    plots.representation(torch.kron(matrix, matrix), axes=before, bar=False, title=r"$R \otimes R$")
    plots.representation("0e + 1e + 2e", matrix, axes=after, title=r"$D^0 \oplus D^1 \oplus D^2$")
    return picture


def wigner() -> Any:
    return plots.wigner(range(1, 5), rotation())


def coupling() -> Any:
    """The nine matrices whose entries are sqrt(2l + 1) wigner_3j(1, 1, l): the outer product's new basis."""
    picture = plots.figure(8.6, 1.5)
    panels = iter(picture.subplots(1, 9))
    for l in range(3):
        table = (2 * l + 1) ** 0.5 * o3.wigner_3j(1, 1, l, dtype=torch.float64)
        for m in range(2 * l + 1):
            axes = next(panels)
            plots.representation(table[:, :, m], axes=axes, bar=False)
            axes.set_title(f"$l={l}$\n$m={m - l}$", fontsize=8)
            axes.set_xticks(range(3), ["x", "y", "z"], fontsize=7)
            axes.set_yticks(range(3), ["x", "y", "z"] if l == m == 0 else [""] * 3, fontsize=7)
            axes.xaxis.tick_bottom()
    return picture


def layouts() -> Any:
    """3x1o on the last axis: copies one after the other, or components one after the other."""
    picture = plots.figure(6.4, 1.7)
    axes = picture.add_subplot()
    orders = {
        "mul_ir": [(copy, place) for copy in range(3) for place in range(3)],
        "ir_mul": [(c, p) for p in range(3) for c in range(3)],
    }
    for row, (name, order) in enumerate(orders.items()):
        axes.text(-0.3, -1.3 * row + 0.45, name, ha="right", va="center", family="monospace", fontsize=10)
        for column, (copy, place) in enumerate(order):
            axes.fill(
                [column, column + 0.96, column + 0.96, column],
                [-1.3 * row] * 2 + [-1.3 * row + 0.9] * 2,
                color=COPIES[copy],
            )
            text = f"${'xyz'[place]}_{copy + 1}$"
            axes.text(column + 0.48, -1.3 * row + 0.45, text, ha="center", va="center", fontsize=12, color="white")
    axes.set_xlim(-1.6, 9.0)
    axes.set_ylim(-1.4, 1.0)
    axes.set_aspect("equal")
    axes.set_axis_off()
    return picture


def paths() -> Any:
    return plots.paths(o3.FullyConnectedTensorProduct("16x0e + 16x1o + 8x2e", "0e + 1o + 2e", "16x0e + 16x1o + 8x2e"))


def kernels() -> Any:
    """Time against edges, ours beside its peers, of benchmarks/results/kernels.json."""
    document = json.loads((IMAGES.parents[1] / "benchmarks" / "results" / "kernels.json").read_text())
    rows = [row for row in document["rows"] if row["part"] == "edges" and row["ms"]]
    picture = plots.figure(8.0, 3.6)
    panels = picture.subplots(1, 2, sharex=True, sharey=True)
    for axes, kind in zip(panels, ("forward", "forward + backward")):
        for (name, colour), marker in zip(CONTESTANTS.items(), "osD"):
            batches = [row for row in rows if row["graphs"] == max(row["case"] // 10_000, 1)]
            times = {row["case"]: row["ms"][name] for row in batches if row["pass"] == kind and name in row["ms"]}
            if times:
                axes.loglog(
                    list(times),
                    list(times.values()),
                    color=colour,
                    marker=marker,
                    markersize=5,
                    linewidth=1.6,
                    label=name,
                )
        axes.set_title(kind, fontsize=10, loc="left")
        axes.set_xlabel("edges", fontsize=9)
        axes.tick_params(labelsize=8)
        axes.grid(True, color="#dddddd", linewidth=0.6)
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("time (ms)", fontsize=9)
    panels[0].legend(fontsize=8, frameon=False)
    return picture


def density_surface() -> Any:
    """A density of the package beside the best sum of few functions on the atoms."""
    store = water(target="density")
    basis, graph = Basis.from_json(store.about["basis"]), store[0]
    auxiliary = even_tempered(basis, [1, 8], ratio=3.0)
    matrix = orbital_matrix(BlockLayout(basis), graph.z, graph.density).unsqueeze(0)
    pos, grid = graph.pos.unsqueeze(0), surface_grid(graph.pos)
    best = fitted(basis, auxiliary, graph.z, pos, matrix)
    made = values_on_grid(lambda points: expanded_density(auxiliary, graph.z, pos, best, points), grid)
    true = values_on_grid(lambda points: matrix_density(basis, graph.z, pos, matrix, points), grid)
    return plots.density_surfaces(made, true, grid, graph.z, graph.pos)


MAKERS = (harmonics, polar_axes, representations, wigner, coupling, layouts, paths, kernels, density_surface)
PICTURES = {make.__name__: make for make in MAKERS}

if __name__ == "__main__":
    for name, make in PICTURES.items():
        print(plots.save(make(), IMAGES / f"{name}.png"))
