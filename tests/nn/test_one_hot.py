"""Smooth one-hot encodings: e3nn's values and gradients, limits where its formulas have none."""

from __future__ import annotations

from math import exp, pi, sqrt

import pytest
import torch
from nn_checks import D, differentiates, finite_to_the_third
from switches import as_users_run_it, default_precision

from intertwine.nn.one_hot import BASES, bessel, soft_one_hot_linspace, soft_unit_step
from intertwine.nn.radial import BesselBasis
from intertwine.numerics import InputError

every_basis = pytest.mark.parametrize(
    ("basis", "cutoff"), [(basis, cutoff) for basis in BASES for cutoff in (True, False)]
)


@every_basis
@pytest.mark.parametrize(("start", "end", "number"), [(-0.5, 1.5, 4), (0.1, 2.0, 7), (0, 1, 2)])
@pytest.mark.parametrize("dtype", [D, torch.float32])
def test_against_e3nn(basis, cutoff, start, end, number, dtype) -> None:
    from e3nn import math

    x = torch.linspace(-1.03, 2.51, 60, dtype=dtype).reshape(6, 10).requires_grad_()
    with default_precision(dtype):  # in which e3nn computes the constant of smooth_finite
        values = [f(x, start, end, number, basis, cutoff) for f in (soft_one_hot_linspace, math.soft_one_hot_linspace)]
    assert values[0].shape == (6, 10, number)
    bound = 1e-12 if dtype == D else 2e-5
    torch.testing.assert_close(values[0], values[1], rtol=bound, atol=bound)
    gradients = [torch.autograd.grad(value.sin().sum(), x)[0] for value in values]
    torch.testing.assert_close(gradients[0], gradients[1], rtol=10 * bound, atol=10 * bound)


@every_basis
def test_derivatives_compiled_vectorised(basis, cutoff) -> None:
    x = torch.linspace(-0.9, 1.95, 12, dtype=D)  # between the knots of the cosine

    def encode(x: torch.Tensor) -> torch.Tensor:
        return soft_one_hot_linspace(x, -0.5, 1.5, 4, basis=basis, cutoff=cutoff)

    differentiates(encode, x)
    torch.testing.assert_close(torch.func.vmap(encode)(x), encode(x), rtol=1e-14, atol=1e-14)
    with as_users_run_it():
        torch._dynamo.reset()
        torch.testing.assert_close(
            torch.compile(encode, fullgraph=True, backend="aot_eager")(x), encode(x), rtol=1e-13, atol=1e-13
        )
    knots = torch.tensor([-0.5, -0.1, 0.0, 0.3, 1.5, 1.5 + 2 / 5, -9.0, 60.0], dtype=D)
    finite_to_the_third(encode, knots)
    assert encode(x[:0]).shape == (0, 4)


@pytest.mark.parametrize("basis", ["gaussian", "cosine", "smooth_finite", "fourier"])
@pytest.mark.parametrize("cutoff", [True, False])
def test_squares_sum_to_one_inside(basis, cutoff) -> None:
    x = torch.linspace(0.3, 0.7, 200, dtype=D)
    total = soft_one_hot_linspace(x, 0.0, 1.0, 20, basis=basis, cutoff=cutoff).square().sum(-1)
    assert float(total.mean()) == pytest.approx(1.0, abs=0.1)


@pytest.mark.parametrize("basis", BASES)
def test_zero_outside_with_a_cutoff(basis) -> None:
    y = soft_one_hot_linspace(torch.tensor([-0.2, 1.2], dtype=D), 0.0, 1.0, 10, basis=basis, cutoff=True)
    assert float(y.abs().max()) < (1e-3 if basis == "gaussian" else 1e-15)


def test_bessel() -> None:
    from e3nn import math

    x = torch.tensor([0.0, 1e-12, 1e-3, 0.1, 0.7, 2.0, 3.1], dtype=D)
    torch.testing.assert_close(bessel(x, 5, 2.0), math.bessel(x, 5, 2.0), rtol=1e-13, atol=1e-13)
    torch.testing.assert_close(
        bessel(x[0], 3, 2.0), torch.tensor([pi / 2, pi, 3 * pi / 2], dtype=D), rtol=1e-15, atol=0
    )
    torch.testing.assert_close(BesselBasis(5, 2.0)(x), bessel(x, 5, 2.0), rtol=0, atol=0)
    differentiates(lambda x: bessel(x, 4, 2.0), x)
    finite_to_the_third(lambda x: bessel(x, 4, 2.0), torch.zeros(2, dtype=D))
    r = torch.linspace(0, 2, 4001, dtype=D)
    values = bessel(r, 4, 2.0)
    overlaps = torch.trapezoid((r * r)[:, None, None] * values[:, :, None] * values[:, None], r, dim=0)
    torch.testing.assert_close(overlaps, torch.eye(4, dtype=D), rtol=0, atol=1e-6)


def test_soft_unit_step() -> None:
    from e3nn import math

    x = torch.linspace(-2, 10, 50, dtype=D).requires_grad_()
    torch.testing.assert_close(soft_unit_step(x), math.soft_unit_step(x), rtol=0, atol=1e-15)
    gradients = [torch.autograd.grad(f(x).sum(), x)[0] for f in (soft_unit_step, math.soft_unit_step)]
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-14, atol=1e-15)
    assert float(soft_unit_step(torch.tensor(1.0, dtype=D))) == exp(-1)
    differentiates(soft_unit_step, torch.tensor([-1.0, 0.2, 1.0, 3.0], dtype=D))
    for order in finite_to_the_third(soft_unit_step, torch.tensor([0.0, -1.0, 1e-300, 1e-4, 1e-3, 1.1e-3], dtype=D))[
        :4
    ]:
        assert not order.any()
    single = torch.tensor([0.0, 1e-3, 5e-3, 0.02], requires_grad=True)
    assert torch.autograd.grad(soft_unit_step(single).sum(), single)[0].isfinite().all()


def test_value_of_the_smooth_finite_basis() -> None:
    (y,) = soft_one_hot_linspace(torch.tensor([0.5], dtype=D), 0.0, 1.0, 3, basis="smooth_finite", cutoff=False)
    torch.testing.assert_close(y, torch.tensor([0, 1.14136, 0], dtype=D), rtol=1e-14, atol=0)
    (y,) = soft_one_hot_linspace(torch.tensor([0.0], dtype=D), 0.0, 1.0, 2, basis="fourier", cutoff=False)
    torch.testing.assert_close(y, torch.full((2,), 1 / sqrt(1.25), dtype=D), rtol=1e-15, atol=0)


def test_errors() -> None:
    x = torch.ones(2)
    for bad in (
        {"basis": "spline", "cutoff": True},
        {"basis": None, "cutoff": True},
        {"basis": "cosine"},
        {"basis": "cosine", "cutoff": "yes"},
        {"basis": "cosine", "cutoff": True, "number": 0},
        {"basis": "cosine", "cutoff": True, "end": -1.0},
    ):
        with pytest.raises(InputError):
            soft_one_hot_linspace(x, 0.0, **{"end": 1.0, "number": 3, **bad})
    for bad in ({"n": 0}, {"n": -1}, {"n": 3, "x_max": 0.0}):
        with pytest.raises(InputError):
            bessel(x, **bad)
