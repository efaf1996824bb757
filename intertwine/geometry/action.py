"""What a group does to a graph: maps of space move every field by its representation, permutations list the nodes in
another order.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from intertwine.geometry.fields import FIELDS
from intertwine.geometry.graph import Graph
from intertwine.geometry.levels import LEVELS, renumbered
from intertwine.groups import AffineMap, Group, Isometry, Representation
from intertwine.numerics import InputError


def act(g: AffineMap | Tensor, graph: Graph, group: Group | None = None) -> Graph:
    """The graph moved by an isometry, or by any element of a group that moves its space: points are mapped, vectors and
    tensors multiplied with the linear part, invariants kept.

    Computed in float64 and returned in each field's own precision. Edges are kept (they are the same pairs).

    Args:
        g: an isometry or another map of space; or one element of ``group``, as the group has it.
        graph: the graph.
        group: the group of an element that is a tensor.

    Raises:
        InputError: the map and the graph live in spaces of different dimension, a tensor without its group, or a field
            that only rotations and reflections transform (``Irreps``) under other matrices.
    """
    if isinstance(g, Tensor):
        if group is None:
            raise InputError("an element without its group", where="act", remedy="give group=, or an Isometry.")
        g = AffineMap.of(g, group)
    if g.linear.shape[0] != graph.dimension:
        kind = "an isometry" if isinstance(g, Isometry) else "a map"
        raise InputError(
            f"{kind} of dimension {g.linear.shape[0]} on a graph of dimension {graph.dimension}", where="act"
        )
    result = graph.clone()
    for name, value in graph.to_dict().items():
        if isinstance(value, Tensor) and value.is_floating_point():
            result[name] = moved(g, value, graph.representation(name), name in FIELDS and FIELDS[name].affine).to(
                value.dtype
            )
    return result


def moved(
    g: AffineMap, value: Float[Tensor, "..."], representation: Representation, affine: bool = False
) -> Float[Tensor, "..."]:
    r""":math:`\rho(g)` on rows of a field or an output at any level, in float64; a point of space (``affine``) is
    shifted too.
    """
    result = representation.transform(g.linear.to(value.device), value.to(torch.float64))
    return result + g.translation.to(result) if affine else result


def permute(order: Int[Tensor, " k"], graph: Graph) -> Graph:
    """The graph with its nodes listed in another order: new node ``k`` is old node ``order[k]``; edges and pairs follow
    their nodes.

    ``order`` may leave nodes out, and then what is between them is left out too.
    """
    result = graph.clone()
    for level in LEVELS:
        fields = fields_at(graph, level)
        rows = LEVELS[level].taken(order, graph) if fields else None  # all pairs of a grid are millions
        for name, value in fields.items() if rows is not None else ():
            result[name] = value[rows]
    new = renumbered(order, graph)
    if (edges := graph.get("edge_index")) is not None:
        result.edge_index = new[edges[:, LEVELS["edge"].taken(order, graph)]]
    if graph.get("pairs") is not None:
        result.pairs = new[result.pairs]
    return result


def node_fields(graph: Graph) -> dict[str, Tensor]:
    """The fields that have one row per node. For unknown ones by PyG's habit: "index" and "edge" in a name speak of
    edges.
    """
    return fields_at(graph, "node")


def fields_at(graph: Graph, level: str) -> dict[str, Tensor]:
    """The fields whose rows belong to a level; ``edge_index``, which has columns, is none of them."""

    def here(name: str, value: Tensor) -> bool:
        if (said := graph.level(name)) is not None or level != "node":
            return said == level and name != "edge_index"
        return name != "ptr" and "edge" not in name and "index" not in name and value.shape[:1] == (graph.num_nodes,)

    return {name: value for name, value in graph.to_dict().items() if isinstance(value, Tensor) and here(name, value)}
