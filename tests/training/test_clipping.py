"""Gradients are shortened to a multiple of their running norm, and a run that was killed goes on with that norm."""

from __future__ import annotations

from math import inf

import numpy as np
import pytest
import torch

from intertwine.training import TrainingOptions
from intertwine.training.clipping import Clipping


def norms_after(clipping: Clipping, norms: list[float]) -> list[float]:
    """Of gradients (0.6, 0.8) times each norm, in two parameters."""
    result = []
    for norm in norms:
        parameters = [torch.nn.Parameter(torch.zeros(1, dtype=torch.float64)) for _ in range(2)]
        for p, share in zip(parameters, (0.6, 0.8)):
            p.grad = torch.full_like(p, share * norm)
        parameters.append(torch.nn.Parameter(torch.zeros(3)))  # has no gradient
        clipping(parameters)
        result.append(float(torch.stack([p.grad for p in parameters[:2]]).norm()))
    return result


def expected(norms: list[float], clip: float, relative: float) -> list[float]:
    """The recurrence, in numpy."""
    mean, result = None, []
    for t, norm in enumerate(norms):
        bound = min(clip or inf, inf if mean is None else relative * mean)
        taken, decay = min(norm, bound), min(0.99, (1 + t) / (10 + t))
        mean = taken if mean is None else mean + (1 - decay) * (taken - mean)
        result.append(taken)
    return result


@pytest.mark.parametrize(("clip", "relative"), [(0.0, 2.0), (1.5, 2.0), (0.0, 0.5)])
def test_the_bound_follows_the_running_norm(clip: float, relative: float) -> None:
    norms = np.exp(np.random.default_rng(0).normal(size=200) * 2).tolist()
    taken = norms_after(Clipping(TrainingOptions(clip=clip, clip_relative=relative)), norms)
    np.testing.assert_allclose(taken, expected(norms, clip, relative), rtol=1e-12)
    assert max(taken) < max(norms)


def test_one_explosion_hardly_raises_the_bound() -> None:
    clipping = Clipping(TrainingOptions(clip=0.0, clip_relative=2.0))
    norms_after(clipping, [1.0] * 1000)
    assert norms_after(clipping, [1e6]) == [pytest.approx(2.0)]
    assert float(clipping.mean) == pytest.approx(1.01)


def test_norms_that_are_none_or_infinite() -> None:
    clipping = Clipping(TrainingOptions(clip=0.0, clip_relative=2.0))
    assert norms_after(clipping, [0.0]) == [0.0]
    clipping = Clipping(TrainingOptions(clip=0.0, clip_relative=2.0))
    norms_after(clipping, [1.0, inf, float("nan")])
    assert float(clipping.mean) == 1.0
    clipping([torch.nn.Parameter(torch.zeros(2))])
    assert clipping.steps == 3


def test_a_constant_bound_alone_is_that_of_torch() -> None:
    clipping = Clipping(TrainingOptions(clip=2.0))
    assert norms_after(clipping, [1.0, 5.0]) == [pytest.approx(1.0), pytest.approx(2.0, rel=1e-5)]
    assert clipping.state() == {"steps": 0, "mean": None}


def test_a_saved_state_goes_on_with_the_same_bits() -> None:
    """Beside ``test_resume.py``, which kills a run that has a running norm."""
    options = TrainingOptions(clip=0.0, clip_relative=0.5)
    norms = np.exp(np.random.default_rng(1).normal(size=60) * 2).tolist()
    whole, first, second = (Clipping(options) for _ in range(3))
    expected = norms_after(whole, norms)
    before = norms_after(first, norms[:20])
    second.restore(first.state())
    assert before + norms_after(second, norms[20:]) == expected
    assert second.state() == whole.state()
