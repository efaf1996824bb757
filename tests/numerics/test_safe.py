"""Safe functions: exact values, and derivatives that are right everywhere and zero at the singular points."""

from __future__ import annotations

import math

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd import gradcheck, gradgradcheck
from torch.fx.experimental.proxy_tensor import make_fx

from intertwine.numerics import safe

VECTOR_FUNCTIONS = {
    "norm": safe.norm,
    "normalize": safe.normalize,
    "angle": lambda x: safe.angle(x, x.roll(1, 0)),
}


def derivatives(function, x: torch.Tensor, order: int) -> list[torch.Tensor]:
    """The gradient of sum(f), the gradient of the sum of that, and so on."""
    x = x.clone().requires_grad_()
    y, found = function(x).sum(), []
    for _ in range(order):
        if not y.requires_grad:
            found.append(torch.zeros_like(x))
            continue
        (gradient,) = torch.autograd.grad(y, x, create_graph=True, allow_unused=True, materialize_grads=True)
        found.append(gradient)
        y = gradient.sum()
    return found


def test_values() -> None:
    x = torch.tensor([[3.0, 4.0, 0.0], [0.0, 0.0, 0.0], [0.0, -2.0, 0.0]], dtype=torch.float64)
    assert safe.norm(x).tolist() == [5.0, 0.0, 2.0]
    assert safe.norm(x, keepdim=True).shape == (3, 1)
    unit = torch.tensor([[0.6, 0.8, 0.0], [0.0, 0.0, 0.0], [0.0, -1.0, 0.0]], dtype=torch.float64)
    torch.testing.assert_close(safe.normalize(x), unit, rtol=0, atol=2e-16)
    assert safe.sqrt(torch.tensor([4.0, 0.0, -1.0])).tolist() == [2.0, 0.0, 0.0]


def test_angles_are_exact_where_the_arc_cosine_is_not() -> None:
    small = 1e-9
    x = torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64)
    y = [[1.0, small, 0.0], [-1.0, small, 0.0], [0.0, 1.0, 0.0], [2.0, 0.0, 0.0], [-2.0, 0.0, 0.0], [0.0, 0.0, 0.0]]
    expected = torch.tensor([small, math.pi - small, math.pi / 2, 0.0, math.pi, 0.0], dtype=torch.float64)
    torch.testing.assert_close(
        safe.angle(x.expand(6, 3), torch.tensor(y, dtype=torch.float64)), expected, rtol=1e-15, atol=0
    )


@pytest.mark.parametrize("name", VECTOR_FUNCTIONS)
def test_derivatives_away_from_singular_points(name: str, generator: torch.Generator) -> None:
    x = torch.randn(4, 3, generator=generator, dtype=torch.float64).requires_grad_()
    assert gradcheck(VECTOR_FUNCTIONS[name], x)
    assert gradgradcheck(VECTOR_FUNCTIONS[name], x)


@pytest.mark.parametrize("name", ["norm", "normalize"])
def test_all_derivatives_are_zero_at_the_zero_vector(name: str) -> None:
    for gradient in derivatives(VECTOR_FUNCTIONS[name], torch.zeros(2, 3, dtype=torch.float64), 4):
        assert torch.equal(gradient, torch.zeros_like(gradient))


@pytest.mark.parametrize("factor", [1.0, -1.0, 0.0])
def test_all_derivatives_are_zero_at_collinear_vectors(factor: float) -> None:
    x = torch.tensor([[1.0, 2.0, -0.5]], dtype=torch.float64)
    for gradient in derivatives(lambda y: safe.angle(x, y), factor * x, 4):
        assert torch.equal(gradient, torch.zeros_like(gradient))


def test_square_root_has_zero_derivatives_where_it_is_cut() -> None:
    for gradient in derivatives(safe.sqrt, torch.tensor([0.0, -1.0], dtype=torch.float64), 4):
        assert torch.equal(gradient, torch.zeros_like(gradient))


def test_singular_rows_do_not_spoil_their_neighbours(generator: torch.Generator) -> None:
    x = torch.randn(3, 3, generator=generator, dtype=torch.float64)
    mixed = torch.cat([x, torch.zeros(1, 3, dtype=torch.float64)])
    for alone, together in zip(derivatives(safe.norm, x, 4), derivatives(safe.norm, mixed, 4), strict=True):
        torch.testing.assert_close(alone, together[:3], rtol=1e-13, atol=1e-13)  # alone they take the plain formula


@pytest.mark.parametrize(
    ("dtype", "size"),
    [
        (torch.float64, 1e200),
        (torch.float64, 1e-200),
        (torch.float32, 1e30),
        (torch.float32, 1e-25),
        (torch.float32, 1e-12),
    ],
)
def test_no_overflow_and_no_underflow(dtype: torch.dtype, size: float) -> None:
    """Squares of these are not representable; norms, unit vectors, angles and first derivatives are."""
    x = torch.tensor([[3.0, 4.0, 0.0]], dtype=dtype) * size
    y = torch.tensor([[-4.0, 3.0, 0.0]], dtype=dtype) * size
    relative = 4 * torch.finfo(dtype).eps
    torch.testing.assert_close(safe.norm(x), torch.tensor([5.0], dtype=dtype) * size, rtol=relative, atol=0)
    torch.testing.assert_close(safe.normalize(x), torch.tensor([[0.6, 0.8, 0.0]], dtype=dtype), rtol=relative, atol=0)
    torch.testing.assert_close(safe.angle(x, y), torch.tensor([math.pi / 2], dtype=dtype), rtol=relative, atol=0)
    torch.testing.assert_close(
        derivatives(safe.norm, x, 1)[0], torch.tensor([[0.6, 0.8, 0.0]], dtype=dtype), rtol=relative, atol=0
    )


