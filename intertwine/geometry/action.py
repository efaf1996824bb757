"""What a group does to a graph: isometries move every field by its representation, permutations list the nodes in another order."""

from __future__ import annotations

import torch
from torch import Tensor

from intertwine.geometry.graph import FIELDS, Graph
from intertwine.groups import Isometry
from intertwine.numerics import InputError


def act(g: Isometry, graph: Graph) -> Graph:
    """The graph moved by an isometry: points are rotated and shifted, vectors and tensors rotated, invariants left alone.

    Computed in float64 and returned in each field's own precision. Edges are kept (they are the same pairs).

    Raises:
        InputError: the isometry and the graph live in spaces of different dimension.
    """
    if g.rotation.shape[0] != graph.dimension:
        raise InputError(f"an isometry of dimension {g.rotation.shape[0]} on a graph of dimension {graph.dimension}", where="act")
    moved = graph.clone()
    for name, value in graph.to_dict().items():
        if not isinstance(value, Tensor) or not value.is_floating_point():
            continue
        new = graph.representation(name).transform(g.rotation.to(value.device), value.to(torch.float64))
        if name in FIELDS and FIELDS[name].affine:
            new = new + g.translation.to(new)
        moved[name] = new.to(value.dtype)
    return moved


def permute(order: Tensor, graph: Graph) -> Graph:
    """The graph with its nodes listed in another order: new node ``k`` is old node ``order[k]``; edges follow their nodes."""
    moved = graph.clone()
    for name, value in node_fields(graph).items():
        moved[name] = value[order]
    for name in graph.to_dict():
        if graph.level(name) == "pair":
            moved[name] = graph[name].unflatten(0, (len(order), len(order)))[order][:, order].flatten(0, 1)
    if graph.get("edge_index") is not None:
        moved.edge_index = torch.argsort(order)[graph.edge_index]
    return moved


def node_fields(graph: Graph) -> dict[str, Tensor]:
    """The fields that have one row per node. For unknown ones by PyG's habit: "index" and "edge" in a name speak of edges."""

    def of_nodes(name: str, value: Tensor) -> bool:
        if (level := graph.level(name)) is not None:
            return level == "node"
        return name != "ptr" and "edge" not in name and "index" not in name and value.shape[:1] == (graph.num_nodes,)

    return {name: value for name, value in graph.to_dict().items() if isinstance(value, Tensor) and of_nodes(name, value)}
