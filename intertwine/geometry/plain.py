"""Graphs that compilers and exporters see through: a dict of tensors, and nothing of PyG's storages."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from typing import Any, no_type_check

import torch
from torch import Tensor

from intertwine.geometry.fields import lowered
from intertwine.geometry.graph import Graph
from intertwine.geometry.levels import LEVELS

OWNERS = "point_owners"  # (points,) graph of each point of space, which a batch knows by where its points begin


@no_type_check  # of the tests at run time: a compiler has to see through all of it
class PlainGraph(Graph):
    """A graph or a batch that can be read, and copied with other fields, but not written to. What reads a
    :class:`Graph` reads it.

    Nothing is checked: it is made of a graph that was (:func:`plain`), or inside of a program that is being traced,
    where nothing can be.

    Args:
        fields: by name; ``pos`` is among them.
        graphs: how many graphs they are; a trace may know it as a symbol only.
        precision: of what is computed from it; None for that of ``pos``.
    """

    def __init__(self, fields: Mapping[str, Any], graphs: int, precision: torch.dtype | None = None) -> None:
        object.__setattr__(self, "_fields", dict(fields))  # PyG's own way of setting attributes is about storages
        object.__setattr__(self, "_count", graphs)
        object.__setattr__(self, "_dtype", fields["pos"].dtype if precision is None else precision)
        object.__setattr__(self, "_each", None)  # :meth:`nodes_each`, once somebody has asked

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

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        return iter(self._fields.items())

    def __repr__(self) -> str:
        fields = (f"{name}={list(x.shape) if isinstance(x, Tensor) else x!r}" for name, x in self._fields.items())
        return f"PlainGraph({', '.join(fields)})"

    def __copy__(self) -> PlainGraph:
        return self.replaced()

    def __deepcopy__(self, memo: dict[int, Any]) -> PlainGraph:
        return self.replaced(**copy.deepcopy(self._fields, memo))

    def __reduce__(self) -> tuple[Any, ...]:
        return PlainGraph, (self._fields, self._count, self._dtype)

    def keys(self) -> list[str]:
        return list(self._fields)

    def to_dict(self) -> dict[str, Any]:
        return dict(self._fields)

    def apply(self, func: Callable[[Tensor], Any], *args: str) -> PlainGraph:
        """A copy with the function of each tensor, or of those named: PyG's ``to``, ``cpu`` and the like use it."""
        return self._mapped(lambda name, x: func(x) if not args or name in args else x)

    def clone(self, *args: str) -> PlainGraph:
        return self.apply(torch.clone, *args)

    def without_edges(self) -> PlainGraph:
        fields = {name: x for name, x in self._fields.items() if name not in ("edge_index", "shifts", "edge_attr")}
        return PlainGraph(fields, self._count, self._dtype)

    def rows(self, name: str) -> Tensor:
        if self.level(name) not in (None, "point"):
            return super().rows(name)
        owners = self._fields.get(OWNERS)
        return (
            self._fields["pos"].new_zeros(self._fields[name].shape[0], dtype=torch.int64) if owners is None else owners
        )

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

    def nodes_each(self) -> int:
        if self._each is None:
            object.__setattr__(self, "_each", super().nodes_each())
        return self._each

    @property
    def precision(self) -> torch.dtype:
        return self._dtype

    def in_precision(self, dtype: torch.dtype) -> PlainGraph:
        if self._dtype == dtype:
            return self
        fields = {name: lowered(name, x, dtype) if isinstance(x, Tensor) else x for name, x in self._fields.items()}
        return PlainGraph(fields, self._count, dtype)

    def replaced(self, **fields: Any) -> PlainGraph:
        result = PlainGraph({**self._fields, **fields}, self._count, self._dtype)
        if "batch" not in fields:
            object.__setattr__(result, "_each", self._each)
        return result

    def _mapped(self, function: Callable[[str, Tensor], Any]) -> PlainGraph:
        own = None if self._dtype == self._fields["pos"].dtype else self._dtype  # else that of the new positions
        fields = {name: function(name, x) if isinstance(x, Tensor) else x for name, x in self._fields.items()}
        return PlainGraph(fields, self._count, own)


def _property(name: str) -> property:
    return property(lambda self: self._fields.get(name))


for _name in ("pos", "batch", "x", "edge_index", "edge_attr"):  # properties of PyG's class, which would ask a storage
    setattr(PlainGraph, _name, _property(_name))


def plain(graph: Graph) -> PlainGraph:
    """The same graph as plain tensors; nothing is copied."""
    if isinstance(graph, PlainGraph):
        return graph
    fields = dict(graph._store._mapping.items())
    if "points" in fields or "point" in (graph.level(name) for name in fields.get("levels", ())):
        fields[OWNERS] = LEVELS["point"].owner(graph)
    count = graph._store.__dict__.get("_num_graphs")  # of a batch; to ask it for the number takes as long as ten fields
    precision = graph.__dict__.get("_precision") or fields["pos"].dtype
    return PlainGraph(fields, graph.graphs if count is None else count, precision)
