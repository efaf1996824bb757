"""Sections as given, sets, settled configuration, run folder: a run makes each of them once."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from intertwine.data import assembly
from intertwine.numerics import InputError
from intertwine.training import config, folder, load_run, settle, train
from intertwine.training import run as running
from intertwine.training import sets as opening


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Counter:
    """How often each stage was entered."""
    counted: Counter = Counter()

    def watch(name: str, *places: object, stage: str = "") -> None:
        original = getattr(places[0], name)

        def counting(*args, **kwargs):
            counted[stage or name] += 1
            return original(*args, **kwargs)

        for place in places:
            monkeypatch.setattr(place, name, counting)

    watch("check", config, running)
    watch("resolve", config, running, settle, folder)
    watch("build", config.Config)
    watch("settle", settle, running)
    watch("open_sets", opening, running)
    watch("open_dataset", opening)
    watch("resolve", assembly, stage="labels")
    return counted


STAGES = ("check", "labels", "open_dataset", "open_sets", "build")


@pytest.mark.parametrize("named", [True, False], ids=["folder given", "folder named after data and model"])
def test_a_fresh_run_makes_each_stage_once(
    tiny: dict, tmp_path: Path, calls: Counter, monkeypatch: pytest.MonkeyPatch, named: bool
) -> None:
    tiny["training"]["epochs"] = 1
    monkeypatch.chdir(tmp_path)
    train(tiny, progress=False, run=tmp_path / "run" if named else None)
    assert {stage: calls[stage] for stage in (*STAGES, "resolve", "settle")} == dict.fromkeys(
        (*STAGES, "resolve", "settle"), 1
    )


def test_a_resumed_run_settles_nothing_and_resolves_what_is_stored_and_what_is_asked(
    tiny: dict, tmp_path: Path, calls: Counter
) -> None:
    tiny["training"]["epochs"] = 1
    made = train(tiny, progress=False, run=tmp_path / "run")
    calls.clear()
    train(progress=False, run=made, resume=True)
    assert {stage: calls[stage] for stage in STAGES} == dict.fromkeys(STAGES, 1)
    assert (calls["resolve"], calls["settle"]) == (1, 0)
    calls.clear()
    train({"training": {"epochs": 2}}, progress=False, run=made, resume=True)
    assert {stage: calls[stage] for stage in STAGES} == dict.fromkeys(STAGES, 1)
    assert (calls["resolve"], calls["settle"]) == (2, 0)  # what the run was, and what it is to be
    assert load_run(made, which="last").epoch == 2


def test_the_folder_is_named_after_the_model_that_is_trained(
    tiny: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    small = {"name": "mace", "preset": "small", "cutoff": 3.0}
    data = {"source": "ethanol", "train": 4, "validation": 2, "test_size": 2, "limit": 20}
    made = train({"data": data, "model": small, "training": tiny["training"] | {"epochs": 1}}, progress=False)
    assert made.name.startswith("ethanol-mace-")


def test_arguments_of_a_task_that_the_data_name_are_checked_against_that_task(tiny: dict, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="unknown key 'colour'"):
        train(tiny | {"task": {"colour": 1}}, progress=False, run=tmp_path / "run")
    assert not (tmp_path / "run").exists()
