"""The learning rate, and what counts as an improvement."""

from __future__ import annotations

import math

import pytest

from intertwine.training import TrainingOptions
from intertwine.training.schedule import Improvement, Schedule


def test_improvement_is_relative_and_nan_is_none() -> None:
    progress = Improvement(0.1)
    assert [progress.better(score) for score in (math.nan, 10.0, 9.5, 8.9, 8.9, math.nan, math.inf, 1.0)] == [
        False, True, False, True, False, False, False, True,
    ]  # fmt: skip
    assert (progress.best, progress.stalled) == (1.0, 0)
    negative = Improvement(0.1)
    assert [negative.better(score) for score in (-10.0, -10.5, -11.5)] == [True, False, True]


def test_plateau_waits_for_its_patience() -> None:
    options = TrainingOptions(
        schedule="plateau", learning_rate=1.0, factor=0.5, plateau_patience=2, threshold=0.0, minimum_rate=0.3
    )
    schedule = Schedule(options, steps=10)
    rates = []
    for value in (5.0, 5.0, 5.0, 5.0, 4.0, 4.0, 4.0, 4.0, 4.0):
        schedule.validated(value)
        rates.append(schedule.rate(3, 0.0))
    assert rates == [1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.5, 0.3, 0.3]


def test_plateau_agrees_with_torch() -> None:
    import numpy as np
    import torch

    options = TrainingOptions(
        learning_rate=1.0, factor=0.7, schedule="plateau", plateau_patience=3, threshold=1e-3, minimum_rate=0.0
    )
    schedule = Schedule(options, 1)
    weight = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([weight], lr=1.0)
    reference = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.7, patience=3, threshold=1e-3, eps=0.0)
    for score in np.abs(np.random.default_rng(0).normal(size=200)) + np.linspace(3, 0, 200):
        schedule.validated(float(score))
        reference.step(float(score))
        assert schedule.rate(0, 0.0) == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-12)


@pytest.mark.parametrize(("name", "middle"), [("cosine", 0.5), ("linear", 0.5), ("flat", 1.0), ("constant", 1.0)])
def test_shapes(name: str, middle: float) -> None:
    schedule = Schedule(TrainingOptions(schedule=name, learning_rate=2.0, minimum_rate=0.0), steps=100)
    assert schedule.rate(0, 0.0) == 2.0
    assert schedule.rate(50, 1e9) == pytest.approx(2.0 * middle)
    assert schedule.rate(100, 0.0) == (2.0 if name == "constant" else 0.0)


@pytest.mark.parametrize("name", ["plateau", "cosine", "linear", "flat", "constant"])
def test_a_time_budget_brings_every_schedule_down(name: str) -> None:
    schedule = Schedule(TrainingOptions(schedule=name, learning_rate=1.0, minimum_rate=1e-5, minutes=1.0), steps=10**9)
    rates = [schedule.rate(0, seconds) for seconds in range(61)]
    assert rates[0] == 1.0
    assert rates[60] == 1e-5
    assert rates == sorted(rates, reverse=True)


def test_flat_comes_down_in_the_last_quarter() -> None:
    options = TrainingOptions(schedule="flat", learning_rate=2.0, minimum_rate=0.0, warmup=2)
    schedule = Schedule(options, steps=400)
    assert [schedule.rate(step, 0.0) for step in (0, 1, 2, 150, 300)] == [1.0, 2.0, 2.0, 2.0, 2.0]
    assert schedule.rate(350, 0.0) == pytest.approx(1.0)
    assert schedule.rate(375, 0.0) == pytest.approx(1 - math.sqrt(0.5))
    timed = Schedule(TrainingOptions(schedule="flat", learning_rate=2.0, minimum_rate=0.0, minutes=1.0), steps=400)
    assert timed.rate(10, 45.0) == 2.0
    assert timed.rate(10, 52.5) == pytest.approx(1.0)


def test_warmup() -> None:
    schedule = Schedule(TrainingOptions(schedule="constant", learning_rate=1.0, warmup=4), steps=100)
    assert [schedule.rate(step, 0.0) for step in range(6)] == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]


@pytest.mark.parametrize(("seconds", "rate"), [(0.0, 0.001), (1.5, 0.25), (3.0, 0.5), (6.0, 1.0), (30.0, 1.0)])
def test_the_rate_has_risen_after_a_tenth_of_a_time_budget(seconds: float, rate: float) -> None:
    schedule = Schedule(TrainingOptions(schedule="constant", learning_rate=1.0, warmup=1000, minutes=1.0), steps=10**9)
    assert schedule.rate(0, seconds) == pytest.approx(rate)


def test_state_comes_back() -> None:
    options = TrainingOptions(schedule="plateau", plateau_patience=0, factor=0.5, learning_rate=1.0)
    schedule, other = Schedule(options, 10), Schedule(options, 10)
    for value in (1.0, 2.0, 3.0):
        schedule.validated(value)
    other.restore(schedule.state())
    assert other.rate(0, 0.0) == schedule.rate(0, 0.0) == 0.25
    assert other.state() == schedule.state()
