"""Graphs from structures of ASE, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from intertwine.geometry.fields import FIELDS
from intertwine.geometry.voigt import from_voigt, to_voigt
from intertwine.numerics import DataError, InputError

#: Where ASE itself keeps a field, if no array has its name: an array of ``Atoms``.
ASE_ARRAYS = {
    "charge": "initial_charges",
    "vel": "momenta",
    "spin": "initial_magmoms",
    "magmom": "initial_magmoms",
    "mass": "masses",
}
CALCULATED = ("energy", "forces", "stress", "dipole")  # fields that ASE keeps as results of a calculator
STRUCTURE = ("pos", "z", "cell", "pbc", "edge_index", "shifts", "batch", "ptr")


def fields_from_atoms(
    atoms: Any, names: Sequence[str] = (), keys: Mapping[str, str] | None = None, *, labels: bool = False
) -> dict[str, Any]:
    """The fields of a graph in float64: positions, atomic numbers, the cell if it repeats, and what is asked for.

    Args:
        atoms: the structure (``ase.Atoms``), in A.
        names: of more fields, which have to be there.
        keys: the structure's own names of them, such as ``{"charge": "q"}``.
        labels: also energy, forces, stress and dipole, where its calculator has results of this structure.

    Raises:
        DataError: a field is missing, is not a number or has a wrong shape.
    """
    periodic = bool(atoms.pbc.any())
    fields: dict[str, Any] = {
        "pos": np.array(atoms.positions, dtype=np.float64),
        "z": np.array(atoms.numbers),
        "cell": np.array(atoms.cell, dtype=np.float64) if periodic else None,
        "pbc": np.array(atoms.pbc) if periodic else None,
    }
    results = calculated(atoms) if labels else {}
    fields |= {name: _label(name, results[name]) for name in CALCULATED if name in results}
    return fields | {name: input_of(atoms, name, keys) for name in names if name not in fields}


def atoms_from_graph(graph: Any) -> Any:
    """One graph as ``ase.Atoms``; see :meth:`intertwine.geometry.Graph.to_ase`."""
    from ase import Atoms
    from ase.calculators.singlepoint import SinglePointCalculator

    if graph.get("z") is None or graph.dimension != 3 or graph.graphs != 1:
        what = "the nodes have no atomic numbers" if graph.get("z") is None else "is not one graph in three dimensions"
        remedy = "write predictions of particles to .json or .npz; take a batch apart (to_data_list)."
        raise InputError(what, where="z" if graph.get("z") is None else "pos", remedy=remedy)
    values = {name: x.detach().cpu().numpy() for name, x in graph.to_dict().items() if isinstance(x, Tensor)}
    periodic = "cell" in values
    atoms = Atoms(
        values["z"],
        values["pos"].astype(np.float64),
        cell=values["cell"][0] if periodic else None,
        pbc=values["pbc"][0] if periodic else None,
    )
    results: dict[str, Any] = {}
    for name, value in values.items():
        level = graph.level(name)
        if name in STRUCTURE or (name in CALCULATED and np.isnan(value).all()):
            continue
        if name == "vel":
            atoms.set_velocities(value)
        elif name in CALCULATED:
            value = value.astype(np.float64)
            results[name] = {
                "energy": lambda x: float(x[0]),
                "stress": lambda x: to_voigt(x[0]),
                "forces": lambda x: x,
                "dipole": lambda x: x[0],
            }[name](value)
        elif level == "node":
            atoms.set_array(ASE_ARRAYS.get(name, name), value)
        elif level == "graph" or (level is None and value.shape[:1] == (1,)):
            atoms.info[name] = value[0].item() if value.size == 1 else value[0]
    if results:
        atoms.calc = SinglePointCalculator(atoms, **results)
    return atoms


def calculated(atoms: Any) -> dict[str, Any]:
    """What a calculator, or a file, has said of a structure as it is, as far as it is numbers."""
    calc = atoms.calc
    if calc is None or (getattr(calc, "atoms", None) is not None and calc.check_state(atoms)):
        return {}
    return {
        name: value
        for name, value in calc.results.items()
        if value is not None and np.asarray(value).dtype.kind in "fiu"
    }


def input_of(atoms: Any, name: str, keys: Mapping[str, str] | None = None) -> np.ndarray:
    """An input of a model: the array (or entry of ``info``) of the name that ``keys`` gives it, else what ASE itself
    keeps of that kind.

    Initial charges are a "charge", velocities (of momenta, in ASE's unit) a "vel", initial magnetic moments a "spin".

    Raises:
        DataError: there is none, or its shape is wrong.
    """
    key = (keys or {}).get(name, name)
    value = next((table[match] for table in (atoms.arrays, atoms.info) for match in matches(table, key)), None)
    kept, of_nodes = ASE_ARRAYS.get(name), name not in FIELDS or FIELDS[name].level == "node"
    if value is None and kept in atoms.arrays:
        value = atoms.get_velocities() if name == "vel" else atoms.arrays[kept]
    if value is None:
        also = f" (or its {kept})" if kept else ""
        raise DataError(
            f"the model reads {name!r}, and the structure has none",
            where=key,
            remedy=(
                f"give atoms.{'arrays' if of_nodes else 'info'}[{key!r}]{also}, "
                f"or name what the file calls it: --key {name}=NAME."
            ),
        )
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(
            f"{name} is not a number: {str(value)[:40]!r}", where=key, remedy="repair that structure."
        ) from error
    if of_nodes and array.shape[:1] != (len(atoms),):
        raise DataError(
            f"{name} has shape {array.shape} for {len(atoms)} atoms", where=key, remedy="give one row per atom."
        )
    return array.reshape(-1) if name == "charge" else array


def matches(table: Mapping[str, Any], key: str) -> list[str]:
    """The key itself, then names that differ from it only in case."""
    return [
        *([key] if key in table else []),
        *(candidate for candidate in table if candidate != key and str(candidate).lower() == key.lower()),
    ]


def _label(name: str, value: Any) -> np.ndarray:
    """A result of a calculator with the axes of a field: those of the structure begin with one of length 1."""
    array = np.asarray(value, dtype=np.float64)
    if name == "stress" and array.size == 6:
        array = from_voigt(array.reshape(6))
    shape = {"energy": (1,), "stress": (1, 3, 3), "dipole": (1, 3)}.get(name, array.shape)
    return array.reshape(shape)
