"""Which settings a user gave, and which suit the data or are defaults."""

from __future__ import annotations

import pytest

from intertwine.training import resolve
from intertwine.training.sections import given, merge
from intertwine.training.summary import differing


@pytest.mark.parametrize(
    ("sections", "expected"),
    [
        ({}, []),
        ({"model": {"name": "schnet", "width": 7}}, ["model.width"]),
        ({"data": {"limit": 5, "test": "x.xyz"}, "task": {"force_weight": 1.0}}, ["data.limit", "task.force_weight"]),
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
