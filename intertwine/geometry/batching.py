"""Several graphs as one: PyG's batch, made faster and without its silence about fields that differ."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch_geometric.data import Batch

from intertwine.geometry.graph import Graph
from intertwine.numerics import DataError


def collate(graphs: Sequence[Graph]) -> Graph:
    """One batch of several disconnected graphs: what PyG's ``Batch.from_data_list`` gives, in a fraction of its time.

    PyG's own collation drops a field that the first graph lacks, without a word: a periodic structure would lose its cell.

    Args:
        graphs: graphs with the same fields.

    Returns:
        A PyG batch: the graphs' fields, ``batch`` (nodes,), ``ptr`` (graphs + 1,), ``num_graphs``; ``to_data_list`` takes it apart.

    Raises:
        DataError: the list is empty, or a graph lacks a field that another one has.
    """
    if not graphs:
        raise DataError("no graphs to batch", where="collate", remedy="give at least one.")
    contents = [graph.to_dict() for graph in graphs]
    first = contents[0].keys()
    for k, content in enumerate(contents):
        for name in sorted(first ^ content.keys()):
            what = f"graph {k} {'lacks' if name in first else 'has'} {name!r}, unlike graph 0"
            raise DataError(what, where=name, remedy="batch graphs with the same fields only (open and periodic ones apart).")
    if not all(isinstance(value, Tensor) and value.ndim for value in contents[0].values()) or "batch" in first:
        return Batch.from_data_list(list(graphs))
    ptr = _starts([len(content["pos"]) for content in contents])
    result = Batch(_base_cls=Graph)
    slices, increments = {}, {}
    for name in first:
        values = [content[name] for content in contents]
        edges = name == "edge_index"
        increments[name] = ptr[:-1] if edges else torch.zeros(len(values), dtype=torch.int64)
        slices[name] = _starts([value.shape[-1] if edges else len(value) for value in values])
        shifted = [value + start for value, start in zip(values, ptr.tolist(), strict=False)] if edges else values
        result[name] = torch.cat(shifted, dim=-1 if edges else 0)
    result.batch = torch.repeat_interleave(torch.arange(len(graphs)), ptr.diff()).to(result.pos.device)
    result.ptr = ptr.to(result.pos.device)
    result._num_graphs, result._slice_dict, result._inc_dict = len(graphs), slices, increments
    return result


def _starts(lengths: list[int]) -> Tensor:
    return torch.tensor([0, *lengths]).cumsum(0)
