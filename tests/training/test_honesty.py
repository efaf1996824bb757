"""What a run must not hide: what was saved, which split, which species, which data."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest
import torch
from ase import Atoms

from intertwine.cli.console import size
from intertwine.data import GraphStore, Splits, open_dataset
from intertwine.data.partition import divide
from intertwine.geometry import Graph
from intertwine.integrations.calculator import Calculator
from intertwine.numerics import DataError, InputError
from intertwine.training import DataOptions, Loader, evaluate, load_checkpoint, load_run, predict, train
from intertwine.training import test_set as own_test_set
from intertwine.training.module import TrainingModule
from intertwine.training.processes import accelerator
from intertwine.training.sets import open_sets
from intertwine.training.settle import suggest


@pytest.mark.parametrize("how", ["interrupt", "error"])
def test_what_was_put_off_is_saved(
    how: str, tiny: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    step = TrainingModule.training_step

    def stopped(self: TrainingModule, batch: Graph, index: int) -> torch.Tensor:
        loss = step(self, batch, index)
        if self.epoch == 3 and index == 1:
            if how == "error":
                return loss * float("nan")
            signal.raise_signal(signal.SIGINT)
        return loss

    monkeypatch.setattr(TrainingModule, "training_step", stopped)
    # only the first epoch is saved at once
    monkeypatch.setattr("intertwine.training.callbacks.CHECKPOINT_INTERVAL_PER_SAVE", 1e9)
    with pytest.raises(KeyboardInterrupt if how == "interrupt" else DataError):
        train(tiny, run=tmp_path / "run")
    assert "Everything up to epoch 3 is saved" in capfd.readouterr().out
    last = load_checkpoint(tmp_path / "run" / "last.safetensors")
    assert last["epoch"] == len(last["rows"]) == 3
    losses = [row["validation_loss"] for row in last["rows"]]
    assert load_run(tmp_path / "run").epoch == 1 + losses.index(min(losses))
    assert all(torch.isfinite(value).all() for value in last["weights"].values())


def own_split() -> GraphStore:
    graphs = [Graph([[0.0, 0, 0], [0, 0, 1.0 + k / 10]], z=[1, 6], stiffness=[float(k)]) for k in range(10)]
    return GraphStore.from_graphs(graphs, name="own", splits=Splits([9, 8, 7, 6, 5, 4], [3, 2], [1, 0]))


def test_sizes_shorten_the_prescribed_parts() -> None:
    store = own_split()
    splits = divide(store, train=4, validation=0.5)
    assert splits.to_dict() == {"train": [9, 8, 7, 6], "validation": [3], "test": [1, 0]}
    assert any("first 4 of the 6" in note for note in store.notes)
    with pytest.raises(InputError, match="7 entries of a part of 6"):
        divide(store, train=7)
    short = open_dataset("ethanol", limit=20, progress=False)
    assert any("the split is random" in note for note in short.notes)
    assert not any("the split is random" in note for note in open_dataset("ethanol", progress=False).notes)
    assert [size(text, "--train") for text in (None, "4.0", "4", "0.25", "1")] == [None, 4, 4, 0.25, 1]


def test_readout_of_unknown_names_is_said() -> None:
    sets = open_sets(DataOptions(source="own", target="stiffness"), store=own_split(), progress=False)
    assert suggest(sets, {"data": {"target": "stiffness"}})["task"]["readout"] == "sum"
    assert any("stiffness is taken as extensive" in note for note in sets.source.notes)
    for name, readout in {"band_gap": "mean", "energy_per_atom": "mean", "HOMO": "mean", "cv": "sum"}.items():
        sets.source.fields[name] = sets.source.fields["stiffness"]
        assert suggest(sets, {"data": {"target": name}})["task"]["readout"] == readout


def test_species_of_the_test_set_alone_are_refused(tiny: dict, tmp_path: Path) -> None:
    frames = [
        Graph([[0.0, 0, 0], [0, 0, 1.0 + k / 10]], z=[1, 6], energy=float(k), forces=torch.zeros(2, 3).double())
        for k in range(8)
    ]
    frames.append(Graph([[0.0, 0, 0], [0, 0, 1.0]], z=[1, 9], energy=1.0, forces=torch.zeros(2, 3).double()))
    store = GraphStore.from_graphs(frames, name="f", splits=Splits(range(6), [6, 7], [8]))
    tiny["training"]["epochs"] = 1
    run = load_run(train(tiny | {"data": {"source": "f"}}, progress=False, run=tmp_path / "run", store=store))
    with pytest.raises(DataError, match=r"structure 1.*\(F; the first is atom 1\) not in the training set"):
        predict(run, [frames[0], frames[8]])
    scores = evaluate(run, store.subset([8]))
    assert scores["forces"]["baseline"] == {"name": "zero", "mae": 0.0, "rmse": 0.0}
    assert "ratio" not in scores["forces"]  # nothing to divide by
    atoms = Atoms("HF", [[0, 0, 0], [0, 0, 1]])
    atoms.calc = Calculator(run.folder)
    with pytest.raises(DataError, match=r"\(F; the first is atom 1\) not in the training set"):
        atoms.get_potential_energy()


def test_changed_data_are_noticed(tiny: dict, tmp_path: Path) -> None:
    source = tmp_path / "data.xyz"
    text = Path(tiny["data"]["source"]).read_text()
    source.write_text(text)
    tiny["data"] |= {"source": str(source), "test_size": 2}
    tiny["training"]["epochs"] = 1
    folder = train(tiny, progress=False, run=tmp_path / "run")
    assert len(own_test_set(load_run(folder))) == 2
    words = text.splitlines()
    words[2], words[3] = words[3], words[2]
    source.write_text("\n".join(words) + "\n")
    with pytest.raises(DataError, match="have changed"):
        own_test_set(load_run(folder))
    with pytest.raises(DataError, match="have changed"):
        train({"training": {"epochs": 2}}, progress=False, run=folder, resume=True)
    splits = json.loads((folder / "splits.json").read_text())
    (folder / "splits.json").write_text(json.dumps({k: v for k, v in splits.items() if k != "fingerprint"}))
    assert len(own_test_set(load_run(folder))) == 2  # a run of an older version


def test_memory_and_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    store = own_split().connected(None)
    monkeypatch.setattr("intertwine.data.loader.KEPT_BYTES", 3 * 5000)
    loader = Loader(store, 4)
    assert sum(len(batch.stiffness) for batch in loader) == 10
    assert sum(graph is not None for graph in loader._kept) == 3
    store[0]
    shifts = store._edges[0][1]
    assert shifts.untyped_storage().nbytes() == 0
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert [accelerator(name) for name in ("auto", "cpu", "gpu")] == ["cpu", "cpu", "cuda"]
