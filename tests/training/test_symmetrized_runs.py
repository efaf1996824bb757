"""Runs whose model is made equivariant from outside: trained, loaded, gone on with, begun from, and used."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from ase.build import molecule
from ase.io import read

from intertwine.certify import certify
from intertwine.geometry import Graph
from intertwine.integrations import Calculator
from intertwine.models import PointNet
from intertwine.numerics import InputError
from intertwine.symmetrize import SymmetrizedBackbone
from intertwine.tasks import ForceField
from intertwine.training import load_run, predict, resolve, save_task, train
from intertwine.training.module import TrainingModule

MODEL = {"name": "pointnet", "width": 8, "pooled": 8, "hidden": 8}
OPTIONS = {"epochs": 1, "batch_size": 5, "threads": 1, "patience": 0, "schedule": "plateau", "certify": False}


def sections(molecules: Path, **more: Any) -> dict[str, Any]:
    data = {"source": str(molecules), "train": 16, "validation": 4, "test_size": 0}
    return {"data": data, "model": MODEL, "training": OPTIONS} | more


@pytest.fixture(scope="module")
def framed(molecules: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("framed") / "run"
    chosen = {"method": "frames", "draw": "training", "chunk": 4}
    return train(sections(molecules, symmetrize=chosen), progress=False, run=folder)


def turned_energies(run: Path, molecules: Path) -> tuple[float, float]:
    """Of one molecule and of the same after a turn."""
    atoms = read(molecules, 0)
    loaded = load_run(run, dtype=torch.float64)
    before = float(predict(loaded, [atoms])[0]["energy"])
    atoms.rotate(70, (1, 2, 3))
    return before, float(predict(loaded, [atoms])[0]["energy"])


def test_the_run_is_loaded_and_used(framed: Path, molecules: Path) -> None:
    task = load_run(framed).task
    assert isinstance(task.backbone, SymmetrizedBackbone)
    assert task.backbone.framing.draw == "training"
    before, after = turned_energies(framed, molecules)
    assert before == pytest.approx(after, abs=1e-9)
    assert task.backbone.card.symmetry == "E(n) where frames are unique"
    calculator = Calculator(framed)
    atoms = read(molecules, 0)
    atoms.calc = calculator
    assert float(atoms.get_potential_energy()) == pytest.approx(before, rel=1e-5)


def test_it_goes_on(framed: Path) -> None:
    train({"training": {"epochs": 2}}, progress=False, run=framed, resume=True)
    assert load_run(framed, which="last").epoch == 2
    with pytest.raises(InputError, match="'symmetrize' differs"):
        train({"symmetrize": {"method": "weighted"}}, progress=False, run=framed, resume=True)


@pytest.mark.parametrize("method", ["weighted", "canonical", "none"])
def test_another_begins_with_its_weights(framed: Path, molecules: Path, tmp_path: Path, method: str) -> None:
    given = sections(molecules, symmetrize={"method": method}, start={"run": str(framed)})
    del given["model"]
    task = load_run(train(given, progress=False, run=tmp_path / "run")).task
    assert isinstance(task.backbone, PointNet if method == "none" else SymmetrizedBackbone)


def test_a_plain_run_is_put_into_frames(molecules: Path, tmp_path: Path) -> None:
    plain = train(sections(molecules), progress=False, run=tmp_path / "plain")
    before, after = turned_energies(plain, molecules)
    assert abs(before - after) > 1e-6
    given = sections(molecules, symmetrize={"method": "average", "group": "octahedral"}, start={"run": str(plain)})
    del given["model"]
    task = load_run(train(given, progress=False, run=tmp_path / "run")).task
    assert task.backbone.card.symmetry == "T(3) x octahedral"


def test_a_prior_is_part_of_the_loss(molecules: Path) -> None:
    chosen = {"method": "canonical", "prior": 3.0}
    task = resolve(sections(molecules, task={"name": "force_field"}, symmetrize=chosen)).build()
    graph = Graph.from_ase(read(molecules, 0)).cast(torch.float32)
    penalty = task.backbone.penalty(graph)
    assert float(penalty) == pytest.approx(3.0 * float(task.backbone.framing.prior(graph)))
    module = TrainingModule(task, resolve().training, 1)
    module.trainer = SimpleNamespace(world_size=1)
    graph.energy, graph.forces = torch.tensor([1.0]), torch.zeros(graph.num_nodes, 3)
    whole = float(module.training_step(graph, 0))
    task.backbone.prior = 0.0
    assert whole - float(module.training_step(graph, 0)) == pytest.approx(float(penalty), rel=1e-3)


def test_a_task_in_frames_is_saved(tmp_path: Path) -> None:
    task = ForceField(SymmetrizedBackbone(PointNet(8, 8, 8, species=(1, 6, 8)), "weighted", group="SE(n)", width=0.4))
    save_task(task, tmp_path / "task.safetensors")
    loaded = load_run(tmp_path / "task.safetensors").task
    assert loaded.backbone.framing.options == {"width": 0.4}
    assert loaded.backbone.card.symmetry == "SE(n)"


def test_vectors_of_a_model_of_scalars() -> None:
    """A linear map in each frame makes vectors, which turn with the structure."""
    torch.manual_seed(0)
    backbone = SymmetrizedBackbone(PointNet(8, 8, 8).double(), "frames", irreps="4x0e + 2x1o").double()
    assert str(backbone.irreps_out) == "4x0e+2x1o"
    ethanol = Graph.from_ase(molecule("CH3CH2OH"))
    certificate = certify(backbone, ethanol, symmetry=backbone.card.symmetry, quick=True, dtypes=(torch.float64,))
    assert certificate.verdict == "exact", certificate.summary()


def test_options_without_a_method_are_refused() -> None:
    with pytest.raises(InputError, match="nothing is symmetrized"):
        resolve({"symmetrize": {"order": 4}})
    with pytest.raises(InputError, match=r"symmetrize\.method"):
        resolve({"symmetrize": {"method": "median"}})
