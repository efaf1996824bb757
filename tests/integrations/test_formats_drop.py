"""What a format has no place for is said, once, of whichever structure has it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.singlepoint import SinglePointCalculator

from intertwine.integrations import write_structures


def crystal() -> Atoms:
    atoms = bulk("Cu", cubic=True)
    atoms.info["id"] = "first"
    atoms.calc = SinglePointCalculator(atoms, energy=1.0, forces=np.ones((4, 3)), stress=np.arange(6.0))
    return atoms


@pytest.mark.parametrize(
    ("name", "kind", "missing"),
    [
        ("a.cif", "cif", "energy, forces, stress, id"),
        ("POSCAR", "vasp", "energy, forces, stress, id"),
        ("a.pdb", "proteindatabank", "energy, forces, stress, id"),
    ],
)
def test_a_note_names_it(name: str, kind: str, missing: str, tmp_path: Path) -> None:
    notes = write_structures(tmp_path / name, [crystal()])
    words = f"{tmp_path / name}: {kind} does not hold {missing}; .xyz, .traj, .db and .json hold most"
    assert notes == [words]


@pytest.mark.parametrize("name", ["a.xyz", "a.traj", "a.db", "a.json"])
def test_formats_that_hold_all_say_nothing(name: str, tmp_path: Path) -> None:
    assert write_structures(tmp_path / name, [molecule("H2O"), crystal(), molecule("CO")]) == []


@pytest.mark.parametrize("frames", [[bulk("Cu", cubic=True), crystal()], [crystal(), bulk("Cu", cubic=True)]])
@pytest.mark.parametrize("name", ["a.pdb", "a.xsf"])
def test_the_structure_that_has_most_is_looked_at(frames: list[Atoms], name: str, tmp_path: Path) -> None:
    (note,) = write_structures(tmp_path / name, frames)
    assert "energy" in note
    assert "id" in note


def test_a_cell_that_is_not_kept_is_said(tmp_path: Path) -> None:
    (note,) = write_structures(tmp_path / "a.xyz", [crystal()], kind="xyz")
    assert "xyz does not hold cell, energy, forces, stress, id" in note


@pytest.mark.parametrize("name", ["charge", "magmom", "spin"])
def test_columns_that_a_reader_takes_for_results_are_there(name: str, tmp_path: Path) -> None:
    """A column "charge" comes back as the result "charges"."""
    atoms = molecule("H2O")
    atoms.set_array(name, np.array([-0.8, 0.4, 0.4]))
    assert write_structures(tmp_path / "a.xyz", [atoms]) == []
    assert f":{name}:R:1" in (tmp_path / "a.xyz").read_text()
