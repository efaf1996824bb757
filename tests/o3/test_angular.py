"""Harmonics of two angles: e3nn's values and gradients, the vectors' harmonics, and finite derivatives at the poles."""

from __future__ import annotations

import copy
import pickle

import e3nn.o3
import mpmath
import pytest
import torch
from switches import as_users_run_it

from intertwine.numerics import InputError
from intertwine.o3.angular import (
    Legendre,
    SphericalHarmonicsAlphaBeta,
    spherical_harmonics_alpha,
    spherical_harmonics_alpha_beta,
)
from intertwine.o3.irreps import Irreps
from intertwine.o3.spherical_harmonics import spherical_harmonics

F64 = torch.float64


def angles(*shape: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    alpha, beta = (torch.rand(*shape, generator=generator, dtype=F64) for _ in range(2))
    return (2 * torch.pi * alpha).requires_grad_(), (torch.pi * beta).requires_grad_()


def direction(alpha: torch.Tensor, beta: torch.Tensor) -> torch.Tensor:
    return torch.stack([beta.sin() * alpha.sin(), beta.cos(), beta.sin() * alpha.cos()], dim=-1)


@pytest.mark.usefixtures("oracle_in_double")
@pytest.mark.parametrize("normalization", ["integral", "component", "norm"])
@pytest.mark.parametrize("l", [0, 2, [3, 1, 1, 0], list(range(7))])
def test_values_and_gradients_equal_e3nn(l, normalization):
    alpha, beta = angles(4, 5)
    rows = []
    for function in (spherical_harmonics_alpha_beta, e3nn.o3.spherical_harmonics_alpha_beta):
        y = function(l, alpha, beta, normalization=normalization)
        gradients = torch.autograd.grad(y.sin().sum() + 0 * (alpha + beta).sum(), (alpha, beta))
        rows.append((y, *gradients))
    for ours, theirs in zip(*rows):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-10)


def test_factors_equal_e3nn():
    alpha, beta = angles(3, 4)
    torch.testing.assert_close(
        spherical_harmonics_alpha(5, alpha), e3nn.o3.spherical_harmonics_alpha(5, alpha), rtol=0, atol=1e-13
    )
    ours, theirs = Legendre([2, 0, 3]), e3nn.o3.Legendre([2, 0, 3])
    z, y = 2 * beta.cos(), beta.sin()  # not on the circle: the same polynomial
    torch.testing.assert_close(ours(z, y), theirs(z, y), rtol=0, atol=1e-12)


@pytest.mark.parametrize("l", [1, 8, 30])
def test_legendre_is_exact(l):
    z = torch.tensor([-1.0, -0.3, 0.0, 0.77, 1.0], dtype=F64)
    y = (1 - z * z).sqrt()
    ours = Legendre([l])(z, y)
    for row, (height, width) in zip(ours.tolist(), zip(z.tolist(), y.tolist())):
        for m in range(-l, l + 1):
            n = abs(m)
            with mpmath.workdps(50):
                derivative = mpmath.mpf(0)  # of the Legendre polynomial, from its explicit sum
                for k in range(l // 2 + 1):
                    power = l - 2 * k
                    if power >= n:
                        term = (
                            (-1) ** k
                            * mpmath.binomial(l, k)
                            * mpmath.binomial(2 * l - 2 * k, l)
                            * mpmath.mpf(height) ** (power - n)
                        )
                        derivative += term * mpmath.factorial(power) / mpmath.factorial(power - n)
                ratio = mpmath.factorial(l - n) / mpmath.factorial(l + n) * (2 * l + 1) / (4 * mpmath.pi)
                right = mpmath.sqrt(ratio) * mpmath.mpf(width) ** n * derivative / 2**l
            assert abs(row[m + l] - right) < 1e-13 * (2 * l + 1)


@pytest.mark.parametrize("l", [[0, 1, 2, 3], [10], [30]])
def test_equals_the_harmonics_of_the_direction(l):
    alpha, beta = angles(20)
    right = spherical_harmonics(l, direction(alpha, beta), False)
    torch.testing.assert_close(spherical_harmonics_alpha_beta(l, alpha, beta), right, rtol=0, atol=1e-12)


def test_derivatives():
    alpha, beta = angles(3)
    module = SphericalHarmonicsAlphaBeta([0, 1, 4])
    assert torch.autograd.gradcheck(module, (alpha, beta))
    assert torch.autograd.gradgradcheck(module, (alpha, beta))


@pytest.mark.parametrize("beta", [0.0, torch.pi, torch.pi / 2])
def test_finite_at_the_poles_to_the_third_derivative(beta):
    alpha = torch.tensor([0.0, 1.0, torch.pi], dtype=F64, requires_grad=True)
    polar = torch.full((3,), beta, dtype=F64, requires_grad=True)
    value = (spherical_harmonics_alpha_beta(list(range(9)), alpha, polar) * torch.linspace(1, 2, 81, dtype=F64)).sum()
    for _ in range(3):
        gradients = torch.autograd.grad(value, (alpha, polar), create_graph=True)
        assert all(torch.isfinite(gradient).all() for gradient in gradients)
        value = sum(gradient.sum() for gradient in gradients)


def test_shapes_degrees_and_copies():
    alpha, beta = angles(2, 3)
    for l, dim in ((2, 5), ([1, 0], 4), (Irreps("2x1o + 0e"), 7), ("0e + 2e", 6), ([], 0)):
        module = SphericalHarmonicsAlphaBeta(l)
        assert module(alpha, beta).shape == (2, 3, dim)
        assert torch.equal(pickle.loads(pickle.dumps(copy.deepcopy(module)))(alpha, beta), module(alpha, beta))
        assert module(alpha[:0], beta[:0]).shape == (0, 3, dim)
        assert not module.state_dict()
    assert module(alpha[0, 0], beta[0, 0]).shape == (0,)


def test_transforms_and_compile():
    module = SphericalHarmonicsAlphaBeta([0, 3])
    alpha, beta = (angle.detach() for angle in angles(6))
    torch.testing.assert_close(torch.func.vmap(module)(alpha, beta), module(alpha, beta), rtol=1e-13, atol=1e-13)
    with as_users_run_it():
        compiled = torch.compile(module, fullgraph=True, backend="aot_eager")
        torch.testing.assert_close(compiled(alpha, beta), module(alpha, beta), rtol=1e-13, atol=1e-13)
        exported = torch.export.export(module, (alpha, beta)).module()
        torch.testing.assert_close(exported(alpha, beta), module(alpha, beta), rtol=1e-13, atol=1e-13)


def test_errors_are_named():
    alpha, beta = angles(3)
    with as_users_run_it():
        for call in (
            lambda: SphericalHarmonicsAlphaBeta(-1),
            lambda: SphericalHarmonicsAlphaBeta(1, "unit"),
            lambda: Legendre([1, -2]),
            lambda: spherical_harmonics_alpha(-1, alpha),
            lambda: spherical_harmonics_alpha_beta(1, alpha, beta[:2]),
        ):
            with pytest.raises(InputError):
                call()
