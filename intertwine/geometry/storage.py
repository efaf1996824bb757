"""Where a graph keeps its fields, so that whoever batches graphs hears of fields that differ: PyG's loaders as well as
``collate``.

PyG collates the fields of the first graph, and drops what only others have without a word. It does so through the
graphs' storages: for each key of the first storage it takes the values of all, and sets one value on the storage of the
batch. So the storage of a graph names two keys more, ``FIRST_KEY`` before its fields and ``LAST_KEY`` behind them,
whose values are the contents of the storages. Setting the first on the batch compares them, and lends open graphs a
cell of zeros where others are periodic; setting the last takes it back.
"""

from __future__ import annotations

from collections.abc import Iterator, KeysView, Sequence, Set
from typing import Any

import torch
from torch import Tensor

from intertwine.geometry.pyg import GlobalStorage
from intertwine.numerics import DataError

# PyG asks every object of a list for the first; its KeyError of one that is no Graph reads as what is wrong and what to
# do
FIRST_KEY = (
    "a list of intertwine.Graph holds an object of another kind: make it one, with Graph.from_dict(data.to_dict())"
)
LAST_KEY = "</contents>"
Fields = dict[str, Any]


class Contents:
    """The fields of one graph, held for the time of a collation. Whatever PyG takes of it is it again."""

    def __init__(self, storage: GraphStorage) -> None:
        self.storage = storage

    def __getitem__(self, index: Any) -> Contents:
        return self


class Keys(KeysView):
    """The names of the fields between ``FIRST_KEY`` and ``LAST_KEY``, with those that were lent in the meantime."""

    def __init__(self, storage: GraphStorage) -> None:
        self.storage = storage

    def __iter__(self) -> Iterator[str]:
        yield FIRST_KEY
        yield from tuple(self.storage._mapping)
        yield from tuple(self.storage.__dict__.get("_lent", ()))
        yield LAST_KEY

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __contains__(self, key: object) -> bool:
        return key in tuple(self)


class GraphStorage(GlobalStorage):
    """PyG's storage of a homogeneous graph, which compares fields where graphs are collated."""

    def keys(self, *args: str) -> KeysView:
        return super().keys(*args) if args else Keys(self)

    def __getitem__(self, key: str) -> Any:
        fields = self._mapping
        if key in fields:  # almost always: a graph is asked for its fields again and again
            return fields[key]
        return Contents(self) if key in (FIRST_KEY, LAST_KEY) else (self.__dict__.get("_lent") or fields)[key]

    def __setitem__(self, key: str, value: Any) -> None:
        if key not in (FIRST_KEY, LAST_KEY):
            super().__setitem__(key, value)
        elif isinstance(value, list):  # of a collation; a single one is of a batch that is taken apart
            storages = [contents.storage for contents in value]
            for storage in storages:
                storage.__dict__.pop("_lent", None)
            if key == FIRST_KEY:
                for storage, lent in zip(storages, comparable([storage._mapping for storage in storages]), strict=True):
                    if lent:
                        storage.__dict__["_lent"] = lent


def comparable(contents: Sequence[Fields]) -> list[Fields]:
    """What each graph lacks to be batched with the others, where that can be said: an open graph has a cell of zeros.

    Raises:
        DataError: a field that other graphs have is missing, or has another shape or representation; it and the graph
            are named.
    """
    names: set[str] = set().union(*contents)
    lent = [_lent(content, names) for content in contents]
    whole = [content | more for content, more in zip(contents, lent, strict=True)]
    first = whole[0]
    for k, fields in enumerate(whole):
        for name in sorted(first.keys() ^ fields.keys()):
            what = f"graph {k} {'lacks' if name in first else 'has'} {name!r}, unlike graph 0"
            raise DataError(what, where=name, remedy="give all graphs of a batch the same fields.")
        for name, value in fields.items():
            _same_kind(name, value, first[name], k)
    return lent


def _same_kind(name: str, value: Any, first: Any, k: int) -> None:
    remedy = "give all graphs of a batch the same fields."
    if name in ("representations", "levels") and value != first:
        remedy = f"a field of a batch has one {name.removesuffix('s')}."
        raise DataError(f"graph {k} says {value}, graph 0 {first}", where=name, remedy=remedy)
    if isinstance(value, Tensor) != isinstance(first, Tensor):
        what = f"graph {k} has a {type(value).__name__}, graph 0 a {type(first).__name__}"
        raise DataError(what, where=name, remedy=remedy)
    if isinstance(value, Tensor):
        reference, other = (
            tuple(x.shape[:-1] if "index" in name else x.shape[1:]) if x.layout == torch.strided else ()
            for x in (value, first)
        )
        if value.ndim != first.ndim or reference != other:
            what = f"graph {k} has shape {tuple(value.shape)}, graph 0 {tuple(first.shape)}"
            raise DataError(what, where=name, remedy=remedy)


def _lent(fields: Fields, names: Set[str]) -> Fields:
    """The cell, and shifts of edges, of an open graph that is batched with others that have some; ``names`` are the
    fields of all."""
    pos, edges, pbc, lent = fields.get("pos"), fields.get("edge_index"), fields.get("pbc"), {}
    wanted = ({"cell", "pbc", "shifts"} & names) - fields.keys()
    if isinstance(pos, Tensor) and pos.ndim == 2 and pos.shape[1] == 3 and {"cell", "pbc"} <= wanted:
        ptr, batch = fields.get("ptr"), fields.get("batch")
        graphs = len(ptr) - 1 if ptr is not None else int(batch.max()) + 1 if batch is not None and len(batch) else 1
        lent = {
            "cell": pos.new_zeros(graphs, 3, 3),
            "pbc": torch.zeros(graphs, 3, dtype=torch.bool, device=pos.device),
        }
    if "shifts" in wanted and isinstance(edges, Tensor) and (pbc is None or not bool(pbc.any())):
        lent["shifts"] = edges.new_zeros(edges.shape[1], 3)
    return lent
