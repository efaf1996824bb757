"""Labels in another unit, sign, order or size are told from the predictions, and nothing else is blamed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from ase import units
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write
from typer.testing import CliRunner

from intertwine.cli import app
from intertwine.data import ethanol
from intertwine.data.suspicion.misread import Labelled, misread
from intertwine.tasks.verdict import Causes, beaten, short_verdict, with_spoilt
from intertwine.training import load_run, predict, train
from intertwine.training.summary import doubts

UNITS = {
    ("eV", "Hartree"): 1 / units.Hartree, ("eV", "kcal/mol"): 23.0605, ("eV", "meV"): 1e3,
    ("eV/A", "Hartree/Bohr"): units.Bohr / units.Hartree, ("eV/A", "Ry/Bohr"): units.Bohr / units.Rydberg,
    ("eV/A", "kcal/mol/A"): 23.0605, ("eV/A", "meV/A"): 1e3, ("eV/A", "eV/nm"): 10.0,
    ("eV/A^3", "GPa"): 1 / units.GPa, ("eV/A^3", "kbar"): 10 / units.GPa, ("e*A", "Debye"): 1 / units.Debye,
}  # fmt: skip
COLUMNS = {"eV": 1, "eV/A": 3, "eV/A^3": 6, "e*A": 3}


def labelled(columns: int, seed: int = 0, error: float = 0.2) -> Labelled:
    """Predictions of 40 structures of 2 to 40 atoms, with errors of a share of the labels."""
    rng = np.random.default_rng(seed)
    atoms = rng.integers(2, 40, size=40).astype(float)
    truth = rng.normal(size=(40, columns)) if columns > 1 else -3.0 * atoms[:, None] * (1 + 0.05 * rng.random((40, 1)))
    size = np.sqrt(np.square(truth).mean()) if columns > 1 else 0.1 * np.abs(truth)
    return Labelled(truth + error * size * rng.normal(size=truth.shape), truth, atoms, 11 * atoms, 40)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("inverse", [False, True])
@pytest.mark.parametrize(("unit", "other"), UNITS)
def test_a_unit_is_named(unit: str, other: str, inverse: bool, sign: int) -> None:
    data = labelled(COLUMNS[unit])
    factor = 1 / UNITS[unit, other] if inverse else UNITS[unit, other]
    words, named = misread(data._replace(truth=sign * factor * data.truth), unit, vector=unit != "eV")
    assert f"seems to be in {named}" in words
    assert other in (named, words.partition(" or ")[2].split(",")[0].split()[:1][0] if " or " in words else named)
    assert ("with the opposite sign" in words) == (sign < 0)


@pytest.mark.parametrize("unit", [*COLUMNS, "A^3", ""])
@pytest.mark.parametrize("slope", [0.75, 1.0, 1.3])
def test_sound_labels_are_silent(unit: str, slope: float) -> None:
    for seed in range(5):
        data = labelled(COLUMNS.get(unit, 6), seed, 0.3)
        assert misread(data._replace(truth=slope * data.truth), unit, extensive=unit == "eV", vector=True) == ("", "")


@pytest.mark.parametrize("unit", ["eV/A", "eV/A^3", "e*A", "A^3"])
def test_what_is_not_learnt_is_no_other_sign(unit: str) -> None:
    for seed in range(10):
        data = labelled(COLUMNS.get(unit, 6), seed)
        shuffled = data.truth[np.random.default_rng(seed).permutation(40)]
        assert misread(data._replace(truth=shuffled), unit, vector=True) == ("", "")
    assert misread(data._replace(truth=0 * data.truth), unit, vector=True) == ("", "")


@pytest.mark.parametrize("error", [0.1, 0.6, 1.2])
@pytest.mark.parametrize("unit", ["eV/A", "eV/A^3", "e*A", "A^3"])
def test_the_opposite_sign_of_vectors_and_tensors(unit: str, error: float) -> None:
    """Also of a model that has learnt little."""
    data = labelled(COLUMNS.get(unit, 6), error=error)
    words, _ = misread(data._replace(truth=-data.truth), unit, vector=True)
    assert "one of the two has the opposite sign" in words


@pytest.mark.parametrize(
    "order", [[0, 1, 2, 5, 3, 4], [0, 1, 2, 4, 5, 3], [0, 1, 2, 5, 4, 3], [0, 5, 4, 1, 3, 2]], ids=str
)
@pytest.mark.parametrize("factor", [1.0, -1.0, 1 / units.GPa])
def test_another_order_of_a_stress(order: list[int], factor: float) -> None:
    data = labelled(6)
    words, named = misread(data._replace(truth=factor * data.truth[:, order]), "eV/A^3", vector=True)
    assert "in another order than xx yy zz yz xz xy" in words
    assert ("VASP's" in words) == (order == [0, 1, 2, 5, 3, 4])
    assert ("opposite" in words, named) == (factor < 0, "GPa" if factor > 1 else "")


@pytest.mark.parametrize("size", ["per atom", "times atoms", "times volume", "minus times volume", "opposite"])
def test_energies_per_atom_and_stresses_times_the_volume(size: str) -> None:
    data = labelled(6 if "volume" in size else 1)
    by = {"per atom": 1 / data.atoms, "times atoms": data.atoms, "times volume": data.volume,
          "minus times volume": -data.volume, "opposite": -np.ones(40)}[size][:, None]  # fmt: skip
    unit = "eV/A^3" if "volume" in size else "eV"
    words, _ = misread(data._replace(truth=by * data.truth), unit, extensive=unit == "eV", vector=unit != "eV")
    wanted = {"per atom": "divided by the number of atoms", "times atoms": "times the number of atoms",
              "opposite": "the opposite sign"}  # fmt: skip
    assert wanted.get(size, "times the volume of the cell") in words
    assert ("opposite" in words) == (size in ("minus times volume", "opposite"))


@pytest.mark.parametrize("energies", ["Hartree", "Ry", ""])
def test_of_two_units_the_one_that_goes_with_the_energies(energies: str) -> None:
    """Hartree/A is 27.2 and Ry/Bohr 25.7 eV/A."""
    data = labelled(3)
    words, named = misread(data._replace(truth=data.truth / 26.4), "eV/A", vector=True, energies=energies)
    assert named in {"Hartree": ["Hartree/A"], "Ry": ["Ry/Bohr"], "": ["Hartree/A", "Ry/Bohr"]}[energies]
    assert (" or " in words) == (not energies)


@pytest.mark.parametrize("target", ["energy", "forces", "stress"])
def test_a_misread_target_has_one_line_and_no_other_remedy(target: str) -> None:
    errors = {
        name: {"mae": 900.0, "rmse": 1200.0, "unit": "u", "ratio": {"mae": 50.0, "rmse": 49.0},
               "baseline": {"name": "zero", "mae": 18.0, "rmse": 24.0}} for name in (target, "other")
    }  # fmt: skip
    causes = Causes(misread={target: "the labels are twice the predictions; convert"}, spoilt={target: "the unit"})
    told = with_spoilt(errors, causes)
    lines = beaten(told)
    assert [line for line in lines if line.startswith(f"{target}: ")] == [f"{target}: {causes.misread[target]}"]
    assert len(lines) == 2
    assert f"{target}: the labels are twice the predictions" in short_verdict(told)
    assert "ratio" in errors[target]  # as they were


@pytest.mark.parametrize(
    ("factor", "words"),
    [(1.0, ""), (units.Bohr / units.Hartree, "in Hartree/Bohr"), (-1.0, "opposite sign"), (10.0, "in eV/nm")],
)
def test_evaluate_and_the_report_name_it(factor: float, words: str, tiny: dict, tmp_path: Path) -> None:
    """Of forces alone, beside energies that are sound: labels are the predictions of a run, with an error."""
    store, rng = ethanol(), np.random.default_rng(0)
    frames = [store[k].to_ase() for k in range(12)]
    tiny["training"] |= {"epochs": 1}
    first = train(tiny, progress=False, run=tmp_path / "first")
    for atoms, said in zip(frames, predict(load_run(first), frames), strict=True):
        forces = said["forces"] * (1 + 0.05 * rng.normal(size=said["forces"].shape))
        atoms.calc = SinglePointCalculator(atoms, energy=float(said["energy"]), forces=factor * forces)
    write(tmp_path / "test.xyz", frames, format="extxyz")
    done = CliRunner().invoke(app, ["evaluate", str(first), str(tmp_path / "test.xyz"), "--json"])
    told = json.loads(done.stdout)
    assert "misread" not in told["errors"]["energy"]
    assert words in told["errors"]["forces"].get("misread", "")
    assert ("misread" in told["errors"]["forces"]) == bool(words)
    lines = [line for line in told["warnings"] if line.startswith("forces: ")]
    assert [words in line and "train longer" not in line for line in lines] == [True] * bool(words)
    tiny["data"] |= {"test": str(tmp_path / "test.xyz")}  # of the same seed, the same weights
    report = json.loads((train(tiny, progress=False, run=tmp_path / "second") / "report.json").read_text())
    assert ("misread" in report["test"]["forces"]) == bool(words)
    assert bool(words) == any(words and words in line for line in report["warnings"])
    assert not words or words in doubts(load_run(tmp_path / "second"))[0]
