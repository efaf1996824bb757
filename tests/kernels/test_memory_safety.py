"""Compiled code reads what a pointer shows: tensors that are not what they look like, and arguments that do not fit."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from random_plans import D, case_of, depthwise

from intertwine.kernels.channelwise import channelwise
from intertwine.kernels.fused import Fused
from intertwine.numerics import InputError
from intertwine.o3 import SphericalHarmonics, TensorProduct

PLAN = depthwise("8x0e+8x1o", "0e+1o", 1)
TEXT = channelwise(PLAN).encode()
convolve = torch.ops.intertwine.convolve


def test_lazy_negatives_and_zeros_have_their_values() -> None:
    one = case_of(PLAN, 0)
    run = Fused(PLAN).convolve
    expected = run(one.x, one.y, one.w, *one.ends)
    torch.testing.assert_close(run(torch._neg_view(one.x), one.y, one.w, *one.ends), -expected, rtol=0, atol=0)
    torch.testing.assert_close(run(one.x, one.y, torch._neg_view(one.w), *one.ends), -expected, rtol=0, atol=0)
    nothing = torch._efficientzerotensor(one.x.shape, dtype=D)
    assert not run(nothing, one.y, one.w, *one.ends).any()
    vectors = torch.randn(40, 3, dtype=D, generator=torch.Generator().manual_seed(0))
    harmonics = SphericalHarmonics([1, 2], normalize=True)
    assert torch.equal(harmonics(torch._neg_view(vectors)), harmonics(-vectors))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x, y, w, i, j, n: (x[:, 1:], y, w, i, j, n), "x: "),
        (lambda x, y, w, i, j, n: (x, y[:, 1:], w, i, j, n), "y: "),
        (lambda x, y, w, i, j, n: (x, y.float(), w, i, j, n), "y: "),
        (lambda x, y, w, i, j, n: (x, y, w[:-1], i, j, n), "w: "),
        (lambda x, y, w, i, j, n: (x, y, None, i, j, n), "weights are missing"),
        (lambda x, y, w, i, j, n: (x, y, w, i.int(), j, n), "source: "),
        (lambda x, y, w, i, j, n: (x, y, w, i, j[:-1], n), "destination: "),
        (lambda x, y, w, i, j, n: (x, y, w, None, None, n), "source: "),
        (lambda x, y, w, i, j, n: (x, y, w, i, j, -1), "nodes: "),
    ],
)
def test_operators_look_at_their_arguments(change: Callable, message: str) -> None:
    """An exported program calls them without our modules."""
    one = case_of(PLAN, 0)
    with pytest.raises(InputError, match=message):
        convolve(TEXT, *change(one.x, one.y, one.w, *one.ends))


def test_parts_of_y_that_no_path_reads_have_no_slope() -> None:
    product = TensorProduct("8x1o", "0e+5x2e+1o", "8x1o", [(0, 0, 0, "uvu", True)], shared_weights=False, dtype=D)
    generator = torch.Generator().manual_seed(0)
    x, y, w = (torch.randn(6, size, dtype=D, generator=generator) for size in (24, 29, product.weight_numel))
    y.requires_grad_()
    (slope,) = torch.autograd.grad(product(x, y, w).square().sum(), y)
    assert slope[:, 0].all()
    assert not slope[:, 1:].any()


def test_many_channels_of_y_are_not_unrolled() -> None:
    """Code for each of a hundred channels would take minutes to compile; such products are evaluated as before."""
    assert Fused.supports(TensorProduct("8x1o", "16x0e", "8x1o", [(0, 0, 0, "uvu", True)]).kernel.plan)
    assert not Fused.supports(TensorProduct("8x1o", "130x0e", "8x1o", [(0, 0, 0, "uvu", True)]).kernel.plan)
