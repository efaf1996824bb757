"""Radial bases and envelopes against their formulas; derivatives everywhere, d = 0 and the cutoff included."""

from __future__ import annotations

import math

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

from intertwine.nn import BesselBasis, CosineCutoff, GaussianBasis, PolynomialCutoff, envelope, radial_basis
from intertwine.numerics import InputError

CUTOFF = 5.0
D = torch.tensor([0.0, 1e-9, 1e-3, 0.3, 1.1, 2.5, 4.9, 5.0], dtype=torch.float64)


def derivative(function, x: float, order: int) -> list[float]:
    """Value and derivatives at a point by automatic differentiation."""
    d = torch.tensor([x], dtype=torch.float64, requires_grad=True)
    y, found = function(d).sum(), []
    for _ in range(order):
        found.append(y.item())
        (y,) = torch.autograd.grad(y, d, create_graph=True)
    return [*found, y.item()]


def test_gaussians_against_the_formula() -> None:
    centres = [k * CUTOFF / 7 for k in range(8)]
    gamma = 1 / (2 * (CUTOFF / 7) ** 2)
    expected = torch.tensor(
        [[math.exp(-gamma * (d - mu) ** 2) for mu in centres] for d in D.tolist()], dtype=torch.float64
    )
    torch.testing.assert_close(GaussianBasis(8, CUTOFF)(D), expected, rtol=1e-14, atol=1e-15)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gaussians_and_their_derivatives_have_no_denormal_numbers(dtype: torch.dtype) -> None:
    """Processors take them apart in microcode: a product of matrices that hold some takes 50 times as long."""
    d = torch.linspace(0, CUTOFF, 2000, dtype=dtype, requires_grad=True)
    basis = GaussianBasis(50, CUTOFF)(d)
    slopes = torch.autograd.grad(basis, d, torch.eye(50, dtype=dtype).repeat(40, 1)[:, :50], create_graph=True)
    for value in (basis, *slopes):
        assert not ((value != 0) & (value.abs() < torch.finfo(dtype).tiny)).any()


def test_bessel_against_the_formula() -> None:
    k = torch.arange(1, 7, dtype=torch.float64)
    d = D[1:, None]
    expected = math.sqrt(2 / CUTOFF) * torch.sin(k * math.pi * d / CUTOFF) / d
    torch.testing.assert_close(BesselBasis(6, CUTOFF)(D)[1:], expected, rtol=1e-13, atol=1e-14)
    torch.testing.assert_close(
        BesselBasis(6, CUTOFF)(D)[0], math.sqrt(2 / CUTOFF) * k * math.pi / CUTOFF, rtol=1e-14, atol=0
    )


def test_bessel_functions_are_orthonormal() -> None:
    """int_0^rc e_k e_l d^2 dd = delta_kl, which is where their normalisation comes from."""
    import numpy as np

    nodes, weights = np.polynomial.legendre.leggauss(60)
    d, w = torch.tensor((nodes + 1) / 2 * CUTOFF), torch.tensor(weights / 2 * CUTOFF)
    basis = BesselBasis(6, CUTOFF)(d)
    torch.testing.assert_close(
        torch.einsum("ek,el,e->kl", basis, basis, w * d**2), torch.eye(6, dtype=torch.float64), rtol=0, atol=1e-12
    )


def test_bessel_derivatives_at_zero() -> None:
    """1, 0, -(k pi / rc)^2 / 3, 0 times the value: torch.sinc has NaN from the second on."""
    for k in (1, 2, 6):
        q = k * math.pi / CUTOFF
        found = derivative(lambda d, k=k: BesselBasis(6, CUTOFF)(d)[:, k - 1], 0.0, 3)
        scale = math.sqrt(2 / CUTOFF) * q
        assert found == pytest.approx([scale, 0.0, -scale * q**2 / 3, 0.0], abs=1e-13)


@pytest.mark.parametrize("name", ["gaussian", "bessel"])
def test_basis_derivatives(name: str) -> None:
    basis, d = radial_basis(name, 5, CUTOFF), D[3:].clone().requires_grad_()
    assert gradcheck(basis, d)
    assert gradgradcheck(basis, d)


