"""Runs in use: units, names and inputs of a run hold in every command, structures come out as they went in, and outputs are safe."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ase import Atoms, units
from ase.build import bulk, fcc111, molecule
from ase.calculators.emt import EMT
from ase.constraints import FixAtoms
from ase.io import read, write

from intertwine.integrations import Calculator, to_atoms
from intertwine.training import load_checkpoint, load_run, predict, save_checkpoint

CASES = Path(__file__).resolve().parents[1] / "cases"
SMALL = ["--set", "model.width=8", "--set", "model.layers=1", "--set", "training.threads=1", "--set", "training.certify=false"]
SMALL += ["--model", "painn", "--epochs", "1", "--quiet", "--set", "model.cutoff=3.5"]
BOHR = ["--unit", "pos=Bohr", "--unit", "energy=Hartree", "--unit", "forces=Hartree/Bohr"]


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def runs(run_cli, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Small runs of the cases, by name, and one of copper with its stress."""
    folder = tmp_path_factory.mktemp("runs")
    crystals = []
    for k in range(6):
        atoms = bulk("Cu", "fcc", a=3.6, cubic=True)
        atoms.rattle(0.05, seed=k)
        atoms.calc = EMT()
        atoms.get_stress()
        crystals.append(to_atoms(atoms))
    write(folder / "copper.xyz", crystals, format="extxyz")
    settings = {
        "bohr": ["bohr-hartree.xyz", *BOHR],
        "ev": ["same-in-ev.xyz"],
        "keys": ["keys-of-the-run.xyz", "--key", "energy=dft_pbe", "--key", "forces=grad"],
        "charges": ["charges-as-input.xyz", "--key", "charge=q", "--set", 'model.node_inputs=["charge"]'],
        "copper": [folder / "copper.xyz", "--train", 4, "--validation", 1],
    }
    for name, (source, *options) in settings.items():
        result = run_cli("train", CASES / source, "--run", folder / name, *options, *SMALL)
        assert result.exit_code == 0, result.output
    return {name: folder / name for name in settings}


@pytest.fixture
def ok(run_cli) -> Callable[..., Any]:
    """A command that must succeed (exit code 0, or 1 for steps that ran out)."""

    def run(*arguments: object) -> Any:
        result = run_cli(*arguments)
        assert result.exit_code in (0, 1), result.output
        return result

    return run


def energies(result: Any) -> np.ndarray:
    return np.array([p["energy"] for p in json.loads(result.stdout)])


def refused(result: Any, *words: str) -> None:
    assert result.exit_code == 2, result.output
    assert "Remedy:" in result.stderr
    assert "Traceback" not in result.output
    for word in words:
        assert word in result.stderr, result.stderr


# units, names and inputs of a run


def test_units_of_the_run_hold_in_every_command(runs, ok) -> None:
    """The two files are the same structures; so every command must say the same of them."""
    theirs, same = CASES / "bohr-hartree.xyz", CASES / "same-in-ev.xyz"
    first = ok("predict", runs["bohr"], theirs, "--json")
    assert "Bohr, the unit of the run" in first.stderr
    second = ok("predict", runs["bohr"], same, "--unit", "pos=A", "--json")
    assert "read in A, as told" in second.stderr
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


def test_a_file_that_can_not_say_its_unit_is_refused(runs, run_cli, ok) -> None:
    for name in ("a.db", "a.json"):
        refused(run_cli("relax", runs["bohr"], CASES / "bohr-hartree.xyz", "--steps", 3, "-o", name), "can't say that it is in A")
        assert not Path(name).exists()
        ok("relax", runs["ev"], CASES / "same-in-ev.xyz", "--steps", 3, "-o", name)
    refused(run_cli("predict", runs["bohr"], CASES / "bohr-hartree.xyz", "-o", "a.db"), "can't say that it is in A")


def test_predictions_of_units_are_evaluated_as_they_are(runs, ok) -> None:
    ok("predict", runs["bohr"], CASES / "bohr-hartree.xyz", "-o", "p.xyz")
    scores = json.loads(ok("evaluate", runs["bohr"], "p.xyz", "--json").stdout)["errors"]
    assert scores["energy"]["mae"] < 0.1  # meV/atom: the labels are the run's own predictions
    assert scores["forces"]["mae"] < 0.1


