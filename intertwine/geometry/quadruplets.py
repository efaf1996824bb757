r"""Paths of three edges, d -> b -> a <- c: the atoms that a torsion is of, where b - a may be longer than a bond."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Int
from torch import Tensor

from intertwine.geometry.attributes import distances, edge_vectors
from intertwine.geometry.graph import Graph
from intertwine.geometry.triplets import arriving
from intertwine.numerics import GeometryError


class Quadruplets(NamedTuple):
    """Quadruplets c - a - b - d in two steps, so that what depends on d, b, a alone is computed once.

    Attributes:
        pairs: (2, pairs): row 0 the edges d -> b, row 1 the interaction edges b -> a, sorted by the second.
        paths: (2, quadruplets): row 0 columns of ``pairs``, row 1 the edges c -> a, sorted by the second.
    """

    pairs: Tensor
    paths: Tensor


def quadruplets(graph: Graph, interaction: Graph | None = None) -> Quadruplets:
    r"""All d -> b -> a <- c of four different atoms (images of one atom in a crystal are different atoms).

    Args:
        graph: one graph or a batch, with the edges c -> a and d -> b in ``edge_index``, and ``shifts`` where it is
            periodic.
        interaction: the same nodes with the edges b -> a, which may reach further; None for the edges of ``graph``.

    Raises:
        GeometryError: there is no ``edge_index``.

    >>> chain = Graph([[0.0], [1.0], [2.0], [3.0]], edge_index=[[0, 1, 1, 2, 2, 3], [1, 0, 2, 1, 3, 2]])
    >>> pairs, paths = quadruplets(chain)  # d = 3, b = 2, a = 1, c = 0, and the same backwards
    >>> [chain.edge_index[:, e].tolist() for e in (*pairs[:, paths[0, 0]], paths[1, 0])]
    [[3, 2], [2, 1], [0, 1]]
    """
    interaction = graph if interaction is None else interaction
    (j, i), (b, a) = _edges(graph), _edges(interaction)
    db, ba = arriving(i, b, graph.num_nodes)
    way = _sum(_shifts(graph, db), _shifts(interaction, ba))  # from the image d to a
    kept = ~_same(j.index_select(0, db), a.index_select(0, ba), way, None)
    db, ba = db[kept], ba[kept]
    way = None if way is None else way[kept]
    middle, ca = arriving(a, i, graph.num_nodes)
    apart = ~_same(b.index_select(0, middle), j.index_select(0, ca), _shifts(interaction, middle), _shifts(graph, ca))
    middle, ca = middle[apart], ca[apart]
    pair, place = arriving(ba, middle, interaction.num_edges)
    ca = ca.index_select(0, place)
    way = None if way is None else way.index_select(0, pair)
    apart = ~_same(j.index_select(0, db.index_select(0, pair)), j.index_select(0, ca), way, _shifts(graph, ca))
    return Quadruplets(torch.stack([db, ba]), torch.stack([pair, ca])[:, apart])


def meetings(graph: Graph) -> Int[Tensor, "2 triplets"]:
    """All pairs of different edges b -> a, c -> a that meet at an atom: row 0 the edges b -> a, row 1 the edges c -> a,
    sorted by the second.

    Raises:
        GeometryError: the graph has no ``edge_index``.

    >>> meetings(Graph([[0.0], [1.0], [2.0]], edge_index=[[0, 1, 1, 2], [1, 0, 2, 1]])).tolist()
    [[3, 0], [0, 3]]
    """
    _, target = _edges(graph)
    pairs = arriving(target, target, graph.num_nodes)
    return pairs[:, pairs[0] != pairs[1]]


def reverse(graph: Graph) -> Int[Tensor, " edges"]:
    """The edge a -> c for each edge c -> a; the number of edges where there is none.

    Raises:
        GeometryError: the graph has no ``edge_index``.

    >>> reverse(Graph([[0.0], [1.0], [2.0]], edge_index=[[0, 1, 1], [1, 0, 2]])).tolist()
    [1, 0, 3]
    """
    source, target = _edges(graph)
    forth, back = source * graph.num_nodes + target, target * graph.num_nodes + source
    shifts = graph.get("shifts")
    if shifts is not None and shifts.numel():
        reach = shifts.abs().max()
        for k in range(shifts.shape[1]):
            forth, back = (
                code * (2 * reach + 1) + reach + sign * shifts[:, k] for code, sign in ((forth, 1), (back, -1))
            )
    known, order = forth.sort(stable=True)
    place = torch.searchsorted(known, back).clamp(max=len(known) - 1)
    return torch.where(known.index_select(0, place) == back, order.index_select(0, place), len(known))


def within(graph: Graph, reach: float) -> Graph:
    """The graph with the edges shorter than ``reach`` (A) only; all else is shared."""
    return selected(graph, shorter(graph, reach))


def shorter(graph: Graph, reach: float) -> Int[Tensor, " kept"]:
    """The edges shorter than ``reach`` (A), as columns of ``edge_index``."""
    return (distances(edge_vectors(graph).detach()) < reach).nonzero().squeeze(1)


def selected(graph: Graph, edges: Int[Tensor, " kept"]) -> Graph:
    """The graph with some of its edges only; all else is shared."""
    rows = {name: graph[name].index_select(0, edges) for name in ("shifts", "edge_attr") if graph.get(name) is not None}
    return graph.replaced(edge_index=graph.edge_index.index_select(1, edges), **rows)


def _edges(graph: Graph) -> Tensor:
    edge_index = graph.get("edge_index")
    if edge_index is None:
        raise GeometryError(
            "the graph has no edges", where="edge_index", remedy="call intertwine.connect(graph, cutoff) first."
        )
    return edge_index


def _shifts(graph: Graph, edges: Tensor) -> Tensor | None:
    shifts = graph.get("shifts")
    return None if shifts is None else shifts.index_select(0, edges)


def _sum(x: Tensor | None, y: Tensor | None) -> Tensor | None:
    return x if y is None else y if x is None else x + y


def _same(p: Tensor, q: Tensor, p_image: Tensor | None, q_image: Tensor | None) -> Tensor:
    """Whether nodes p and q are the same image; an image None is the home cell."""
    same, apart = p == q, _sum(p_image, None if q_image is None else -q_image)
    return same if apart is None else same & (apart == 0).all(-1)
