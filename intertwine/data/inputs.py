"""From a structure of ASE to the graph that a model reads: the one place where it is decided what of a structure a
model sees.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from ase import Atoms
from torch import nn

from intertwine.geometry import FIELDS, Graph
from intertwine.geometry.atoms import ASE_ARRAYS, matches
from intertwine.nn import Backbone
from intertwine.numerics import DataError

#: What a structure may say of its electrons and surroundings, with the values that say nothing.
CIRCUMSTANCES = {
    "initial_charges": 0, "initial_magmoms": 0, "total_charge": 0, "charge": 0, "spin": 0, "total_spin": 0,
    "multiplicity": 1, "spin_multiplicity": 1, "electric_field": 0, "external_field": 0, "magnetic_field": 0,
}  # fmt: skip
OCCUPANCIES = ("occupancy", "occupancies", "site_occupancy", "_atom_site_occupancy")
OCCUPANCY_TOLERANCE = 1e-3  # how far from 1 an occupancy may be and still mean an atom


def to_graph(atoms: Atoms, inputs: Sequence[str] = (), keys: Mapping[str, str] | None = None) -> Graph:
    """The graph of a structure, in float64: positions, atomic numbers, the cell if it repeats, and the inputs that a
    model reads.

    Args:
        atoms: the structure, in A.
        inputs: names of the fields that the model reads besides these, such as "charge" or "vel".
        keys: the structure's own names of them, such as ``{"charge": "q"}``.

    Raises:
        DataError: an input is missing or has a wrong shape, or sites are partially occupied.
        GeometryError: periodic without a cell.
    """
    refuse_partial(atoms.info, atoms.arrays)
    return Graph.from_ase(atoms, inputs, keys)


def described(graph: Graph, function: Any, like: Graph | None = None) -> Graph:
    """The graph with the fields of nodes that a model reads and the graph lacks: random ones, as good as any to certify
    a symmetry on.

    Args:
        graph: a structure.
        function: a task, a model, or any function of graphs.
        like: a graph whose fields have the form that is wanted.
    """
    models = (
        [module for module in function.modules() if isinstance(module, Backbone)]
        if isinstance(function, nn.Module)
        else []
    )
    generator, like = torch.Generator().manual_seed(graph.num_nodes), like if like is not None else Graph(graph.pos[:0])
    fields, representations = graph.to_dict(), dict(like.get("representations") or {})
    for model in models:
        for name, row in model.rows(graph.dimension).items():
            if name not in fields:
                shape = like[name].shape[1:] if name in like else row
                fields[name] = torch.randn(graph.num_nodes, *shape, generator=generator, dtype=torch.float64)
                if name in model.vector_inputs and name not in FIELDS:
                    representations.setdefault(name, "1o")
    return (
        Graph(**fields | ({"representations": representations} if representations else {}))
        if len(fields) > len(graph.keys())
        else graph
    )


def unread(structures: Sequence[Atoms], inputs: Sequence[str] = (), keys: Mapping[str, str] | None = None) -> list[str]:
    """What structures say of charge, spin and fields that a model of these inputs does not look at: a note of each."""
    read = {(keys or {}).get(name, name) for name in inputs} | set(inputs) | {ASE_ARRAYS.get(name) for name in inputs}
    notes = []
    for name, nothing in CIRCUMSTANCES.items():
        if name in read:
            continue
        for k, atoms in enumerate(structures):
            value = atoms.arrays.get(name, atoms.info.get(name))
            if value is not None and _says(value, nothing):
                where = f"{name}, first in structure {k}"
                notes.append(f"{where}: kept in what is written, not read: the model has no such input")
                break
    return notes


def refuse_partial(values: Mapping[str, Any], columns: Mapping[str, Any], where: str = "") -> None:
    """Raise a :class:`DataError` if sites are partially or multiply occupied, as in many crystallographic files: a
    model knows whole atoms.

    Args:
        values: of the structure: ASE's ``{"occupancy": {site: {symbol: share}}}``.
        columns: of the atoms: one share each, as in PDB files; all zero says nothing.
        where: the file and frame.
    """
    shares: list[tuple[str, Any]] = []
    for table in (values, columns):
        for key in (match for name in OCCUPANCIES for match in matches(table, name)):
            value = table[key]
            if isinstance(value, Mapping):
                shares += [
                    (
                        f"site {site}: " + ", ".join(f"{symbol} {share}" for symbol, share in kinds.items()),
                        list(kinds.values()),
                    )
                    for site, kinds in value.items()
                    if isinstance(kinds, Mapping)
                ]
            elif (
                np.size(value) > 0
                and np.asarray(value).dtype.kind in "fiub"
                and np.any(np.nan_to_num(np.asarray(value, float)))
            ):
                shares += [(f"atom {k}", [share]) for k, share in enumerate(np.ravel(value)) if share == share]
    for text, kinds in shares:
        try:
            share = next((float(k) for k in kinds if not abs(float(k) - 1) <= OCCUPANCY_TOLERANCE), None)
        except (TypeError, ValueError) as error:
            remedy = "repair or remove the occupancies."
            raise DataError(
                f"an occupancy is no number: {text[:60]}", where=where or "occupancy", remedy=remedy
            ) from error
        if share is not None or len(kinds) != 1:
            remedy = (
                "give structures of whole atoms, such as a supercell in which the sites are filled, "
                "and remove the occupancies."
            )
            what = (
                f"a site is occupied in part ({share:g}): {text}"
                if share is not None
                else f"a site is occupied twice: {text}"
            )
            raise DataError(what, where=where or "occupancy", remedy=remedy)


def _says(value: Any, nothing: int) -> bool:
    array = np.asarray(value)
    return array.dtype.kind in "fiub" and array.size > 0 and bool((array != nothing).any())
