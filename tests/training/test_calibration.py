"""Random weights begin at the size of the labels, on whatever data; those that do so anyway keep their bits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from ase import Atoms
from ase.build import molecule
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write

from intertwine.data import GraphStore
from intertwine.geometry import collate
from intertwine.tasks import Task
from intertwine.training import load_checkpoint, train
from intertwine.training.calibration import MOST, calibrate
from intertwine.training.config import as_given, check
from intertwine.training.evaluation import fields_of
from intertwine.training.sets import open_sets
from intertwine.training.settle import settle


@pytest.fixture(scope="module")
def waters(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Water molecules in springs: two neighbours each, at 1 A, as far as can be from a uniform density."""
    generator, frames, path = torch.Generator().manual_seed(0), [], tmp_path_factory.mktemp("waters") / "waters.xyz"
    for _ in range(12):
        atoms: Atoms = molecule("H2O")
        moved = 0.05 * torch.randn(3, 3, generator=generator, dtype=torch.float64).numpy()
        atoms.positions += moved
        atoms.calc = SinglePointCalculator(atoms, energy=float(20 * (moved**2).sum()) - 470.0, forces=-40 * moved)
        frames.append(atoms)
    write(path, frames, format="extxyz")
    return path


def fresh(path: Path, name: str, **options: Any) -> tuple[Task, GraphStore]:
    """An untrained force field whose statistics are fitted, and the training set."""
    sections = as_given({"data": {"source": str(path)}, "model": {"name": name, **options}}, ())
    sets = open_sets(check(sections)[0], progress=False)
    task = settle(sets, sections).build()
    task.fit(sets.train[k] for k in range(len(sets.train)))
    return task, sets.prepared(task, fields_of(task, sets.source.fields)).train


def loss_and_nothing(task: Task, graphs: GraphStore) -> tuple[float, float]:
    """The loss of the first structures, and that of references without forces."""
    batch = collate([graphs[k] for k in range(5)])
    prediction = task.eval()(batch)
    nothing = {"energy": task.total(torch.zeros(5), batch), "forces": torch.zeros_like(prediction["forces"])}
    return tuple(
        sum(task.weights[name] * float(value) / count for name, (value, count) in task.losses(each, batch).items())
        for each in (prediction, nothing)
    )


@pytest.mark.parametrize("name", ["mace", "dimenet", "painn"])
def test_the_first_loss_is_about_that_of_the_labels(name: str, waters: Path) -> None:
    task, graphs = fresh(waters, name, preset="small")
    before, nothing = loss_and_nothing(task, graphs)
    assert before > MOST * nothing
    lines = calibrate(task, graphs)
    after, same = loss_and_nothing(task, graphs)
    assert same == nothing
    assert 0.1 * nothing < after < 4 * nothing
    assert bool(lines) == (name != "painn")  # whose outputs are not ten times too large
    weights = {key: value.clone() for key, value in task.state_dict().items()}
    assert calibrate(task, graphs) == []
    assert all(torch.equal(value, weights[key]) for key, value in task.state_dict().items())


def test_the_radial_networks_see_inputs_of_second_moment_one(waters: Path) -> None:
    """The gain alone would leave products of large numbers behind: after it the head reads numbers of order ten."""
    task, graphs = fresh(waters, "mace", preset="small")
    batch = collate([graphs[k] for k in range(5)])
    before = float(task.backbone(batch.in_precision(task.dtype)).detach().square().mean().sqrt())
    calibrate(task, graphs)
    assert float(task.backbone(batch.in_precision(task.dtype)).detach().square().mean().sqrt()) < 1e-2 * before


def test_what_is_of_the_right_size_keeps_its_bits_and_the_random_numbers(waters: Path) -> None:
    task, graphs = fresh(waters, "mpnn", preset="small")
    before, state = {key: value.clone() for key, value in task.state_dict().items()}, torch.get_rng_state()
    assert calibrate(task, graphs) == []
    assert all(torch.equal(value, before[key]) for key, value in task.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)
    assert task.training


def test_a_resumed_run_ends_with_the_same_bits_and_another_begins_with_them(
    waters: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = {"epochs": 2, "batch_size": 5, "threads": 1, "patience": 0, "schedule": "plateau", "certify": False}
    sections = {
        "data": {"source": str(waters), "validation": 2, "test_size": 0},
        "model": {"name": "mace", "preset": "small", "width": 4},
        "training": options,
    }
    train(sections, run=tmp_path / "whole")
    assert sum(line.startswith("scaled   ") for line in capsys.readouterr().out.splitlines()) == 1
    train(sections | {"training": options | {"epochs": 1}}, run=tmp_path / "halves", progress=False)
    train({"training": {"epochs": 2}}, run=tmp_path / "halves", resume=True)
    assert "scaled   " not in capsys.readouterr().out
    whole, halves = (load_checkpoint(tmp_path / name / "last.safetensors") for name in ("whole", "halves"))
    assert all(torch.equal(value, halves["weights"][key]) for key, value in whole["weights"].items())
    assert whole["rows"][0]["train_loss"] < 1e4
    later = {"data": sections["data"], "training": options | {"epochs": 1}, "start": {"run": str(tmp_path / "whole")}}
    train(later, run=tmp_path / "later")
    assert "scaled   " not in capsys.readouterr().out
    assert torch.equal(
        load_checkpoint(tmp_path / "later" / "last.safetensors")["weights"]["scale"], whole["weights"]["scale"]
    )


@pytest.mark.parametrize("knots", [8, 64, 128])
def test_a_table_of_radial_functions_begins_with_the_same_weights(knots: int, waters: Path) -> None:
    """Inputs are measured where the edges are, whatever the knots are."""
    tasks = []
    for count in (0, knots):
        torch.manual_seed(0)
        task, graphs = fresh(waters, "mace", width=8, radial_knots=count)
        before = {name: value.clone() for name, value in task.state_dict().items()}
        calibrate(task, graphs)
        first = "backbone.layers.0.radial.layer0.weight"
        assert not torch.equal(task.state_dict()[first], before[first])
        assert (task.backbone.edges.spline is None) == (count == 0)
        tasks.append(task)
    exact, table = (task.state_dict() for task in tasks)
    for name, value in exact.items():
        if name != "scale":
            torch.testing.assert_close(table[name], value, msg=name)
