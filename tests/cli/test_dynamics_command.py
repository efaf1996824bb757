"""md and relax as a user types them: ensembles, log, resumption, cell."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from ase.build import bulk, molecule
from ase.constraints import FixAtoms, FixBondLength, FixCartesian, FixCom, FixScaled
from ase.io import read
from runs_in_use import refused, written

from intertwine.cli.dynamics import _when
from intertwine.cli.simulate import _cells, _going_on, _held, _remarks, report
from intertwine.tasks import TASKS

pytestmark = pytest.mark.usefixtures("own_folder")
SHORT = ["--steps", 12, "--every", 3, "--timestep", 2, "--equilibrate", 3, "-o", "m.traj"]


def crystal() -> Path:
    atoms = bulk("Cu", "fcc", a=3.6, cubic=True)
    atoms.rattle(0.02, seed=1)
    return written("crystal.xyz", atoms)


@pytest.mark.parametrize(
    ("ensemble", "conserved", "settings"),
    [
        (["nve"], "shadow energy", {}),
        (["nvt", "--friction", "0.02"], "less the heat from the langevin", {"friction (1/fs)": 0.02}),
        (["nvt", "--thermostat", "bussi"], "less the heat from the bussi", {"thermostat time (fs)": 100.0}),
        (["nvt", "--thermostat", "nose-hoover"], "Nose-Hoover chain", {"thermostat": "nose-hoover"}),
        (["npt", "--pressure", "1", "--barostat", "flexible"], "barostat", {"pressure asked for (GPa)": 1.0}),
    ],
)
def test_every_ensemble_says_what_it_conserves(
    ensemble: list[str], conserved: str, settings: dict, runs, run_cli
) -> None:
    result = run_cli("md", runs["copper"], crystal(), *SHORT, "--ensemble", *ensemble, "--json")
    assert result.exit_code == 0, result.output
    summary = json.loads(result.stdout)
    assert conserved in summary["conserved energy"]
    assert summary.items() >= settings.items()
    assert np.isfinite(summary["drift of the conserved energy (eV/atom/ns)"])
    assert ("drift of the total energy (eV/atom/ns)" in summary) == (ensemble == ["nve"])
    assert summary["log"] == "m.csv"
    assert Path("m.png").stat().st_size > 1000
    lines = Path("m.csv").read_text().splitlines()
    assert len(lines) == 6
    assert lines[0].startswith("step,time (ps),temperature (K),potential energy (eV)")
    assert len(read("m.traj", ":")) == 5


def test_a_run_goes_on_with_its_settings(runs, run_cli) -> None:
    source = crystal()
    bath = ["--ensemble", "nvt", "--thermostat", "bussi", "--temperature", 150]
    assert run_cli("md", runs["copper"], source, *SHORT, *bath).exit_code == 0
    Path("m.traj").rename("m.unfinished.traj")
    Path("m.csv").rename("m.unfinished.csv")
    result = run_cli("md", runs["copper"], "m.unfinished.traj", "--resume", "--steps", 18, "--json")
    assert result.exit_code == 0, result.output
    summary = json.loads(result.stdout)
    assert (summary["thermostat"], summary["steps"], summary["trajectory"]) == ("bussi", 18, "m.traj")
    assert summary["velocities"] == "those of the last frame"
    assert [frame.info["md_step"] for frame in read("m.traj", ":")] == [0, 3, 6, 9, 12, 15, 18]
    assert len(Path("m.csv").read_text().splitlines()) == 8
    again = ["md", runs["copper"], "m.traj", "--resume"]
    refused(run_cli(*again), "18 steps, all of which are done")  # as the last part was asked for
    refused(run_cli(*again, "--steps", 30, "--timestep", 1), "the timestep is 1.0, and 2.0 in the trajectory")
    refused(run_cli(*again, "--velocities", "keep"), "--velocities with --resume")
    refused(run_cli(*again, "--equilibrate", 5), "--equilibrate with --resume")
    refused(run_cli("md", runs["copper"], source, "--resume"), "no trajectory that can be read")


def test_a_run_goes_on_with_its_log(runs, run_cli) -> None:
    command = ["md", runs["copper"], crystal(), *SHORT[:-2], "--ensemble", "nvt", "-o", "a.traj", "--log", "b.csv"]
    assert run_cli(*command).exit_code == 0
    result = run_cli("md", runs["copper"], "a.traj", "--resume", "--steps", 18, "-o", "c.traj", "--json")
    assert result.exit_code == 0, result.output
    rows = np.genfromtxt("c.csv", delimiter=",", skip_header=1)
    assert rows[:, 0].tolist() == [0, 3, 6, 9, 12, 15, 18]
    assert json.loads(result.stdout)["mean temperature (K)"] == pytest.approx(rows[:, 2].mean())
    result = run_cli("md", runs["copper"], "a.traj", "--resume", "--steps", 18, "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["log"] == "b.csv"
    assert len(Path("b.csv").read_text().splitlines()) == 8
    Path("b.csv").unlink()
    result = run_cli("md", runs["copper"], "a.traj", "--resume", "--steps", 24, "--log", "d.csv")
    assert result.exit_code == 0, result.output
    assert "7 are made from the frames of a.traj" in result.output
    assert len(Path("d.csv").read_text().splitlines()) == 10
    refused(
        run_cli("md", runs["copper"], "c.traj", "--resume", "--steps", 30, "--log", "d.csv"), "lines that are not of"
    )


def test_equipartition_is_said(runs, run_cli) -> None:
    atoms = bulk("Cu", "fcc", a=3.6, cubic=True)
    result = run_cli("relax", runs["copper"], written("c.xyz", atoms), "--cell", "-o", "r.xyz")
    assert result.exit_code in (0, 1)
    result = run_cli(
        "md", runs["copper"], "r.xyz", "--steps", 60, "--timestep", 4, "--equilibrate", 0, "--seed", 1, "-o", "m.traj"
    )
    assert result.exit_code == 0
    assert "equipartition" in result.stderr
    assert "--equilibrate" in result.stderr


def test_relax_with_its_cell_and_steps(runs, run_cli) -> None:
    result = run_cli(
        "relax", runs["copper"], crystal(), "--cell", "--pressure", 1, "--trajectory", "r.traj", "--fmax", 0.02,
        "--steps", 100, "--json",
    )  # fmt: skip
    summary = json.loads(result.stdout)
    assert "not trained on stress" not in result.stderr
    assert result.exit_code == (0 if summary["converged"] else 1)
    assert summary["enthalpy gained (eV)"] >= 0
    assert len(read("r.traj", ":")) == summary["steps"] + 1
    after = read("crystal-relaxed.xyz")
    assert summary["volume (A^3)"] == pytest.approx(after.get_volume())
    assert summary["pressure (GPa)"] == pytest.approx(-after.get_stress()[:3].mean() * 160.21766208, rel=1e-5)
    if summary["converged"]:
        assert summary["pressure (GPa)"] == pytest.approx(1.0, abs=0.3)


@pytest.mark.parametrize("weight", [0.0, 0.1])
@pytest.mark.parametrize("cell", [False, True])
def test_a_cell_that_no_stress_was_learnt_of_is_told(cell: bool, weight: float, tmp_path: Path) -> None:
    atoms = SimpleNamespace(calc=SimpleNamespace(task=SimpleNamespace(weights={"forces": 1.0, "stress": weight})))
    assert _cells(tmp_path, atoms, cell) == []  # weights that were trained elsewhere
    (tmp_path / "report.json").write_text('{"epochs": 3}')
    assert bool(_cells(tmp_path, atoms, cell)) == (cell and not weight)


@pytest.mark.parametrize(
    ("losses", "trajectory", "words"),
    [
        ([], None, "relax out.xyz to go on"),
        (["out.xyz: extxyz does not hold momenta; .traj holds most"], None, "relax out.xyz to go on"),
        (["out.xyz: extxyz does not hold constraints (FixCom); ..."], Path("t.traj"), "relax t.traj, which has the"),
        (
            ["out.xyz: extxyz does not hold cell, constraints (FixCom); ..."],
            None,
            "begin again with -o out.traj, which",
        ),
    ],
)
def test_a_relaxation_goes_on_from_a_file_with_its_constraints(losses: list[str], trajectory, words: str) -> None:
    ended = SimpleNamespace(
        kept=3, steps=3, gained=0.1, converged=False, largest_force=0.2, methods=("L-BFGS",), departures=None
    )
    (note,) = _remarks(ended, 0.01, _going_on(losses, Path("out.xyz"), trajectory), cell=bool(losses))
    assert words in note
    assert ("on the cell" in note) == bool(losses)


FIXED = [FixAtoms([0]), FixCartesian(1, mask=(True, False, False)), FixScaled(2, mask=(False, True, False))]


@pytest.mark.parametrize("held", [[], FIXED[:1], [FixCom(), FIXED[1]], FIXED])
@pytest.mark.parametrize("others", [[], [FixCom()], [FixBondLength(0, 1)]])
@pytest.mark.parametrize("cell", [False, True])
def test_fixed_atoms_move_with_the_cell_is_told_and_of_other_constraints_nothing(cell: bool, held, others) -> None:
    notes = _held(SimpleNamespace(constraints=[*held, *others]), cell)
    assert ["keeps its place in the cell" in note for note in notes] == [True] * bool(cell and held)
    assert all("FixBond" not in note and "FixCom" not in note for note in notes)
    assert all(type(each).__name__ in note for each in held if type(each) is not FixCom for note in notes)


@pytest.mark.parametrize("wrong", ["rising", "nothing", "short"])
def test_relax_says_why_it_is_1(wrong: str, runs, run_cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """A climb along wrong forces, and steps that run out, end with 1 and a line; a structure at rest with 0."""
    from intertwine.integrations import Calculator

    atoms = molecule("H2O")
    rest = atoms.positions.copy()
    calculate = Calculator.calculate

    def rising(self, atoms=None, properties=("energy",), system_changes=()) -> None:
        calculate(self, atoms, properties, system_changes)
        moved = atoms.positions - rest
        self.results = self.results | {"energy": -2 * float((moved**2).sum()), "forces": -4 * moved}

    if wrong == "rising":
        monkeypatch.setattr(Calculator, "calculate", rising)
        atoms.positions += 0.02
    fmax = {"rising": 1e-3, "nothing": 1e3, "short": 1e-9}[wrong]
    result = run_cli("relax", runs["ev"], written("w.xyz", atoms), "--fmax", fmax, "--steps", 20, "--json")
    summary = json.loads(result.stdout)
    assert summary["gained (eV)"] >= 0
    assert result.exit_code == (0 if wrong == "nothing" else 1)
    assert summary["converged"] == (wrong == "nothing")
    assert ("not converged: a force of" in result.stderr) == (wrong != "nothing")
    assert ("the energy rises along the forces" in result.stderr) == (wrong == "rising")


def test_help_says_what_a_user_searches_for(run_cli) -> None:
    for command, words in {
        "md": ("NVE", "NVT", "NPT", "thermostat", "barostat", "friction", "langevin", "nose-hoover", "GPa", "1/fs"),
        "relax": ("--cell", "--pressure", "--trajectory", "FIRE", "Exit code", "far outside of the training data"),
        "train": tuple(TASKS),
        "": ("certify: a test failed", "relax: forces are left", "train ends with 0"),
    }.items():
        text = " ".join(run_cli(*command.split(), "--help").stdout.replace("│", " ").split())
        for word in words:
            assert word in text, (command, word)


@pytest.mark.parametrize(
    ("ensemble", "equilibrate", "words"),
    [
        ("nve", 0, ""),
        ("nvt", 2000, "; the 2,000 steps of the equilibration count"),
        ("npt", 0, ", and at every step of npt, where the cell changes"),
    ],
)
def test_it_is_said_when_a_neighbour_list_is_built(ensemble: str, equilibrate: int, words: str) -> None:
    said = _when(0.5, {"ensemble": ensemble, "equilibrate": equilibrate})
    assert said == f"where an atom has moved by 0.25 A, half the skin, since the last{words}"


def test_large_energies_are_printed_to_a_tenth_of_a_mev(monkeypatch: pytest.MonkeyPatch) -> None:
    printed: list[list[str]] = []
    monkeypatch.setattr("intertwine.cli.console.table", lambda title, columns, rows: printed.extend(rows))
    for energy in (-17661.12341, -17661.12284, 2.5e-5):
        report({"energy (eV)": energy}, False, "relaxation")
    report({"largest force (eV/A)": 1234.56789, "drift": None}, False, "relaxation")
    assert [value for _, value in printed] == ["-17661.1234", "-17661.1228", "2.5e-05", "1234.57", "none"]


def test_a_resumed_run_says_how_it_began_and_leaves_the_log_of_its_original(runs, run_cli) -> None:
    result = run_cli("md", runs["copper"], crystal(), *SHORT, "--precision", "float32", "--json")
    assert result.exit_code == 0, result.output
    began, log = json.loads(result.stdout), Path("m.csv").read_text()
    shutil.copy("m.traj", "copy.traj")
    refused(
        run_cli("md", runs["copper"], "copy.traj", "--resume", "--steps", 18, "--precision", "float64"),
        "the precision is float64, and float32 in the trajectory", "--precision float32",
    )  # fmt: skip
    result = run_cli("md", runs["copper"], "copy.traj", "--resume", "--steps", 18, "--json")
    assert result.exit_code == 0, result.output
    summary = json.loads(result.stdout)
    assert (summary["log"], summary["equilibration steps"]) == ("copy.csv", 3)
    assert summary["centre of mass"] == began["centre of mass"] == "at rest to begin with"
    assert Path("m.csv").read_text() == log
    assert Path("copy.csv").read_text().startswith(log)
    assert len(Path("copy.csv").read_text().splitlines()) == 8


def test_a_default_temperature_is_not_called_asked_for(runs, run_cli) -> None:
    atoms = read(crystal())
    atoms.set_momenta(np.random.default_rng(0).normal(size=(len(atoms), 3)))
    start = written("moving.traj", atoms)
    keep = ["--velocities", "keep", "--steps", 5, "--every", 10, "--overwrite", "-o", "m.traj", "--json"]
    result = run_cli("md", runs["copper"], start, *keep)
    assert result.exit_code == 0, result.output
    assert "asked for" not in result.stderr
    assert "1 recorded step: no drift and no fluctuation" in result.stderr
    assert "too short for a drift" in result.stderr
    summary = json.loads(result.stdout)
    assert summary["drift of the conserved energy (eV/atom/ns)"] is None
    assert summary["fluctuation of the total energy (meV/atom)"] is None
    assert summary["centre of mass"] == "free"
    asked = run_cli("md", runs["copper"], start, *keep, "--temperature", 3000)
    assert "where 3000 K were asked for" in asked.stderr
