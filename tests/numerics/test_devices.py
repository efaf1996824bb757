"""Devices by name: one function resolves them, and what is missing or unknown is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from typer.main import get_command
from typer.testing import CliRunner

from intertwine import Calculator, Graph, PaiNN
from intertwine.cli import app
from intertwine.numerics import InputError
from intertwine.numerics.devices import computing_device
from intertwine.tasks import ForceField
from intertwine.training import load_run, train
from intertwine.training.options import TrainingOptions
from intertwine.training.processes import chosen_devices


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)


def test_names_without_a_gpu(no_gpu: None) -> None:
    for name in (None, "auto", "cpu", "CPU", torch.device("cpu")):
        assert computing_device(name) == torch.device("cpu")
    for name in ("cuda", "gpu", "cuda:1", torch.device("cuda")):
        with pytest.raises(InputError, match=r"torch sees no GPU[\s\S]*Remedy: install torch with CUDA"):
            computing_device(name)


def test_names_with_two(two_gpus: None) -> None:
    assert [str(computing_device(name)) for name in ("auto", "gpu", "cuda", "cuda:1")] == ["cuda"] * 3 + ["cuda:1"]
    assert computing_device("cpu") == torch.device("cpu")
    assert computing_device(None) == torch.device("cuda")
    with pytest.raises(InputError, match="there is no GPU 2: torch sees 2"):
        computing_device("cuda:2")


@pytest.mark.parametrize("name", ["gpux", "mps", "cuda:x", "cpu:0", "", "gpu:0", "cuda:-1"])
def test_unknown_names(name: str) -> None:
    with pytest.raises(InputError, match="unknown device") as raised:
        computing_device(name)
    assert "auto" in raised.value.remedy
    assert "cuda:N" in raised.value.remedy


@pytest.mark.parametrize(
    "make",
    [lambda: PaiNN(width=8, layers=1), lambda: ForceField(PaiNN(width=8, layers=1)), lambda: Graph([[0.0, 0, 0]])],
)
def test_to_a_gpu_that_is_not_there(make: Any, no_gpu: None) -> None:
    thing = make()
    for move in (
        lambda: thing.to("cuda"),
        lambda: thing.to(torch.device("cuda", 1)),
        lambda: thing.to(device="cuda"),
        lambda: thing.to("gpu"),
        lambda: thing.to(0),
        lambda: thing.cuda(),
    ):
        with pytest.raises(InputError, match="torch sees no GPU"):
            move()
    with pytest.raises(InputError, match=r"to\('gpx'\): unknown device 'gpx'"):
        thing.to("gpx")
    assert thing.to("auto") is thing
    assert thing.to("cpu") is thing


def test_runs_calculators_and_commands(no_gpu: None, tmp_path: Path) -> None:
    for use in (
        lambda: load_run(tmp_path, device="cuda"),
        lambda: Calculator(tmp_path, device="cuda:0"),
        lambda: Calculator(ForceField(PaiNN(width=8, layers=1)), device="gpu"),
        lambda: train({"training": {"accelerator": "cuda"}}, run=tmp_path / "run"),
    ):
        with pytest.raises(InputError, match="torch sees no GPU"):
            use()
    assert Calculator(ForceField(PaiNN(width=8, layers=1))).device == torch.device("cpu")
    for command in ("evaluate r --device cuda", "predict r x --device gpu", "relax r x --device cuda",
                    "md r x --device cuda:1", "train ethanol --device gpu"):  # fmt: skip
        result = CliRunner().invoke(app, command.split())
        assert result.exit_code == 2
        # a run that is not there, or the GPU
        assert "GPU" in result.stderr or "no such" in result.stderr
        assert "Traceback" not in result.output


@pytest.mark.parametrize(("name", "devices"), [("cuda:1", [1]), ("cuda:0", [0]), ("GPU", 1), ("Auto", 1)])
def test_training_knows_the_same_names(name: str, devices: int | list[int]) -> None:
    options = TrainingOptions(accelerator=name)
    assert options.accelerator == name.lower()
    assert chosen_devices(options.accelerator, options.devices) == devices


@pytest.mark.parametrize("name", ["gpx", "cpu:1", "cuda:x"])
def test_training_refuses_other_names(name: str) -> None:
    with pytest.raises(InputError, match=r"training\.accelerator.*unknown device"):
        TrainingOptions(accelerator=name)


def test_every_command_offers_the_same_words() -> None:
    commands = get_command(app).commands
    helps = {name: option.help for name, each in commands.items() for option in each.params if option.name == "device"}
    assert {"train", "evaluate", "predict", "certify", "relax", "md"} <= helps.keys()
    assert len({text.partition(" Default:")[0] for text in helps.values()}) == 1
    assert all("cuda:1 (the second)" in text for text in helps.values())
