"""The configuration is the constructors' arguments; a mistake is named with the nearest right key."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest
import torch

from intertwine.models import MODELS
from intertwine.numerics import InputError
from intertwine.numerics.signature import convert
from intertwine.tasks import ForceField, Property
from intertwine.training import Config, TrainingOptions, merge, parse_settings, read_config, resolve


def test_defaults_are_those_of_the_signatures() -> None:
    config = resolve()
    assert config.model.name == ForceField.model
    assert config.model.arguments["width"] == inspect.signature(MODELS[ForceField.model]).parameters["width"].default
    assert resolve({"task": "property"}).model.name == Property.model
    assert config.task.arguments["force_weight"] == inspect.signature(ForceField).parameters["force_weight"].default
    assert config.training == TrainingOptions()
    assert config.data.source == "ethanol"


@pytest.mark.parametrize(
    "settings",
    [
        [],
        ["model=schnet", "model.species=[1, 6]", "model.width=16", "training.minutes=3"],
        ["model.name=egnn", "model.cutoff=none", "model.node_inputs=['speed']", "data.source=nbody", "task=dynamics"],
        [
            "data.keys.energy=U0",
            "data.keys.forces=F",
            "data.units={energy = 'kcal/mol'}",
            "data.train=0.5",
            "data.limit=30",
        ],
        [
            "task=property",
            "task.target=homo",
            "task.representation=0e",
            "training.learning_rate=1e-4",
            "training.precision=float64",
        ],
    ],
)
def test_round_trip(settings: list[str], tmp_path: Path) -> None:
    config = resolve(parse_settings(settings))
    config.save(tmp_path / "config.toml")
    assert resolve(read_config(tmp_path / "config.toml")) == config
    assert resolve(config) == config


def test_none_is_written_where_it_is_not_the_default(tmp_path: Path) -> None:
    config = resolve({"model": {"name": "egnn", "cutoff": "none"}})
    assert config.model.arguments["cutoff"] is None
    assert config.sections()["model"]["cutoff"] == "none"
    assert "minutes" not in config.sections()["training"]


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("model.widht=3", r"\[model\]: unknown key 'widht'(.|\n)*mean 'width'"),
        ("training.epoch=3", "mean 'epochs'"),
        ("modle.width=3", "unknown section 'modle'(.|\n)*mean 'model'"),
        ("model=pain", "unknown model 'pain'(.|\n)*mean 'painn'"),
        ("task=forcefield", "mean 'force_field'"),
        ("training.epochs=two", "training.epochs: 'two' is not a whole number"),
        ("training.epochs=0", "training.epochs: 0 is out of range"),
        ("training.learning_rate=nan", "out of range"),
        ("training.average=1.0", "not below 1"),
        ("training.precision=half", "not one of float32, float64"),
        ("model.species=[1, 'C']", "model.species"),
        ("data.train=-0.5", "out of range"),
        ("training=3", "not of the form"),
        ("width", "not of the form"),
    ],
)
def test_mistakes_are_named(setting: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        resolve(parse_settings([setting]))


def test_files_that_are_not_configurations(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="can't be read"):
        read_config(tmp_path / "absent.toml")
    path = tmp_path / "config.toml"
    path.write_text("[model\n")
    with pytest.raises(InputError, match="not valid TOML"):
        read_config(path)
    path.write_text("model = 3\n")
    with pytest.raises(InputError, match="not a table"):
        read_config(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="not valid TOML"):
        read_config(path)


def test_types() -> None:
    assert convert(3, float, where="x") == 3.0
    assert isinstance(convert(3, float, where="x"), float)
    assert convert(3, int | float | None, where="x") == 3
    assert convert("none", float | None, where="x") is None
    assert convert([1, 2], tuple[int, ...], where="x") == (1, 2)
    for value, hint in (
        (True, int),
        (True, float),
        (1.5, int),
        ("a", list[str]),
        (3, str),
        (None, int),
        ({"a": 1}, dict[str, str]),
    ):
        with pytest.raises(InputError):
            convert(value, hint, where="x")


def test_another_model_drops_the_arguments_of_the_former() -> None:
    merged = merge(
        {"model": {"name": "schnet", "radial_size": 9}}, {"model": {"name": "egnn"}}, {"training": {"epochs": 3}}
    )
    assert merged["model"] == {"name": "egnn"}
    assert merge({"model": {"name": "egnn", "width": 4}}, {"model": {"width": 8}})["model"] == {
        "name": "egnn",
        "width": 8,
    }


def test_the_seed_decides_the_weights_and_leaves_the_caller_alone() -> None:
    def weights(config: Config) -> torch.Tensor:
        return torch.cat([p.flatten() for p in config.build().parameters()])

    config = resolve({"model": {"width": 8}})
    torch.manual_seed(3)
    before = torch.get_rng_state()
    first = weights(config)
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(4)
    assert torch.equal(weights(config), first)
    assert not torch.equal(weights(resolve({"model": {"width": 8}, "training": {"seed": 1}})), first)
    assert weights(resolve({"model": {"width": 8}, "training": {"precision": "float64"}})).dtype == torch.float64
