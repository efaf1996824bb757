r"""Paths of two edges, k -> j -> i: the pairs of edges that an angle lies between. They are the edges of the graph's
line graph.
"""

from __future__ import annotations

import torch
from jaxtyping import Int
from torch import Tensor

from intertwine.geometry.graph import Graph
from intertwine.numerics import GeometryError, safe

MOST_PATHS = 50_000_000  # that are listed: a few GB before any model computes with them


def triplets(graph: Graph) -> Int[Tensor, "2 triplets"]:
    r"""All pairs of edges k -> j, j -> i but for the way back, where k is i itself and not an image of it.

    The edges are arrows between images: k -> j with translation S and j -> i with S' lead from the image S + S' of k to
    i. So k = i is the way back only where S + S' = 0; a crystal's atom and its own image are a triplet like any other.

    Args:
        graph: one graph or a batch, with ``edge_index``, and ``shifts`` where it is periodic.

    Returns:
        (2, triplets): rows of ``edge_index`` (that is, columns), row 0 the edge k -> j, row 1 the edge j -> i. Sorted
        by the second, then in the order of the edges.

    Raises:
        GeometryError: the graph has no ``edge_index``.

    >>> triplets(Graph([[0.0], [1.0], [2.0]], edge_index=[[0, 1, 1, 2], [1, 0, 2, 1]])).tolist()
    [[3, 0], [1, 2]]
    """
    edge_index = graph.get("edge_index")
    if edge_index is None:
        raise GeometryError(
            "the graph has no edges", where="edge_index", remedy="call intertwine.connect(graph, cutoff) first."
        )
    source, target = edge_index
    kj, ji = arriving(target, source, graph.num_nodes)
    back = source.index_select(0, kj) == target.index_select(0, ji)
    shifts = graph.get("shifts")
    if shifts is not None:
        back = back & (shifts.index_select(0, kj) == -shifts.index_select(0, ji)).all(-1)
    return torch.stack([kj, ji])[:, ~back]


def arriving(target: Int[Tensor, " edges"], nodes: Int[Tensor, " places"], count: int) -> Int[Tensor, "2 pairs"]:
    r"""All pairs (e, p) of an edge e and a place p with :math:`\mathrm{target}_e = \mathrm{nodes}_p`: the edges that
    arrive at each place.

    Args:
        target: the node that each edge arrives at, in any order.
        nodes: the node of each place; a node may have any number of places.
        count: number of nodes.

    Returns:
        (2, pairs): edges in row 0, places in row 1; sorted by place, then by edge.

    Raises:
        GeometryError: there are more than 50 million.
    """
    if torch.compiler.is_dynamo_compiling():  # what a compiler says that may not break its graph here
        torch._dynamo.graph_break(
            msg="a compiled program can't list paths; give it model.connected(graph), where they are listed"
        )
    degree = torch.bincount(target, minlength=count)
    if safe.inspectable(degree) and int(paths := degree.index_select(0, nodes).sum()) > MOST_PATHS:
        what = f"{int(paths):,} paths of edges that meet, of {len(target):,} edges"
        raise GeometryError(
            what, where="edge_index", remedy=f"give a smaller cutoff; {MOST_PATHS:,} at most are listed."
        )
    first = degree.cumsum(0) - degree  # where a node's edges begin once the edges are sorted by target
    repeats = degree.index_select(0, nodes)
    place = torch.arange(len(nodes), device=nodes.device).repeat_interleave(repeats)
    offset = first.index_select(0, nodes) - (repeats.cumsum(0) - repeats)
    position = torch.arange(len(place), device=nodes.device) + offset.index_select(0, place)
    return torch.stack([target.argsort(stable=True).index_select(0, position), place])
