"""Functions whose values and first derivatives are NumPy's: derivatives of every order and kind are those of torch."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from intertwine.geometry.copies import _seen_by_torch, _SeenAtOnce
from intertwine.geometry.frames import weighted
from intertwine.geometry.frames.space import _about_means, _Blocks
from intertwine.numerics import GeometryError, by_hand, segment

GRAPHS, SIZE, FRAMES = 3, 4, 2
OWNER = torch.arange(GRAPHS).repeat_interleave(SIZE)


def blocks(points):
    return by_hand.computed(_Blocks.of(points.detach().numpy(), OWNER), points)


def seen(*inputs):
    return by_hand.computed(_SeenAtOnce(*(x.detach().numpy() for x in inputs)), *inputs)


def drawn(*shape, dtype=torch.float64, seed=0):
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed)).requires_grad_()


FUNCTIONS = {
    "points about their means": (blocks, lambda x: _about_means(x, OWNER), [(GRAPHS, SIZE, 3)]),
    "copies about a centre": (
        seen,
        lambda *inputs: (_seen_by_torch(*inputs),),
        [(GRAPHS, FRAMES, 3, 3), (GRAPHS * SIZE, 3), (GRAPHS, 3)],
    ),
    "copies": (seen, lambda *inputs: (_seen_by_torch(*inputs),), [(GRAPHS, FRAMES, 3, 3), (GRAPHS * SIZE, 3)]),
}


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_values_and_derivatives_are_those_of_the_formulas(name, dtype):
    function, formulas, shapes = FUNCTIONS[name]
    inputs = [drawn(*shape, dtype=dtype, seed=k) for k, shape in enumerate(shapes)]
    outputs, wanted = function(*inputs), formulas(*inputs)
    along = [drawn(*y.shape, dtype=dtype, seed=9) for y in wanted]
    by_inputs = torch.autograd.grad(outputs, inputs, along)
    wanted_by = torch.autograd.grad(wanted, inputs, along)
    for y, z in zip([*outputs, *by_inputs], [*wanted, *wanted_by], strict=True):
        assert y.dtype == z.dtype == dtype
        assert y.shape == z.shape
        assert (y - z).abs().max() <= 16 * torch.finfo(dtype).eps * z.abs().max()


@pytest.mark.parametrize("name", FUNCTIONS)
def test_derivatives_of_derivatives_and_many_at_once(name):
    function, formulas, shapes = FUNCTIONS[name]
    inputs = [drawn(*shape, seed=k) for k, shape in enumerate(shapes)]
    assert torch.autograd.gradcheck(function, inputs)
    assert torch.autograd.gradgradcheck(function, inputs)
    y = function(*inputs)[0].flatten()
    rows = torch.eye(len(y), dtype=y.dtype)
    many = torch.autograd.grad(y, inputs[-1], rows, is_grads_batched=True)[0]
    wanted = torch.autograd.grad(formulas(*inputs)[0].flatten(), inputs[-1], rows, is_grads_batched=True)[0]
    assert (many - wanted).abs().max() < 1e-14


@pytest.mark.parametrize("needed", [(True, False, False), (False, True, False), (False, False, True)])
def test_an_input_that_is_a_constant_has_no_derivative(needed):
    shapes = FUNCTIONS["copies about a centre"][2]
    inputs = [drawn(*shape).detach().requires_grad_(need) for shape, need in zip(shapes, needed, strict=True)]
    (y,) = seen(*inputs)
    (y * y).sum().backward(create_graph=True)
    assert [x.grad is not None for x in inputs] == list(needed)


def test_mixed_precision_takes_the_difference_before_it_rounds():
    rotation = torch.eye(3, dtype=torch.float64).expand(1, FRAMES, 3, 3)
    x = torch.tensor([[1e6, 0.0, 0.0], [1e6 + 0.25, 0.0, 0.0]], dtype=torch.float32).requires_grad_()
    centre = torch.tensor([[1e6 + 0.125, 0.0, 0.0]], dtype=torch.float64).requires_grad_()
    (y,) = seen(rotation, x, centre)
    assert y.dtype == torch.float32
    assert y[:2, 0].tolist() == [-0.125, 0.125]
    by_x, by_centre = torch.autograd.grad(y.sum(), (x, centre))
    assert (by_x.dtype, by_centre.dtype) == (torch.float32, torch.float64)
    assert by_centre[0, 0] == -2 * FRAMES


def test_what_numpy_can_not_read_is_torchs():
    x = drawn(GRAPHS, SIZE, 3)
    assert by_hand.readable(x, x.float())
    assert not by_hand.readable(x, x.half())
    assert not by_hand.readable(x.detach().to("meta"))
    assert not by_hand.readable(torch.randn(2, dtype=torch.complex128).conj().imag)
    inside = []
    torch.func.vmap(lambda y: inside.append(by_hand.readable(y)) or y)(x)
    assert inside == [False]


@pytest.mark.parametrize("row", [0, 5, GRAPHS * SIZE - 1])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_points_that_are_not_finite_are_named(row, value):
    points = drawn(GRAPHS * SIZE, 3).detach()
    points[row, 1] = value
    with pytest.raises(GeometryError, match=f"point {row}, of graph {row // SIZE}, is not finite"):
        weighted(points, OWNER, GRAPHS, SIZE)


@pytest.mark.parametrize("index", [[0, 0, 1, 1], [0, 1, 0, 1], [0, 0, 0, 1], [1, 1, 0, 0], [0, 0], [0, 0, 1]])
def test_even_segments(index):
    wanted = {(0, 0, 1, 1): 2}.get(tuple(index), 0)
    assert segment.even(torch.tensor(index), 2) == wanted
    assert segment.even(torch.zeros(3, dtype=torch.int64), 1) == 3
    assert segment.even(torch.from_numpy(np.arange(4)), 4) == 1
