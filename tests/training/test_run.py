"""From a configuration to a run folder, and what happens when something is in the way."""

from __future__ import annotations

import json
import os
import re
import signal
import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch

from intertwine.data import GraphStore, open_dataset
from intertwine.geometry import Graph
from intertwine.numerics import CheckpointError, DataError, InputError, IntertwineError
from intertwine.training import evaluate, load_checkpoint, load_run, predict, resolve, train
from intertwine.training.module import TrainingModule
from intertwine.training.progress import duration
from intertwine.training.scoring import score


def test_a_run_from_end_to_end(tiny: dict, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    tiny["training"]["epochs"] = 100
    tiny["data"]["test_size"] = 2
    folder = train(tiny, run=tmp_path / "run")
    out, err = capfd.readouterr()
    lines = out.splitlines()
    assert len(lines) <= 45
    assert not err
    assert not any("lightning" in line.lower() or "GPU" in line for line in lines)
    assert any(line.startswith("test     forces: MAE") and "meV/A" in line for line in lines)
    names = {path.name for path in folder.iterdir()}
    assert {
        "config.toml",
        "splits.json",
        "best.safetensors",
        "last.safetensors",
        "metrics.csv",
        "report.json",
        "learning_curve.png",
        "errors_over_time.png",
    } <= names
    assert not any("lightning" in name for name in names)
    report = json.loads((folder / "report.json").read_text())
    shares = {name: report["validation"][f"{name}_share"] for name in ("energy", "forces")}
    assert sum(shares.values()) == pytest.approx(1)
    (said,) = [line for line in lines if line.startswith("loss ")]
    found = re.fullmatch(r"loss     of the validation set: energy ([\d.]+) %, forces ([\d.]+) %", said)
    assert found is not None
    assert [float(each) for each in found.groups()] == pytest.approx(
        [100 * each for each in shares.values()], abs=0.051
    )
    assert report["structures"] == {"train": 20, "validation": 4, "test": 2}
    assert report["epochs"] == 100
    resolved = tomllib.loads((folder / "config.toml").read_text())
    assert resolved["model"]["species"] == [1, 6, 8]
    assert resolved["task"]["name"] == "force_field"

    run = load_run(folder)
    store = open_dataset(tiny["data"]["source"], progress=False)
    splits = json.loads((folder / "splits.json").read_text())
    errors = evaluate(run, store.subset(splits["test"]))
    for target, found in errors.items():
        assert found.keys() == report["test"][target].keys()
        for name, value in found.items():
            assert value == pytest.approx(report["test"][target][name])
    best = min(load_checkpoint(folder / "last.safetensors")["rows"], key=lambda row: row["validation_loss"])
    assert run.epoch == best["epoch"] == report["best_epoch"]
    assert evaluate(run, store.subset(splits["validation"]))["forces"]["mae"] == pytest.approx(
        best["validation_forces_mae"], rel=1e-5
    )
    assert run.species == (1, 6, 8)
    assert not run.task.training
    # the last weights are averaged ones too, and a run can be read in another precision
    assert load_run(folder, which="last").epoch == 100
    double = load_run(folder, dtype=torch.float64)
    assert double.task.dtype == torch.float64
    energies = [predict(r, [store[0]])[0]["energy"] for r in (run, double)]
    assert energies[0] == pytest.approx(energies[1], rel=1e-6)


def test_scores_are_those_of_the_definition(tiny: dict, tmp_path: Path) -> None:
    tiny["training"]["epochs"] = 1
    run = load_run(train(tiny, progress=False, run=tmp_path / "run"))
    store = open_dataset(tiny["data"]["source"], progress=False)
    predictions = predict(run, [store[k] for k in range(len(store))], batch_size=7)
    f = np.concatenate([p["forces"] - store[k].forces.numpy() for k, p in enumerate(predictions)])
    e = np.array([(p["energy"] - store[k].energy.item()) / store[k].num_nodes for k, p in enumerate(predictions)])
    errors = evaluate(run, store, batch_size=5)
    assert errors["forces"]["mae"] == pytest.approx(1e3 * np.abs(f).mean(), rel=1e-5)
    assert errors["forces"]["rmse"] == pytest.approx(1e3 * np.sqrt((f**2).mean()), rel=1e-5)
    assert errors["energy"]["mae"] == pytest.approx(1e3 * np.abs(e).mean(), rel=1e-4)
    assert errors["forces"]["size"] == pytest.approx(1e3 * float(store.field("forces").square().mean().sqrt()))
    batch = [store[0]]
    loss = sum(
        run.task.weights[k] * float(s) / n for k, (s, n) in run.task.losses(run.task(batch[0]), batch[0]).items()
    )
    assert score(run.task, batch)["loss"] == pytest.approx(loss)


def test_prediction_names_the_structure(tiny: dict, tmp_path: Path) -> None:
    tiny["training"]["epochs"] = 1
    run = load_run(train(tiny, progress=False, run=tmp_path / "run"))
    good = Graph([[0.0, 0, 0], [0, 0, 1.0]], z=[1, 6])
    unknown = Graph([[0.0, 0, 0], [0, 0, 1.0]], z=[1, 92])
    cell = Graph([[0.0, 0, 0], [0, 0, 1.0]], z=[1, 6], cell=9.0 * np.eye(3))
    assert [len(p["forces"]) for p in predict(run, [good, cell, good])] == [2, 2, 2]
    assert predict(run, []) == []
    with pytest.raises(IntertwineError, match="structure 2"):
        predict(run, [good, cell, unknown, good])
    with pytest.raises(DataError, match="none of the labels"):
        evaluate(run, GraphStore.from_graphs([good]))


def test_a_full_disk_does_not_cost_the_result(tiny: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, room = os.fsync, [True]

    def fsync(descriptor: int) -> None:
        if not room[0] and str(tmp_path / "run") in os.readlink(f"/proc/self/fd/{descriptor}"):
            raise OSError(28, "No space left on device")
        real(descriptor)

    def full_from_epoch_two(self: TrainingModule) -> None:
        room[0] = self.epoch < 2

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(
        TrainingModule, "on_train_epoch_start", lambda self: (original(self), full_from_epoch_two(self))[0]
    )
    with pytest.raises(CheckpointError, match="could not be saved") as caught:
        train(tiny, progress=False, run=tmp_path / "run")
    assert load_checkpoint(tmp_path / "run" / "last.safetensors")["epoch"] <= 2
    rescued = Path(caught.value.remedy.split(" in ")[1].split(";")[0])
    assert load_run(rescued).epoch == 4
    room[0] = True
    monkeypatch.undo()
    assert load_run(train(progress=False, run=tmp_path / "run", resume=True)).epoch == 4


original = TrainingModule.on_train_epoch_start


def test_interrupt_keeps_the_last_epoch(
    tiny: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    step = TrainingModule.training_step

    def interrupted(self: TrainingModule, batch: Graph, index: int) -> torch.Tensor:
        if self.epoch == 2 and index == 1:
            signal.raise_signal(signal.SIGINT)
        return step(self, batch, index)

    handler = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(TrainingModule, "training_step", interrupted)
    monkeypatch.setattr("intertwine.training.callbacks.CHECKPOINT_INTERVAL_PER_SAVE", 0)
    with pytest.raises(KeyboardInterrupt):
        train(tiny, run=tmp_path / "run")
    assert "--resume" in capfd.readouterr().out
    assert signal.getsignal(signal.SIGINT) is handler
    assert load_checkpoint(tmp_path / "run" / "last.safetensors")["epoch"] == 2
    monkeypatch.undo()
    train(progress=False, run=tmp_path / "run", resume=True)
    assert load_checkpoint(tmp_path / "run" / "last.safetensors")["epoch"] == 4


def test_early_stopping_and_time_budget(tiny: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stalled = tiny | {
        "training": tiny["training"] | {"epochs": 50, "patience": 3, "learning_rate": 1e-12, "minimum_rate": 0.0}
    }
    state = load_checkpoint(train(stalled, progress=False, run=tmp_path / "a") / "last.safetensors")
    assert state["epoch"] == 4  # the first is the best, three stall
    # a clock of 20 ms a step: what a slow or busy machine measures would decide how many steps 0.6 s hold
    monkeypatch.setattr(TrainingModule, "_clock", lambda self: 0.02 * self.steps)
    timed = tiny | {"training": tiny["training"] | {"epochs": 100_000, "minutes": 0.01}}
    state = load_checkpoint(train(timed, progress=False, run=tmp_path / "b") / "last.safetensors")
    steps = state["rows"][-1]["step"]
    assert 30 <= steps <= 32
    assert state["seconds"] == pytest.approx(0.02 * steps)
    assert state["rows"][-1]["learning_rate"] < 1e-4
    assert "validation_loss" in state["rows"][-1]


def test_validation_every_few_epochs(tiny: dict, tmp_path: Path) -> None:
    tiny["training"] |= {"epochs": 5, "evaluate_every": 2}
    rows = load_checkpoint(train(tiny, progress=False, run=tmp_path / "run") / "last.safetensors")["rows"]
    assert ["validation_loss" in row for row in rows] == [False, True, False, True, True]


def test_without_validation_the_training_loss_decides(tiny: dict, tmp_path: Path) -> None:
    tiny["training"] |= {"epochs": 2}
    store = open_dataset(tiny["data"]["source"], progress=False).subset(range(5))
    folder = train(tiny | {"data": {"source": "five"}}, progress=False, run=tmp_path / "run", store=store)
    assert load_run(folder).epoch in (1, 2)
    assert json.loads((folder / "report.json").read_text())["structures"] == {"train": 5, "validation": 0, "test": 0}


def test_wild_labels_are_an_error_and_not_a_checkpoint(tiny: dict, tmp_path: Path) -> None:
    tiny["training"] |= {"learning_rate": 1e30, "clip": 0.0}
    with pytest.raises(DataError, match="training loss is"):
        train(tiny, progress=False, run=tmp_path / "run")


def test_folders_that_are_not_runs(tiny: dict, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no such run folder"):
        load_run(tmp_path / "absent")
    with pytest.raises(CheckpointError, match="not a run folder"):
        load_run(tmp_path)
    resolve(tiny).save(tmp_path / "config.toml")
    with pytest.raises(CheckpointError, match="half-written"):
        load_run(tmp_path)
    with pytest.raises(InputError, match="unknown checkpoint"):
        load_run(tmp_path, which="worst")
    with pytest.raises(InputError, match="unknown key"):
        train({"training": {"epoch": 3}}, run=tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_durations() -> None:
    assert [duration(s) for s in (0, 59.4, 61, 3599, 9000, float("inf"))] == [
        "0 s",
        "59 s",
        "1:01 min",
        "59:59 min",
        "2:30 h",
        "?",
    ]
