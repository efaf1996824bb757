"""torch's default precision, which mace-torch and nequip change, and the precision of a model decide nothing of each
other: tasks are made, runs are loaded, and used, under either.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from ase.build import molecule
from switches import default_precision

from intertwine.certify import certify
from intertwine.data import to_graph
from intertwine.geometry import connect
from intertwine.integrations import Calculator
from intertwine.models import MODELS
from intertwine.symmetrize.backbone import METHODS, SymmetrizedBackbone
from intertwine.tasks import ForceField, Property
from intertwine.training import load_run, save_task

PRECISIONS = [torch.float32, torch.float64]


def precisions(module: torch.nn.Module) -> set[torch.dtype]:
    """Of the weights."""
    return {weight.dtype for weight in module.parameters()}


@pytest.mark.parametrize("default", PRECISIONS)
@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize("task", [ForceField, Property])
def test_a_task_has_the_precision_of_its_backbone(
    task: type[torch.nn.Module], dtype: torch.dtype, default: torch.dtype
) -> None:
    graph = connect(to_graph(molecule("CH3CH2OH")), 4.0)
    with default_precision(default):
        made = task(MODELS["painn"](width=8, layers=1, species=(1, 6, 8)).to(dtype))
        assert precisions(made) == {dtype}
        usual = {name: value.dtype for name, value in made(graph).items()}
    with default_precision(torch.float32):
        again = task(MODELS["painn"](width=8, layers=1, species=(1, 6, 8)).to(dtype))
        assert {name: value.dtype for name, value in again(graph).items()} == usual


@pytest.mark.parametrize("default", PRECISIONS)
@pytest.mark.parametrize("method", sorted(METHODS))
def test_a_symmetrized_model_has_the_precision_of_the_model(method: str, default: torch.dtype) -> None:
    dtype = PRECISIONS[default is torch.float32]
    graph = connect(to_graph(molecule("CH3CH2OH")), 4.0)
    with default_precision(default):
        network = MODELS["pointnet"](width=4, pooled=4).to(dtype)
        task = ForceField(SymmetrizedBackbone(network, method, irreps="4x0e"))
        assert precisions(task) == {dtype}
        assert task(graph)["forces"].dtype == dtype


@pytest.mark.parametrize("default", PRECISIONS)
@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize("name", ["mace", "nequip", "esen", "egnn"])
def test_a_run_is_loaded_and_used(name: str, dtype: torch.dtype, default: torch.dtype, tmp_path: Path) -> None:
    task = ForceField(MODELS[name](layers=1, species=(1, 6, 8)).to(dtype))
    save_task(task, tmp_path / "run.safetensors")
    atoms, energies = molecule("CH3CH2OH"), []
    for used in (torch.float32, default):
        with default_precision(used):
            loaded = load_run(tmp_path / "run.safetensors", device="cpu").task
            assert precisions(loaded) == {dtype}
            atoms.calc = Calculator(tmp_path / "run.safetensors", device="cpu")
            energies.append((atoms.get_potential_energy(), abs(atoms.get_forces()).sum()))
    assert energies[1] == pytest.approx(energies[0], rel={torch.float32: 1e-6, torch.float64: 1e-14}[dtype])


def test_a_certificate_does_not_depend_on_it() -> None:
    task = ForceField(MODELS["painn"](width=8, layers=1, species=(1, 6, 8)))
    graphs = [connect(to_graph(molecule("CH3CH2OH")), 4.0)]
    with default_precision(torch.float64):
        assert certify(task, graphs).passed
