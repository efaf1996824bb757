"""How well networks on a grid of orientations keep all rotations, by the number of orientations.

    python benchmarks/papers/orientations.py           # table and picture of docs/models.md; a minute
    python benchmarks/papers/orientations.py --print   # only prints

One cloud of 12 nodes, 10 random rotations, float64, weights as they start and the same on every grid of a line (kernels
are functions on SO(3) or of invariants). The error is the root mean square of f(g x) - g f(x) over that of f, for
scalars and vectors apart, and the larger of the two. The order p of a line is that of error = C / n^p through its
points.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import matplotlib.pyplot as plt
import torch
from measure import DOCS, insert

from intertwine.geometry import Graph, act, connect
from intertwine.groups import Isometry
from intertwine.models import PONITA, RegularGroupCNN
from intertwine.nn import Backbone

SCRIPT = "papers/orientations.py"
NODES, ROTATIONS, CUTOFF_ANGSTROM = 12, 10, 4.0
COMMON = {"width": 8, "layers": 2, "vectors": 4, "cutoff": CUTOFF_ANGSTROM, "species": (1, 6, 8)}


def regular(count: int, **options: Any) -> Backbone:
    return RegularGroupCNN(**COMMON, group="SO(3)", orientations=count, **options)


def ponita(count: int, **options: Any) -> Backbone:
    return PONITA(**COMMON, orientations=count, **options)


def plane(count: int) -> Backbone:
    return RegularGroupCNN(**COMMON, group="SO(2)", orientations=count, dimension=2)


#: A line of the picture: what makes the network of a number of orientations, and the numbers.
LINES: dict[str, tuple[Callable[[int], Backbone], Sequence[int]]] = {
    "RegularGroupCNN, super-Fibonacci": (regular, (16, 32, 64, 128, 256, 512)),
    "RegularGroupCNN, quadrature": (lambda n: regular(n, sampling="quadrature"), (4, 18, 32, 75, 108, 196, 256)),
    "RegularGroupCNN, polyhedral": (lambda n: regular(n, sampling="polyhedral"), (12, 24, 60)),
    "PONITA, Fibonacci": (lambda n: ponita(n, grid="fibonacci"), (12, 32, 62, 128, 256, 512)),
    "PONITA, icosahedral": (ponita, (12, 20, 32, 62)),
    "RegularGroupCNN, circle": (plane, (3, 4, 6, 8, 12, 16)),
}


def error(make: Callable[[int], Backbone], count: int, first: int) -> float:
    """The error of a network with ``count`` orientations, at the weights of that with ``first``."""
    torch.manual_seed(0)
    reference, model = make(first).double(), make(count).double()
    model.load_state_dict(reference.state_dict())
    generator, n = torch.Generator().manual_seed(1), int(model.dimension)
    graph = Graph(1.5 * torch.randn(NODES, n, generator=generator, dtype=torch.float64), z=[1, 6, 8] * 4)
    graph = connect(graph, CUTOFF_ANGSTROM)
    scalars, squares = int(COMMON["width"]), torch.zeros(2, dtype=torch.float64)
    with torch.no_grad():
        f = model(graph)
        for _ in range(ROTATIONS):
            g = Isometry.random(n, generator=generator)
            difference = model(act(g, graph)) - model.irreps_out.transform(g.rotation, f)
            squares += torch.stack(
                [part.square().mean() for part in (difference[:, :scalars], difference[:, scalars:])]
            )
    sizes = torch.stack([part.square().mean() for part in (f[:, :scalars], f[:, scalars:])])
    return float((squares / ROTATIONS / sizes).sqrt().max())


def order(counts: Sequence[int], errors: Sequence[float]) -> float:
    """The slope of the line through log n, -log error, by least squares."""
    x, y = ([math.log(value) for value in values] for values in (counts, errors))
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    return -sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y)) / sum((a - mean_x) ** 2 for a in x)


def measured() -> dict[str, dict[int, float]]:
    return {name: {count: error(make, count, counts[0]) for count in counts} for name, (make, counts) in LINES.items()}


def page(results: dict[str, dict[int, float]]) -> str:
    rows = ["| network and grid | error by number of orientations | order |", "| --- | --- | --: |"]
    for name, errors in results.items():
        words = ", ".join(f"{count}: {value:.1g}" for count, value in errors.items())
        rows.append(f"| {name} | {words} | {order(list(errors), list(errors.values())):.1f} |")
    return "\n".join(rows)


def picture(results: dict[str, dict[int, float]]) -> Any:
    figure, axes = plt.subplots(figsize=(7.0, 4.2), layout="constrained")
    for name, errors in results.items():
        axes.loglog(list(errors), list(errors.values()), "o-", markersize=4, linewidth=1.2, label=name)
    axes.set_xlabel("number of orientations or directions", fontsize=9)
    axes.set_ylabel("relative error under a random rotation", fontsize=9)
    axes.grid(True, color="#dddddd", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=8, frameon=False)
    return figure


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--print", action="store_true", help="write no page and no picture")
    arguments = parser.parse_args()
    results = measured()
    print(page(results))
    if not arguments.print:
        insert(DOCS / "models.md", SCRIPT, page(results))
        picture(results).savefig(DOCS / "images" / "orientations.png", dpi=150)
