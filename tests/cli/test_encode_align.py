"""intertwine encode, align: codes in files, two inputs laid on each other, and what is refused."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from ase.io import write
from typer.testing import CliRunner

from intertwine.cli import app
from intertwine.training import train

SMALL = {"epochs": 1, "threads": 1, "certify": False, "batch_size": 4}


def molecules() -> list[Atoms]:
    rng = np.random.default_rng(0)
    frames = []
    for k in range(10):
        atoms = molecule(("CH3CH2OH", "CH3OH")[k % 2])
        atoms.positions += 0.1 * rng.normal(size=atoms.positions.shape)
        frames.append(atoms)
    return frames


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of molecules, and files: molecules, the first of them turned and listed anew, methane."""
    folder = tmp_path_factory.mktemp("codes")
    frames = molecules()
    write(folder / "molecules.xyz", frames)
    moved = frames[0][[3, 1, 8, 0, 2, 7, 5, 4, 6]]
    moved.rotate(70, (1.0, 2.0, 3.0))
    moved.translate((3.0, 0.0, 1.0))
    write(folder / "moved.xyz", moved)
    write(folder / "methane.xyz", molecule("CH4"))
    config = {
        "data": {"source": str(folder / "molecules.xyz")},
        "task": {"name": "point_autoencoder", "code": 5, "hidden": 16, "channels": 6},
        "model": {"name": "painn", "width": 8, "layers": 1, "radial_size": 4},
        "training": SMALL,
    }
    train(config, run=folder / "run", progress=False)
    return folder


def call(folder: Path, *words: Any) -> Any:
    return CliRunner().invoke(app, [str(word) for word in words])


def test_codes_are_written_as_arrays_and_as_columns(folder: Path, tmp_path: Path) -> None:
    data = folder / "molecules.xyz"
    result = call(folder, "encode", folder / "run", data, "-o", tmp_path / "a.npz")
    assert result.exit_code == 0, result.output
    assert "wrote 10 codes of 5 numbers" in result.stderr
    arrays = np.load(tmp_path / "a.npz")
    assert set(arrays) == {"code", "frame", "open"}
    assert arrays["code"].shape == (10, 5)
    assert arrays["frame"].tolist() == list(range(10))
    assert call(folder, "encode", folder / "run", data, "-o", tmp_path / "a.csv", "--limit", 3).exit_code == 0
    rows = list(csv.reader((tmp_path / "a.csv").open()))
    assert rows[0] == ["frame", "open", *(f"code_{k}" for k in range(5))]
    np.testing.assert_allclose(np.array(rows[1:], dtype=float)[:, 2:], arrays["code"][:3], rtol=1e-5, atol=1e-6)
    again = call(folder, "encode", folder / "run", data, "-o", tmp_path / "a.npz")
    assert again.exit_code == 2
    assert "--overwrite" in again.stderr


def test_a_moved_molecule_has_the_same_code_and_is_laid_on_the_first(folder: Path) -> None:
    result = call(folder, "align", folder / "run", folder / "molecules.xyz", folder / "moved.xyz", "--json")
    assert result.exit_code == 0, result.output
    laid = json.loads(result.stdout)
    assert laid["change of the code"] < 2e-5
    assert max(laid["rmsd"], laid["kabsch"], laid["best"]) < 1e-3
    assert laid["angle"] == pytest.approx(70.0, abs=0.1)
    order = [3, 1, 8, 0, 2, 7, 5, 4, 6]
    assert [order[k] for k in laid["partner"]] == list(range(9))
    table = call(folder, "align", folder / "run", folder / "molecules.xyz", folder / "moved.xyz")
    assert "Kabsch" in table.stdout
    assert "70.0" in table.stdout


def test_symmetric_molecules_are_told(folder: Path) -> None:
    methane = folder / "methane.xyz"
    result = call(folder, "align", folder / "run", methane, methane, "--json")
    assert result.exit_code == 0, result.output
    assert "A: vectors of length" in result.stderr
    assert json.loads(result.stdout)["best"] < 1e-6


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["encode", "run", "molecules.xyz", "-o", "a.banana"], ".banana"),
        (["encode", "run", "molecules.xyz", "-o", "no/a.npz"], "no folder"),
        (["encode", "run", "molecules.xyz", "-o", "molecules.xyz"], "not written to .xyz"),
        (["encode", "run", "gone.xyz", "-o", "a.npz"], "gone.xyz"),
        (["encode", "none", "molecules.xyz", "-o", "a.npz"], "no such run folder"),
        (["align", "run", "molecules.xyz", "methane.xyz"], "not of the same species"),
        (["align", "run", "methane.xyz", "methane.xyz", "--frame-b", 4], "frame 4 of 1 frame"),
    ],
)
def test_what_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch, words: list[Any], message: str) -> None:
    monkeypatch.chdir(folder)
    result = call(folder, *words)
    assert result.exit_code == 2, result.output
    assert message in result.stderr
    assert "Remedy:" in result.stderr


def test_molecules_of_more_atoms_are_refused_by_frame(folder: Path, tmp_path: Path) -> None:
    write(tmp_path / "large.xyz", molecule("C2H6") + Atoms("OHHH", positions=np.eye(4)[:, :3] + 5.0))
    result = call(folder, "encode", folder / "run", tmp_path / "large.xyz", "-o", tmp_path / "a.npz")
    assert result.exit_code == 2, result.output
    assert "12 atoms, and the code is of 9 at most" in result.stderr
    assert "large.xyz" in result.stderr


def test_images_are_laid_on_each_other(tmp_path: Path) -> None:
    """An image on itself needs no turn, and the angle of another one is told in degrees."""
    config = {
        "data": {"source": "digits", "train": 32, "validation": 16, "test_size": 16},
        "task": {"name": "autoencoder", "code": 4, "hidden": 16},
        "model": {"name": "steerable_cnn", "width": 4, "layers": 1, "strides": (), "level": "node"},
        "training": SMALL | {"batch_size": 16},
    }
    train(config, run=tmp_path / "run", progress=False)
    same = call(tmp_path, "align", tmp_path / "run", "digits", "digits", "--frame-a", 3, "--frame-b", 3, "--json")
    assert same.exit_code == 0, same.output
    laid = json.loads(same.stdout)
    assert abs(laid["angle"]) < 1e-3
    assert laid["change of the code"] == 0
    assert set(laid) == {"angle", "rotation", "change of the code", "rmse", "best", "open"}
    other = call(tmp_path, "align", tmp_path / "run", "digits", "digits", "--frame-b", 3)
    assert other.exit_code == 0, other.output
    assert "degrees" in other.stdout
    assert "RMSE of the pixels, as found" in other.stdout
