"""Units that labels are taken to be in where they can't be in what they are read in."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

import numpy as np

from intertwine.data.units import factor as in_ev

ENERGIES = ("kcal/mol", "kJ/mol", "Hartree", "Ry", "meV", "eV")
EV = {unit: 1 / in_ev(unit, "energy") for unit in ENERGIES if unit != "eV"}  # how many are in an eV
#: Of forces: each of these energies over A and over Bohr, and what programs write over nm.
FORCES = {
    unit: 1 / in_ev(unit, "forces")
    for unit in (*(f"{energy}/{length}" for length in ("A", "Bohr") for energy in ENERGIES), "kJ/mol/nm", "eV/nm")
    if unit != "eV/A"
}
STRESSES = ("GPa", "kbar", "MPa", "bar", "Hartree/Bohr^3", "Ry/Bohr^3", "kcal/mol/A^3", "kJ/mol/A^3", "meV/A^3")
AS_NEAR = 1.15  # factor from the nearest unit to others, up to which figures do not tell which of them it is


class Choice(NamedTuple):
    """Units that explain figures: the nearest first, and those that are as near; all are of the file."""

    units: tuple[str, ...]

    @property
    def also(self) -> str:
        """What is said of the others; empty if there are none."""
        rest = self.units[1:3]
        return f"; {' and '.join(rest)} {'are' if len(rest) > 1 else 'is'} as near" if rest else ""


def read_in(units: Mapping[str, str], label: str) -> str:
    """The unit that a label of a file was read in; the library's own where nothing is declared."""
    return units.get(label) or {"energy": "eV", "forces": "eV/A", "stress": "eV/A^3"}[label]


def energy_of(unit: str) -> str:
    """The energy of a unit of forces: "kcal/mol" of "kcal/mol/A"."""
    return unit.rpartition("/")[0]


def nearest_of(
    candidates: Iterable[str],
    wanted: float,
    label: str,
    units: Mapping[str, str],
    reach: float,
    first: Collection[str] = (),
) -> Choice | None:
    """The units in which values would be so many times as large as they were read; None if none is near enough.

    Args:
        candidates: units of the label.
        wanted: the value in the right unit over that as read.
        label: "energy", "forces" or "stress".
        units: what each label of the file was read in.
        reach: factor around ``wanted``, within which a unit explains it.
        first: energies; if a unit of one of them is near enough, only those are looked at.
    """
    own = in_ev(read_in(units, label), label)
    off = {unit: abs(float(np.log(in_ev(unit, label) / own / wanted))) for unit in candidates}
    off = {unit: size for unit, size in off.items() if size < np.log(reach)}
    going = {unit: size for unit, size in off.items() if energy_of(unit) in first}
    off = going or off
    if not off:
        return None
    best = min(off, key=lambda unit: off[unit])
    near = sorted((unit for unit in off if off[unit] < off[best] + np.log(AS_NEAR)), key=lambda unit: off[unit])
    return Choice(tuple(near))
