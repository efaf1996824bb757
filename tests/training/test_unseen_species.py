"""A species that only the test set has: which structures have it is said, and they are no part of the errors."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import read, write
from typer.testing import CliRunner

from intertwine.cli import app
from intertwine.data import open_dataset
from intertwine.data.suspicion import examine
from intertwine.tasks.comparison import silent_species
from intertwine.tasks.verdict import with_spoilt
from intertwine.training import load_run, train
from intertwine.training.causes import causes_of
from intertwine.training.evaluation import errors_of


def strange(tiny: dict, folder: Path, part: str) -> tuple[Path, int]:
    """A run of the molecules of which one, in a set, has an element of its own; and the frame of that."""
    tiny["data"] |= {"train": 16, "test_size": 6}
    tiny["training"] |= {"epochs": 1}
    first = train(tiny, progress=False, run=folder / "first")
    frame = json.loads((first / "splits.json").read_text())[part][2]
    frames = read(tiny["data"]["source"], ":", format="extxyz")
    frames[frame].numbers[-1] = 72
    tiny["data"]["source"] = str(folder / "strange.xyz")
    write(tiny["data"]["source"], frames, format="extxyz")
    return train(tiny, progress=False, run=folder / "run"), frame


def test_a_structure_of_an_unseen_species_is_named_and_left_out(
    tiny: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: dict[str, Any] = {}
    monkeypatch.setattr("intertwine.plots.error_by_species", lambda errors, unit, path, notes: drawn.update(notes))
    run, frame = strange(tiny, tmp_path, "test")
    report = json.loads((run / "report.json").read_text())
    (note,) = [line for line in report["notes"] if line.startswith("Hf: ")]
    assert "in 1 of the 6 structures of the test set" in note
    assert f"strange.xyz, frame {frame} (counted from 0)" in note
    assert note.endswith("left out of the errors: predict refuses them")
    told = CliRunner().invoke(app, ["evaluate", str(run), "--json"])
    assert f"frame {frame} (counted" in told.stderr
    assert json.loads(told.stdout)["structures"] == 5  # those that the errors are of
    assert json.loads(told.stdout)["errors"]["forces"]["mae"] == pytest.approx(report["test"]["forces"]["mae"])
    others = read(tiny["data"]["source"], ":", format="extxyz")
    kept = [others[k] for k in json.loads((run / "splits.json").read_text())["test"] if k != frame]
    write(tmp_path / "kept.xyz", kept, format="extxyz")
    alone = CliRunner().invoke(app, ["evaluate", str(run), str(tmp_path / "kept.xyz"), "--json"])
    for kind in ("mae", "rmse"):
        assert json.loads(alone.stdout)["errors"]["energy"][kind] == pytest.approx(report["test"]["energy"][kind])
    assert list(drawn) == ["Hf"]
    assert drawn["Hf"].startswith("not trained on: RMSE")


@pytest.mark.parametrize("outlier", ["energy", "forces", "both"])
def test_what_is_left_out_of_the_errors_spoils_none(outlier: str, tiny: dict, tmp_path: Path) -> None:
    """An outlying label of a structure that is not scored is named; verdict and remedies are those without it."""
    tiny["data"] |= {"train": 16, "test_size": 6}
    tiny["training"] |= {"epochs": 1}
    run = train(tiny, progress=False, run=tmp_path / "run")
    frames = read(tiny["data"]["source"], ":", format="extxyz")
    frames = [frames[k] for k in json.loads((run / "splits.json").read_text())["test"]]
    strangers = [frame.copy() for frame in frames[:3]]  # of fewer nobody knows which is wrong
    for strange, frame in zip(strangers, frames):
        strange.numbers[-1] = 72
        energy, forces = frame.get_potential_energy(), frame.get_forces().copy()
        if strange is strangers[0]:
            energy += 5e3 * (outlier != "forces")
            forces[0] += 5e3 * (outlier != "energy")
        strange.calc = SinglePointCalculator(strange, energy=energy, forces=forces)
    write(tmp_path / "mixed.xyz", [*frames, *strangers], format="extxyz")
    loaded, store = load_run(run), open_dataset(str(tmp_path / "mixed.xyz"), progress=False)
    examine(store)
    assert re.search(r"(energy|force) .*frame [678] of .*eV", "\n".join(store.warnings))
    causes = causes_of(loaded, store, {})
    assert not causes.spoilt
    assert not causes.suspicious
    errors = errors_of(loaded, store)
    assert all("ratio" in each for each in with_spoilt(errors, causes).values())
    assert errors == errors_of(loaded, store.subset(range(6)))


def test_one_in_the_validation_set_counts_and_is_named(tiny: dict, tmp_path: Path) -> None:
    run, frame = strange(tiny, tmp_path, "validation")
    (note,) = [line for line in json.loads((run / "report.json").read_text())["notes"] if line.startswith("Hf: ")]
    assert f"of the validation set ({tmp_path / 'strange.xyz'}, frame {frame}" in note
    assert note.endswith("whose errors say nothing about the model")


def test_forces_that_vanish_by_symmetry_are_known() -> None:
    from intertwine.geometry import Graph

    forces = [[0.0, 0, 0], [0.5, 0, 0], [-0.5, 0, 0], [0.0, 0.3, 0]]
    graphs = [Graph(np.eye(4)[:, :3], z=[55, 1, 1, 6], forces=forces)]
    errors = {"Cs": np.full((1, 3), 1e-7), "H": np.full((2, 3), 0.1), "C": np.zeros((1, 3))}
    assert silent_species(errors, graphs, (1, 6, 55)) == {"Cs": "vanish by symmetry"}
    assert silent_species(errors | {"Cs": np.full((1, 3), 0.1)}, graphs, (1, 6, 55)) == {}
    assert silent_species(errors, graphs, (55, 1)) == {"Cs": "vanish by symmetry", "C": "not trained on: RMSE 0"}