@pytest.mark.parametrize("name", ["gaussian", "bessel"])
def test_double_precision_does_not_depend_on_how_the_module_was_stored(name: str) -> None:
    fresh, converted = radial_basis(name, 5, 4.7), radial_basis(name, 5, 4.7).float().double()
    assert torch.equal(fresh(D), converted(D))
    assert fresh(D.float()).dtype == torch.float32
    assert fresh(D[:0]).shape == (0, 5)


def test_cosine_cutoff_against_the_formula() -> None:
    expected = torch.tensor(
        [0.5 * (1 + math.cos(math.pi * d / CUTOFF)) if d < CUTOFF else 0.0 for d in D.tolist()], dtype=torch.float64
    )
    torch.testing.assert_close(CosineCutoff(CUTOFF)(D), expected, rtol=0, atol=1e-15)


@pytest.mark.parametrize("p", [2, 3, 6, 9])
def test_polynomial_cutoff_against_the_formula(p: int) -> None:
    u = D / CUTOFF
    plain = 1 - (p + 1) * (p + 2) / 2 * u**p + p * (p + 2) * u ** (p + 1) - p * (p + 1) / 2 * u ** (p + 2)
    torch.testing.assert_close(PolynomialCutoff(CUTOFF, p)(D), plain.where(u < 1, 0.0), rtol=0, atol=1e-13)


@pytest.mark.parametrize(("name", "vanishing"), [("cosine", 2), ("polynomial", 3)])
def test_envelopes_vanish_at_the_cutoff(name: str, vanishing: int) -> None:
    """Value and derivatives just inside are as small as the first that does not vanish allows; outside all is zero."""
    inside, outside = (derivative(envelope(name, CUTOFF), CUTOFF + step, 2) for step in (-1e-6, 1e-6))
    for order in range(vanishing):
        assert abs(inside[order]) < 10 * 1e-6 ** (vanishing - order)
    assert outside == [0.0, 0.0, 0.0]
    assert derivative(envelope(name, CUTOFF), 0.0, 2)[:2] == [1.0, 0.0]


@pytest.mark.parametrize("name", ["cosine", "polynomial"])
def test_envelopes_lose_no_digits_near_the_cutoff_in_single_precision(name: str) -> None:
    d = torch.linspace(4.9, 5.0, 20)[:-1]
    torch.testing.assert_close(
        envelope(name, CUTOFF)(d).double(), envelope(name, CUTOFF)(d.double()), rtol=1e-4, atol=1e-12
    )
    assert (envelope(name, CUTOFF)(d) >= 0).all()


@pytest.mark.parametrize("name", ["cosine", "polynomial"])
def test_envelopes_fall_and_are_differentiable(name: str) -> None:
    d = torch.linspace(0, 6, 100, dtype=torch.float64)
    assert (envelope(name, CUTOFF)(d).diff() <= 0).all()
    inside = D[:-1].clone().requires_grad_()
    assert gradcheck(envelope(name, CUTOFF), inside)
    assert gradgradcheck(envelope(name, CUTOFF), inside)


@pytest.mark.parametrize("cutoff", [0, -1.0, float("nan"), float("inf"), None, "5"])
@pytest.mark.parametrize(
    "make", [CosineCutoff, PolynomialCutoff, lambda r: GaussianBasis(4, r), lambda r: BesselBasis(4, r)]
)
@pytest.mark.filterwarnings("ignore")
def test_cutoffs_that_are_none(cutoff, make) -> None:
    with pytest.raises((InputError, TypeError)):
        make(cutoff)


def test_other_errors() -> None:
    with pytest.raises(InputError, match="give 2 or more"):
        PolynomialCutoff(5.0, 1)
    with pytest.raises(InputError, match="give at least 2"):
        GaussianBasis(1, 5.0)
    with pytest.raises(InputError, match="start below"):
        GaussianBasis(4, 5.0, start=5.0)
    with pytest.raises(InputError, match="give at least 1"):
        BesselBasis(0, 5.0)
    with pytest.raises(InputError, match="did you mean 'bessel'"):
        radial_basis("bessle", 4, 5.0)
    with pytest.raises(InputError, match="did you mean 'cosine'"):
        envelope("cosin", 5.0)
