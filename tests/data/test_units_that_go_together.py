"""What is said of the units of energies, forces and stresses goes together, fits the figures, and is taken by the
command; read anew as it says, the file is silent.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write
from suspicious import first_of_ethanol, kinds

from intertwine.cli import console
from intertwine.data import open_dataset
from intertwine.data.suspicion import suspicions
from intertwine.data.suspicion.conversions import EV, FORCES
from intertwine.data.units import factor

OPTION = re.compile(r"--unit (\w+=[^\s;,:)]+)")


def written(path: Path, energy: str, forces: str, shift: float = 0.0) -> Path:
    """Ethanol, whose numbers are in these units in the file, which does not say so."""
    store, frames = first_of_ethanol(60), []
    for k in range(60):
        atoms = store[k].to_ase()
        e, f = atoms.get_potential_energy() + shift, atoms.get_forces()
        atoms.info, atoms.arrays = {}, {name: atoms.arrays[name] for name in ("numbers", "positions")}
        atoms.calc = SinglePointCalculator(
            atoms, energy=e / factor(energy, "energy"), forces=f / factor(forces, "forces")
        )
        frames.append(atoms)
    write(path, frames, format="extxyz")
    return path


def said_of(path: Path, units: dict[str, str] | None = None) -> dict[str, str]:
    return kinds(open_dataset(str(path), units=units, progress=False))


@pytest.mark.parametrize("length", ["A", "Bohr"])
@pytest.mark.parametrize("energy", [*EV, "eV"])
def test_the_unit_of_forces_follows_the_energies(energy: str, length: str, tmp_path: Path) -> None:
    forces = f"{energy}/{length}"
    said = said_of(written(tmp_path / "a.xyz", energy, forces))
    if forces in ("eV/A", "eV/Bohr"):  # by half of the stiffness of a bond nobody can tell
        assert said == {}
        return
    told = [dict(console.pairs(OPTION.findall(line), "--unit") or {}) for line in said.values()]
    assert told[0] == {"energy": energy, "forces": forces}
    assert len(told) == 2
    assert told[1] == told[0]
    assert said_of(tmp_path / "a.xyz", told[0]) == {}


@pytest.mark.parametrize("unit", [unit for unit in FORCES if unit not in ("eV/Bohr",)])
def test_forces_alone(unit: str, tmp_path: Path) -> None:
    """Beside energies in eV: the unit is named, or is as near as the one that is, and no other fits."""
    said = said_of(written(tmp_path / "a.xyz", "eV", unit))
    if unit == "eV/nm":  # 3 eV/A^2
        assert set(said) <= {"force unit"}
        return
    assert list(said) == ["force unit"]
    line = said["force unit"]
    assert unit in line
    assert "energy=" not in line
    (option,) = OPTION.findall(line)
    assert said_of(tmp_path / "a.xyz", console.pairs([option], "--unit")) == {}


@pytest.mark.parametrize("declared", ["Ry", "Hartree", "kcal/mol", "kJ/mol", "meV"])
def test_what_was_declared_wrongly_is_taken_back(declared: str, tmp_path: Path) -> None:
    path = written(tmp_path / "a.xyz", "eV", "eV/A")
    said = said_of(path, {"energy": declared})
    assert "energy unit" in said
    assert f"in {declared}, as energies in eV are" in said["energy unit"]
    for line in said.values():
        assert said_of(path, console.pairs(OPTION.findall(line), "--unit")) == {}


@pytest.mark.parametrize("unit", ["kcal/mol/A", "kJ/mol/A", "Hartree/Bohr", "Ry/Bohr", "meV/A"])
def test_energies_of_any_zero_advise_the_energy_of_the_forces(unit: str, tmp_path: Path) -> None:
    """Nothing tells the unit of these energies."""
    line = said_of(written(tmp_path / "a.xyz", unit.rpartition("/")[0], unit, shift=4209.0))["force unit"]
    assert unit in line
    for option in OPTION.findall(line):
        name, value = option.split("=")
        assert factor(value, name) > 0


def crystals(count: int = 16, *, alloy: bool = False, strain: float = 0.02, seed: int = 0) -> list[Atoms]:
    """Crystals of copper, or of copper and nickel in other places each, strained and shaken."""
    rng, frames = np.random.default_rng(seed), []
    for _ in range(count):
        atoms = bulk("Cu", cubic=True) * (2, 1, 1)
        if alloy:
            atoms.numbers[rng.choice(8, rng.integers(0, 5), replace=False)] = 28
        bend = strain * rng.normal(size=(3, 3))
        atoms.set_cell(atoms.cell @ (np.eye(3) + (bend + bend.T) / 2), scale_atoms=True)
        atoms.positions += 0.02 * rng.normal(size=(8, 3))
        atoms.calc = EMT()
        frames.append(atoms)
    return frames


def stressed(path: Path, frames: list[Atoms], change: float, volume: bool = False) -> Path:
    result = []
    for atoms in frames:
        energy, forces, stress = atoms.get_potential_energy(), atoms.get_forces(), change * atoms.get_stress()
        copy = atoms.copy()
        stress = stress * copy.get_volume() if volume else stress
        copy.calc = SinglePointCalculator(copy, energy=energy, forces=forces, stress=stress)
        result.append(copy)
    write(path, result, format="extxyz")
    return path


@pytest.mark.parametrize("alloy", [False, True], ids=["copper", "alloy"])
@pytest.mark.parametrize("strain", [0.005, 0.02, 0.05])
def test_sound_stresses_are_silent(strain: float, alloy: bool, tmp_path: Path) -> None:
    assert said_of(stressed(tmp_path / "a.xyz", crystals(alloy=alloy, strain=strain), 1.0)) == {}


@pytest.mark.parametrize("squeezed", [0.97, 0.93, 0.9])
def test_crystals_under_pressure_are_silent(squeezed: float, tmp_path: Path) -> None:
    """Up to 100 GPa of EMT's copper."""
    frames = crystals()
    for atoms in frames:
        atoms.set_cell(squeezed * atoms.cell, scale_atoms=True)
    store = open_dataset(str(stressed(tmp_path / "a.xyz", frames, 1.0)), progress=False)
    assert float(store.fields["stress"].abs().max()) / factor("GPa", "stress") > 10
    assert kinds(store) == {}


