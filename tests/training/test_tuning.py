"""A search over settings: the defaults come first, a kill loses nothing, a trial that fails is no end, `train` takes
what is found.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from math import log, sqrt
from pathlib import Path
from typing import Any

import pytest

from intertwine.numerics import CheckpointError, DataError, FolderLock, InputError
from intertwine.training import read_config, resolve, train
from intertwine.training.tuning import (
    Knob,
    Record,
    Search,
    Trial,
    Yardstick,
    document,
    knobs_of,
    laboratory,
    table,
    tune,
)
from intertwine.training.tuning import search as searching
from intertwine.training.tuning.laboratory import Laboratory, Watch
from intertwine.training.tuning.proposals import propose
from intertwine.training.tuning.record import DONE, FAILED, STOPPED, at

DEFAULTS = {"training.learning_rate": 2e-3, "training.batch_size": 5, "task.energy_loss_weight": 10.0}


@pytest.fixture
def small(tiny: dict) -> dict:
    """A configuration whose trials take part of a second: two epochs end them, before their time does."""
    tiny["training"] = {"epochs": 2, "threads": 1}
    return tiny


def searched(config: dict, folder: Path, trials: int = 3, **options: Any) -> Record:
    tune(config, minutes=60, trials=trials, run=folder, progress=False, **options)
    record = Record.load(folder)
    assert record is not None
    return record


@pytest.fixture
def interrupted(monkeypatch: pytest.MonkeyPatch) -> list[dict]:
    """The third trial is stopped in the midst of its training; gives the settings of all that were begun."""
    begun, run = [], Laboratory.run

    def stopped(self: Laboratory, values: dict, folder: Path, others: list, tell: Any) -> Trial:
        begun.append(values)

        def stop(part: float, figure: float) -> None:
            tell(part, figure)
            if len(begun) == 3:
                os.kill(os.getpid(), signal.SIGINT)

        return run(self, values, folder, others, stop)

    monkeypatch.setattr(Laboratory, "run", stopped)
    return begun


def test_the_first_trial_has_the_defaults_and_the_best_is_not_worse(small: dict, tmp_path: Path) -> None:
    with Search(small, minutes=60, trials=3, run=tmp_path / "s", progress=False) as search:
        search.run()
        record = search.record
        assert record.trials[0].values == DEFAULTS  # width and layers are given
        assert [trial.state for trial in record.trials] == [DONE] * 3
        first, best = record.defaults, record.best
        assert first is record.trials[0]
        assert best.figure == min(trial.figure for trial in record.trials) <= first.figure
        short = search.laboratory.config(first.values)
        assert short.training.minutes == 6.0  # a tenth
        for section, content in search.defaults.sections().items():
            mine = short.sections()[section]
            assert {k: v for k, v in mine.items() if k not in ("minutes", "certify")} == {
                k: v for k, v in content.items() if k != "certify"
            }
    columns, rows = table(search.findings)
    assert columns == ["trial", "settings", "energy, meV/atom", "forces, meV/A", "of the defaults", "steps", "s", ""]
    assert rows[0][:2] == ["1", "the defaults"]
    assert rows[0][4:6] == ["1.000", "8"]  # two epochs of four batches
    assert [row[7] for row in rows].count("best") == 1
    told = json.loads(json.dumps(document(search.findings)))
    assert told["best"] == record.trials.index(best) + 1
    assert set(told["files"]) == {"best.toml", "trials.png"}
    assert told["trials"][0]["of_the_defaults"] == 1.0


def test_the_file_of_the_best_is_what_train_takes(small: dict, tmp_path: Path) -> None:
    record = searched(small, tmp_path / "s")
    sections = read_config(tmp_path / "s" / "best.toml")
    assert "minutes" not in sections["training"]  # that of a trial
    run = train(tmp_path / "s" / "best.toml", run=tmp_path / "r", progress=False)
    config = read_config(run / "config.toml")
    for name, value in record.best.values.items():
        section, _, key = name.partition(".")
        assert config[section][key] == value
    assert config["model"]["name"] == "painn"
    assert config["model"]["width"] == small["model"]["width"]
    assert config["data"]["train"] == 20


def test_a_search_that_was_stopped_goes_on(small: dict, tmp_path: Path, interrupted: list[dict]) -> None:
    with pytest.raises(KeyboardInterrupt):
        searched(small, tmp_path / "s", 4)
    former = Record.load(tmp_path / "s")
    assert len(former.trials) == 2
    assert former.running == interrupted[2]
    assert former.seconds > sum(trial.seconds for trial in former.trials)  # the one that was cut short counts
    assert (tmp_path / "s" / "best.toml").is_file()
    assert not (tmp_path / "s" / ".lock").exists()
    record = searched(small, tmp_path / "s", 4)
    assert record.trials[:2] == former.trials
    assert record.trials[2].values == interrupted[2] == interrupted[3]  # begins again with what was cut short
    assert len(record.trials) == 4
    assert record.running is None
    assert record.seconds > former.seconds
    assert searched(small, tmp_path / "s", 4) == record  # nothing is left to do


def test_a_search_that_was_killed_loses_no_trial(small: dict, tmp_path: Path) -> None:
    (tmp_path / "c.json").write_text(json.dumps(small))
    code = (
        "import json, sys; from intertwine.training import tune; "
        "tune(json.load(open(sys.argv[1])), minutes=60, trials=100, run=sys.argv[2], progress=False)"
    )
    root = str(Path(searching.__file__).parents[3])
    environment = os.environ | {"PYTHONPATH": root, "OMP_NUM_THREADS": "1"}
    folder = tmp_path / "s"
    command = [sys.executable, "-c", code, str(tmp_path / "c.json"), str(folder)]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        end = time.monotonic() + 300
        while len(getattr(Record.load(folder), "trials", ())) < 3:
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < end
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
    former = Record.load(folder)
    assert len(former.trials) >= 3
    record = searched(small, folder, len(former.trials) + 1)
    assert record.trials[:-1] == former.trials
    assert former.running in (None, record.trials[-1].values)


def test_a_trial_that_diverges_is_one_with_a_reason(
    small: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wild(knobs: list, trials: list, seed: int) -> dict | None:
        values = propose(knobs, trials, seed)
        return values | {"training.learning_rate": 1e30} if len(trials) == 1 else values

    monkeypatch.setattr(searching, "propose", wild)
    small["training"]["clip"] = 0.0
    monkeypatch.setattr(laboratory, "FEWEST", 100)
    # the range of the rate does not hold the wild one, so Optuna is told of a wider
    monkeypatch.setattr("intertwine.training.tuning.knobs.RATE_FACTOR", 1e34)
    with Search(small, minutes=60, trials=3, run=tmp_path / "s", progress=False) as search:
        search.run()
    states = [trial.state for trial in search.record.trials]
    assert states[:2] == [DONE, FAILED]
    assert len(states) == 3
    second = search.record.trials[1]
    assert second.figure is None
    assert "finite" in second.reason or "loss" in second.reason
    row = table(search.findings)[1][1]
    assert row[-1].startswith("failed: ")
    assert row[4] == ""
    assert Record.load(tmp_path / "s").trials == search.record.trials


def test_no_trial_with_finite_errors_is_an_error(small: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def wild(self: Laboratory, *_: Any) -> None:
        raise DataError("the training loss is nan in epoch 1", where="training")

    monkeypatch.setattr(Laboratory, "_train", wild)
    with pytest.raises(DataError, match=r"no trial .* the training loss is nan"):
        searched(small, tmp_path / "s", 2)
    assert not (tmp_path / "s" / "best.toml").exists()


def test_two_searches_in_one_folder_are_refused(small: dict, tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    with FolderLock(tmp_path / "s", "search"), pytest.raises(CheckpointError, match="another search is at work"):
        searched(small, tmp_path / "s")


def test_without_optuna_the_extra_is_named(small: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(InputError, match=r'pip install "intertwine\[tune\]"'):
        searched(small, tmp_path / "s")
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize(
    ("options", "changes", "words"),
    [
        ({"minutes": 0}, {}, "--minutes: 0 is out of range"),
        ({"minutes": float("nan")}, {}, "out of range"),
        ({"trial_minutes": -1.0}, {}, "--trial-minutes"),
        ({"minutes": 3, "trial_minutes": 2}, {}, "a trial takes 2 min, and 3 min are too few for two"),
        ({"trials": 0}, {}, "--trials: 0 trials"),
        ({}, {"training": {"devices": 2}}, "a trial is of one process"),
        ({}, {"data": {"validation": 0}}, "no validation set"),
        ({}, {"training": {"learning_rate": 0.1, "batch_size": 2}, "task": {"energy_loss_weight": 1.0}}, "is given"),
        ({}, {"model": {"widht": 8}}, "did you mean 'width'"),
    ],
)
def test_what_is_wrong_is_named(small: dict, tmp_path: Path, options: dict, changes: dict, words: str) -> None:
    config = small | {section: small.get(section, {}) | content for section, content in changes.items()}
    with pytest.raises(InputError, match=words):
        tune(config, run=tmp_path / "s", progress=False, **{"minutes": 60, "trials": 2} | options)
    assert not (tmp_path / "s").exists()


def test_time_for_one_trial_only_says_how_long_one_takes(tiny: dict, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a trial takes [\d.]+ s here.*too few for two") as caught:
        tune(tiny, minutes=1e-4, run=tmp_path / "s", progress=False)
    assert "--minutes" in caught.value.remedy
    assert not (tmp_path / "s").exists()  # and the next attempt is not of such trials


def test_another_search_in_the_folder_is_not_mixed_in(small: dict, tmp_path: Path) -> None:
    searched(small, tmp_path / "s", 1)
    other = small | {"model": small["model"] | {"width": 16}}
    with pytest.raises(InputError, match=r"settings.model.width: 8 then, 16 now"):
        searched(other, tmp_path / "s", 2)
    with pytest.raises(InputError, match=r"trial_minutes: 6.0 then, 3"):
        searched(small, tmp_path / "s", 2, trial_minutes=3)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="no search is in it"):
        searched(small, tmp_path / "full")
    (tmp_path / "s" / "search.json").write_text("{}")
    with pytest.raises(CheckpointError, match="no record of a search"):
        searched(small, tmp_path / "s")


def test_settings_that_are_given_are_not_searched() -> None:
    config = resolve({"model": "schnet"})
    names = [knob.name for knob in knobs_of(config, {}, 100)]
    assert names == [
        "training.learning_rate", "training.batch_size", "model.width", "model.layers", "task.energy_loss_weight",
    ]  # fmt: skip
    given = {"training": {"batch_size": 5}, "model": {"name": "schnet", "layers": 4}}
    assert [knob.name for knob in knobs_of(config, given, 100, weights=False)] == [names[0], names[2]]
    for knob in knobs_of(config, {}, 100):
        assert knob.default in knob.values or knob.low < knob.default < knob.high
    assert max(next(k for k in knobs_of(config, {}, 14) if k.name == names[1]).values) == 5  # two batches at least


def test_the_figure_is_the_geometric_mean_of_ratios_and_knows_no_unit() -> None:
    yardstick = Yardstick({"a": "eV", "b": ""}, {"a": 2.0})
    row = {"validation_a_mae": 1.0, "validation_b_mae": 0.08, "validation_loss": 1e9}
    assert yardstick.figure(row) == pytest.approx(sqrt(0.5 * 0.08))
    other, scaled = row | {"validation_a_mae": 3.0, "validation_b_mae": 0.04}, Yardstick(yardstick.units, {"a": 2000.0})
    in_mev = [each | {"validation_a_mae": 1e3 * each["validation_a_mae"]} for each in (row, other)]
    ratio = yardstick.figure(other) / yardstick.figure(row)
    assert ratio == pytest.approx(sqrt(3 * 0.5))
    assert scaled.figure(in_mev[1]) / scaled.figure(in_mev[0]) == pytest.approx(ratio)
    assert Yardstick(yardstick.units).figure(other) / Yardstick(yardstick.units).figure(row) == pytest.approx(ratio)
    assert yardstick.figure(row | {"validation_a_mae": float("inf")}) != yardstick.figure(row)
    assert Yardstick({"loss": ""}, loss=True).figure(row) == 1e9


def test_a_trial_is_stopped_where_it_is_above_the_median_of_others_at_that_time() -> None:
    def other(figure: float, state: str = DONE) -> Trial:
        return Trial({}, state, 10.0, figure, curve=[[2.0, 10 * figure], [6.0, figure], [10.0, figure / 2]])

    def behind(others: list[Trial], figure: float, seconds: float) -> bool:
        watch = Watch(10.0, others, lambda part, value: None)
        watch.figure = figure
        return watch.behind(seconds)

    others = [other(1.0), other(2.0), other(3.0), other(4.0)]  # at 6 s the median is 2.5
    assert behind(others, 2.6, 6.0)
    assert not behind(others, 2.4, 6.0)
    assert not behind(others, 26.0, 4.0)  # not before half of the time
    assert behind(others, float("nan"), 6.0)
    assert not behind(others[:3], 9.0, 6.0)  # too few for a median
    assert not behind([*others[:3], other(4.0, FAILED)], 9.0, 6.0)
    assert at([[1.0, 5.0]], 2.0) is None  # it had ended
    assert at([[1.0, 5.0]], 0.5) is None


def test_proposals_follow_from_the_trials_and_come_nearer() -> None:
    """On a known function of a rate and a width, whose best values are not the defaults."""
    knobs = [Knob("training.learning_rate", 1e-3, (), 2e-4, 5e-3), Knob("model.width", 64, (32, 64, 96, 128))]
    trials: list[Trial] = []
    while len(trials) < 16:
        values = propose(knobs, trials, 0)
        assert values == propose(knobs, trials, 0)
        assert values not in [trial.values for trial in trials]
        rate, width = values["training.learning_rate"], values["model.width"]
        assert 2e-4 <= rate <= 5e-3
        assert width in knobs[1].values
        figure = 1 + log(rate / 3e-3) ** 2 + abs(width - 96) / 96
        state = (FAILED, STOPPED)[len(trials) % 2] if 2 < len(trials) < 5 else DONE
        trials.append(Trial(values, state, 1.0, None if state == FAILED else figure))
    assert trials[0].values == {"training.learning_rate": 1e-3, "model.width": 64}
    assert Record({}, trials).best.figure < 1.4 < trials[0].figure
    assert Record({}, trials).best.state == DONE
    ladder = [Knob("model.layers", 2, (1, 2))]
    both = [Trial({"model.layers": layers}, DONE, 1.0, 1.0) for layers in (2, 1)]
    assert propose(ladder, both[:1], 0) == {"model.layers": 1}
    assert propose(ladder, both, 0) is None


def test_another_trial_begins_only_if_it_would_end_in_time(small: dict, tmp_path: Path) -> None:
    with Search(small, minutes=1, run=tmp_path / "s", progress=False) as search:
        assert search.has_time()
        search.record.trials = [Trial({}, DONE, 20.0, 1.0), Trial({}, STOPPED, 5.0, 2.0)]
        for seconds, expected in ((25.0, True), (39.0, True), (41.0, False)):
            search.record.seconds = seconds
            assert search.has_time() is expected
        search.record.seconds, search.most = 25.0, 2
        assert not search.has_time()
