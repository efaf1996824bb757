"""Graphs that compilers and exporters see through: a dict of tensors, and nothing of PyG's storages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, no_type_check

import torch
from torch import Tensor

from intertwine.geometry.graph import Graph, lowered


@no_type_check  # of the tests at run time: a compiler has to see through all of it
class PlainGraph(Graph):
    """A graph or a batch that can be read, and copied with other fields, but not written to. What reads a :class:`Graph` reads it.

    Nothing is checked: it is made of a graph that was (:func:`plain`), or inside of a program that is being traced, where nothing can be.

    Args:
        fields: by name; ``pos`` is among them.
        graphs: how many graphs they are; a trace may know it as a symbol only.
        precision: of what is computed from it; None for that of ``pos``.
    """

    def __init__(self, fields: Mapping[str, Any], graphs: int, precision: torch.dtype | None = None) -> None:
        object.__setattr__(self, "_fields", dict(fields))  # PyG's own way of setting attributes is about storages
        object.__setattr__(self, "_count", graphs)
        object.__setattr__(self, "_dtype", fields["pos"].dtype if precision is None else precision)

    def get(self, name: str, default: Any = None) -> Any:
        return self._fields.get(name, default)

    def __getattr__(self, name: str) -> Any:
        if name in self._fields:
            return self._fields[name]
        raise AttributeError(name)

    def __getitem__(self, name: str) -> Any:
        return self._fields[name]

    def __contains__(self, name: object) -> bool:
        return name in self._fields

    def __setattr__(self, name: str, value: Any) -> None:
        raise TypeError(f"{name}: a plain graph can't be written to; graph.replaced({name}=...) is a copy")

    def to_dict(self) -> dict[str, Any]:
        return dict(self._fields)

    @property
    def num_nodes(self) -> int:
        return self._fields["pos"].shape[0]

    @property
    def num_edges(self) -> int:
        return self._fields["edge_index"].shape[1]

    @property
    def dimension(self) -> int:
        return self._fields["pos"].shape[-1]

    def membership(self) -> Tensor:
        batch = self._fields.get("batch")
        return self._fields["pos"].new_zeros(self.num_nodes, dtype=torch.int64) if batch is None else batch

    @property
    def graphs(self) -> int:
        return self._count

    @property
    def precision(self) -> torch.dtype:
        return self._dtype

    def in_precision(self, dtype: torch.dtype) -> PlainGraph:
        if self._dtype == dtype:
            return self
        fields = {name: lowered(name, x, dtype) if isinstance(x, Tensor) else x for name, x in self._fields.items()}
        return PlainGraph(fields, self._count, dtype)

    def replaced(self, **fields: Any) -> PlainGraph:
        return PlainGraph({**self._fields, **fields}, self._count, self._dtype)


def _field(name: str) -> property:
    return property(lambda self: self._fields.get(name))


for _name in ("pos", "batch", "x", "edge_index", "edge_attr"):  # properties of PyG's class, which would ask a storage
    setattr(PlainGraph, _name, _field(_name))


def plain(graph: Graph) -> PlainGraph:
    """The same graph as plain tensors; nothing is copied."""
    return graph if isinstance(graph, PlainGraph) else PlainGraph(dict(graph._store._mapping.items()), graph.graphs, graph.precision)
