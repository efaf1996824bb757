"""Runs in use: structures come out as they went in."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from ase import units
from ase.build import fcc111, molecule
from ase.constraints import FixAtoms
from ase.io import read
from runs_in_use import CASES, energies, refused, written

pytestmark = pytest.mark.usefixtures("own_folder")


def test_labels_in_the_last_frame_only(runs, ok) -> None:
    source = CASES / "energy-in-last-frame.xyz"
    assert len(energies(ok("predict", runs["ev"], source, "--json"))) == 4
    ok("relax", runs["ev"], source, "--steps", 2)
    ok("md", runs["ev"], source, "--steps", 2, "--equilibrate", 0)
    ok("certify", runs["ev"], "--molecules", source, "-o", "c.json")


@pytest.mark.parametrize("name", ["slab-selective.vasp", "slab-fixed.traj", "slab.xyz", "slab.json"])
def test_fixed_atoms_stay(name: str, runs, ok) -> None:
    source = CASES / name
    if not name.startswith("slab-"):  # of those the repository has the files
        slab = fcc111("Cu", (2, 2, 4), vacuum=8.0)
        slab.rattle(0.05)
        slab.set_constraint(FixAtoms(range(8)))
        source = written(name, slab)
    before = read(source)
    for output in ("r.xyz", "r.traj", "r.vasp"):
        ok("relax", runs["copper"], source, "--steps", 3, "-o", output)
        after = read(output)
        assert np.allclose(after.positions[:8], before.positions[:8], atol=1e-8)
        assert np.abs(after.positions[8:] - before.positions[8:]).max() > 1e-3
        assert list(after.constraints[0].get_indices()) == list(range(8))
    done = ok("md", runs["copper"], source, "--steps", 4, "--every", 1, "--equilibrate", 3, "-o", "m.traj", "--json")
    assert json.loads(done.stdout)["constraints"] == "FixAtoms of 8 atoms"
    assert json.loads(done.stdout)["centre of mass"] == "free"
    for frame in read("m.traj", ":"):
        assert np.array_equal(frame.positions[:8], before.positions[:8])
        assert len(frame.constraints[0].get_indices()) == 8
    if name.endswith("traj"):
        assert "adsorbate_info" in read("m.traj").info
        assert "adsorbate_info" in read("r.traj").info


def test_heavy_water_stays_heavy(runs, ok) -> None:
    source = CASES / "heavy-water.traj"
    ok("md", runs["ev"], source, "--steps", 3, "--every", 1, "--equilibrate", 0, "-o", "m.traj")
    ok("relax", runs["ev"], source, "--steps", 2, "-o", "r.xyz")
    ok("predict", runs["ev"], source, "-o", "p.xyz")
    for name in ("m.traj", "r.xyz", "p.xyz"):
        assert read(name).get_masses().tolist() == [15.999, 2.014, 2.014]


@pytest.mark.parametrize("name", ["full.xyz", "full.traj", "full.json"])
def test_outputs_keep_what_was_given(name: str, runs, ok) -> None:
    atoms = molecule("H2O")
    atoms.set_masses([15.999, 2.014, 3.016])
    atoms.set_tags([3, 2, 1])
    atoms.set_initial_charges([-0.5, 0.25, 0.25])
    atoms.set_initial_magnetic_moments([1, 0, 0])
    atoms.set_momenta(np.full((3, 3), 0.125))
    atoms.info |= {"config_type": "gas", "REF_energy": -3.0, "nested": {"a": 1}}
    atoms.set_constraint(FixAtoms([0]))
    if name != "full.traj":
        atoms.arrays["REF_forces"] = np.ones((3, 3))
    source = written(name, atoms)
    given = read(source)
    for command in ("predict", "relax"):
        ok(command, runs["ev"], source, "--overwrite", "-o", "o.xyz", *(["--steps", "1"] if command == "relax" else []))
        found = read("o.xyz")
        # a label is of the structure as it was
        start = {"REF_forces": "initial_REF_forces", "REF_energy": "initial_REF_energy"} if command == "relax" else {}
        added = {"predicted_forces"} if command == "predict" else set()
        assert found.arrays.keys() - added == {start.get(key, key) for key in given.arrays}
        for key, array in given.arrays.items():
            assert key == "positions" or np.allclose(found.arrays[start.get(key, key)], array, atol=1e-8), key
        told = {key for key in found.info if key.startswith("predicted_") or key == "calculated_by"}
        assert {key: value for key, value in found.info.items() if key not in told} == {
            start.get(key, key): value for key, value in given.info.items()
        }
        assert found.constraints[0].get_indices().tolist() == [0]
        if command == "relax":
            assert found.calc.results.keys() >= {"energy", "forces"}
            assert found.info["calculated_by"] == "intertwine, run ev"
        else:
            assert {"predicted_energy", "predicted_energy_unit", "predicted_forces_unit"} == told
            assert found.calc is None


def test_velocities_of_the_file(runs, ok, run_cli) -> None:
    atoms = molecule("H2O")
    atoms.set_velocities(np.full((3, 3), 1e-3 / units.fs))
    options = ["--steps", 1, "--every", 1, "--timestep", 0.01, "-o", "m.traj", "--overwrite", "--json"]
    for name in ("v.traj", "v.xyz"):
        summary = json.loads(ok("md", runs["ev"], written(name, atoms), "--velocities", "keep", *options).stdout)
        assert summary["velocities"] == "those of the file"
        assert summary["equilibration steps"] == 0
        assert np.allclose(read("m.traj", 0).get_velocities(), atoms.get_velocities(), atol=1e-7)
        summary = json.loads(ok("md", runs["ev"], name, "--equilibrate", 0, *options).stdout)
        assert "in place of the file's" in summary["velocities"]
        assert not np.allclose(read("m.traj", 0).get_velocities(), atoms.get_velocities(), atol=1e-3)
    refused(
        run_cli("md", runs["ev"], CASES / "heavy-water.traj", "--velocities", "keep", "--steps", 1), "has no velocities"
    )
    assert not list(Path().glob("heavy*"))


@pytest.mark.parametrize("command", ["predict", "relax", "md", "certify"])
def test_partial_occupancies_are_refused(command: str, runs, run_cli) -> None:
    Path("a.xyz").write_text("2\nProperties=species:S:1:pos:R:3:occupancy:R:1\nCu 0 0 0 0.5\nCu 0 0 2.5 1\n")
    arguments = [command, runs["copper"], *(["--molecules"] if command == "certify" else []), "a.xyz"]
    refused(run_cli(*arguments), "occupied in part (0.5): atom 0", "frame 0")


@pytest.mark.parametrize(("masses", "wrong"), [([16, 0, 1], "0"), ([16, np.nan, 1], "nan"), ([16, -1, 1], "-1")])
def test_masses_that_are_none(runs, run_cli, masses: list[float], wrong: str) -> None:
    atoms = molecule("H2O")
    atoms.set_masses(masses)
    atoms.write("m.traj")
    refused(run_cli("md", runs["ev"], "m.traj", "--steps", 2), f"atom 1 has a mass of {wrong}")
