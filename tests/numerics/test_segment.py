"""Reductions over segments against dense loops."""

from __future__ import annotations

import math

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

from intertwine.numerics import segment

INDEX = torch.tensor([2, 0, 2, 2, 4, 0])  # unsorted, segments 1 and 3 empty
SEGMENTS = 5


@pytest.mark.parametrize("shape", [(), (2,), (2, 3)])
@pytest.mark.parametrize(
    ("name", "reduce"),
    [
        ("sum", lambda x: x.sum(0)),
        ("mean", lambda x: x.mean(0)),
        ("max", lambda x: x.amax(0)),
        ("logsumexp", lambda x: x.logsumexp(0)),
    ],
)
def test_reduction_against_a_loop(name: str, reduce, shape: tuple[int, ...], generator: torch.Generator) -> None:
    x = torch.randn(6, *shape, generator=generator, dtype=torch.float64)
    expected = torch.stack(
        [reduce(x[k == INDEX]) if (k == INDEX).any() else torch.zeros(shape, dtype=x.dtype) for k in range(SEGMENTS)]
    )
    torch.testing.assert_close(getattr(segment, name)(x, INDEX, SEGMENTS), expected, rtol=0, atol=1e-15)


def test_softmax_against_a_loop(generator: torch.Generator) -> None:
    x = 5 * torch.randn(6, 2, generator=generator, dtype=torch.float64)
    expected = torch.empty_like(x)
    for k in range(SEGMENTS):
        expected[k == INDEX] = x[k == INDEX].softmax(0)
    torch.testing.assert_close(segment.softmax(x, INDEX, SEGMENTS), expected, rtol=1e-14, atol=0)


def test_softmax_does_not_overflow() -> None:
    x = torch.tensor([1e4, 1e4, -1e4])
    assert segment.softmax(x, torch.tensor([0, 0, 0]), 1).tolist() == [0.5, 0.5, 0.0]
    assert segment.logsumexp(x.double(), torch.tensor([0, 0, 0]), 1).item() == pytest.approx(1e4 + math.log(2))


def test_count() -> None:
    assert segment.count(INDEX, SEGMENTS, torch.float32).tolist() == [2.0, 0.0, 3.0, 0.0, 1.0]


@pytest.mark.parametrize("name", ["sum", "mean", "max", "softmax", "logsumexp"])
def test_empty(name: str) -> None:
    none = torch.zeros(0, dtype=torch.int64)
    result = getattr(segment, name)(torch.zeros(0, 3), torch.zeros(0, dtype=torch.int64), 2)
    assert torch.equal(result, torch.zeros(0 if name == "softmax" else 2, 3))
    assert getattr(segment, name)(torch.zeros(0, 3), none, 0).shape == (0, 3)


@pytest.mark.parametrize("name", ["sum", "mean", "max", "softmax", "logsumexp"])
def test_derivatives(name: str, generator: torch.Generator) -> None:
    x = torch.randn(6, 2, generator=generator, dtype=torch.float64).requires_grad_()
    assert gradcheck(lambda y: getattr(segment, name)(y, INDEX, SEGMENTS), x)
    assert gradgradcheck(lambda y: getattr(segment, name)(y, INDEX, SEGMENTS), x)


def test_ties_of_a_maximum_share_the_derivative() -> None:
    x = torch.tensor([1.0, 1.0, 0.0], requires_grad=True)
    segment.max(x, torch.tensor([0, 0, 0]), 1).sum().backward()
    assert x.grad.tolist() == [0.5, 0.5, 0.0]
