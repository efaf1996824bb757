"""The graphs that a function is tried on, made from those the user gives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from intertwine.geometry import FIELDS, Graph, act, permute
from intertwine.groups import Isometry

GRID_ANGSTROM = 2.0**-12  # A: positions and translations on it add without rounding in float32, up to 4,096 A
#: A: standard deviation that takes a molecule out of its mirror planes and off its inflection points.
JITTER_ANGSTROM = 0.1


class Structure(NamedTuple):
    """A graph without edges (unless its nodes are nowhere), centred and on the grid, and how to call it in a report."""

    name: str
    graph: Graph


def prepare(graphs: Sequence[Graph], generator: torch.Generator, displaced: bool = True) -> list[Structure]:
    """The graphs in float64, centred, without edges, on the grid, and displaced copies of up to two of the larger ones.

    Nodes in a space of dimension 0 (``Graph.abstract``) keep their edges, which nothing else tells, and are not
    displaced; nor are images (``displaced=False``).

    On the grid a translation of float32 positions is exact, so an error under translation is the function's, not the
    input's. Displaced copies are chiral and have no vector that vanishes by symmetry, which molecules at rest often
    have.
    """
    result = [Structure(f"graph {k} ({composition(graph)})", _settle(graph)) for k, graph in enumerate(graphs)]
    if not displaced:
        return result
    larger = sorted(
        (s for s in result if 4 <= s.graph.num_nodes <= 64 and s.graph.dimension), key=lambda s: -s.graph.num_nodes
    )[:2]
    return result + [
        Structure(
            f"{s.name[:-1]}, displaced)", place(s.graph, s.graph.pos + JITTER_ANGSTROM * _normal(s.graph, generator))
        )
        for s in larger
    ]


def _settle(graph: Graph) -> Graph:
    graph = (graph.without_edges() if graph.dimension else graph).double()
    for name, value in graph.to_dict().items():
        if isinstance(value, Tensor):
            graph[name] = value.detach()
    if graph.num_nodes:
        centroid = graph.pos.mean(0)
        graph = act(Isometry(torch.eye(graph.dimension, dtype=torch.float64), -centroid), graph)
    if graph.get("cell") is not None:
        graph.cell = snap(graph.cell)
    return place(graph, graph.pos)


def place(graph: Graph, pos: Float[Tensor, "nodes n"]) -> Graph:
    """The graph with other positions (A), put on the grid; so are all points of space."""
    result = graph.clone()
    result.pos = pos
    for name, value in result.to_dict().items():
        if name in FIELDS and FIELDS[name].affine:
            result[name] = snap(value.to(torch.float64)).to(graph.pos.dtype)
    return result


def snap(x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """The nearest multiples of :data:`GRID_ANGSTROM`."""
    return torch.round(x / GRID_ANGSTROM) * GRID_ANGSTROM


def subset(graph: Graph, nodes: Int[Tensor, " k"], pos: Float[Tensor, "k n"] | None = None) -> Graph:
    """Some nodes of a graph with all their fields and what is between them, in an open space, at other positions (A) if
    given.
    """
    result = permute(nodes, graph)
    for name in ("cell", "pbc"):
        if name in result:
            del result[name]
    if pos is not None:
        result.pos = pos.to(graph.pos)
    return result


def composition(graph: Graph) -> str:
    """Chemical formula, or the number of nodes where they are not atoms."""
    z = graph.get("z")
    if z is None or not len(z) or len(z) > 200:
        return f"{graph.num_nodes} nodes"
    from ase.data import chemical_symbols

    counts = dict.fromkeys(("C", "H"), 0)
    for number in z.tolist():
        symbol = chemical_symbols[number] if 0 <= number < len(chemical_symbols) else str(number)
        counts[symbol] = counts.get(symbol, 0) + 1
    return "".join(f"{symbol}{count if count > 1 else ''}" for symbol, count in counts.items() if count)


def random_direction(n: int, generator: torch.Generator) -> Float[Tensor, " n"]:
    """A random unit vector."""
    x = torch.randn(n, generator=generator, dtype=torch.float64)
    return x / x.norm()


def _normal(graph: Graph, generator: torch.Generator) -> Tensor:
    return torch.randn(graph.pos.shape, generator=generator, dtype=torch.float64)
