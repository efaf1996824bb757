"""Voxels from the command line: train, certify, predict and export."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from switches import as_users_run_it

SMALL = ["--model", "steerable_cnn_3d", "--epochs", 1, "--limit", 40, "--set", "model.width=1", "--set", "model.lmax=1"]
SMALL += ["--set", "model.layers=2", "--set", "model.kernel=3", "--set", "model.strides=[1]"]
SMALL += ["--set", "training.threads=1", "--set", "training.certify=false", "--quiet", "--json"]


def test_voxels_from_training_to_a_program(run_cli: Callable[..., Any], tmp_path: Path) -> None:
    run = tmp_path / "run"
    with as_users_run_it():
        trained = run_cli("train", "voxels", "--run", run, *SMALL)
        assert trained.exit_code == 0, trained.output
        errors = json.loads(trained.stdout)["test"]["error"]
        assert 0 <= errors["error"] <= 100
        assert (run / "confusion.png").stat().st_size > 0
        certified = run_cli("certify", run, "--json")
        assert certified.exit_code == 0, certified.output
        predicted = run_cli("predict", run, "voxels", "--limit", 40, "-o", tmp_path / "out.npz")
        assert predicted.exit_code == 0, predicted.output
        exported = run_cli("export", run, "-o", tmp_path / "model.pt2", "--json")
        assert exported.exit_code == 0, exported.output
    with np.load(tmp_path / "out.npz") as arrays:
        classes, probability = arrays["predicted_class"], arrays["predicted_probability"]
        assert classes.shape == (40,)
        np.testing.assert_allclose(probability.sum(1), 1, rtol=1e-6)
    assert json.loads(exported.stdout)["outputs"] == {"logits": {"unit": "", "level": "graph"}}
    torch.export.load(tmp_path / "model.pt2")
