"""`intertwine label` as a user has it: what it says of units, failures and options, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.io import write
from labelled_water import here, water
from typer.testing import CliRunner

from intertwine.cli import app
from intertwine.labels import run

pytest.importorskip("h5py")
pytest.importorskip("pyscf")
pytest.importorskip("tblite")

FAST = ("--method", "gfn2-xtb", "--want", "energy", "-o", "a.h5")


@pytest.fixture(autouse=True)
def _inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a folder of its own, and computed in this process."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(run, "processes", here())


def test_the_command() -> None:
    """As a user has it: failures are warnings, --json is a document, units are converted."""
    frames = [*water(4), Atoms("OH", [[0, 0, 0], [0, 0, 0.97]])]
    for atoms in frames:
        atoms.positions /= 0.5291772105638411
    write("water.xyz", frames, format="extxyz")
    words = ["label", "water.xyz", "-o", "a.h5", "--method", "gfn2-xtb", "--want", "energy, forces,dipole", "--json"]
    result = CliRunner().invoke(app, [*words, "--unit", "pos=Bohr"])
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert (told["structures"], list(told["failures"])) == (5, ["4"])
    assert "warning: no labels for frames 4: 9 electrons" in result.stderr


@pytest.mark.parametrize(
    ("unit", "angstrom"), [("A", 1.0), ("Bohr", 0.5291772105638411), ("nm", 10.0), ("pm", 0.01)]
)
def test_another_unit_of_positions_is_seen(unit: str, angstrom: float) -> None:
    """What was assumed is said, what is suspicious is a warning, and neither where the unit was given."""
    frames = water(3)
    for atoms in frames:
        atoms.positions /= angstrom
    write("water.xyz", frames, format="extxyz")
    silent = CliRunner().invoke(app, ["label", "water.xyz", *FAST])
    assert "note: units assumed: pos in A (--unit pos=Bohr for another)" in silent.stderr
    assert (f"--unit pos={unit}\n" in silent.stderr) == (unit != "A"), silent.stderr
    said = CliRunner().invoke(app, ["label", "water.xyz", *FAST, "--overwrite", "--unit", f"pos={unit}"])
    assert said.exit_code == 0, said.output
    assert "assumed" not in said.stderr
    assert "warning" not in said.stderr


@pytest.mark.parametrize("name", ["a.sdf", "POSCAR", "b.xyz"])
def test_a_unit_that_the_file_fixes_is_not_assumed(name: str) -> None:
    atoms = water(1)[0]
    if name == "POSCAR":
        atoms = Atoms(atoms, cell=10 * np.eye(3), pbc=True)
    atoms.info = {"pos_unit": "A"} if name == "b.xyz" else {}
    write(name, atoms, format="extxyz" if name == "b.xyz" else None)
    assert "assumed" not in CliRunner().invoke(app, ["label", name, *FAST]).stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["-o", "a.xyz"], ("a.xyz", "name it .h5")),
        (["-o", "a.h5", "--method", "pbe"], ("unknown method 'pbe'", "FUNCTIONAL/BASIS")),
        (["-o", "a.h5", "--method", "pbe/def2-svpp"], ("no basis 'def2-svpp'", "def2svp")),
        (["-o", "a.h5", "--want", "energi"], ("--want", "did you mean 'energy'")),
        (["-o", "a.h5", "--method", "gfn2-xtb", "--want", "hamiltonian"], ("gives no hamiltonian",)),
        (["-o", "a.h5", "--method", "hf/sto-3g", "--grid", "4"], ("--grid", "leave it out")),
        (
            ["-o", "a.h5", "--method", "hf/sto-3g", "--charge", "1"],
            ("no structure could be labelled", "charge or spin"),
        ),
    ],
)
def test_what_the_command_refuses(words: list[str], said: tuple[str, ...]) -> None:
    write("water.xyz", water(2), format="extxyz")
    result = CliRunner().invoke(app, ["label", "water.xyz", *words])
    assert result.exit_code == 2
    for word in said:
        assert word in " ".join(result.stderr.split())
