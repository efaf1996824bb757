"""A small run made through the command line, and the command line itself."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write
from typer.testing import CliRunner

from intertwine.cli import app
from intertwine.data import molecules

SMALL = ["--set", "model.width=8", "--set", "model.layers=1", "--set", "training.threads=1", "--set", "model.cutoff=3.5"]


def call(*arguments: object) -> Any:
    """The command with these arguments, its two streams apart."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="session")
def run_cli() -> Callable[..., Any]:
    return call


def ethanol_frames(count: int) -> list[Atoms]:
    """Ethanol with its atoms displaced, under springs to their places: energies (eV) and forces (eV/A) to learn."""
    graph, rng = molecules()[4], np.random.default_rng(0)
    frames = []
    for _ in range(count):
        shift = 0.05 * rng.normal(size=(9, 3))
        atoms = Atoms(graph.z.numpy(), positions=graph.pos.numpy() + shift)
        atoms.calc = SinglePointCalculator(atoms, energy=-4200.0 + 5.0 * float((shift**2).sum()), forces=-10.0 * shift)
        frames.append(atoms)
    return frames


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
