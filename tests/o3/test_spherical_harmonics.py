"""Spherical harmonics against e3nn, against exact polynomials in high precision, and at the points where a formula may
break.
"""

from __future__ import annotations

import math
from fractions import Fraction

import e3nn.o3
import mpmath
import pytest
import torch

from intertwine.o3 import harmonic_derivatives, low_harmonics
from intertwine.o3.spherical_harmonics import SphericalHarmonics, spherical_harmonics

F64 = torch.float64
TINY = torch.finfo(F64).eps
AWKWARD = torch.tensor(
    [
        [0, 0, 0],
        [1, 0, 0],
        [0, 1, 0],
        [0, -1, 0],
        [0, 0, 1],
        [0, 0, -2],
        [1e-10, 1, 0],
        [0, 1, 1e-10],
        [1, 1e-10, -1],
        [1e-9, 2e-9, 0],
    ],
    dtype=F64,
)


def points(*shape: int, seed: int = 0, dtype: torch.dtype = F64) -> torch.Tensor:
    return torch.randn(*shape, 3, generator=torch.Generator().manual_seed(seed), dtype=F64).to(dtype)


def exact(l: int, x: list[float]) -> list[mpmath.mpf]:
    """Component-normalised solid harmonics by Rodrigues' formula, with integer coefficients and 60 digits."""
    with mpmath.workdps(60):
        x1, y, z = (mpmath.mpf(value) for value in x)
        r2 = x1 * x1 + y * y + z * z
        rodrigues = {2 * k: Fraction((-1) ** (l - k) * math.comb(l, k), 2**l * math.factorial(l)) for k in range(l + 1)}
        found = []
        for m in range(-l, l + 1):
            n = abs(m)
            polar = mpmath.mpf(0)
            for power, value in rodrigues.items():  # the (l + n)-th derivative, made homogeneous
                left = power - l - n
                if left >= 0:
                    factor = value * math.perm(power, l + n)
                    polar += mpmath.mpf(factor.numerator) / factor.denominator * y**left * r2 ** ((l - n - left) // 2)
            ratio = Fraction((2 * l + 1) * (2 if n else 1) * math.factorial(l - n), math.factorial(l + n))
            azimuth = mpmath.mpc(z, x1) ** n if n else mpmath.mpc(1)
            part = azimuth.imag if m < 0 else azimuth.real
            found.append(mpmath.sqrt(mpmath.mpf(ratio.numerator) / ratio.denominator) * polar * part)
        return found


@pytest.mark.parametrize(("dtype", "bound"), [(F64, 16), (torch.float32, 16)])
@pytest.mark.parametrize("l", [0, 1, 2, 3, 4, 7, 10, 20, 30])
def test_solid_harmonics_are_exact(l, dtype, bound):
    x = torch.cat([0.7 * points(6, seed=l), AWKWARD]).to(dtype)
    ours = spherical_harmonics(l, x, normalize=False, normalization="component")
    for vector, row in zip(x.tolist(), ours.tolist()):
        right = exact(l, vector)
        largest = max(abs(value) for value in right)
        error = max(abs(value - got) for value, got in zip(right, row))
        assert error <= bound * torch.finfo(dtype).eps * largest + torch.finfo(dtype).tiny


@pytest.mark.parametrize(("dtype", "bound"), [(F64, 1e-13), (torch.float32, 1e-5)])
@pytest.mark.parametrize("l", [2, 10, 30])
def test_normalized_harmonics_are_exact(l, dtype, bound):
    x = points(8, seed=l).to(dtype)
    ours = spherical_harmonics(l, x, normalize=True, normalization="norm")
    for vector, row in zip(x.tolist(), ours.tolist()):
        length = mpmath.sqrt(mpmath.fsum(mpmath.mpf(c) ** 2 for c in vector))
        right = [value / length**l / mpmath.sqrt(2 * l + 1) for value in exact(l, vector)]
        assert max(abs(value - got) for value, got in zip(right, row)) <= bound


@pytest.mark.parametrize("normalization", ["integral", "component", "norm"])
@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize(
    "degrees", [0, 1, 3, [2], [3, 1, 1, 0], [0, 5, 5, 2], list(range(12)), "0e + 2x1o + 2e", "1e + 2e + 3e"]
)
def test_values_and_two_derivatives_equal_e3nn(degrees, normalize, normalization):
    x = points(4, 5).requires_grad_()
    rows = []
    for function in (spherical_harmonics, e3nn.o3.spherical_harmonics):
        y = function(degrees, x, normalize, normalization=normalization)
        weights = torch.linspace(-3, 3, y.numel(), dtype=F64).reshape(y.shape).cos()
        first = torch.zeros_like(x)
        second = torch.zeros_like(x)
        if y.requires_grad and degrees != 0:
            (first,) = torch.autograd.grad((weights * y).sum() + (y**3).sum(), x, create_graph=True)
            (second,) = torch.autograd.grad((first**3).sum(), x)
        rows.append((y, first, second))
    for ours, theirs in zip(*rows):
        assert ours.shape == theirs.shape
        assert (ours - theirs).abs().max() <= 1e-10 * max(1.0, float(theirs.detach().abs().max()))


def test_float32_equals_e3nn():
    x = points(100, dtype=torch.float32)
    ours, theirs = (f(list(range(9)), x, True) for f in (spherical_harmonics, e3nn.o3.spherical_harmonics))
    assert ours.dtype == torch.float32
    assert (ours - theirs).abs().max() < 1e-5


@pytest.mark.parametrize("degrees", [[0, 1, 2, 3], [0, 4, 1], [6]])
@pytest.mark.parametrize("normalize", [True, False])
def test_derivatives_are_right(degrees, normalize):
    x = points(3, seed=2).requires_grad_()

    def function(v):
        return spherical_harmonics(degrees, v, normalize)

    assert torch.autograd.gradcheck(function, x)
    assert torch.autograd.gradgradcheck(function, x)


@pytest.mark.parametrize("degrees", [[0, 1, 2, 3], [2, 0, 5, 5]])
@pytest.mark.parametrize("normalize", [True, False])
def test_every_way_to_a_third_derivative_agrees(degrees, normalize):
    """By the closed formulas, by plain operations under torch.func, and backward of forward: the same number."""
    x, direction = points(2), points(2, seed=1)

    def energy(v):
        return spherical_harmonics(degrees, v, normalize).sin().sum()

    def force(v):
        return torch.autograd.grad(energy(v), v, create_graph=True)[0]

    leaf = x.clone().requires_grad_()
    (second,) = torch.autograd.grad(force(leaf), leaf, direction, create_graph=True)
    (third,) = torch.autograd.grad(second, leaf, direction)
    functional = torch.func.grad(
        lambda v: (torch.func.grad(lambda u: (torch.func.grad(energy)(u) * direction).sum())(v) * direction).sum()
    )
    torch.testing.assert_close(
        second.detach(), torch.func.jvp(torch.func.grad(energy), (x,), (direction,))[1], rtol=1e-11, atol=1e-11
    )
    torch.testing.assert_close(third, functional(x), rtol=1e-11, atol=1e-11)
    (plain,) = torch.autograd.grad(force(leaf), leaf, direction)  # the fused second derivative, without a graph
    torch.testing.assert_close(plain, second.detach(), rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("dtype", [F64, torch.float32])
@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("degrees", [[0, 1, 2, 3], list(range(9)), [30]])
def test_finite_at_singular_points_to_the_third_derivative(degrees, normalize, dtype):
    x = AWKWARD.to(dtype).requires_grad_()
    y = spherical_harmonics(degrees, x, normalize)
    weights = torch.linspace(1, 2, y.shape[-1], dtype=dtype)
    found = [y]
    for _ in range(3):
        target = (found[-1] * (weights if found[-1] is y else 1)).sum(0)  # a sum over components only
        (derivative,) = torch.autograd.grad(target.sum(), x, create_graph=True)
        found.append(derivative)
    third_at_zero = found[3][0]
    assert all(torch.isfinite(value).all() for value in found)
    if normalize:
        assert (third_at_zero == 0).all()
        assert (found[1][0] == 0).all()


def test_zero_vector_has_e3nns_values():
    ours, theirs = (
        f([0, 1, 2, 4], torch.zeros(2, 3, dtype=F64), True, "component")
        for f in (spherical_harmonics, e3nn.o3.spherical_harmonics)
    )
    assert (ours[:, 0] == 1).all()
    assert (ours[:, 1:] == 0).all()
    assert (ours[:, :4] == theirs[:, :4]).all()


@pytest.mark.parametrize("length", [1e-30, 1e-12, 1e12, 1e30])
def test_direction_alone_matters_when_normalized(length):
    x = points(5, dtype=torch.float32)
    degrees = [1, 2, 5]
    torch.testing.assert_close(
        spherical_harmonics(degrees, length * x, True), spherical_harmonics(degrees, x, True), rtol=0, atol=3e-6
    )


@pytest.mark.parametrize("l", [3, 8, 30])
def test_norm_and_addition_theorem(l):
    x, y = points(50), points(50, seed=1)
    a, b = (spherical_harmonics(l, v, True, "norm") for v in (x, y))
    assert (a.norm(dim=-1) - 1).abs().max() < 1e-13
    cosine = torch.nn.functional.cosine_similarity(x, y, dim=-1)
    legendre = torch.tensor([float(mpmath.legendre(l, c)) for c in cosine.tolist()], dtype=F64)
    assert ((a * b).sum(-1) - legendre).abs().max() < 1e-12


def test_first_degree_is_the_vector_and_the_list_sets_the_order():
    x = points(7)
    assert torch.equal(spherical_harmonics(1, x, False, "norm"), x)
    whole = spherical_harmonics([0, 1, 2], x, True)
    # another program of the compiler, whose multiply-adds may be fused otherwise: by the last bit of a unit
    for degrees, columns in (
        ([2, 0, 1, 1], [4, 5, 6, 7, 8, 0, 1, 2, 3, 1, 2, 3]),
        ("0e + 2x1o", [0, 1, 2, 3, 1, 2, 3]),
    ):
        y = spherical_harmonics(degrees, x, True)
        torch.testing.assert_close(y, whole[:, columns], rtol=0, atol=torch.finfo(F64).eps)


@pytest.mark.parametrize("degrees", [[0, 1, 2, 3], [0, 1, 4]])
def test_shapes(degrees):
    module = SphericalHarmonics(degrees, True)
    dim = sum(2 * l + 1 for l in degrees)
    x = points(2, 3, 4)
    y = module(x)
    assert y.shape == (2, 3, 4, dim)
    assert y.is_contiguous()
    torch.testing.assert_close(module(x[1, 2, 3]), y[1, 2, 3], rtol=1e-14, atol=1e-14)
    empty = torch.zeros(0, 5, 3, dtype=F64, requires_grad=True)
    assert module(empty).shape == (0, 5, dim)
    assert torch.autograd.grad(module(empty).sum(), empty)[0].shape == empty.shape
    assert SphericalHarmonics([], True)(x).shape == (2, 3, 4, 0)
    assert SphericalHarmonics("", True).irreps_out.dim == 0


def test_many_blocks_equal_one(monkeypatch):
    degrees, x = list(range(6)), points(1500).requires_grad_()

    def run():
        y = spherical_harmonics(degrees, x, True)
        (first,) = torch.autograd.grad((y**2 * y.detach().cos()).sum(), x, create_graph=True)
        return y, first, torch.autograd.grad((first**2).sum(), x)[0]

    whole = run()
    monkeypatch.setattr(harmonic_derivatives, "COMPONENTS_PER_BLOCK", 1)
    for one, many in zip(whole, run()):
        torch.testing.assert_close(one, many, rtol=1e-13, atol=1e-13)


def test_the_short_way_is_the_long_way(monkeypatch):
    x = points(20).requires_grad_()

    def run():
        y = spherical_harmonics([3, 0, 2, 1], x, False)
        (first,) = torch.autograd.grad((y**3).sum(), x, create_graph=True)
        return y, first, torch.autograd.grad((first**2).sum(), x)[0]

    short = run()
    monkeypatch.setattr(harmonic_derivatives, "exact_products", lambda x: False)
    for a, b in zip(short, run()):
        torch.testing.assert_close(a, b, rtol=1e-13, atol=1e-13)


def test_low_precision_products_do_not_reach_the_harmonics():
    x = points(200, dtype=torch.float32)
    right = spherical_harmonics([0, 1, 2, 3], x, True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert not low_harmonics.exact_products(x)
        inside = spherical_harmonics([0, 1, 2, 3], x, True)
    torch.testing.assert_close(inside, right, rtol=0, atol=2e-6)