@pytest.mark.parametrize("unit", ["GPa", "kbar", "MPa", "bar"])
def test_the_work_of_a_stress_tells_its_unit(unit: str, tmp_path: Path) -> None:
    path = stressed(tmp_path / "a.xyz", crystals(), 1 / factor(unit, "stress"))
    line = said_of(path)["stress unit"]
    (option,) = OPTION.findall(line)
    assert option == f"stress={unit}"
    assert said_of(path, console.pairs([option], "--unit")) == {}


@pytest.mark.parametrize(
    ("change", "volume", "words"),
    [(-1.0, False, "the opposite sign"), (-1602.18, False, "(--unit stress=kbar) and has the opposite sign"),
     (1.0, True, "the stress times the volume"),
     (-1.0, True, "minus the stress times the volume of the cell; call it")],
)  # fmt: skip
def test_the_work_of_a_stress_tells_its_sign_and_its_size(
    change: float, volume: bool, words: str, tmp_path: Path
) -> None:
    line = said_of(stressed(tmp_path / "a.xyz", crystals(), change, volume))["stress unit"]
    assert words in line
    for option in OPTION.findall(line):
        name, value = option.split("=")
        assert factor(value, name) > 0


@pytest.mark.parametrize("unit", ["GPa", "kbar", "MPa"])
def test_the_size_of_a_stress_tells_where_no_two_crystals_are_alike(unit: str, tmp_path: Path) -> None:
    path = stressed(tmp_path / "a.xyz", crystals(alloy=True), 1 / factor(unit, "stress"))
    line = said_of(path)["stress unit"]
    assert "mean tensions of up to" in line
    named = OPTION.findall(line)
    assert unit == "MPa" or f"stress={unit}" in named
    for option in named:
        assert "stress unit" not in said_of(path, console.pairs([option], "--unit"))


@pytest.mark.parametrize("unit", ["Hartree/Bohr", "Ry/Bohr", "kcal/mol/A", "kJ/mol/A"])
def test_forces_alone_of_near_structures_without_hydrogen(unit: str, tmp_path: Path) -> None:
    """The energies change by another work than that of the forces: of the two that may be wrong both are named."""
    rng, frames = np.random.default_rng(0), []
    for _ in range(24):
        atoms = bulk("Cu", cubic=True)
        atoms.positions += 0.05 * rng.normal(size=(4, 3))
        atoms.calc = EMT()
        energy, forces = atoms.get_potential_energy(), atoms.get_forces() / factor(unit, "forces")
        atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=forces)
        frames.append(atoms)
    write(tmp_path / "a.xyz", frames, format="extxyz")
    (suspect,) = suspicions(open_dataset(str(tmp_path / "a.xyz"), progress=False))
    assert suspect.kind == "work"
    told = OPTION.findall(suspect.line)
    named = [each.partition("=")[2] for each in told if each.startswith("forces=") and "eV/A" not in each]
    assert named
    assert (
        max(factor(named[0], "forces") / factor(unit, "forces"), factor(unit, "forces") / factor(named[0], "forces"))
        < 1.35
    )
