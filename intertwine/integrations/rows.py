"""Structures as rows of ASE's databases, SQLite and JSON, with everything that they carry.

ASE's own writer leaves out ``info`` and arrays of other names than its own. Here numbers and words become key-value
pairs of the row, by which a database can be searched, and everything else its ``data``; which of them has a row for
each atom, the entry ``per_atom`` says.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from intertwine.data.marks import IN_DATA, OF_ATOMS

DATABASES = ("db", "json")
#: Arrays that have a place of their own in a row.
ARRAYS = ("numbers", "positions", "momenta", "masses", "tags", "initial_charges", "initial_magmoms")


def write_rows(path: Path, frames: Sequence[Atoms], kind: str, tables: Mapping[str, Any] | None = None) -> None:
    """Write a new database.

    Args:
        path: of a file that is empty or not there.
        frames: the structures, with results of a calculator if they have some.
        kind: "db" (SQLite) or "json".
        tables: more members of a JSON document, which ASE does not look at.
    """
    if kind == "json":
        _write_json(path, frames, tables or {})
        return
    from ase.db import connect

    with connect(str(path), type=kind, serial=True, append=False) as database:
        for atoms in frames:
            pairs, data = entries_of(atoms)
            database.write(atoms, key_value_pairs=pairs, data=data)


def entries_of(atoms: Atoms) -> tuple[dict[str, Any], dict[str, Any]]:
    """Key-value pairs and data of a structure's row. What no database can hold is left out."""
    from ase.db.core import check

    columns = {name: array for name, array in atoms.arrays.items() if name not in ARRAYS}
    before = atoms.info.get(IN_DATA)  # of a row that was read: what was in its data stays there
    entries = {name: value for name, value in atoms.info.items() if name != IN_DATA}
    pairs: dict[str, Any] = {}
    data: dict[str, Any] = {}
    for name, value in {**entries, **columns}.items():
        try:
            plain = _plain(value)
        except TypeError:
            continue
        pair = isinstance(plain, int | float | str) and (not isinstance(plain, bool) or before is not None)
        if pair and name not in (before or ()):
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # of names that are also formulas
                    check({str(name): plain})
                pairs[str(name)] = plain
                continue
            except ValueError:  # a reserved name, or a word that is a number
                pass
        data[str(name)] = plain
    if atoms.get_celldisp().any():
        data["celldisp"] = atoms.get_celldisp().reshape(3)
    if columns:
        data[OF_ATOMS] = [name for name in columns if name in data]
    return pairs, data


def _write_json(path: Path, frames: Sequence[Atoms], tables: Mapping[str, Any]) -> None:
    """In one pass: ASE's writer reads the whole file again for every row."""
    from ase.db.core import now
    from ase.db.row import AtomsRow
    from ase.io.jsonio import encode

    with path.open("w", encoding="utf-8") as file:
        file.write("{")
        for number, atoms in enumerate(frames, start=1):
            row, (pairs, data) = AtomsRow(atoms), entries_of(atoms)
            members = {name: row[name] for name in row.__dict__ if not name.startswith("_")}
            members |= {"constraints": row.constraints} if row.constraints else {}
            members |= {"key_value_pairs": pairs} if pairs else {}
            members |= {"data": data} if data else {}
            members |= {"ctime": now(), "mtime": now(), "user": os.getenv("USER")}
            file.write(f'"{number}": {encode(members)},\n')
        for name, value in tables.items():
            file.write(f'"{name}": {encode(value)},\n')
        file.write(f'"ids": {list(range(1, len(frames) + 1))},\n"nextid": {len(frames) + 1}}}\n')


def _plain(value: Any) -> Any:
    """The value of types that both databases know.

    Raises:
        TypeError: there is no such value.
    """
    if isinstance(value, np.ndarray):
        return value if value.dtype.kind in "fiub" else [_plain(each) for each in value.tolist()]
    if isinstance(value, np.generic):
        return value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if hasattr(value, "todict"):
        return _plain(value.todict())
    raise TypeError(type(value).__name__)
