"""Polarizabilities from a file: one command to train, and what a run is good for."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from ase.io import read, write
from typer.testing import CliRunner

from intertwine.cli import app

FILE = "tensors/salted_water_monomers_1k.xyz.gz"


def run(*arguments: object) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result.output


def test_polarizabilities_train_by_one_command(shared_data: Path, tmp_path: Path) -> None:
    source, folder = shared_data / FILE, tmp_path / "run"
    options = ("--set=data.limit=60", "--epochs", 2, "--run", folder, "--preset", "small")
    said = run("train", source, "--target", "alpha", *options)
    assert "symmetry ij=ji" in said
    report = json.loads((folder / "report.json").read_text())
    assert report["test"]["alpha"]["mae"] < 1.0  # of 9.9 on the diagonal: the references alone are within 0.5
    assert json.loads((folder / "certificate.json").read_text())["passed"]
    assert "alpha" in run("evaluate", folder)
    atoms = read(source, ":4", format="extxyz")
    write(tmp_path / "four.xyz", atoms, format="extxyz")
    run("certify", folder, "--molecules", tmp_path / "four.xyz")
    for suffix in ("npz", "xyz"):
        run("predict", folder, tmp_path / "four.xyz", "-o", tmp_path / f"p.{suffix}")
    found = np.load(tmp_path / "p.npz")["predicted_alpha"][:4]
    assert found.shape == (4, 3, 3)
    np.testing.assert_array_equal(found, found.transpose(0, 2, 1))
    np.testing.assert_allclose(found, np.stack([one.info["alpha"] for one in atoms]).reshape(4, 3, 3), atol=1.5)
    stored = np.asarray(read(tmp_path / "p.xyz", "0").info["predicted_alpha"]).reshape(3, 3)
    np.testing.assert_allclose(stored, found[0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("target", "options", "message"),
    [
        ("alpha", ("--model", "painn"), "needs 2e"),
        ("beta", ("--set", "task.representation=ij=ji"), "27 components, not 9"),
        ("alpha", ("--set", "task.representation=ij=-ji"), "has not the symmetry"),
    ],
)
def test_tensors_that_do_not_fit_are_named(
    target: str, options: tuple[str, ...], message: str, shared_data: Path, tmp_path: Path
) -> None:
    arguments = ["train", str(shared_data / FILE), "--target", target, "--set=data.limit=20", "--epochs", "1", *options]
    result = CliRunner().invoke(app, [*arguments, "--run", str(tmp_path / "run")])
    assert result.exit_code == 2
    assert message in result.output + result.stderr
    assert "Remedy" in result.output + result.stderr
