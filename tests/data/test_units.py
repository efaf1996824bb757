"""Units against their definitions."""

from __future__ import annotations

import pytest
from ase import units

from intertwine.data import factor, unit_table
from intertwine.data.units import complete, units_note
from intertwine.numerics import InputError


@pytest.mark.parametrize(
    ("unit", "quantity", "value"),
    [
        ("eV", "energy", 1.0),
        ("Hartree", "energy", units.Hartree),
        ("KCAL/MOL", "energy", units.kcal / units.mol),
        ("kJ/mol", "energy", units.kJ / units.mol),
        ("eV/A", "forces", 1.0),
        ("eV/Å", "forces", 1.0),
        ("kcal/mol/Angstrom", "forces", units.kcal / units.mol),
        ("Hartree/Bohr", "forces", units.Hartree / units.Bohr),
        ("eV/A^3", "stress", 1.0),
        ("eV/A**3", "stress", 1.0),
        ("Ha/Bohr^3", "stress", units.Hartree / units.Bohr**3),
        ("GPa", "stress", units.GPa),
        ("kbar", "stress", 0.1 * units.GPa),
        ("Bohr", "pos", units.Bohr),
        ("Debye", "dipole", units.Debye),
        ("cal/mol K", "cv", 1.0),
        ("kilojoule_per_mole", "energy", units.kJ / units.mol),
        ("kilojoule_per_mole / nanometer", "forces", units.kJ / units.mol / 10),
        ("kilocalories/mole/angstrom", "forces", units.kcal / units.mol),
        ("hartree / bohr ** 3", "stress", units.Hartree / units.Bohr**3),
        ("Nanometer", "pos", 10.0),
        ("elementary_charge * nanometer", "dipole", 10.0),
    ],
)
def test_factor(unit: str, quantity: str, value: float) -> None:
    assert factor(unit, quantity) == value


@pytest.mark.parametrize(
    ("unit", "quantity"),
    [
        ("furlong", "pos"),
        ("eV/A^2", "forces"),
        ("eV", "forces"),
        ("eV/A", "stress"),
        ("GPa", "energy"),
        ("e*eV", "dipole"),
        ("hartrees", "energy"),
    ],
)
def test_wrong_dimension(unit: str, quantity: str) -> None:
    with pytest.raises(InputError, match="unknown unit"):
        factor(unit, quantity)


def test_every_unit_of_the_table_is_understood() -> None:
    quantity = {"energy": "energy", "length": "pos", "pressure": "stress", "dipole": "dipole"}
    for dimension, table in unit_table().items():
        for name, value in table.items():
            assert factor(name, quantity[dimension]) == value


def test_forces_and_stress_follow() -> None:
    table = complete({"energy": "Hartree", "pos": "Bohr"})
    assert (table["forces"], table["stress"]) == ("Hartree/Bohr", "Hartree/Bohr^3")
    assert complete({"energy": "kcal/mol", "forces": "eV/A"})["forces"] == "eV/A"
    assert complete({})["stress"] == "eV/A^3"


@pytest.mark.parametrize(
    ("labels", "told", "declared", "said"),
    [
        ("pos energy forces", {}, {}, "assumed: pos in A, energy in eV, forces in eV/A"),
        ("pos epsgap", {"epsgap": "Ha"}, {}, "as --unit says: epsgap in Ha; assumed: pos in A"),
        (
            "pos energy forces",
            {"energy": "Ha"},
            {},
            "as --unit says: energy in Ha; following from these: forces in Ha/A; assumed: pos in A",
        ),
        (
            "pos energy forces virial",
            {"pos": "Bohr"},
            {"energy": "Ry", "pos": "nm"},
            "as --unit says: pos in Bohr; as the file declares: energy in Ry, virial in Ry; "
            "following from these: forces in Ry/Bohr",
        ),
        ("pos homo", {"pos": "nm"}, {"homo": "eV"}, "as --unit says: pos in nm; as the file declares: homo in eV"),
        ("pos gap", {"pos": "nm"}, {}, "as --unit says: pos in nm"),
    ],
)
def test_of_each_unit_it_is_said_who_says_it(
    labels: str, told: dict[str, str], declared: dict[str, str], said: str
) -> None:
    stated = {"as --unit says": told, "as the file declares": declared}
    assert units_note(labels.split(), complete(declared | told), stated) == f"units {said}"