def test_formats_of_one_program_have_its_unit(runs, ok) -> None:
    atoms = read(CASES / "same-in-ev.xyz", 0)
    atoms.center(vacuum=8.0)
    expected = energies(ok("predict", runs["bohr"], _written("a.xyz", atoms), "--unit", "pos=A", "--json"))
    for name in ("a.vasp", "a.pdb", "a.xsf"):
        result = ok("predict", runs["bohr"], _written(name, atoms), "--json")
        assert "read in A, which this format fixes" in result.stderr
        assert energies(result) == pytest.approx(expected, abs=2e-2)  # a.pdb has three digits; Bohr would be off by eV


def _written(name: str, atoms: Any) -> Path:
    write(name, atoms, format="extxyz" if name.endswith("xyz") else None)
    return Path(name)


def test_names_of_the_run(runs, ok, run_cli) -> None:
    """Scored against dft_pbe and grad, of which the file has wrong namesakes."""
    own = json.loads(ok("evaluate", runs["keys"], CASES / "keys-of-the-run.xyz", "--json").stdout)["errors"]
    same = json.loads(ok("evaluate", runs["ev"], CASES / "same-in-ev.xyz", "--json").stdout)["errors"]
    assert own["forces"]["size"] == pytest.approx(same["forces"]["size"], rel=1e-6)
    others = ["--key", "energy=energy", "--key", "forces=forces"]
    told = json.loads(ok("evaluate", runs["keys"], CASES / "keys-of-the-run.xyz", *others, "--json").stdout)["errors"]
    assert told["forces"]["size"] == pytest.approx(0.3 * own["forces"]["size"], rel=1e-3)
    assert "names of the run: energy from 'dft_pbe'" in ok("evaluate", runs["keys"], CASES / "keys-of-the-run.xyz").stderr
    refused(run_cli("evaluate", runs["keys"], CASES / "same-in-ev.xyz"), "dft_pbe")
    ok("predict", runs["keys"], CASES / "same-in-ev.xyz", "--json")  # labels are not read


def test_charges_as_inputs(runs, ok, run_cli) -> None:
    source = CASES / "charges-as-input.xyz"
    first = ok("predict", runs["charges"], source, "--json")
    assert "charge read from 'q', as in the data of the run" in first.stderr
    assert "total_charge (of structure 1 first) is kept and not read" in first.stderr
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
    _written("mine.xyz", atoms)
    refused(run_cli("predict", runs["charges"], "mine.xyz"), "structure 0", "the model reads 'charge'", "--key charge=NAME")
    assert energies(ok("predict", runs["charges"], "mine.xyz", "--key", "charge=mine", "--json"))[0] == pytest.approx(energy, abs=1e-5)
    ok("relax", runs["charges"], source, "--steps", 2, "-o", "r.xyz")
    ok("md", runs["charges"], source, "--steps", 2, "--every", 1, "--equilibrate", 0, "-o", "m.traj")
    for name in ("r.xyz", "m.traj"):  # can be gone on with
        ok("predict", runs["charges"], name)
    ok("certify", runs["charges"], "--molecules", source, "-o", "c.json")
    ok("evaluate", runs["charges"], source)
    refused(run_cli("md", runs["charges"], CASES / "same-in-ev.xyz", "--steps", 2), "the model reads 'charge'")


# structures come out as they went in


def test_labels_in_the_last_frame_only(runs, ok) -> None:
    source = CASES / "energy-in-last-frame.xyz"
    assert len(energies(ok("predict", runs["ev"], source, "--json"))) == 4
    ok("relax", runs["ev"], source, "--steps", 2)
    ok("md", runs["ev"], source, "--steps", 2, "--equilibrate", 0)
    ok("certify", runs["ev"], "--molecules", source, "-o", "c.json")


@pytest.mark.parametrize("name", ["slab-selective.vasp", "slab-fixed.traj", "slab.xyz", "slab.json"])
def test_fixed_atoms_stay(name: str, runs, ok) -> None:
    source = CASES / name
    if not source.exists():
        slab = fcc111("Cu", (2, 2, 4), vacuum=8.0)
        slab.rattle(0.05)
        slab.set_constraint(FixAtoms(range(8)))
        source = _written(name, slab)
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
    source = _written(name, atoms)
    given = read(source)
    for command in ("predict", "relax"):
        ok(command, runs["ev"], source, "-o", "o.xyz", *(["--steps", "1"] if command == "relax" else []))
        found = read("o.xyz")
        assert found.arrays.keys() == given.arrays.keys()
        for key, array in given.arrays.items():
            assert key == "positions" or np.allclose(found.arrays[key], array, atol=1e-8), key
        assert found.info == given.info
        assert found.constraints[0].get_indices().tolist() == [0]
        assert found.calc.results.keys() >= {"energy", "forces"}


