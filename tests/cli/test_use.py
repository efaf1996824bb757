"""Runs in use: units, names and inputs of a run hold in every command."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.io import read, write
from runs_in_use import BOHR, CASES, SMALL, energies, refused, written

from intertwine.data import open_dataset
from intertwine.integrations import Calculator

HARTREE = {"forces": "Hartree/Bohr"}
pytestmark = pytest.mark.usefixtures("own_folder")


def test_units_of_the_run_hold_in_every_command(runs, ok) -> None:
    """The two files are the same structures; so every command must say the same of them."""
    theirs, same = CASES / "bohr-hartree.xyz", CASES / "same-in-ev.xyz"
    first = ok("predict", runs["bohr"], theirs, "--json")
    assert "Bohr, the unit of the run" in first.stderr
    second = ok("predict", runs["bohr"], same, "--unit", "pos=A", "--json")
    assert "read in A, as --unit says" in second.stderr
    assert np.allclose(energies(first), energies(second), atol=2e-5)
    frames = read(same, ":")
    calculator = Calculator(runs["bohr"])
    for atoms, energy in zip(frames[:3], energies(first), strict=False):
        atoms.calc = calculator
        assert atoms.get_potential_energy() == pytest.approx(energy, abs=2e-5)
    scores = [json.loads(ok("evaluate", runs["bohr"], theirs, "--json").stdout)]
    in_ev = ["--unit", "pos=A", "--unit", "energy=eV", "--unit", "forces=eV/A"]
    scores.append(json.loads(ok("evaluate", runs["bohr"], same, *in_ev, "--json").stdout))
    for target in ("energy", "forces"):
        assert scores[0]["errors"][target]["mae"] == pytest.approx(scores[1]["errors"][target]["mae"], rel=1e-3)
    assert "units of the run: pos in Bohr, energy in Hartree" in ok("evaluate", runs["bohr"], theirs).stderr
    relaxed = [
        json.loads(ok("relax", runs["bohr"], theirs, "--steps", 2, "--json", "-o", "a.xyz").stdout),
        json.loads(ok("relax", runs["bohr"], same, "--unit", "pos=A", "--steps", 2, "--json", "-o", "b.xyz").stdout),
    ]
    assert relaxed[0]["energy (eV)"] == pytest.approx(relaxed[1]["energy (eV)"], abs=1e-4)
    for name, file, extra in (("a.traj", theirs, []), ("b.traj", same, ["--unit", "pos=A"])):
        ok("md", runs["bohr"], file, *extra, "--steps", 2, "--every", 1, "--equilibrate", 0, "-o", name)
    assert np.allclose(read("a.traj").positions, read("b.traj").positions, atol=1e-5)
    bonds = read("a.traj", 0).get_all_distances()
    assert 0.7 < bonds[0, 1] < 1.3  # A
    certified = ok("certify", runs["bohr"], "--molecules", theirs, "-o", "c.json")
    assert "Bohr, the unit of the run" in certified.stderr


@pytest.mark.parametrize("name", ["a.xyz", "a.traj", "a.extxyz", "a.xyz.gz"])
def test_what_we_write_is_read_as_it_is(name: str, runs, ok) -> None:
    """A run in Bohr writes A, and the file says so: reading it back must not convert it again."""
    source = CASES / "bohr-hartree.xyz"
    done = ok("relax", runs["bohr"], source, "--steps", 3, "-o", name, "--json")
    again = ok("predict", runs["bohr"], name, "--json")
    assert "as the file declares" in again.stderr
    assert energies(again)[0] == pytest.approx(json.loads(done.stdout)["energy (eV)"], abs=2e-5)


def test_a_file_that_can_not_say_its_unit_is_refused(runs, run_cli) -> None:
    refused(
        run_cli("relax", runs["bohr"], CASES / "bohr-hartree.xyz", "--steps", 3, "-o", "a.data"),
        "can't say that it is in A",
    )
    assert not Path("a.data").exists()


@pytest.mark.parametrize("name", ["a.db", "a.json", "a.traj"])
def test_a_file_that_says_its_unit_is_read_in_it(name: str, runs, ok) -> None:
    """Also by training and evaluation, which read labels."""
    done = ok("relax", runs["bohr"], CASES / "bohr-hartree.xyz", "--steps", 3, "-o", name, "--json")
    again = ok("predict", runs["bohr"], name, "--json")
    assert energies(again)[0] == pytest.approx(json.loads(done.stdout)["energy (eV)"], abs=2e-5)
    scores = json.loads(ok("evaluate", runs["bohr"], name, "--json").stdout)["errors"]
    assert scores["energy"]["mae"] < 0.1  # meV/atom: the label is the run's own
    store = open_dataset(name, progress=False)
    assert store.field("energy").item() == pytest.approx(json.loads(done.stdout)["energy (eV)"], abs=2e-5)


@pytest.mark.parametrize("name", ["p.xyz", "p.db", "p.json", "p.traj"])
def test_predictions_and_labels_of_units_are_both_evaluated_as_they_are(name: str, runs, ok) -> None:
    """Lengths become A, labels stay in Hartree, predictions are in eV: the file says all three."""
    source = CASES / "bohr-hartree.xyz"
    ok("predict", runs["bohr"], source, "-o", name)
    theirs = ["--key", "energy=predicted_energy", "--key", "forces=predicted_forces"]
    scores = json.loads(ok("evaluate", runs["bohr"], name, *theirs, "--json").stdout)["errors"]
    assert scores["energy"]["mae"] < 0.1  # meV/atom: the labels are the run's own predictions
    assert scores["forces"]["mae"] < 0.1
    labels = json.loads(ok("evaluate", runs["bohr"], name, "--json").stdout)["errors"]
    before = json.loads(ok("evaluate", runs["bohr"], source, "--json").stdout)["errors"]
    for target in ("energy", "forces"):
        assert labels[target]["mae"] == pytest.approx(before[target]["mae"], rel=1e-3)
        assert labels[target]["mae"] > 1
    store = open_dataset(name, progress=False)  # without being told any unit
    assert store.units["energy"] == "eV"
    original = open_dataset(str(source), progress=False, units={"pos": "Bohr", "energy": "Hartree", **HARTREE})
    assert torch.allclose(store.field("forces"), original.field("forces"), atol=1e-5)
    assert torch.allclose(store.field("energy"), original.field("energy"), rtol=1e-12)


def test_formats_of_one_program_have_its_unit(runs, ok) -> None:
    atoms = read(CASES / "same-in-ev.xyz", 0)
    atoms.center(vacuum=8.0)
    expected = energies(ok("predict", runs["bohr"], written("a.xyz", atoms), "--unit", "pos=A", "--json"))
    for name in ("a.vasp", "a.pdb", "a.xsf"):
        result = ok("predict", runs["bohr"], written(name, atoms), "--json")
        assert "read in A, which this format fixes" in result.stderr
        assert energies(result) == pytest.approx(expected, abs=2e-2)  # a.pdb has three digits; Bohr would be off by eV


def test_names_of_the_run(runs, ok, run_cli) -> None:
    """Scored against dft_pbe and grad, of which the file has wrong namesakes."""
    own = json.loads(ok("evaluate", runs["keys"], CASES / "keys-of-the-run.xyz", "--json").stdout)["errors"]
    same = json.loads(ok("evaluate", runs["ev"], CASES / "same-in-ev.xyz", "--json").stdout)["errors"]
    assert own["forces"]["size"] == pytest.approx(same["forces"]["size"], rel=1e-6)
    others = ["--key", "energy=energy", "--key", "forces=forces"]
    told = json.loads(ok("evaluate", runs["keys"], CASES / "keys-of-the-run.xyz", *others, "--json").stdout)["errors"]
    assert told["forces"]["size"] == pytest.approx(0.3 * own["forces"]["size"], rel=1e-3)
    assert (
        "names of the run: energy from 'dft_pbe'" in ok("evaluate", runs["keys"], CASES / "keys-of-the-run.xyz").stderr
    )
    refused(run_cli("evaluate", runs["keys"], CASES / "same-in-ev.xyz"), "dft_pbe")
    ok("predict", runs["keys"], CASES / "same-in-ev.xyz", "--json")  # labels are not read


def test_charges_as_inputs(runs, ok, run_cli) -> None:
    source = CASES / "charges-as-input.xyz"
    first = ok("predict", runs["charges"], source, "--json")
    assert "charge read from 'q', as in the data of the run" in first.stderr
    assert "total_charge, first in structure 1: kept in what is written, not read" in first.stderr
    atoms = read(source, 0)
    atoms.calc = calculator = Calculator(runs["charges"])
    energy = atoms.get_potential_energy()
    assert energy == pytest.approx(energies(first)[0], abs=1e-5)
    plain = Atoms(atoms.symbols, atoms.positions, charges=[-0.8, 0.4, 0.4], calculator=calculator)
    assert plain.get_potential_energy() == energy
    plain.set_initial_charges([0.0, 0.0, 0.0])
    assert plain.get_potential_energy() != energy
    for name in ("other.xyz", "other.traj"):
        plain.set_initial_charges([-0.8, 0.4, 0.4])
        write(name, plain.copy(), format="extxyz" if name == "other.xyz" else None)
        assert energies(ok("predict", runs["charges"], name, "--json"))[0] == pytest.approx(energy, abs=1e-5)
    atoms.arrays["mine"] = atoms.arrays.pop("q")
    atoms.calc = None
    written("mine.xyz", atoms)
    refused(
        run_cli("predict", runs["charges"], "mine.xyz"),
        "mine.xyz, frame 0",
        "the model reads 'charge'",
        "--key charge=NAME",
    )
    assert energies(ok("predict", runs["charges"], "mine.xyz", "--key", "charge=mine", "--json"))[0] == pytest.approx(
        energy, abs=1e-5
    )
    ok("relax", runs["charges"], source, "--steps", 2, "-o", "r.xyz")
    ok("md", runs["charges"], source, "--steps", 2, "--every", 1, "--equilibrate", 0, "-o", "m.traj")
    for name in ("r.xyz", "m.traj"):  # can be gone on with
        ok("predict", runs["charges"], name)
    ok("certify", runs["charges"], "--molecules", source, "-o", "c.json")
    ok("evaluate", runs["charges"], source)
    refused(run_cli("md", runs["charges"], CASES / "same-in-ev.xyz", "--steps", 2), "the model reads 'charge'")


def test_a_test_file_declares_its_own_units(run_cli) -> None:
    """Also where those of the training set are told; a format that fixes its units declares them."""
    same = read(CASES / "same-in-ev.xyz", ":")
    for atoms in same:
        atoms.info |= {"pos_unit": "A", "energy_unit": "eV", "forces_unit": "eV/A"}
    write("declared.xyz", same)
    scores = []
    for name in (CASES / "bohr-hartree.xyz", "declared.xyz"):
        shutil.rmtree("r", ignore_errors=True)
        run_cli("train", CASES / "bohr-hartree.xyz", "--test", name, "--run", "r", *BOHR, *SMALL)
        scores.append(json.loads(Path("r/report.json").read_text())["test"]["energy"]["mae"])
    assert scores[1] == pytest.approx(scores[0], rel=1e-4)
