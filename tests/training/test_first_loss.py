"""Every model begins every set with a loss of order one: neither is anything wasted on the size of random weights, nor
does the curve of the loss hide what comes after them.
"""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import pytest
import torch
from ase.io import write
from switches import as_users_run_it

from intertwine.data import open_dataset
from intertwine.geometry import collate
from intertwine.models import MODELS
from intertwine.training.calibration import calibrate
from intertwine.training.config import as_given, check
from intertwine.training.evaluation import fields_of
from intertwine.training.sets import Sets, open_sets
from intertwine.training.settle import settle

SETS = {
    "ethanol": "ethanol",
    "silicon": "crystals/Si_training.json.gz",
    "germanium": "crystals/Ge_training.json.gz",
    "lithium": "crystals/Li_training.json.gz",
    "molybdenum": "crystals/Mo_training.json.gz",
    "3BPA": "forcefield/dataset_3BPA_train_300K.xyz.gz",
    "acetylacetone": "forcefield/dataset_acac_train_300K.xyz.gz",
    "water": "crystals/high_level_water.xyz.gz",
    "MPtrj": "crystals/mptrj-random-1k.xyz.gz",
}
FIRST, TAKEN, BATCH, LARGE = 100, 12, 5, 100  # structures that are looked at, taken, of a step; too many atoms
#: Models of images, of voxels and of functions on a sphere, which no structure of atoms is.
OTHERS = {
    "clebsch_gordan_net", "cnn", "octahedral_cnn", "p4cnn", "p4mcnn", "scale_cnn", "se2cnn", "steerable_cnn",
    "steerable_cnn_3d",
}  # fmt: skip
CENTRED = {"frame_averaged_gnn", "pointnet"}  # of open structures alone
OPEN = {"ethanol", "3BPA", "acetylacetone"}
WITH_ALL, MAIN = ("ethanol", "silicon", "MPtrj"), ("esen", "gvp", "mace", "nequip", "painn", "schnet")
CASES = [
    (name, model)
    for name in SETS
    for model in sorted(set(MODELS) - OTHERS - (set() if name in OPEN else CENTRED))
    # what takes long on many neighbours is begun on molecules
    if (model in MAIN and (name != "water" or model != "esen"))
    or (name in WITH_ALL and (name in OPEN or model not in ("gemnet", "dimenet")))
]


@functools.cache
def drawn(source: str, path: Path) -> Path:
    """Structures of a set that are not large, drawn at random, as a file."""
    store = open_dataset(source, progress=False)
    order = np.random.default_rng(0).permutation(len(store))[:FIRST].tolist()
    small = [k for k in order if store[k].num_nodes < LARGE] or order[:BATCH]
    frames = []
    for graph in (store[k] for k in small[:TAKEN]):
        atoms = graph.to_ase()
        atoms.calc = None
        atoms.info = {"energy": float(graph.energy)}
        atoms.arrays = {key: atoms.arrays[key] for key in ("numbers", "positions")}
        atoms.arrays["forces"] = graph.forces.numpy()
        frames.append(atoms)
    write(path, frames, format="extxyz")
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sets")


def sets_of(path: Path, model: str) -> tuple[Sets, object]:
    given = as_given(
        {"data": {"source": str(path), "validation": 1, "test_size": 0}, "model": {"name": model},
         "task": {"name": "force_field"}}, (),
    )  # fmt: skip
    return open_sets(check(given)[0], progress=False), given


@pytest.mark.parametrize(("name", "model"), CASES, ids=["-".join(case) for case in CASES])
def test_the_first_loss_is_of_order_one(name: str, model: str, folder: Path, shared_data: Path) -> None:
    source = name if name == "ethanol" else str(shared_data / SETS[name])
    sets, given = sets_of(drawn(source, folder / f"{name}.xyz"), model)
    torch.manual_seed(0)
    with as_users_run_it():  # annotations are checked by the models' own tests on all of these paths
        task = settle(sets, given).build()
        task.fit(sets.train[k] for k in range(len(sets.train)))
        graphs = sets.prepared(task, fields_of(task, sets.source.fields)).train
        calibrate(task, graphs)
        batch = collate([graphs[k] for k in range(min(BATCH, len(graphs)))])
        losses = task.losses(task.eval()(batch), batch)
    loss = sum(task.weights[key] * float(value) / count for key, (value, count) in losses.items() if count)
    assert 0.1 <= loss <= 10