def test_velocities_of_the_file(runs, ok, run_cli) -> None:
    atoms = molecule("H2O")
    atoms.set_velocities(np.full((3, 3), 1e-3 / units.fs))
    options = ["--steps", 1, "--every", 1, "--timestep", 0.01, "-o", "m.traj", "--json"]
    for name in ("v.traj", "v.xyz"):
        summary = json.loads(ok("md", runs["ev"], _written(name, atoms), "--velocities", "keep", *options).stdout)
        assert summary["velocities"] == "those of the file"
        assert summary["equilibration steps"] == 0
        assert np.allclose(read("m.traj", 0).get_velocities(), atoms.get_velocities(), atol=1e-7)
        summary = json.loads(ok("md", runs["ev"], name, "--equilibrate", 0, *options).stdout)
        assert "in place of the file's" in summary["velocities"]
        assert not np.allclose(read("m.traj", 0).get_velocities(), atoms.get_velocities(), atol=1e-3)
    refused(run_cli("md", runs["ev"], CASES / "heavy-water.traj", "--velocities", "keep", "--steps", 1), "has no velocities")
    assert not list(Path().glob("heavy*"))


@pytest.mark.parametrize("command", ["predict", "relax", "md", "certify"])
def test_partial_occupancies_are_refused(command: str, runs, run_cli) -> None:
    Path("a.xyz").write_text("2\nProperties=species:S:1:pos:R:3:occupancy:R:1\nCu 0 0 0 0.5\nCu 0 0 2.5 1\n")
    arguments = [command, runs["copper"], *(["--molecules"] if command == "certify" else []), "a.xyz"]
    refused(run_cli(*arguments), "occupied in part (0.5): atom 0", "frame 0")


# what is predicted, and where it goes


def test_open_and_periodic_structures_of_a_run_with_stress(runs, ok) -> None:
    dimer, far = Atoms("Cu2", positions=[[0, 0, 0], [0, 0, 2.3]]), Atoms("Cu2", positions=[[0, 0, 0], [0, 0, 50]])
    slab = Atoms("Cu", cell=[2.5, 2.5, 9], pbc=[True, True, False])
    frames = [dimer, bulk("Cu"), Atoms("Cu"), bulk("Cu", cubic=True), far, slab, dimer]
    _written("mixed.xyz", frames)
    printed = json.loads(ok("predict", runs["copper"], "mixed.xyz", "--json").stdout)
    assert ["stress" in p for p in printed] == [False, True, False, True, False, True, False]  # the slab's is of its area
    assert all(np.isfinite(value).all() for p in printed for value in p.values())
    for k, atoms in enumerate(frames):
        atoms.calc = Calculator(runs["copper"])
        assert printed[k]["energy"] == pytest.approx(atoms.get_potential_energy(), abs=1e-5)
    _written("dimer.xyz", [dimer.copy()])
    for name in ("mixed.xyz", "dimer.xyz"):
        table = ok("predict", runs["copper"], name).stdout
        assert "stress (eV/A^3)" in table
        for output in ("p.xyz", "p.json", "p.npz", "p.traj"):
            ok("predict", runs["copper"], name, "-o", output)
    run = load_run(runs["copper"])
    with torch.inference_mode():
        assert [p["energy"] for p in predict(run, [atoms.copy() for atoms in frames])] == pytest.approx([p["energy"] for p in printed])


