"""From a list of graphs to flat tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from intertwine.geometry import Graph
from intertwine.numerics import DataError

DERIVED = ("edge_index", "shifts", "edge_attr", "batch", "ptr")  # not stored


def flatten(
    graphs: Sequence[Graph], known: Mapping[str, str] | None = None
) -> tuple[dict[str, Tensor], Tensor, dict[str, str], dict[str, Tensor], dict[str, str]]:
    """The fields of graphs, concatenated; floating-point ones in float64.

    Args:
        graphs: at least one.
        known: the level of fields that the library does not know, where it is known; otherwise the numbers of rows
            decide.

    Returns:
        the fields; ``node_ptr`` (graphs + 1,); the level of each field; where the rows of each graph begin (graphs +
        1,) in fields of other levels than "node" and "graph"; declared representations.

    Raises:
        DataError: there are no graphs, or a field is missing in some of them or differs in shape; the graph is named.
    """
    if not len(graphs):
        raise DataError("there are no graphs", where="graphs", remedy="give at least one.")
    columns: dict[str, list[Tensor | None]] = {}
    for k, graph in enumerate(graphs):
        for name, value in graph.to_dict().items():
            if isinstance(value, Tensor) and name not in DERIVED:
                columns.setdefault(name, [None] * len(graphs))[k] = value.detach().cpu()
    if "cell" in columns:  # an open structure among periodic ones
        columns["cell"] = [
            graph.pos.new_zeros(1, 3, 3) if value is None else value for graph, value in zip(graphs, columns["cell"])
        ]
        columns["pbc"] = [torch.zeros(1, 3, dtype=torch.bool) if value is None else value for value in columns["pbc"]]
    nodes = [int(graph.num_nodes) for graph in graphs]
    fields, levels, pointers = {}, {}, {}
    for name, column in columns.items():
        values = [value for value in column if value is not None]
        if len(values) < len(graphs):
            absent = next(k for k, value in enumerate(column) if value is None)
            raise DataError(
                f"graph {absent} has no {name!r} and others have",
                where="graphs",
                remedy="give every graph the same fields.",
            )
        levels[name] = (known or {}).get(name) or graphs[0].level(name) or _level(name, values, nodes)
        if levels[name] == "edge":
            remedy = 'give the pairs that it is of as `pairs`, and declare it so: levels={...: "pair"}.'
            raise DataError(
                f"{name!r} is of edges, which are not kept: models build them anew", where="graphs", remedy=remedy
            )
        if levels[name] not in ("node", "graph"):
            pointers[name] = torch.tensor([0, *(len(value) for value in values)]).cumsum(0)
        odd = next((k for k, value in enumerate(values) if value.shape[1:] != values[0].shape[1:]), None)
        if odd is not None:
            shapes = f"{tuple(values[odd].shape)}, of graph 0 {tuple(values[0].shape)}"
            raise DataError(
                f"{name!r} of graph {odd} has shape {shapes}",
                where="graphs",
                remedy="give every graph fields of the same shape.",
            )
        fields[name] = torch.cat([value.to(torch.float64) if value.is_floating_point() else value for value in values])
    node_ptr = torch.tensor([0, *nodes]).cumsum(0)
    return fields, node_ptr, levels, pointers, dict(graphs[0].get("representations") or {})


def _level(name: str, values: list[Tensor], nodes: list[int]) -> str:
    """ "node" or "graph", by the number of rows of a field that says no more."""
    if all(value.ndim and len(value) == 1 for value in values):
        return "graph"
    if all(value.ndim and len(value) == n for value, n in zip(values, nodes)):
        return "node"
    odd = next(k for k, (value, n) in enumerate(zip(values, nodes)) if not value.ndim or len(value) != n)
    raise DataError(
        f"{name!r} of graph {odd} has shape {tuple(values[odd].shape)}: "
        f"neither one row nor one for each of its {nodes[odd]} nodes",
        where="graphs",
        remedy=(
            "a quantity of the whole graph needs a leading axis of length 1; "
            "of pairs or points say so: Graph(..., levels={...})."
        ),
    )
