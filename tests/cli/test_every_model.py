"""Each architecture through the whole chain on the data in the package: train, certify, predict. And the map that lists
them.
"""

from __future__ import annotations

import contextlib
import functools
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.io import read, write
from molecular import MODELS as MOLECULAR
from switches import as_users_run_it

import intertwine.certify
from intertwine.certify import certify
from intertwine.models import MODELS

SMALL = ["--preset", "small", "--set", "model.layers=1", "--epochs", 1, "--limit", 16]
SMALL += ["--set", "training.threads=1", "--set", "training.certify=false"]
CHECKED = ("nequip", "painn")
# the smallest chiral molecule
PEROXIDE = Atoms("OOHH", [(0, 0.73, -0.05), (0, -0.73, -0.05), (0.84, 0.88, 0.42), (-0.84, -0.88, 0.42)])


def test_there_are_nineteen() -> None:
    assert len(MODELS) >= 19
    assert all({"small", "paper"} <= set(kind.PRESETS) for kind in MODELS.values())


@pytest.mark.parametrize("name", MOLECULAR)
def test_train_certify_predict(
    name: str, run_cli, tmp_path: Path, ethanol_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / name
    # annotations are checked by the models' own tests on all of these paths; here for two, which is most of the time
    checked = contextlib.nullcontext if name in CHECKED else as_users_run_it
    if name not in CHECKED:  # pictures know no architecture, and the models' own tests certify at length
        monkeypatch.setattr("intertwine.training.pictures.draw", lambda *_: [])
        few = {"quick": True, "rotations": 1, "dtypes": (torch.float64,)}
        monkeypatch.setattr(intertwine.certify, "certify", functools.partial(certify, **few))
    with checked():
        trained = run_cli("train", "--model", name, "--run", run, *SMALL, "--quiet", "--json")
    assert trained.exit_code == 0, trained.output
    report = json.loads(trained.stdout)
    assert all(np.isfinite(one["mae"]) for one in report["test"].values())
    # the default structures take longer, and are for the model's own tests
    write(tmp_path / "peroxide.xyz", PEROXIDE, format="extxyz")
    with as_users_run_it():  # hundreds of evaluations, of what training and prediction run with annotations checked
        certified = run_cli("certify", run, "--molecules", tmp_path / "peroxide.xyz", "--json")
    assert certified.exit_code == 0, certified.output
    with checked():
        predicted = run_cli("predict", run, ethanol_file, "-o", tmp_path / "out.xyz")
    assert predicted.exit_code == 0, predicted.output
    frames = read(tmp_path / "out.xyz", ":")
    assert len(frames) == 20
    assert all(np.isfinite(frame.get_potential_energy()) and np.isfinite(frame.get_forces()).all() for frame in frames)


@pytest.mark.parametrize("preset", ["small", "paper"])
@pytest.mark.parametrize("name", MODELS)
def test_presets_are_arguments(name: str, preset: str) -> None:
    model = MODELS[name](**MODELS[name].PRESETS[preset])
    assert sum(p.numel() for p in model.parameters()) > 0


def test_an_unknown_preset_is_named(run_cli) -> None:
    result = run_cli("train", "--model", "painn", "--preset", "smal")
    assert result.exit_code == 2
    assert "small" in result.stderr
