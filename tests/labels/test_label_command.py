"""`intertwine label` as a user has it: what it says of units, failures and options, and what it refuses."""

from __future__ import annotations

import json
import re
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import numpy as np
import pytest
from ase import Atoms
from ase.io import write
from labelled_water import here, water
from typer.testing import CliRunner

from intertwine.cli import app
from intertwine.data import open_dataset
from intertwine.labels import Journal, recipe, run
from intertwine.labels.methods import XTB
from intertwine.numerics import InputError, Stopped

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
    assert "warning: no labels for water.xyz, frame 4 (counted from 0): 9 electrons" in result.stderr


@pytest.mark.parametrize(("unit", "angstrom"), [("A", 1.0), ("Bohr", 0.5291772105638411), ("nm", 10.0), ("pm", 0.01)])
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


@pytest.mark.parametrize(
    ("changed", "told", "options"),
    [
        ({"want": ["energy"]}, "--want: energy,forces then, energy now", "--method pbe/sto-3g --want energy,forces"),
        ({"spin": 2}, "--spin: 0 then, 2 now", "--method pbe/sto-3g --want energy,forces"),
        ({"threshold": 1e-8}, "--threshold: 1e-10 then, 1e-08 now", "--method pbe/sto-3g --want energy,forces"),
        (
            {"charge": 1, "cycles": 9},
            "--cycles: 100 then, 9 now; --charge: not given then, 1 now",
            "--method pbe/sto-3g",
        ),
        ({"method": "gfn2-xtb"}, "--method: pbe/sto-3g then, gfn2-xtb now", "--method pbe/sto-3g --want energy,forces"),
    ],
)
def test_what_differs_is_told_as_options(changed: dict[str, Any], told: str, options: str, tmp_path: Path) -> None:
    """What was then and what is now; the remedy has the options that go on, those of the other recipe too."""
    first, second = recipe("pbe/sto-3g"), recipe(**({"method": "pbe/sto-3g"} | changed))
    for then, now in ((first, second), (second, first)):
        path = tmp_path / then.digest()
        with Journal(path, then, "s"):
            pass
        with pytest.raises(InputError) as error, Journal(path, now, "s"):
            pass
        assert f"to go on, give the options {then.options()}; or begin anew with --overwrite" in str(error.value)
        assert (told in str(error.value)) == (then is first)
        words = then.options().split()
        given = dict(zip(words[::2], words[1::2], strict=True))
        method, want = given.pop("--method"), given.pop("--want").split(",")
        assert recipe(method, want, **{word[2:]: _number(text) for word, text in given.items()}) == then
    assert first.options().startswith(options)


@pytest.mark.parametrize("which", [[0], [1, 3], [0, 1, 2, 3]])
def test_a_triplet_that_was_taken_as_a_singlet_is_said(which: list[int]) -> None:
    """In one line, again where the file is there already, and kept in it; not with another spin."""
    oxygen = Atoms("O2", [[0, 0, 0], [0, 0, 1.21]])
    write("a.xyz", [oxygen if k in which else each for k, each in enumerate(water(4))], format="extxyz")
    for _ in range(2):
        result = CliRunner().invoke(app, ["label", "a.xyz", *FAST, "--json"])
        assert result.exit_code == 0, result.output
        (line,) = [line for line in result.stderr.splitlines() if "orbital" in line]
        named = ", ".join(map(str, which))
        assert line.startswith(f"warning: a.xyz, frame{'s' * (len(which) > 1)} {named} (counted from 0): the highest")
        assert "labelled as a singlet (--spin 2 labels the triplet)" in line
        told = json.loads(result.stdout)
        assert (list(told["remarks"]), told["failures"]) == ([str(k) for k in which], {})
    store = open_dataset("a.h5", progress=False)
    assert len(store) == 4
    places = {(0,): "frame 0", (1, 3): "frames 2, 3"}.get(tuple(which), "frames 0, 1, 2, 3")  # by composition
    (said,) = store.warnings
    assert said.startswith(f"doubtful labels: a.h5, {places} (counted from 0): the highest")
    assert "labelled as a singlet" in said
    assert open_dataset("a.h5", progress=False, limit=2).warnings == ([] if which == [1, 3] else [ANY])
    spoken = CliRunner().invoke(app, ["label", "a.xyz", *FAST, "--spin", "2", "--overwrite"])
    assert spoken.exit_code == 0, spoken.output
    assert "orbital" not in spoken.stderr


def test_who_stops_it_is_told_how_to_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*arguments: Any, **options: Any) -> None:
        raise Stopped(signal.SIGTERM)

    monkeypatch.setattr("intertwine.labels.label", stopped)
    write("a.xyz", water(2), format="extxyz")
    result = CliRunner().invoke(app, ["label", "a.xyz", *FAST])
    assert result.exit_code == 143
    assert "what was labelled is kept: the same command goes on" in result.stderr


def _number(text: str) -> int | float:
    return int(text) if text.isdigit() else float(text)


def test_another_version_is_told_as_one(tmp_path: Path) -> None:
    now = recipe("hf/sto-3g")
    with Journal(tmp_path / "journal", replace(now, versions=now.versions | {"pyscf": "2.0"}), "s"):
        pass
    with pytest.raises(
        InputError, match=r"(?s)versions: pyscf 2\.0 then, pyscf \S+ now.*to go on, give the programs of then; or"
    ):
        Journal(tmp_path / "journal", now, "s")


@pytest.mark.parametrize("lost", [1, 2, 3, 9])
def test_failures_are_named_with_their_file_and_the_exit_code_is_0(lost: int) -> None:
    Path("f").mkdir()
    radical = Atoms("OH", [[0, 0, 0], [0, 0, 0.97]])
    write("f/a.xyz", [*water(2), *[radical] * lost], format="extxyz")
    write("f/b.xyz", water(1), format="extxyz")
    result = CliRunner().invoke(app, ["label", "f", *FAST])
    numbers = ", ".join(str(2 + k) for k in range(min(lost, 6)))
    more = f"; and {lost - 6} more" if lost > 6 else ""
    named = f"f/a.xyz, frame{'s' if lost > 1 else ''} {numbers}{more} (counted from 0)"
    assert f"warning: no labels for {named}: 9 electrons" in result.stderr
    assert result.exit_code == 0


def test_the_help_and_the_page_have_every_method_and_option() -> None:
    text = CliRunner().invoke(app, ["label", "--help"], env={"COLUMNS": "400"}).stdout
    page = (Path(__file__).parents[2] / "docs" / "labels.md").read_text()
    for name in {*XTB, *re.findall(r"--[a-z]+", text)} - {"--help", "--output"}:
        assert name in text, name
        assert name in page, name
    assert "the run" not in text
