"""A small MACE, and its deployed file, made once for the tests of deployed files."""

from __future__ import annotations

from pathlib import Path

import torch

from intertwine.integrations.deployment import deploy
from intertwine.models import MODELS
from intertwine.tasks import ForceField
from intertwine.training import Run, load_run, save_task

MACE = {"width": 4, "layers": 2, "lmax": 2, "hidden_lmax": 1, "correlation": 2, "radial_width": 8, "radial_layers": 1}
NEQUIP = {"width": 4, "layers": 2, "lmax": 1, "parity": True, "outputs": "0e", "radial_width": 8}


def force_field(name: str, *, knots: int = 0, species: tuple[int, ...] = (1, 6, 8), **arguments: object) -> ForceField:
    """Random weights, with energies and forces of the size that molecules have."""
    torch.manual_seed(3)
    sizes = {"mace": MACE, "nequip": NEQUIP}[name] | {"cutoff": 3.0, "species": species, "radial_knots": knots}
    task = ForceField(MODELS[name](**sizes | arguments)).eval()
    task.scale.fill_(0.7)
    task.references.values[[1, 6, 8]] = torch.tensor([-13.6, -1029.4, -2042.7], dtype=torch.float64)
    return task


def run_of(task: ForceField, folder: Path, species: tuple[int, ...] = (1, 6, 8)) -> Run:
    """A run of one file with these weights."""
    save_task(task, folder / "model.safetensors", species=species, units={"energy": "eV"})
    return load_run(folder / "model.safetensors", device="cpu")


def deployed(task: ForceField, folder: Path) -> Path:
    """The deployed file of a task."""
    path = folder / "model.iw"
    deploy(run_of(task, folder), path)
    return path
