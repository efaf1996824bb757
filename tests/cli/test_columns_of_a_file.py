"""A file whose atoms have twenty numbers each: one option names them, and any model trains on them and predicts with
them.
"""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import read, write
from molecular import MODELS
from switches import as_users_run_it

from intertwine.training.sections import read_config

CHECKED = ("mace", "painn")  # models with which annotations are checked on these paths
FEW = ["--preset", "small", "--set", "model.layers=1", "--epochs", 1, "--train", 4, "--validation", 2]
FEW += ["--set", "training.threads=1", "--set", "training.certify=false", "--quiet"]


@pytest.fixture(scope="module")
def described(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight structures with energies, forces and 20 columns of ``soap``."""
    random, frames = np.random.default_rng(0), []
    for _ in range(8):
        atoms = Atoms("OCHH", random.normal(size=(4, 3)) * 1.2)
        atoms.arrays["soap"] = random.normal(size=(4, 20))
        atoms.calc = SinglePointCalculator(atoms, energy=float(random.normal()), forces=random.normal(size=(4, 3)))
        frames.append(atoms)
    path = tmp_path_factory.mktemp("described") / "described.xyz"
    write(path, frames, format="extxyz")
    return path


@pytest.mark.parametrize("name", MODELS)
def test_twenty_columns(name: str, run_cli, tmp_path: Path, described: Path) -> None:
    run = tmp_path / name
    other = read(described, ":")
    for atoms in other:
        atoms.arrays["soap"] = -atoms.arrays["soap"]
    write(tmp_path / "other.xyz", other, format="extxyz")
    with contextlib.nullcontext() if name in CHECKED else as_users_run_it():
        trained = run_cli("train", described, "--key", "x=soap", "--model", name, "--run", run, *FEW)
        assert trained.exit_code == 0, trained.output
        assert read_config(run / "config.toml")["model"]["node_inputs"] == {"x": 20}
        predicted = run_cli("predict", run, described, "--json")
        changed = run_cli("predict", run, tmp_path / "other.xyz", "--json")
    assert predicted.exit_code == 0, predicted.output
    assert changed.exit_code == 0, changed.output
    energies = [np.array([one["energy"] for one in json.loads(result.stdout)]) for result in (predicted, changed)]
    assert np.isfinite(energies).all()
    assert (energies[0] != energies[1]).all()


def test_a_list_is_of_one_column_each(run_cli, tmp_path: Path, described: Path) -> None:
    """Another number of columns is refused before anything is trained, with what to write."""
    options = ["--model", "schnet", "--run", tmp_path / "run", *FEW]
    refused = run_cli("train", described, "--key", "x=soap", "--set", 'model.node_inputs=["x"]', *options)
    assert refused.exit_code == 2, refused.output
    assert "x: 20 columns, and the model takes 1 here" in refused.stderr
    assert "node_inputs = {'x': 20}" in refused.stderr
    written = run_cli("train", described, "--key", "x=soap", "--set", "model.node_inputs={x = 20}", *options)
    assert written.exit_code == 0, written.output


OWN = """
import torch
from intertwine import Graph
from intertwine.data import GraphStore


def sites():
    draw = lambda *shape: torch.randn(*shape, generator=generator, dtype=torch.float64)
    generator, about = torch.Generator().manual_seed(0), {"z": [8, 6, 1, 1], "representations": {"u": "2x1o"}}
    graphs = [
        Graph(draw(4, 3), site=draw(4, 3), u=draw(4, 6), energy=draw(1), forces=draw(4, 3), **about) for _ in range(8)
    ]
    return GraphStore.from_graphs(graphs, name="sites")
"""


def test_fields_of_ones_own_are_trained_on(run_cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Invariants and vectors of the nodes of a data set that the library knows nothing of."""
    (tmp_path / "my_sites.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    inputs = ["--set", "model.node_inputs={site = 3}", "--set", "model.vector_inputs={u = 2}"]
    trained = run_cli("train", "my_sites:sites", "--model", "painn", "--run", tmp_path / "run", *inputs, *FEW)
    assert trained.exit_code == 0, trained.output
    evaluated = run_cli("evaluate", tmp_path / "run", "my_sites:sites", "--allow", "my_sites", "--json")
    assert evaluated.exit_code == 0, evaluated.output


def test_whole_numbers_are_written_as_such(run_cli, tmp_path: Path, described: Path) -> None:
    frames = read(described, ":")
    for k, atoms in enumerate(frames):
        atoms.arrays["atomid"] = np.arange(4) + 10 * k
    write(tmp_path / "numbered.xyz", frames, format="extxyz")
    run = tmp_path / "run"
    trained = run_cli("train", tmp_path / "numbered.xyz", "--model", "schnet", "--run", run, *FEW)
    assert trained.exit_code == 0, trained.output
    for command, extra in (("predict", []), ("relax", ["--steps", 1])):
        output = tmp_path / f"{command}.xyz"
        done = run_cli(command, run, tmp_path / "numbered.xyz", "-o", output, *extra)
        assert output.is_file(), done.output
        assert "atomid:I:1" in output.read_text()
        assert read(output, "0").arrays["atomid"].dtype.kind == "i"
