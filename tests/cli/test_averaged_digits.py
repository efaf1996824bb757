"""Digits by a network of images that is averaged over turns: train, certify, predict."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
from switches import as_users_run_it

SMALL = ["--set", "model.width=4", "--set", "model.layers=2", "--set", "model.strides=[]", "--epochs", 1]
SMALL += ["--limit", 64, "--set", "training.threads=1", "--set", "training.certify=false", "--quiet", "--json"]


def write_idx(path: Path, values: np.ndarray) -> None:
    """A file of MNIST's format, of bytes."""
    head = struct.pack(f">BBBB{values.ndim}I", 0, 0, 8, values.ndim, *values.shape)
    path.write_bytes(head + values.astype(np.uint8).tobytes())


def test_averaged_digits_train_certify_and_predict(run_cli, tmp_path: Path) -> None:
    """A plain CNN averaged over quarter turns: certified as exact, and its answers to turned images are the same."""
    run, images = tmp_path / "run", np.random.default_rng(0).integers(0, 256, (4, 8, 8))
    logits = []
    with as_users_run_it():
        trained = run_cli("train", "digits", "--model", "cnn", "--symmetrize", "average", "--run", run, *SMALL)
        assert trained.exit_code == 0, trained.output
        certified = run_cli("certify", run, "--json")
        assert certified.exit_code == 0, certified.output
        for turns in (0, 1):
            folder = tmp_path / str(turns)
            folder.mkdir()
            file = folder / "some-images-idx3-ubyte"
            write_idx(file, np.rot90(images, turns, axes=(1, 2)))
            write_idx(folder / "some-labels-idx1-ubyte", np.arange(4))
            predicted = run_cli("predict", run, file, "-o", folder / "out.npz")
            assert predicted.exit_code == 0, predicted.output
            with np.load(folder / "out.npz") as arrays:
                logits.append(arrays["predicted_logits"])
    certificate = json.loads(certified.stdout)
    assert (certificate["verdict"], certificate["symmetry"]) == ("exact", "T(2) x C_4")
    assert logits[0].std() > 0
    np.testing.assert_allclose(logits[1], logits[0], atol=2e-5)
