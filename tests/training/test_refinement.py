"""Structures of proteins from data to report: trained, certified, drawn, used."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from switches import as_users_run_it

from intertwine.data import GraphStore, structure
from intertwine.training import evaluate, load_run, predict, train


def trained(folder: Path, store: GraphStore, **options: object) -> dict:
    """The report of a run."""
    train(
        {
            "data": {"source": "structure"},
            "model": {"name": "invariant_point_attention"},
            "training": {"threads": 1, **options},
        },
        run=folder,
        store=store,
        progress=False,
    )
    return json.loads((folder / "report.json").read_text())


def test_a_run_folder_shows_its_iterations(tmp_path: Path) -> None:
    """The task is the data set's, the picture is there, and what is loaded predicts the same, also of graphs without
    labels."""
    store = structure(train=4, validation=2, test=2)
    report = trained(tmp_path / "run", store, epochs=1, certify=False)
    assert report["task"] == "structure"
    assert "iterations.png" in report["pictures"]
    assert (tmp_path / "run" / "iterations.png").stat().st_size > 5000
    run, bare = load_run(tmp_path / "run"), store.only("backbone", "residue", "x", "pair")
    assert "target_atoms" not in bare.fields
    first, second = predict(run, [bare[7], bare[6]])
    assert first["atoms"].shape == (bare[7].num_nodes, 14, 3)
    assert np.isfinite(second["atoms"]).all()
    errors = evaluate(run, store.subset([6, 7]))
    assert errors["rmsd"]["mae"] == pytest.approx(report["test"]["rmsd"]["mae"], rel=1e-4)


def test_folds_never_seen_are_refined(tmp_path: Path) -> None:
    """Half of the default length: of helices and of sheets alike less than half of the perturbation is left, side
    chains are placed to some degrees, and motions are respected to rounding."""
    with as_users_run_it():  # annotations are checked by the run above, and by the tests of the model and of the task
        report = trained(tmp_path / "run", structure(), epochs=12)
    assert report["certificate"]["passed"], report["certificate"]["summary"]
    assert report["test"]["remaining"]["mae"] < 50
    assert report["test"]["torsion"]["mae"] < 10
    assert report["test"]["heavy_atoms"]["mae"] < 1.0
    run, unseen = load_run(tmp_path / "run"), structure(seed=77, train=0, validation=0, test=40)
    for first in (0, 1):  # helices are those of even number
        part = unseen.subset(range(first, 40, 2))
        with as_users_run_it():
            assert evaluate(run, part)["remaining"]["mae"] < 50
