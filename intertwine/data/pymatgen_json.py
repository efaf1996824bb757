"""JSON of pymatgen: structures alone, in entries, in records with labels (mlearn, MPtrj), and in tables (matbench)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from intertwine.data.elements import ISOTOPES
from intertwine.data.frames import Frame, place
from intertwine.data.records import NONE, quantities, records
from intertwine.numerics import DataError

DISORDER = "give structures of whole atoms, such as those of a supercell in which the sites are filled."


def is_ase(data: Any) -> bool:
    """Whether parsed JSON is a database, or an object, that ASE wrote."""
    return isinstance(data, Mapping) and ({"ids", "nextid"} <= set(data) or "__ase_objtype__" in data)


def parse(file: Any, name: str) -> Any:
    """The JSON of an open file.

    Raises:
        DataError: it is not JSON, or nested without measure.
    """
    try:
        return json.load(file)
    except (json.JSONDecodeError, RecursionError) as error:
        what = f"not JSON, or truncated: {str(error)[:120]}"
        raise DataError(what, where=place(name, 0), remedy="get the file again, or check its ending.") from error


def read_pymatgen(data: Any, name: str) -> Iterator[Frame]:
    """Structures of parsed JSON, one at a time, with everything beside them under its own name.

    A record is a structure (``Structure.as_dict()``), or a mapping that holds one; lists, mappings and tables of
    records are gone through. pymatgen means eV and A. A stress is VASP's in mlearn and MPtrj: in kbar and positive
    under compression, so ``stress`` has the other sign; a stress of files that are neither is kept as
    ``stress_as_given``, which nothing takes for a label unasked.

    Args:
        data: the parsed JSON.
        name: of the file, for messages.

    Raises:
        DataError: there is no structure, several species share a site, or an entry is malformed; file and entry are
            named.
    """
    count = 0
    for structure, beside in records(data, name):
        yield _record(structure, beside, place(name, count))
        count += 1
    if not count:
        raise DataError(f"JSON without a structure of pymatgen: {_outline(data)}", where=name, remedy=NONE)


def _record(structure: Mapping[str, Any], beside: Mapping[str, Any], where: str) -> Frame:
    try:
        frame = _frame(structure, where)
        quantities(beside, frame)
    except DataError:
        raise
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        what = f"not a structure of pymatgen ({type(error).__name__}: {str(error)[:80]})"
        raise DataError(what, where=where, remedy="repair or remove that entry.") from error
    return frame


def _outline(data: Any) -> str:
    if isinstance(data, Mapping):
        return (
            f"a mapping of {', '.join(map(str, list(data)[:6]))}" + (", ..." if len(data) > 6 else "")
            if data
            else "an empty mapping"
        )
    return f"a list of {len(data)} entries" if isinstance(data, list) else f"{str(data)[:40]!r}"


def _frame(structure: Mapping[str, Any], where: str) -> Frame:
    """A structure or a molecule, from its ``as_dict()``."""
    sites, lattice = structure["sites"], structure.get("lattice")
    numbers, masses = _species(sites, where)
    cell = pbc = None
    if lattice is not None:
        cell = np.array(lattice["matrix"], dtype=np.float64)
        pbc = np.array(lattice.get("pbc", (True, True, True)), dtype=bool)
        if cell.shape != (3, 3) or pbc.shape != (3,):
            raise DataError(
                f"the lattice has shape {cell.shape}",
                where=where,
                remedy="three lattice vectors are expected, as rows.",
            )
    if cell is not None and all("abc" in site for site in sites):
        positions = np.array([site["abc"] for site in sites], dtype=np.float64).reshape(len(sites), 3) @ cell
    else:
        positions = np.array([site["xyz"] for site in sites], dtype=np.float64).reshape(len(sites), 3)
    frame = Frame(numbers, positions, where, cell, pbc, units={"pos": "A"}, reader="pymatgen")
    if masses:
        from ase.data import atomic_masses

        frame.columns["masses"] = atomic_masses[numbers].copy()
        frame.columns["masses"][list(masses)] = list(masses.values())
    for name in sites[0].get("properties") or () if sites else ():
        column = [(site.get("properties") or {}).get(name) for site in sites]
        if all(value is not None for value in column):
            frame.columns[name] = np.array(column)
    if structure.get("charge"):
        frame.values["total_charge"] = float(structure["charge"])
    return frame


def _species(sites: list[Mapping[str, Any]], where: str) -> tuple[np.ndarray, dict[int, float]]:
    """Atomic numbers (N,), and the masses of isotopes by index.

    Raises:
        DataError: a site is shared or empty in part, or what is there is no element.
    """
    from ase.data import atomic_numbers

    numbers, masses = np.empty(len(sites), dtype=np.int64), {}
    for k, site in enumerate(sites):
        species = site["species"]
        if len(species) != 1 or abs(float(species[0].get("occu", 1)) - 1) > 1e-3:
            listing = ", ".join(f"{each.get('element')} {each.get('occu', 1):g}" for each in species) or "nothing"
            raise DataError(f"site {k} is disordered ({listing})", where=where, remedy=DISORDER)
        symbol = str(species[0]["element"])
        if symbol in ISOTOPES:
            numbers[k], masses[k] = ISOTOPES[symbol]
        elif atomic_numbers.get(symbol, 0) < 1:
            raise DataError(
                f"site {k} holds {symbol!r}, which is no element", where=where, remedy="use chemical symbols."
            )
        else:
            numbers[k] = atomic_numbers[symbol]
    return numbers, masses
