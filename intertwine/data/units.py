"""Units of labels, converted to eV, A, eV/A, eV/A^3 and e A."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from intertwine.numerics import InputError, nearest

#: What the library keeps each quantity in, and the dimension that its unit must have.
CANONICAL = {"energy": "eV", "forces": "eV/A", "stress": "eV/A^3", "pos": "A", "dipole": "e*A"}
DIMENSIONS = {
    "energy": "energy",
    "forces": "force",
    "stress": "pressure",
    "pos": "length",
    "dipole": "dipole",
    "virial": "energy",
}

#: What the unit of a label is made of, where nothing gives it.
FOLLOWS = {"forces": ("energy", "pos"), "stress": ("energy", "pos"), "virial": ("energy",)}

#: Units written out, as Pint and OpenMM name them, and their symbols.
WORDS = {
    **{f"kilojoule{s}{per}": "kJ/mol" for s in ("", "s") for per in ("_per_mole", "/mole")},
    **{f"kilocalorie{s}{per}": "kcal/mol" for s in ("", "s") for per in ("_per_mole", "/mole")},
    "electron_volt": "eV", "electronvolt": "eV", "hartree": "Hartree", "rydberg": "Ry", "elementary_charge": "e",
    "debye": "Debye", "nanometer": "nm", "nanometre": "nm", "picometer": "pm", "angstrom": "A", "angstroms": "A",
    "bohr": "Bohr", "gigapascal": "GPa", "kilobar": "kbar",
}  # fmt: skip


def unit_table() -> dict[str, dict[str, float]]:
    """Every unit known by name, with its value in the canonical unit of its dimension (CODATA 2014, as in ASE)."""
    from ase import units as u

    return {
        "energy": {
            "eV": 1.0, "meV": 1e-3, "kcal/mol": u.kcal / u.mol, "kJ/mol": u.kJ / u.mol,
            "Hartree": u.Hartree, "Ha": u.Hartree, "Eh": u.Hartree, "a.u.": u.Hartree,
            "Ry": u.Rydberg, "Rydberg": u.Rydberg, "cm^-1": u.invcm,
        },
        "length": {
            "A": 1.0, "Ang": 1.0, "Angstrom": 1.0, "Bohr": u.Bohr, "a0": u.Bohr, "a.u.": u.Bohr, "nm": 10.0, "pm": 0.01,
        },
        "pressure": {
            "GPa": u.GPa, "MPa": 1e-3 * u.GPa, "kbar": 0.1 * u.GPa, "kB": 0.1 * u.GPa, "bar": 1e-4 * u.GPa,
            "Pa": u.Pascal,
        },
        "dipole": {
            "e*A": 1.0, "e*Ang": 1.0, "D": u.Debye, "Debye": u.Debye, "e*Bohr": u.Bohr, "e*a0": u.Bohr, "a.u.": u.Bohr,
        },
    }  # fmt: skip


def spelled(unit: str) -> str:
    """A unit with its words as symbols and without blanks, as :func:`unit_table` and its compounds have it.

    >>> spelled("kilojoule_per_mole / nanometer"), spelled("elementary_charge * nanometer ** 2")
    ('kJ/mol/nm', 'e*nm^2')
    """
    text = re.sub(r"\s*([*/^])\s*", r"\1", unit.strip().replace("Å", "A").replace("**", "^"))
    for words in sorted(WORDS, key=len, reverse=True):  # the longest first: "kilojoule/mole" holds two
        text = re.sub(rf"(?i)(?<![a-z_]){words}(?![a-z_])", WORDS[words], text)
    return text


def factor(unit: str, quantity: str) -> float:
    """What a number in ``unit`` is multiplied with to be in the canonical unit of a quantity; 1 for quantities that
    have none.

    Compounds of the table are understood ("kcal/mol/A" for forces, "Hartree/Bohr^3" for stress, "e*nm" for dipoles),
    and units written out ("kilojoule_per_mole / nanometer").

    Args:
        unit: such as "kcal/mol"; upper and lower case don't matter.
        quantity: "energy", "forces", "stress", "pos", "dipole" or any other label.

    Raises:
        InputError: the unit is not known for that quantity; the remedy lists those that are.

    >>> round(factor("kcal/mol", "energy"), 6)
    0.043364
    """
    dimension = DIMENSIONS.get(quantity)
    if dimension is None:
        return 1.0
    table = unit_table()
    known = {name.lower(): value for name, value in table.get(dimension, {}).items()}
    text = spelled(unit).lower()
    if text in known:
        return known[text]
    power = {"force": "", "pressure": "^3"}.get(dimension)
    if power is not None and text.endswith(power) and "/" in text:
        energy, length = text.removesuffix(power).rsplit("/", 1)
        energies = {name.lower(): value for name, value in table["energy"].items()}
        lengths = {name.lower(): value for name, value in table["length"].items()}
        if energy in energies and length in lengths:
            return energies[energy] / lengths[length] ** (3 if power else 1)
    if dimension == "dipole" and text.startswith("e*"):
        lengths = {name.lower(): value for name, value in table["length"].items()}
        if text.removeprefix("e*") in lengths:
            return lengths[text.removeprefix("e*")]
    names = list(table.get(dimension, {}))
    if power is not None:
        names += [
            f"{energy}/{length}{power}" for energy, length in (("eV", "A"), ("kcal/mol", "A"), ("Hartree", "Bohr"))
        ]
    raise InputError(f"unknown unit {unit!r}", where=f"unit of {quantity}", remedy=nearest(unit, names))


def complete(units: Mapping[str, str]) -> dict[str, str]:
    """Units of all quantities of :data:`DIMENSIONS`: those given; else eV and A; forces, stress and virial follow."""
    by_name = dict(units)
    energy, length = by_name.get("energy", "eV"), by_name.get("pos", "A")
    return {
        "energy": energy,
        "pos": length,
        "forces": f"{energy}/{length}",
        "stress": f"{energy}/{length}^3",
        "virial": energy,
        "dipole": "e*A",
    } | by_name


def units_note(labels: Iterable[str], units: Mapping[str, str], stated: Mapping[str, Iterable[str]]) -> str:
    """The note on the units that a file is read in: of each, who says it.

    Args:
        labels: what is read; those without a unit are left out.
        units: the unit of each, as :func:`complete` has it.
        stated: those who say units ("as --unit says", ...), the first before the next, each with the labels of which it
            does.

    >>> units_note(["pos", "epsgap"], {"pos": "A", "epsgap": "Hartree"}, {"as --unit says": ["epsgap"]})
    'units as --unit says: epsgap in Hartree; assumed: pos in A'
    """
    by_label = {label: words for words, named in reversed([*stated.items()]) for label in named}
    groups: dict[str, list[str]] = {words: [] for words in [*stated, "following from these", "assumed"]}
    for label in labels:
        if not units.get(label):
            continue
        parts = {by_label.get(part, "assumed") for part in FOLLOWS.get(label, (label,))}
        words = by_label.get(label) or (parts.pop() if len(parts) == 1 else "following from these")
        groups[words].append(f"{label} in {units[label]}")
    return "units " + "; ".join(f"{words}: {', '.join(named)}" for words, named in groups.items() if named)