@pytest.mark.parametrize("size", [1e-12, 1e-9, 1e-7])
def test_second_derivatives_of_almost_coincident_points_in_single_precision(size: float) -> None:
    """The plain formula's backward pass holds size**-5, which single precision can't."""
    for function in (safe.norm, safe.normalize):
        single = derivatives(function, torch.tensor([[0.3, -0.5, 0.7]]) * size, 2)
        double = derivatives(function, (torch.tensor([[0.3, -0.5, 0.7]]) * size).double(), 2)
        for found, expected in zip(single, double, strict=True):
            torch.testing.assert_close(
                found.double() / expected.abs().max(), expected / expected.abs().max(), rtol=0, atol=2e-5
            )


def test_empty_and_flat_input() -> None:
    assert safe.norm(torch.zeros(0, 3)).shape == (0,)
    assert safe.normalize(torch.zeros(0, 3)).shape == (0, 3)
    assert safe.norm(torch.zeros(2, 0)).tolist() == [0.0, 0.0]


@pytest.mark.parametrize("x", [0.0, 1e-9, 0.1, 0.299999, 0.300001, -0.25, 3.0, 40.0])
def test_sine_over_argument(x: float) -> None:
    """Value and three derivatives of sin(x)/x = int_0^1 cos(x t) dt, against quadrature of the derivatives under the
    integral.
    """
    import numpy as np

    nodes, weights = np.polynomial.legendre.leggauss(60)
    t, w = (nodes + 1) / 2, weights / 2
    expected = [float(w @ (t**k * np.cos(x * t + k * np.pi / 2))) for k in range(4)]
    found = [
        safe.sinc(torch.tensor([x], dtype=torch.float64)),
        *derivatives(safe.sinc, torch.tensor([x], dtype=torch.float64), 3),
    ]
    for a, b in zip(found, expected, strict=True):
        assert abs(a.item() - b) < 1e-13


@pytest.mark.parametrize("x", [0.0, 1e-9, 0.05, 0.0899999, 0.0900001, 2.0])
def test_sine_of_a_root_over_the_root(x: float) -> None:
    """Value and three derivatives against the power series."""
    expected = [
        sum((-1) ** n / math.factorial(2 * n + 1) * math.perm(n, k) * x ** (n - k) for n in range(k, 20))
        for k in range(4)
    ]
    found = [
        safe.sinc_sqrt(torch.tensor([x], dtype=torch.float64)),
        *derivatives(safe.sinc_sqrt, torch.tensor([x], dtype=torch.float64), 3),
    ]
    for a, b in zip(found, expected, strict=True):
        assert abs(a.item() - b) < 1e-11


def test_the_default_precision_is_never_read() -> None:
    for dtype in (torch.float32, torch.float64):
        x = torch.ones(2, 3, dtype=dtype)
        assert {f(x).dtype for f in (safe.norm, safe.normalize, safe.sqrt, safe.sinc, safe.sinc_sqrt)} == {dtype}
        assert safe.angle(x, x).dtype == dtype


def test_soft_norm_is_smooth_at_zero_and_the_norm_far_from_it() -> None:
    zero = torch.zeros(4, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: safe.soft_norm(x, 0.1), zero)
    assert torch.autograd.gradgradcheck(lambda x: safe.soft_norm(x, 0.1), zero)
    x = torch.randn(4, 3, dtype=torch.float64)
    torch.testing.assert_close(safe.soft_norm(x, 0.1), (x.square().sum(-1) + 0.01).sqrt() - 0.1, rtol=1e-13, atol=1e-15)
    torch.testing.assert_close(safe.soft_norm(1e6 * x.T, 0.1, dim=0), (1e6 * x).norm(dim=-1) - 0.1, rtol=1e-12, atol=0)


def test_branches_on_values_are_not_recorded() -> None:
    x, zero = torch.randn(4, 3, dtype=torch.float64), torch.zeros(4, 3, dtype=torch.float64)
    for mode in ("real", "fake", "symbolic"):
        traced = make_fx(safe.normalize, tracing_mode=mode)(x)
        assert traced(zero).isfinite().all()
        torch.testing.assert_close(traced(x), safe.normalize(x))
    with FakeTensorMode():
        assert safe.norm(torch.ones(2, 3)).shape == (2,)
    torch.testing.assert_close(torch.func.functionalize(safe.normalize)(x), safe.normalize(x))


def test_the_device_meta_has_no_autocast() -> None:
    assert not safe.autocasting(torch.ones(1, device="meta"))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert safe.autocasting(torch.ones(1))


@pytest.mark.parametrize("length", [0.0, 1e-12, 0.0999, 0.1001, 3.0, 1e6])
def test_compress_is_exact_on_both_sides_of_its_series(length: float) -> None:
    direction = torch.tensor([2.0, -1.0, 2.0], dtype=torch.float64) / 3
    torch.testing.assert_close(safe.compress(direction * length), direction * math.asinh(length), rtol=4e-16, atol=0)


@pytest.mark.parametrize("scale", [0.0, 0.05, 0.0577, 2.0])
def test_compress_has_all_derivatives(scale: float, generator: torch.Generator) -> None:
    x = (scale * torch.randn(4, 3, generator=generator, dtype=torch.float64)).requires_grad_()
    assert gradcheck(safe.compress, x)
    assert gradgradcheck(safe.compress, x)
