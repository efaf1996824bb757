"""Which settings a user gave, and which suit the data or are defaults."""

from __future__ import annotations

from pathlib import Path

import pytest

from intertwine.training import resolve, side_by_side
from intertwine.training.sections import given, given_in, merge, read_config
from intertwine.training.summary import differing, preset_of


@pytest.mark.parametrize(
    ("sections", "expected"),
    [
        ({}, []),
        ({"model": {"name": "schnet", "width": 7}}, ["model.width"]),
        ({"data": {"limit": 5, "test": "x.xyz"}, "task": {"force_weight": 50.0}}, ["data.limit", "task.force_weight"]),
        ({"training": {"minutes": 2.5, "loggers": ["csv"]}}, ["training.minutes", "training.loggers"]),
    ],
)
def test_settings_that_differ_from_the_defaults(sections: dict, expected: list[str]) -> None:
    config = resolve(sections)
    told = differing(config.sections(), config)
    assert told.keys() == set(expected)
    assert all(each["set"] is None for each in told.values())  # a run of former versions does not say
    told = differing(config.sections(), config, given(merge(sections)))
    assert all(each["set"] for each in told.values())
    told = differing(config.sections(), config, [])
    assert not any(each["set"] for each in told.values())


def test_what_a_user_gave_is_at_the_head_of_the_configuration(tmp_path: Path) -> None:
    """A run that was stopped before its first checkpoint has nothing else to tell it by."""
    config, file = resolve({"model": {"name": "painn", "width": 8}}), tmp_path / "config.toml"
    for names in (["model.name", "model.width"], ["model.name"]):
        config.save(file, names)
        assert given_in(file) == {"given": names}
        assert given(merge({"training": {"epochs": 3}}), given_in(file)) == sorted([*names, "training.epochs"])
        assert resolve(read_config(file)).sections() == config.sections()
    config.save(file)
    assert given_in(file) is None
    assert given_in(tmp_path / "none.toml") is None


@pytest.mark.parametrize(
    ("state", "names"),
    [
        (None, ["model.name", "model.width"]),
        ({}, None),
        ({"given": ["model.name", "training.epochs"]}, ["model.name", "model.width", "training.epochs"]),
    ],
)
def test_what_a_user_gave_is_kept_by_runs_that_go_on(state: dict | None, names: list[str] | None) -> None:
    assert given(merge({"model": {"name": "painn", "width": 8}}), state) == names


@pytest.mark.parametrize("model", ["painn", "schnet", "mace"])
@pytest.mark.parametrize(("preset", "own"), [("small", {}), ("paper", {}), ("small", {"width": 9}), (None, {})])
def test_a_preset_is_named_and_so_is_what_it_chose(model: str, preset: str | None, own: dict) -> None:
    sections = {"model": {"name": model} | own | ({"preset": preset} if preset else {})}
    config, by_user = resolve(sections), given(merge(sections))
    name, chosen = preset_of(config, by_user)
    assert name == preset
    assert bool(chosen) == (preset is not None)
    assert not {*chosen} & {*own}
    settings = differing(config.sections(), config, by_user)
    assert {key for key, each in settings.items() if "preset" in each} == {
        f"model.{key}" for key in chosen if f"model.{key}" in settings
    }
    assert preset_of(config, None) == preset_of(None, by_user) == (None, [])


@pytest.mark.parametrize("presets", [("small", None), ("small", "paper"), (None, None)])
def test_runs_of_other_presets_differ_in_it(presets: tuple[str | None, str | None]) -> None:
    runs = [{"configuration": {"model": {"width": 8}}, "data": None, "model": {"preset": name}} for name in presets]
    rows = side_by_side._settings(runs)
    assert rows == ({} if presets[0] == presets[1] else {"model.preset": list(presets)})
