"""Two processes train as one with twice the batch."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest
import torch

from intertwine.data import GraphStore
from intertwine.geometry import Graph
from intertwine.numerics import InputError, IntertwineError
from intertwine.training import load_checkpoint, train
from intertwine.training.module import TrainingModule
from intertwine.training.options import TrainingOptions
from intertwine.training.processes import helpers
from intertwine.training.report import _shares


def test_two_processes_are_one_with_twice_the_batch(tiny: dict, tmp_path: Path) -> None:
    # molecules have three to six atoms, so a plain mean over processes would differ
    tiny["training"] |= {"precision": "float64", "epochs": 3}
    one, two = tmp_path / "one", tmp_path / "two"
    tiny["training"] |= {"batch_size": 6, "devices": 1}
    train(tiny, progress=False, run=one)
    tiny["training"] |= {"batch_size": 3, "devices": 2, "epochs": 2}
    train(tiny, progress=False, run=two)
    train({"training": {"epochs": 3}}, progress=False, run=two, resume=True)
    a, b = (load_checkpoint(folder / "last.safetensors") for folder in (one, two))
    assert a["steps"] == b["steps"]
    for row, other in zip(a["rows"], b["rows"], strict=True):
        for name in row.keys() - {"seconds"}:
            assert other[name] == pytest.approx(row[name], rel=1e-9), name
    for name, value in a["weights"].items():
        torch.testing.assert_close(b["weights"][name], value, rtol=1e-8, atol=1e-10)


def test_interrupt_ends_the_helpers_too(tiny: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    step = TrainingModule.training_step

    def interrupted(self: TrainingModule, batch: Graph, index: int) -> torch.Tensor:
        if self.epoch == 1:
            signal.raise_signal(signal.SIGINT)
        return step(self, batch, index)

    monkeypatch.setattr(TrainingModule, "training_step", interrupted)
    tiny["training"] |= {"devices": 2, "epochs": 100}
    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        train(tiny, progress=False, run=tmp_path / "run")
    assert time.monotonic() - start < 300
    assert load_checkpoint(tmp_path / "run" / "last.safetensors")["epoch"] == 1


def test_a_helper_that_dies_is_reported(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('[data]\nsource = "absent.xyz"\n')
    with pytest.raises(IntertwineError, match=r"one of the processes failed(.|\n)*absent.xyz"), helpers(tmp_path, 2, 1):
        pass


def test_memory_is_not_shared(tiny: dict, tmp_path: Path) -> None:
    store = GraphStore.from_graphs([Graph([[0.0, 0, 0], [0, 0, 1]], z=[1, 1], energy=0.0)])
    tiny["training"]["devices"] = 2
    with pytest.raises(InputError, match="in memory"):
        train(tiny, run=tmp_path / "run", store=store)


@pytest.mark.parametrize(
    ("nodes", "devices", "where", "words"),
    [
        (1, 2, "cpu", "by 2 processes on the CPU: 5 structures a step in each, 10 in all"),
        (3, 2, "cpu", "by 6 processes on the CPU on 3 machines: 5 structures a step in each, 30 in all"),
        (1, 4, "cuda", "by 4 processes with a GPU each: 5 structures a step in each, 20 in all"),
    ],
)
def test_several_processes_say_what_batch_they_make(nodes: int, devices: int, where: str, words: str) -> None:
    options = TrainingOptions(nodes=nodes, devices=devices, accelerator=where, batch_size=5)
    assert _shares(options) == words
