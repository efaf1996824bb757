"""`intertwine deploy`, and the commands that read its file as they read a run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from ase.build import molecule
from ase.io import read, write

from intertwine.cli.deploy import _not_told_apart
from intertwine.models import MACE
from intertwine.tasks import ForceField
from intertwine.training import save_task


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With the weights of a small force field of water, and a structure."""
    folder = tmp_path_factory.mktemp("deploy")
    torch.manual_seed(0)
    task = ForceField(MACE(width=4, layers=1, lmax=1, correlation=2, cutoff=3.0, species=(1, 8), radial_knots=128))
    save_task(task.eval(), folder / "model.safetensors", species=(1, 8))
    water = molecule("H2O")
    water.rattle(0.02, seed=0)
    write(folder / "water.xyz", water)
    return folder


@pytest.fixture(scope="module")
def file(run_cli, folder: Path) -> Path:
    result = run_cli("deploy", folder / "model.safetensors", "-o", folder / "model.iw")
    assert result.exit_code == 0, result.output
    assert "passed" in result.stdout
    assert "tables of 128 knots" in " ".join(result.stdout.split())
    return folder / "model.iw"


def test_a_file_is_told_in_words_and_as_json(run_cli, file: Path) -> None:
    words = run_cli("info", file)
    assert words.exit_code == 0, words.output
    assert "SHA-256 of the weights" in words.stdout
    about = json.loads(run_cli("info", file, "--json").stdout)
    assert about["model"]["name"] == "mace"
    assert about["certificate"]["passed"] is True


def test_a_file_predicts_and_moves_as_its_run_does(run_cli, file: Path, folder: Path, tmp_path: Path) -> None:
    energies = []
    for source in (file, folder / "model.safetensors"):
        result = run_cli("predict", source, folder / "water.xyz", "-o", tmp_path / f"{source.suffix}.xyz")
        assert result.exit_code == 0, result.output
        energies.append(read(tmp_path / f"{source.suffix}.xyz").info["predicted_energy"])
    assert abs(energies[0] - energies[1]) < 1e-5
    result = run_cli(
        "md", file, folder / "water.xyz", "--steps", 5, "--equilibrate", 0, "--every", 1, "-o", tmp_path / "md.traj",
        "--json",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["steps"] == 5
    assert len(read(tmp_path / "md.traj", ":")) == 6


def test_a_file_is_certified_again(run_cli, file: Path, tmp_path: Path) -> None:
    result = run_cli("certify", file, "-o", tmp_path / "certificate.json", "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["passed"] is True
    assert json.loads((tmp_path / "certificate.json").read_text())["symmetry"] == "conformance"


@pytest.mark.parametrize("command", ["info", "certify"])
def test_what_is_no_deployed_file_is_said(run_cli, tmp_path: Path, command: str) -> None:
    (tmp_path / "other.iw").write_text("hello")
    result = run_cli(command, tmp_path / "other.iw")
    assert result.exit_code == 2
    assert "is not a deployed model" in result.stderr
    assert "intertwine deploy RUN -o model.iw" in " ".join(result.stderr.split())


def test_a_name_without_the_ending_is_refused(run_cli, folder: Path, tmp_path: Path) -> None:
    result = run_cli("deploy", folder / "model.safetensors", "-o", tmp_path / "model.pt")
    assert result.exit_code == 2
    assert "call it model.iw" in " ".join(result.stderr.split())


@pytest.mark.parametrize("symbols", [[], ["Cu"], ["H", "C", "O"]])
def test_references_that_compositions_leave_open_are_not_said_to_be_of_atoms(symbols: list[str]) -> None:
    words = _not_told_apart(symbols)
    assert bool(words) == bool(symbols)
    assert not symbols or f"those of {', '.join(symbols)} can't be told apart" in words