@pytest.mark.parametrize("command", ["predict", "relax", "md"])
def test_outputs_that_can_not_be(command: str, runs, run_cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Said before the work: the run is not even read."""
    _written("a.xyz" if command != "md" else "a.traj", Atoms("Cu2", positions=[[0, 0, 0], [0, 0, 2.3]]))
    source = "a.xyz" if command != "md" else "a.traj"
    before = Path(source).read_bytes()
    monkeypatch.setattr("intertwine.training.load_run", lambda *a, **k: pytest.fail("the run was read"))
    for output, word in (("p", "no format"), ("none/a.traj", "no folder"), (".", "is a folder"), (source, "file that is read")):
        refused(run_cli(command, runs["copper"], source, "-o", output), word)
    assert Path(source).read_bytes() == before
    assert [path.name for path in Path().iterdir()] == [source]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no such devices")
@pytest.mark.parametrize(
    "command", [["predict"], ["relax", "--steps", "1"], ["md", "--steps", "2", "--equilibrate", "0"]], ids=lambda c: c[0]
)
def test_devices(command: list[Any], runs, run_cli) -> None:
    _written("a.xyz", Atoms("Cu2", positions=[[0, 0, 0], [0, 0, 2.3]]))
    refused(run_cli(command[0], runs["copper"], "a.xyz", *command[1:], "-o", "/dev/full"), "/dev/full: can't be written: No space left")
    assert run_cli(command[0], runs["copper"], "a.xyz", *command[1:], "-o", os.devnull).exit_code in (0, 1)
    assert Path(os.devnull).is_char_device()
    assert Path("/dev/full").is_char_device()
    assert [path.name for path in Path().iterdir()] == ["a.xyz"]


def test_names_that_are_not_utf8(runs, ok, run_cli) -> None:
    """Outputs may have them; inputs are refused, as they would stand in reports."""
    name, output = os.fsdecode(b"d\xff.xyz"), os.fsdecode(b"o\xff.xyz")
    _written("a.xyz", Atoms("Cu2", positions=[[0, 0, 0], [0, 0, 2.3]]))
    ok("predict", runs["copper"], "a.xyz", "-o", output)
    ok("relax", runs["copper"], "a.xyz", "--steps", 1, "-o", os.fsdecode(b"r\xff.xyz"))
    ok("relax", runs["copper"], "a.xyz", "--steps", 1, "--json", "-o", os.fsdecode(b"r\xff.xyz"))
    ok("md", runs["copper"], "a.xyz", "--steps", 1, "--equilibrate", 0, "-o", os.fsdecode(b"m\xff.traj"))
    files = {b"a.xyz", b"o\xff.xyz", b"r\xff.xyz", b"m\xff.traj", b"m\xff.png"}
    assert {os.fsencode(path) for path in Path().iterdir()} == files
    shutil.copy("a.xyz", name)
    for command in ("predict", "relax", "md"):
        refused(run_cli(command, runs["copper"], name), "not UTF-8")


@pytest.mark.parametrize(("command", "options"), [("predict", []), ("relax", []), ("md", ["--steps", "2"]), ("evaluate", [])])
def test_weights_that_are_not_finite(command: str, options: list[str], runs, run_cli) -> None:
    shutil.copytree(runs["copper"], "r")
    state = load_checkpoint(Path("r/best.safetensors"))
    averaged = state["average"]["mean"] if "average" in state else []
    for tensor in (*state["weights"].values(), *averaged):
        if tensor.is_floating_point() and tensor.numel() > 1:
            tensor.reshape(-1)[0] = torch.nan
    save_checkpoint(Path("r/best.safetensors"), state)
    source = _written("a.xyz", bulk("Cu")) if command != "evaluate" else runs["copper"].parent / "copper.xyz"
    refused(run_cli(command, "r", source, *options), "not finite")


def test_a_structure_that_no_number_comes_of(runs, run_cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """The weights are sound and the answer is not: the structure is named."""
    from intertwine.tasks import ForceField

    whole = ForceField.predict

    def spoilt(self: ForceField, graph: Any) -> dict[str, torch.Tensor]:
        prediction = whole(self, graph)
        prediction["energy"] = torch.where(graph.cell.det() > 40, torch.inf, prediction["energy"])
        return prediction

    monkeypatch.setattr(ForceField, "predict", spoilt)
    _written("a.xyz", [bulk("Cu"), bulk("Cu"), bulk("Cu", cubic=True)])
    refused(run_cli("predict", runs["copper"], "a.xyz"), "structure 2", "the predicted energy is not finite")
    refused(run_cli("relax", runs["copper"], "a.xyz"), "the predicted energy is not finite")
    refused(run_cli("md", runs["copper"], "a.xyz", "--steps", 2), "the predicted energy is not finite", "step 0")
    refused(run_cli("evaluate", runs["copper"], runs["copper"].parent / "copper.xyz"), "structure 0", "not finite")


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


@pytest.mark.parametrize(("masses", "wrong"), [([16, 0, 1], "0"), ([16, np.nan, 1], "nan"), ([16, -1, 1], "-1")])
def test_masses_that_are_none(runs, run_cli, masses: list[float], wrong: str) -> None:
    atoms = molecule("H2O")
    atoms.set_masses(masses)
    atoms.write("m.traj")
    refused(run_cli("md", runs["ev"], "m.traj", "--steps", 2), f"atom 1 has a mass of {wrong}")
