"""Geometric graphs: nodes at positions, edges between them, and the one definition of "transform the input"."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from intertwine.geometry.atoms import atoms_from_graph, fields_from_atoms
from intertwine.geometry.fields import FIELDS, Field, lowered
from intertwine.geometry.given import as_cell, as_field, as_floating, as_periodic, as_whole
from intertwine.geometry.levels import LEVELS
from intertwine.geometry.pyg import Data
from intertwine.geometry.storage import GraphStorage
from intertwine.groups import Cartesian, Representation
from intertwine.numerics import GeometryError, choose, safe, segment
from intertwine.numerics.devices import Placed
from intertwine.o3 import Irreps


class Graph(Placed, Data):
    """A geometric graph (or, from PyG's loader, a batch of them); a ``torch_geometric.data.Data`` with typed fields.

    Args:
        pos: positions (N, n); arrays and lists are taken too, integers become float64.
        z: atomic numbers (N,), where the nodes are atoms.
        cell: lattice vectors as rows, (3, 3) or (1, 3, 3), in the unit of ``pos``.
        pbc: whether space repeats along each lattice vector: one bool or three. Default: all three if there is a cell.
        representations: how fields outside :data:`FIELDS` transform, such as ``{"quadrupole": "2e"}``; unnamed ones are
            invariant.
        levels: what the rows of fields outside :data:`FIELDS` belong to: "node", "edge", "graph", "pair" (the rows of
            ``pairs``, or without it every node with every node, row i N + j) or "point" (the rows of ``points``). What
            is not named goes by its number of rows.
        **fields: any other field: ``edge_index``, ``shifts``, ``vel``, ``charge``, labels (``energy``, ``forces``,
            ...).

    Raises:
        GeometryError: a field has the wrong number of rows or components, or does not consist of numbers.

    >>> Graph([[0.0, 0.0, 0.0], [0.0, 0.0, 0.74]], z=[1, 1]).num_nodes
    2
    """

    def __init__(
        self,
        pos: Any = None,
        z: Any = None,
        *,
        cell: Any = None,
        pbc: Any = None,
        representations: dict[str, str] | None = None,
        levels: dict[str, str] | None = None,
        **fields: Any,
    ) -> None:
        super().__init__()
        self.__dict__["_store"] = GraphStorage(_parent=self)
        if pos is None and z is None and cell is None:  # PyG makes empty objects when it copies and batches
            for name, value in fields.items():
                self[name] = value
            return
        self.pos = as_floating(pos, "pos")
        if self.pos.ndim != 2:
            remedy = "give one row of coordinates per node: (nodes, dimensions)."
            raise GeometryError(f"positions have shape {tuple(self.pos.shape)}", where="pos", remedy=remedy)
        if z is not None:
            self.z = as_whole(z, "z").reshape(-1)
        if cell is not None:
            self.cell = as_cell(cell).to(self.pos)
            self.pbc = as_periodic(True if pbc is None else pbc, len(self.cell)).to(self.pos.device)
        elif pbc is not None and bool(torch.as_tensor(pbc).any()):
            raise GeometryError(
                "periodic without a cell", where="pbc", remedy="give `cell`, the lattice vectors as rows."
            )
        if representations:
            self.representations = dict(representations)
        if levels:
            self.levels = {name: choose(level, LEVELS, kind="level", where=name) for name, level in levels.items()}
        for name, value in fields.items():
            if value is not None:
                self[name] = as_field(name, value)
        check_shapes(self)

    @classmethod
    def abstract(cls, *, nodes: int | None = None, **fields: Any) -> Graph:
        """A graph of nodes that are nowhere: a molecule known by its bonds, a social network.

        It lives in the space of dimension 0: ``pos`` is (nodes, 0), in the precision of the first real-valued field, or
        float32 if there is none (the precision that models are made in).

        Args:
            nodes: how many, where no field of the nodes (``x``, ``z``, ...) says so.
            **fields: as in the constructor: ``edge_index``, ``edge_attr``, ``x``, ``z``, labels.

        Raises:
            GeometryError: nothing says how many nodes there are, or a field has the wrong shape.

        >>> Graph.abstract(z=[6, 8], edge_index=[[0, 1], [1, 0]]).dimension
        0
        """
        values = {name: as_field(name, value) for name, value in fields.items() if value is not None}
        counts = [
            len(value)
            for name, value in values.items()
            if name in FIELDS and FIELDS[name].level == "node" and value.ndim
        ]
        if nodes is None and not counts:
            raise GeometryError(
                "no field tells how many nodes there are", where="nodes", remedy="give `x`, `z`, or `nodes`."
            )
        real = next(
            (value for value in values.values() if isinstance(value, Tensor) and value.is_floating_point()),
            torch.empty(0, dtype=torch.float32),
        )
        return cls(real.new_zeros(counts[0] if nodes is None else nodes, 0), **values)

    @classmethod
    def from_ase(
        cls, atoms: Any, fields: Sequence[str] = (), keys: Mapping[str, str] | None = None, *, labels: bool = False
    ) -> Graph:
        """The graph of a structure of ASE, in float64 and without edges (:func:`connect` adds them).

        Args:
            atoms: an ``ase.Atoms``, in A; its cell is taken if it repeats along any vector.
            fields: names of more fields, which have to be there: arrays of its own, or what ASE keeps of that kind
                ("charge": initial charges, "vel": velocities in ASE's unit, "spin": initial magnetic moments, "mass").
            keys: the structure's own names of them, such as ``{"charge": "q"}``.
            labels: also the energy (eV), forces (eV/A), stress (eV/A^3) and dipole (e A) that its calculator has for
                it; nothing is calculated.

        Raises:
            DataError: a field is missing, is not a number or has a wrong shape.

        >>> from ase.build import molecule
        >>> Graph.from_ase(molecule("H2O")).z.tolist()
        [8, 1, 1]
        """
        return cls(**fields_from_atoms(atoms, fields, keys, labels=labels))

    def to_ase(self) -> Any:
        """One graph of atoms as an ``ase.Atoms``: positions, species, cell, periodicity and all that belongs to nodes
        or to the graph.

        Energy, forces, stress and dipole become the results of a calculator, unless they are NaN; velocities become
        momenta, other fields of nodes arrays and of the graph entries of ``info``. Edges, and what belongs to them, to
        pairs or to points, have no place there.

        Raises:
            InputError: the nodes have no atomic numbers, or this is a batch or not in three dimensions.

        >>> Graph([[0.0, 0.0, 0.0], [0.0, 0.0, 0.74]], z=[1, 1]).to_ase().get_chemical_formula()
        'H2'
        """
        return atoms_from_graph(self)

    def keys(self) -> list[str]:
        """The names of all fields."""
        return list(self._store.to_dict())

    @property
    def dimension(self) -> int:
        """n, the dimension of the space that the nodes live in."""
        return self.pos.shape[-1]

    @property
    def graphs(self) -> int:
        """How many graphs this is: 1, or the size of the batch."""
        count, batch = getattr(self, "num_graphs", None), self.get("batch")
        if count is None and batch is not None and len(batch):
            return int(batch.max()) + 1
        return int(count or 1)

    @property
    def periodic(self) -> bool:
        """Whether space repeats along any lattice vector, of any graph of a batch; False in a program that is being
        traced, where nobody can look.
        """
        pbc = self.get("pbc")
        return pbc is not None and not safe.traced(pbc) and bool(pbc.any())

    def level(self, name: str) -> str | None:
        """What the rows of a field belong to: by definition, or as declared; None where neither says it."""
        if name in FIELDS:
            return FIELDS[name].level
        declared = (self.get("levels") or {}).get(name)  # PyG's collation turns one string per graph into a list
        return declared if declared is None or isinstance(declared, str) else declared[0]

    def __inc__(self, key: str, value: Any, *args: Any, **kwargs: Any) -> Any:
        # numbers of nodes, in a batch
        return self.num_nodes if key == "pairs" else super().__inc__(key, value, *args, **kwargs)

    def rows(self, name: str) -> Tensor:
        """The graph of each row of a field, whatever its level."""
        if (level := self.level(name)) not in (None, "point"):
            return LEVELS[level].owner(self)
        slices = getattr(self, "_slice_dict", None)
        if slices is None:
            return self.pos.new_zeros(len(self[name]), dtype=torch.int64)
        counts = torch.as_tensor(slices[name]).diff().to(self.pos.device)
        return torch.repeat_interleave(torch.arange(len(counts), device=self.pos.device), counts)

    def membership(self) -> Tensor:
        """The graph of each node (N,): ``batch``, or zeros."""
        batch = self.get("batch")
        return batch if batch is not None else self.pos.new_zeros(self.num_nodes, dtype=torch.int64)

    def nodes_each(self) -> int:
        """The number of nodes of each graph, if all have as many and stand one graph behind the other; else 0."""
        return segment.even(self.membership(), self.graphs)

    @property
    def precision(self) -> torch.dtype:
        """Precision of what is computed from this graph: that of the network it was prepared for
        (:meth:`in_precision`), or of ``pos``.
        """
        return self.__dict__.get("_precision") or self.pos.dtype

    def cast(self, dtype: torch.dtype) -> Graph:
        """A copy whose floating-point fields have the given precision, positions among them; all other tensors are
        shared.
        """
        return self._mapped(lambda name, x: x.to(dtype) if x.is_floating_point() else x)

    def in_precision(self, dtype: torch.dtype) -> Graph:
        """The graph for a network of that precision: what models read, which keep their weights' precision and lose no
        digits.

        Invariants, vectors and tensors are cast. Points of space and the cell are not (they are raised to ``dtype``
        where they have less): only their differences are small enough for it. What takes differences
        (:func:`edge_vectors`, :func:`centred`) takes them first and casts then. Nothing is copied where nothing
        changes.
        """
        if self.precision == dtype:
            return self
        result = self._mapped(lambda name, x: lowered(name, x, dtype))
        result.__dict__["_precision"] = dtype
        return result

    def replaced(self, **fields: Any) -> Graph:
        """A copy with other values of some fields; all else is shared."""
        result = copy.copy(self)
        for name, value in fields.items():
            result[name] = value
        return result

    def double(self) -> Graph:
        return self.cast(torch.float64)

    def without_edges(self) -> Graph:
        """A copy with no edges, so that a model builds them anew."""
        result = self._mapped(lambda name, x: x)
        for name in ("edge_index", "shifts", "edge_attr"):
            if name in result:
                del result[name]
        return result

    def representation(self, name: str) -> Representation:
        """How a field transforms under O(n)."""
        declared = (self.get("representations") or {}).get(name)
        if declared is not None:  # PyG's collation turns one string per graph into a list
            return Irreps(declared if isinstance(declared, str) else declared[0])
        return Cartesian(FIELDS[name].rank if name in FIELDS else 0, dimension=self.dimension)

    def _mapped(self, function) -> Graph:
        result = copy.copy(self)
        for name, value in self.to_dict().items():
            if isinstance(value, Tensor):
                result[name] = function(name, value)
        return result


def check_shapes(graph: Graph) -> None:
    """Raise a :class:`GeometryError` that names the first field whose shape does not fit the graph."""
    (nodes, n), edges = graph.pos.shape, graph.get("edge_index")
    if edges is not None and (edges.ndim != 2 or edges.shape[0] != 2):
        remedy = "give (2, edges): row 0 the sources, row 1 the destinations."
        raise GeometryError(f"shape {tuple(edges.shape)}", where="edge_index", remedy=remedy)
    if edges is not None and edges.numel() and not 0 <= int(edges.min()) <= int(edges.max()) < nodes:
        what = f"edges between nodes {int(edges.min())} to {int(edges.max())} of a graph of {nodes}"
        raise GeometryError(what, where="edge_index", remedy="count nodes from 0.")
    pairs = graph.get("pairs")
    if pairs is not None and (
        pairs.ndim != 2 or pairs.shape[1] != 2 or (pairs.numel() and not 0 <= pairs.min() <= pairs.max() < nodes)
    ):
        what = f"shape {tuple(pairs.shape)}, of a graph of {nodes} nodes"
        raise GeometryError(what, where="pairs", remedy="give (pairs, 2): the nodes i, j of each, counted from 0.")
    counts: dict[str, int | None] = {}
    for name, value in graph.to_dict().items():
        field, level = FIELDS.get(name, Field("")), graph.level(name)
        if level is None or not isinstance(value, Tensor):
            continue
        if level not in counts:
            counts[level] = LEVELS[level].rows(graph)
        rows = counts[level] if name != "edge_index" else None
        if rows is not None and (value.ndim == 0 or value.shape[0] != rows):
            remedy = f"give one row per {level}: {rows} here."
            what = f"shape {tuple(value.shape)}, for {rows} {level}{'' if rows == 1 else 's'}"
            raise GeometryError(what, where=name, remedy=remedy)
        if name == "energy" and value.ndim != 1:
            raise GeometryError(f"shape {tuple(value.shape)}", where=name, remedy="give one number per graph.")
        if field.rank and (value.ndim <= field.rank or value.shape[-field.rank :] != (n,) * field.rank):
            remedy = f"its last {field.rank} axes must have length {n}."
            raise GeometryError(f"shape {tuple(value.shape)} in {n} dimensions", where=name, remedy=remedy)
