"""A test set whose labels are in another unit than those of the training set, where nothing tells which is right."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write

from intertwine.data import GraphStore, open_dataset
from intertwine.data.suspicion import Frames, kinds_in, other_units, suspicions
from intertwine.training.options import DataOptions
from intertwine.training.sets import open_sets

UNITS = {"kcal/mol": 23.0605, "kJ/mol": 96.4853, "Hartree": 1 / 27.21139}


def metals(seed: int, count: int = 24, rattle: float = 0.05) -> list[Atoms]:
    """Clusters of copper, silver and gold with the energies and forces of EMT: no hydrogen in them."""
    generator, frames = np.random.default_rng(seed), []
    for k in range(count):
        atoms = bulk(("Cu", "Ag", "Au")[k % 3], "fcc", a=(3.6, 4.06, 4.06)[k % 3], cubic=True)
        atoms.set_pbc(False)
        atoms.positions += rattle * generator.normal(size=(4, 3))
        atoms.calc = EMT()
        energy, forces = atoms.get_potential_energy(), atoms.get_forces()
        atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=forces)
        frames.append(atoms)
    return frames


def scaled(frames: list[Atoms], energy: float = 1.0, forces: float = 1.0) -> list[Atoms]:
    result = []
    for atoms in frames:
        copy = atoms.copy()
        copy.calc = SinglePointCalculator(
            copy, energy=atoms.get_potential_energy() * energy, forces=atoms.get_forces() * forces
        )
        result.append(copy)
    return result


def stored(frames: list[Atoms], path: Path) -> GraphStore:
    write(path, frames, format="extxyz")
    return open_dataset(str(path), progress=False)


@pytest.mark.parametrize("inverse", [False, True])
@pytest.mark.parametrize("unit", UNITS)
def test_the_factor_of_a_unit_is_named(unit: str, inverse: bool, tmp_path: Path) -> None:
    factor = 1 / UNITS[unit] if inverse else UNITS[unit]
    train = Frames.of_store(stored(metals(0), tmp_path / "a.xyz"))
    other = Frames.of_store(stored(scaled(metals(1), factor, factor), tmp_path / "b.xyz"))
    assert train is not None
    assert other is not None
    suspects = other_units(train, other, "b.xyz")
    assert [suspect.kind for suspect in suspects] == ["energy unit", "force unit"]
    assert all("of b.xyz" in suspect.line for suspect in suspects)
    assert f"in {unit}, the other in eV" in suspects[0].line
    assert f"in {unit}/A, the other in eV/A" in suspects[1].line


@pytest.mark.parametrize("how", ["forces alone", "relaxed", "hot", "same", "compressed", "few"])
def test_what_is_of_another_kind_is_of_no_other_unit(how: str, tmp_path: Path) -> None:
    frames = metals(1, rattle={"relaxed": 1e-3, "hot": 0.2}.get(how, 0.05))
    if how == "forces alone":
        frames = scaled(frames, 1.0, 23.06)
    if how == "compressed":
        for atoms in frames:
            atoms.set_cell(atoms.cell * 0.95, scale_atoms=True)
            atoms.calc = EMT()
            atoms.calc = SinglePointCalculator(atoms, energy=atoms.get_potential_energy(), forces=atoms.get_forces())
    if how == "few":
        frames = scaled(frames, 23.06, 23.06)[:2]
    train = Frames.of_store(stored(metals(0), tmp_path / "a.xyz"))
    other = Frames.of_store(stored(frames, tmp_path / "b.xyz"))
    assert train is not None
    assert other is not None
    kinds = [suspect.kind for suspect in other_units(train, other, "b.xyz")]
    assert kinds == (["force unit"] if how == "forces alone" else [])


def test_a_test_file_is_compared_with_the_training_file(tmp_path: Path) -> None:
    write(tmp_path / "a.xyz", metals(0), format="extxyz")
    write(tmp_path / "b.xyz", scaled(metals(1), 23.0605, 23.0605), format="extxyz")
    sets = open_sets(DataOptions(source=str(tmp_path / "a.xyz"), test=str(tmp_path / "b.xyz")), progress=False)
    assert sum("b.xyz" in line and "convert one of them" in line for line in sets.source.warnings) == 2
    assert {"energy unit", "force unit"} <= set(kinds_in(sets.test))
    assert not {"energy unit", "force unit"} & set(kinds_in(sets.train))


@pytest.mark.parametrize("label", ["energy", "forces"])
def test_a_test_file_without_a_label_is_told(label: str, tmp_path: Path) -> None:
    write(tmp_path / "a.xyz", metals(0), format="extxyz")
    frames = metals(1)
    for atoms in frames:
        atoms.calc.results.pop(label)
    write(tmp_path / "b.xyz", frames, format="extxyz")
    sets = open_sets(DataOptions(source=str(tmp_path / "a.xyz"), test=str(tmp_path / "b.xyz")), progress=False)
    assert any(f"b.xyz has no {label}, which is not tested then" in note for note in sets.source.notes)


@pytest.mark.parametrize("cell", ["cubic", "triclinic", "tight"])
def test_molecules_that_turn_in_a_box_have_forces_and_no_gradients(cell: str, tmp_path: Path) -> None:
    """Positions that were wrapped, of orientations that are far apart."""
    boxes = {"cubic": np.eye(3) * 12, "triclinic": [[11, 1, 2], [0, 12, 1.5], [0.5, 0, 13]], "tight": np.eye(3) * 8.5}
    generator, frames = np.random.default_rng(0), []
    first = Atoms("CuAgAuCu", [[0, 0, 0], [2.6, 0, 0], [0.3, 2.5, 0], [1.1, 1.0, 2.3]])
    for _ in range(24):
        atoms = first.copy()
        atoms.positions += 0.08 * generator.normal(size=(4, 3))
        atoms.calc = EMT()
        energy, forces = atoms.get_potential_energy(), atoms.get_forces()
        turn, _ = np.linalg.qr(generator.normal(size=(3, 3)))
        turn *= np.sign(np.linalg.det(turn))
        atoms.positions = atoms.positions @ turn.T + generator.uniform(0, 20, size=3)
        atoms.set_cell(boxes[cell])
        atoms.pbc = True
        atoms.wrap()
        atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=forces @ turn.T)
        frames.append(atoms)
    assert suspicions(stored(frames, tmp_path / "a.xyz")) == []
    (suspect,) = suspicions(stored(scaled(frames, 1.0, -1.0), tmp_path / "b.xyz"))
    assert "they are the gradient" in suspect.line
