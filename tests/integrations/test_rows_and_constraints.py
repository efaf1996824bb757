"""What a file does not hold of any of its structures is said; an entry of a database stays where it was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ase.db
import numpy as np
import pytest
from ase.build import molecule
from ase.constraints import FixAtoms, FixBondLength, FixCartesian, FixedLine, FixedPlane

from intertwine.data.structures import read_structures
from intertwine.integrations.writing import write_structures

HELD: dict[str, Any] = {
    "FixedPlane": lambda: FixedPlane([4], (0, 0, 1)),
    "FixBondLengths": lambda: FixBondLength(1, 5),
    "FixedLine": lambda: FixedLine([2], (1, 0, 0)),
}
PAIRS = {"project": "water", "gap": 1.5, "number": 3, "ok": True}
DATA = {"array": np.arange(4), "text": "t", "size": 2.5, "flag": False, "nested": {"a": [1, 2]}, "none": None}


@pytest.mark.parametrize("frame", [0, 1, 3])
@pytest.mark.parametrize("name", HELD)
def test_a_constraint_of_any_structure_is_named(name: str, frame: int, tmp_path: Path) -> None:
    """Also of one that has fewer entries than others."""
    frames = [molecule("CH3CH2OH") for _ in range(4)]
    for k, atoms in enumerate(frames):
        atoms.info["step"] = k
        atoms.set_constraint([FixCartesian([1], mask=(True, False, True)) if k % 2 else FixAtoms([0, 2])])
    frames[2].info["more"] = 1.0
    frames[frame].set_constraint([FixAtoms([0, 2]), HELD[name]()])
    (note,) = write_structures(tmp_path / "a.xyz", frames)
    assert f"extxyz does not hold constraints ({name})" in note
    assert "FixAtoms" not in note
    assert write_structures(tmp_path / "a.traj", frames) == []
    assert write_structures(tmp_path / "a.db", frames) == []


@pytest.mark.parametrize("kind", ["db", "json"])
def test_an_entry_of_a_row_stays_where_it_was(kind: str, tmp_path: Path) -> None:
    with ase.db.connect(tmp_path / f"a.{kind}") as database:
        database.write(molecule("H2O"), key_value_pairs=PAIRS, data=DATA)
        database.write(molecule("H2O"), key_value_pairs=PAIRS)
        database.write(molecule("H2O"), data=DATA)
    frames = read_structures(tmp_path / f"a.{kind}").atoms
    for atoms in frames:
        atoms.info["predicted_energy"] = -1.0
    assert write_structures(tmp_path / f"b.{kind}", frames) == []
    with ase.db.connect(tmp_path / f"b.{kind}") as database:
        rows = list(database.select())
    for row, pairs, data in zip(rows, (PAIRS, PAIRS, {}), (DATA, {}, DATA), strict=True):
        own = {name: value for name, value in row.key_value_pairs.items() if name in {**PAIRS, **DATA}}
        assert own == pairs
        assert row.key_value_pairs["predicted_energy"] == -1.0
        assert {*row.data} & {*PAIRS, *DATA} == {*data} - {"none"}


@pytest.mark.parametrize("kind", ["xyz", "extxyz", "traj"])
def test_other_formats_say_nothing_of_rows(kind: str, tmp_path: Path) -> None:
    with ase.db.connect(tmp_path / "a.db") as database:
        database.write(molecule("H2O"), key_value_pairs=PAIRS, data={"text": "t"})
    frames = read_structures(tmp_path / "a.db").atoms
    assert write_structures(tmp_path / f"b.{kind}", frames) == []
    again = read_structures(tmp_path / f"b.{kind}").atoms[0]
    assert {"project", "gap", "number", "ok", "text"} <= {*again.info}
    assert "in_data" not in again.info
