"""A small run made through the command line, and the command line itself."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import runs_in_use
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.io import write
from child_processes import SMALL
from ethanol_springs import ethanol_frames
from typer.testing import CliRunner

from intertwine.cli import app
from intertwine.integrations import to_atoms


def call(*arguments: object) -> Any:
    """The command with these arguments, its two streams apart."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    """`make` tells its commands that there are 80 columns, in which tables wrap."""
    monkeypatch.setenv("COLUMNS", "160")


@pytest.fixture(scope="session")
def run_cli() -> Callable[..., Any]:
    return call


@pytest.fixture(scope="session")
def ethanol_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "tiny.xyz"
    write(path, ethanol_frames(20), format="extxyz")
    return path


@pytest.fixture(scope="session")
def trained(ethanol_file: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any], Any]:
    """Run folder, what ``train --json`` printed, and how it ended."""
    folder = tmp_path_factory.mktemp("runs") / "ethanol"
    result = call("train", ethanol_file, "--model", "painn", "--epochs", 2, "--run", folder, "--json", *SMALL)
    assert result.exit_code == 0, result.output
    return folder, json.loads(result.stdout), result


@pytest.fixture
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The test works in a folder of its own."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="session")
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
        "bohr": ["bohr-hartree.xyz", *runs_in_use.BOHR],
        "ev": ["same-in-ev.xyz"],
        "keys": ["keys-of-the-run.xyz", "--key", "energy=dft_pbe", "--key", "forces=grad"],
        "charges": ["charges-as-input.xyz", "--key", "charge=q", "--set", 'model.node_inputs=["charge"]'],
        "copper": [folder / "copper.xyz", "--train", 4, "--validation", 1],
    }
    for name, (source, *options) in settings.items():
        result = run_cli("train", runs_in_use.CASES / source, "--run", folder / name, *options, *runs_in_use.SMALL)
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
