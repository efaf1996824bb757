"""Where the structures are in a tree of JSON, and what stands beside them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from intertwine.data.frames import Frame, place
from intertwine.geometry import VASP, from_voigt
from intertwine.numerics import DataError

NONE = (
    "pymatgen's JSON is read: Structure.as_dict(), lists of it, entries, records such as "
    "{structure, outputs: {energy, forces}}, tables {index, columns, data}; and ASE's databases. "
    "Convert other files to extended xyz."
)
#: Of the atoms, by name; everything else is of the structure.
PER_ATOM = (
    "forces",
    "force",
    "magmom",
    "magmoms",
    "charges",
    "bader_charges",
    "bader_magmoms",
    "velocities",
    "displacements",
)
NESTED = ("outputs", "output", "data")  # mappings beside a structure whose quantities are its own
MLEARN = "virial_stress"
SIGN = "stress = -{}: it is VASP's, in kbar and positive under compression"

Record = tuple[Mapping[str, Any], Mapping[str, Any]]


def records(data: Any, name: str) -> Iterator[Record]:
    """Every structure of a tree, with the mapping that holds it.

    Raises:
        DataError: entries of a list or mapping hold structures and others do not, or an entry holds several.
    """
    if isinstance(data, Mapping):
        if is_structure(data):
            yield data, {}
            return
        held = [key for key, value in data.items() if is_structure(value)]
        if held and not _is_collection(data, held):
            key = "structure" if "structure" in held else held[0]
            if len(held) > 1 and key != "structure":
                remedy = "keep the one that the labels belong to, as 'structure'."
                raise DataError(
                    f"an entry holds several structures: {', '.join(map(str, held))}", where=name, remedy=remedy
                )
            yield data[key], {other: value for other, value in data.items() if other not in held}
            return
        if (table := _rows(data, name)) is not None:
            data = table
    children = list(data.values() if isinstance(data, Mapping) else data if isinstance(data, list) else ())
    # beside a list of records there may be other things in a mapping, but not among records
    alike = isinstance(data, list) or any(is_structure(child) or _holds(child) for child in children)
    any_full, without = False, None
    for k, child in enumerate(children):
        empty = True
        for record in records(child, name):
            empty = False
            if without is None or not alike:
                yield record
        any_full, without = any_full or not empty, k if empty and without is None else without
        if any_full and alike and without is not None:
            raise DataError(
                f"entry {without} holds no structure, and others do",
                where=place(name, without),
                remedy="repair or remove it.",
            )


def _holds(value: Any) -> bool:
    return isinstance(value, Mapping) and is_structure(value.get("structure"))


def is_structure(value: Any) -> bool:
    """Whether it is a structure or a molecule of pymatgen."""
    return (
        isinstance(value, Mapping)
        and isinstance(value.get("sites"), list)
        and all(isinstance(site, Mapping) for site in value["sites"])
    )


def _is_collection(data: Mapping[str, Any], held: list[str]) -> bool:
    """Whether a mapping is of structures by their names, not a record of one."""
    return len(held) == len(data) and "structure" not in held


def _rows(data: Mapping[str, Any], name: str) -> list[dict[str, Any]] | None:
    """The rows of a table, as pandas writes it by rows ({index, columns, data}) or by columns ({structure: {0: ...},
    ...}).
    """
    if {"columns", "data"} <= set(data):
        columns, rows = data["columns"], data["data"]
        if (
            not isinstance(columns, list)
            or not isinstance(rows, list)
            or any(not isinstance(r, list) or len(r) != len(columns) for r in rows)
        ):
            raise DataError(
                "a table whose rows do not have its columns",
                where=name,
                remedy="write {index, columns, data}, as pandas does.",
            )
        return [dict(zip(map(str, columns), row, strict=True)) for row in rows]
    columns = {key: value for key, value in data.items() if isinstance(value, Mapping) and value}
    labels = {tuple(column) for column in columns.values()}
    if (
        len(columns) == len(data) > 1
        and len(labels) == 1
        and any(all(map(is_structure, column.values())) for column in columns.values())
    ):
        return [{key: column[label] for key, column in columns.items()} for label in labels.pop()]
    return None


def quantities(beside: Mapping[str, Any], frame: Frame) -> None:
    """What stands beside a structure, into the frame.

    Raises:
        DataError: numbers of the atoms are not as many rows as there are atoms.
    """
    flat = {key: value for key, value in beside.items() if not key.startswith("@")}
    for nested in NESTED:
        if isinstance(flat.get(nested), Mapping):
            flat |= flat.pop(nested)
    vasp = MLEARN if MLEARN in flat else "stress" if "uncorrected_total_energy" in flat else None  # mlearn; MPtrj
    for name, value in flat.items():
        value = _array(value)
        if value is None or isinstance(value, Mapping):
            continue
        if name == vasp:
            frame.values["stress"], frame.units["stress"] = -_tensor(value, name, frame), "kbar"
            frame.notes = (*frame.notes, SIGN.format(name))
        elif name == "stress":
            frame.values["stress_as_given"] = value
            frame.notes = (*frame.notes, "stress is kept as stress_as_given: the file does not say its unit and sign")
        elif name.lower() in PER_ATOM and isinstance(value, list):
            raise DataError(
                f"{name} has rows of different lengths", where=frame.where, remedy="repair or remove that entry."
            )
        elif name.lower() in PER_ATOM and isinstance(value, np.ndarray):
            frame.columns[name] = value
        else:
            frame.values[name] = value


def _tensor(value: Any, name: str, frame: Frame) -> np.ndarray:
    """A matrix (3, 3) from itself, or from VASP's xx, yy, zz, xy, yz, zx.

    That order and the unit of mlearn are said in its issue 64; order and sign also follow from its elastic structures,
    whose energies change by the work of this stress (tests/data/test_pymatgen_json.py).
    """
    array = np.asarray(value, dtype=np.float64)
    if array.shape == (6,):
        return from_voigt(array, VASP)
    if array.shape != (3, 3):
        raise DataError(f"{name} has shape {array.shape}", where=frame.where, remedy="6 or 3 x 3 numbers are expected.")
    return array


def _array(value: Any) -> Any:
    """Numbers as arrays; also where pymatgen wrote an array as a mapping."""
    if isinstance(value, Mapping) and value.get("@class") == "array":
        value = value["data"]
    if not isinstance(value, list):
        return value
    try:
        array = np.asarray(value)
    except ValueError:  # rows of different lengths
        return value
    return array if array.dtype.kind in "iufb" else value
