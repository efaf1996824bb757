"""Many graphs as a few flat tensors, memory-mapped from a folder where they come from one."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from intertwine.data.cache import appearing, seal, verify
from intertwine.data.flatten import flatten
from intertwine.data.properties import extensive
from intertwine.data.resolution import Decision
from intertwine.data.splits import Splits
from intertwine.geometry import Graph, neighbour_list
from intertwine.numerics import DataError, InputError, nearest
from intertwine.numerics.showing import counted

SCHEMA = 2
HEADER = "header.json"
#: What a model reads; everything else in a store is a label.
INPUTS = ("pos", "z", "cell", "pbc", "vel", "charge", "x", "signal", "pairs", "points")


class GraphStore(torch.utils.data.Dataset):
    """A data set of graphs. Node fields are concatenated (nodes of all graphs, ...), graph fields stacked.

    ``store[k]`` is a :class:`Graph` in float64 whose tensors are copies: changing one leaves the store alone.

    Args:
        fields: the flat tensors by name.
        node_ptr: graph k has the nodes ``node_ptr[k]`` up to ``node_ptr[k + 1]`` (graphs + 1,).
        levels: what the rows of every field belong to: "node", "graph", "pair" or "point" (see :class:`Graph`); edges
            are built anew.
        name: name of the data set.
        units: unit of each field that has one, such as ``{"energy": "eV"}``.
        notes: what was assumed when the data were read, one sentence each.
        splits: the parts that the data set prescribes, if it does.
        representations: how fields outside ``FIELDS`` transform (see :class:`Graph`).
        decisions: which of a file's quantities became the labels.
        task: name of the task that the data are meant for, if they are.
        target: the label that is learned where nothing else is asked for.
        pointers: where the rows of each graph begin (graphs + 1,), for every field whose level is neither "node" nor
            "graph".
        classes: the names of the values 0, 1, ... of fields that are classes, such as ``{"label": ("cat", "dog")}``.
        domain: what an entry is, as of :class:`~intertwine.data.Dataset`: "image" for example.
    """

    def __init__(
        self,
        fields: dict[str, Tensor],
        node_ptr: Int[Tensor, " graphs_and_one"],
        levels: dict[str, str],
        *,
        name: str = "",
        units: dict[str, str] | None = None,
        notes: Iterable[str] = (),
        splits: Splits | None = None,
        representations: dict[str, str] | None = None,
        decisions: Iterable[Decision] = (),
        task: str = "",
        target: str = "",
        pointers: dict[str, Tensor] | None = None,
        classes: Mapping[str, Sequence[str]] | None = None,
        domain: str = "graph",
    ) -> None:
        self.fields, self.node_ptr, self.levels = fields, node_ptr, levels
        self.name, self.units, self.notes = name, dict(units or {}), list(notes)
        self.representations, self.decisions = dict(representations or {}), tuple(decisions)
        self.task, self.target = task, target
        self.pointers = dict(pointers or {})
        self.classes = {field: tuple(names) for field, names in (classes or {}).items()}
        self.domain = domain
        self.splits = splits.check(len(node_ptr) - 1, where=name) if splits is not None else None
        self.about: dict[str, str] = {}  # what else its file says: the basis of its orbitals
        self.cutoff: float | None = None
        self.folder = ""  # the name of that which it was saved in
        self.files: tuple[tuple[str, int], ...] = ()  # the files that it was read from, and the first entry of each
        self.warnings: list[str] = []  # what is suspicious, one sentence each; a view has those of the whole
        self.examined = False  # whether that has been looked for
        #: what was found suspicious: its kind, and the entries of the whole store that it is about, none if all
        self.suspects: list[tuple[str, tuple[int, ...]]] = []
        self._indices: Tensor | None = None  # of a view
        self._edges: dict[int, tuple[Tensor, Tensor]] | None = None  # by index in the whole store

    @classmethod
    def from_graphs(
        cls, graphs: Sequence[Graph], *, levels: Mapping[str, str] | None = None, **about: Any
    ) -> GraphStore:
        """A store of graphs in memory; ``about`` is the name, units, notes, splits and decisions.

        ``levels`` says what the rows of fields that the library does not know belong to, where the graphs do not say it
        and their numbers do not tell. Open and periodic graphs may be mixed. Edges are not kept: models and
        :meth:`connected` build them.

        Raises:
            DataError: there are no graphs, or a field is missing in some of them or differs in shape.
        """
        fields, node_ptr, levels, pointers, representations = flatten(graphs, levels)
        known: dict[str, Any] = {"representations": representations, "pointers": pointers}
        return cls(fields, node_ptr, levels, **(known | about))

    def __len__(self) -> int:
        return len(self.node_ptr) - 1 if self._indices is None else len(self._indices)

    def __getitem__(self, index: int) -> Graph:
        k = self._whole(index)
        fields = {name: value[self._slice(name, k)].clone() for name, value in self.fields.items()}
        levels = {name: self.levels[name] for name in fields if name in self.pointers}
        graph = Graph(**fields, representations=self.representations, levels=levels)
        if self._edges is not None:
            graph.edge_index, graph.shifts = self._neighbours(k, graph, self._edges)
        return graph

    def subset(self, indices: Sequence[int] | Tensor) -> GraphStore:
        """A view of some entries, in the order given; it shares the tensors.

        Raises:
            InputError: an index is out of range.
        """
        indices = torch.as_tensor(np.asarray(indices).reshape(-1).astype(np.int64))
        if len(indices) and not 0 <= int(indices.min()) <= int(indices.max()) < len(self):
            bad = int(indices[(indices < 0) | (indices >= len(self))][0])
            raise InputError(
                f"index {bad} is out of range for {len(self)} entries",
                where=self.name or "subset",
                remedy="indices count from 0.",
            )
        view = copy.copy(self)
        view._indices = indices if self._indices is None else self._indices[indices]
        view.splits = None
        return view

    def only(self, *labels: str) -> GraphStore:
        """A view with the inputs and just these labels.

        Raises:
            DataError: there is no such label; the remedy names the nearest.
        """
        known = [name for name in self.fields if name not in INPUTS]
        for name in labels:
            if name not in self.fields:
                raise DataError(
                    f"there is no label {name!r}", where=self.name or "data set", remedy=nearest(name, known)
                )
        view = copy.copy(self)
        view.fields = {name: value for name, value in self.fields.items() if name in INPUTS or name in labels}
        return view

    def connected(self, cutoff: float | None) -> GraphStore:
        """A view whose items carry ``edge_index`` and ``shifts`` for a cutoff (A; None for all pairs).

        A neighbour list is computed when its item is first asked for, and kept, as int32 and int8. Subsets of this view
        share them; so does each worker of a data loader with ``persistent_workers=True``.
        """
        view = copy.copy(self)
        view.cutoff, view._edges = cutoff, {}
        return view

    def numbered_as(self, classes: Mapping[str, Sequence[str]]) -> GraphStore:
        """A view whose classes have the numbers of other data's, whose attribute is given; a :class:`DataError` names a
        class that those lack.
        """
        view = copy.copy(self)
        view.fields, view.classes = dict(self.fields), dict(self.classes)
        for field, names in classes.items():
            own = self.classes.get(field)
            if own is None or own == tuple(names):
                continue
            lacking = [k for k, name in enumerate(own) if name not in names]
            strange = self.field(field)[torch.isin(self.field(field), torch.tensor(lacking, dtype=torch.int64))]
            if len(strange):
                what = f"{len(strange)} entries of class {own[int(strange[0])]!r}, which was never trained"
                remedy = f"take them out; the classes are {', '.join(map(str, names[:20]))}."
                raise DataError(what, where=self.name or field, remedy=remedy)
            numbers = torch.tensor([names.index(name) if name in names else -1 for name in own])
            view.fields[field], view.classes[field] = numbers[self.fields[field]], tuple(names)
        return view

    def field(self, name: str) -> Tensor:
        """A field of all entries of this view, concatenated over their nodes or stacked over the graphs.

        Raises:
            DataError: there is no such field; the remedy names the nearest.
        """
        if name not in self.fields:
            raise DataError(
                f"there is no field {name!r}", where=self.name or "data set", remedy=nearest(name, self.fields)
            )
        value = self.fields[name]
        if self._indices is None:
            return value
        return value[self._indices if self.levels[name] == "graph" else _rows(self._pointer(name), self._indices)]

    def _pointer(self, name: str) -> Tensor:
        """Where the rows of each graph begin (graphs + 1,) in a field that is not the graphs'."""
        return self.node_ptr if self.levels[name] == "node" else self.pointers[name]

    def _slice(self, name: str, k: int) -> slice:
        """The rows of graph k in a field."""
        return slice(k, k + 1) if self.levels[name] == "graph" else slice(*self._pointer(name)[k : k + 2].tolist())

    def isolated(self) -> Tensor:
        """Which entries are isolated atoms (entries,): one atom that does not repeat in space."""
        counts = self.counts()
        single = (counts == 1) if "z" in self.fields else torch.zeros(len(self), dtype=torch.bool)
        return single & ~self.field("pbc").any(1) if "pbc" in self.fields else single

    def counts(self) -> Int[Tensor, " entries"]:
        """Nodes of each entry."""
        return self.node_ptr.diff() if self._indices is None else self.node_ptr.diff()[self._indices]

    def numbers(self) -> Int[Tensor, " entries"]:
        """Number of each entry in the whole store, from 0."""
        return torch.arange(len(self)) if self._indices is None else self._indices

    def species(self) -> list[int]:
        """Atomic numbers that occur, ascending; empty if the nodes are not atoms."""
        return torch.unique(self.field("z")).tolist() if "z" in self.fields else []

    def extensive(self, name: str) -> bool | None:
        """Whether a label grows with the size of a structure, by its name; None where the name does not tell."""
        return extensive(name)

    def note(self, sentence: str) -> None:
        """Add a sentence to ``notes``, once."""
        if sentence not in self.notes:
            self.notes.append(sentence)

    def warn(self, sentences: Iterable[str]) -> None:
        """Add sentences to ``warnings``, each once."""
        self.warnings += [sentence for sentence in dict.fromkeys(sentences) if sentence not in self.warnings]

    def save(self, folder: str | Path, *, replace: bool = True) -> None:
        """Write one ``.npy`` a field, ``header.json`` and checksums; the folder appears whole or not at all. Views are
        written as what they show.

        Args:
            folder: where to; a store of one name is not opened in the folder of another one.
            replace: overwrite a folder that is there; otherwise it is left alone.

        Raises:
            DataError: the disk is full, or the place can't be written.
        """
        arrays = {name: self.field(name).numpy() for name in self.fields} | {"node_ptr": self._shown(self.node_ptr)}
        arrays |= {f"{name}.ptr": self._shown(self.pointers[name]) for name in self.fields if name in self.pointers}
        header = {
            "schema": SCHEMA,
            "folder": Path(folder).name,
            "name": self.name,
            "units": self.units,
            "notes": self.notes,
            "levels": {name: self.levels[name] for name in self.fields},
            "representations": self.representations,
            "splits": self.splits.to_dict() if self.splits is not None else None,
            "decisions": [list(decision) for decision in self.decisions],
            "classes": self.classes,
            "domain": self.domain,
            "arrays": {name: [list(array.shape), array.dtype.str] for name, array in arrays.items()},
        }
        with appearing(Path(folder), replace) as partial:
            for name, array in arrays.items():
                np.save(partial / f"{name}.npy", array, allow_pickle=False)
            (partial / HEADER).write_text(json.dumps(header))
            seal(partial)

    @classmethod
    def load(cls, folder: str | Path) -> GraphStore:
        """Open a folder written by :meth:`save`, memory-mapped. Every file is compared with its checksum, which reads
        it once.

        Raises:
            DataError: the folder is missing, damaged, or written by another version; the file is named.
        """
        folder, remedy = Path(folder), "delete the folder and make the data set again."
        try:
            if not folder.is_dir():
                raise DataError("no such folder", where=str(folder), remedy="check the path.")
            verify(folder, [HEADER])
            header = json.loads((folder / HEADER).read_text())
            if header["schema"] != SCHEMA:
                what = f"schema {header['schema']}, and this version of intertwine reads {SCHEMA}"
                raise DataError(what, where=str(folder), remedy=remedy)
            verify(folder, [f"{name}.npy" for name in header["arrays"]])
            arrays = {}
            for name, (shape, dtype) in header["arrays"].items():
                # copy-on-write: torch wants writable memory, and nothing written there reaches the file
                array = np.load(folder / f"{name}.npy", mmap_mode="c" if 0 not in shape else None, allow_pickle=False)
                if list(array.shape) != shape or array.dtype.str != dtype:
                    what = f"{name}.npy holds {array.dtype}{array.shape}, not {dtype}{tuple(shape)}"
                    raise DataError(what, where=str(folder), remedy=remedy)
                arrays[name] = torch.from_numpy(array)
            parts = header["splits"]
            store = cls(
                {name: arrays[name] for name in header["levels"]},
                arrays["node_ptr"],
                header["levels"],
                splits=Splits(**parts) if parts else None,
                decisions=[Decision(*decision) for decision in header["decisions"]],
                pointers={name: arrays[f"{name}.ptr"] for name in header["levels"] if f"{name}.ptr" in arrays},
                **{name: header[name] for name in ("name", "units", "notes", "representations")},
                **{name: header[name] for name in ("classes", "domain") if name in header},
            )
            store.folder = header["folder"]
            return store
        except DataError:
            raise
        except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            raise DataError(f"can't read the stored data set: {error}", where=str(folder), remedy=remedy) from error

    def _shown(self, pointer: Tensor) -> np.ndarray:
        """Where the rows of each graph of this view begin."""
        counts = pointer.diff() if self._indices is None else pointer.diff()[self._indices]
        return np.concatenate([[0], np.cumsum(counts.numpy())])

    def _whole(self, index: int) -> int:
        """An index of this view (negative counts from the end) as one of the whole store."""
        index = int(index)
        if not -len(self) <= index < len(self):
            raise IndexError(f"index {index} is out of range for {len(self)} entries")  # what ends a for loop
        index %= len(self)
        return index if self._indices is None else int(self._indices[index])

    def _neighbours(self, k: int, graph: Graph, known: dict[int, tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
        if k not in known:
            cell = graph.get("cell")
            pbc = tuple(graph.pbc[0].tolist()) if cell is not None else (False, False, False)
            pairs, shifts = neighbour_list(graph.pos, self.cutoff, None if cell is None else cell[0], pbc)
            small = torch.int8 if not len(shifts) or int(shifts.abs().max()) < 128 else torch.int64
            known[k] = (pairs.to(torch.int32), shifts.to(small) if any(pbc) else torch.zeros(0, 3, dtype=torch.int8))
        pairs, shifts = known[k]
        shifts = shifts.long() if len(shifts) else torch.zeros(pairs.shape[1], 3, dtype=torch.int64)
        return pairs.long(), shifts

    def __repr__(self) -> str:
        labels = ", ".join(name for name in self.fields if name not in INPUTS) or "none"
        return f"GraphStore({self.name!r}, {counted(len(self), 'graphs')}, labels: {labels})"


def _rows(pointer: Tensor, indices: Tensor) -> Tensor:
    """Rows of these graphs, one graph after the other."""
    starts, counts = pointer[indices], pointer[indices + 1] - pointer[indices]
    before = counts.cumsum(0) - counts
    return torch.arange(int(counts.sum())) + torch.repeat_interleave(starts - before, counts)
