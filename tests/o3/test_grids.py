"""Grids on the sphere: exact quadrature, exact transforms to l = 30, e3nn's numbers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from switches import as_users_run_it

from intertwine.groups.rotations import rand_matrix
from intertwine.groups.wigner import wigner_d_blocks
from intertwine.numerics import InputError
from intertwine.o3.grids import (
    complete_resolution,
    irfft,
    legendre_table,
    parallels,
    quadrature,
    rfft,
    s2_grid,
    spherical_harmonics_s2_grid,
)
from intertwine.o3.s2_transforms import FromS2Grid, ToS2Grid
from intertwine.o3.spherical_harmonics import spherical_harmonics

D = torch.float64
NORMALIZATIONS = ("component", "norm", "integral")
# one product, and two
every_size = pytest.mark.parametrize("size", [(3, 12), (6, (20, 24)), (12, (27, 26)), (12, 60)], ids=str)


@pytest.mark.parametrize("n", [1, 2, 5, 8, 31, 62])
def test_quadrature_is_exact_below_degree_n(n: int) -> None:
    nodes, weights = np.cos(parallels(n)), quadrature(n)
    assert (weights > 0).all()
    for k in range(n):
        assert abs(weights @ nodes**k - (1 + (-1) ** k) / (k + 1)) < 1e-14


def test_legendre_table_against_mpmath_at_degree_30() -> None:
    mpmath = pytest.importorskip("mpmath")
    mpmath.mp.dps = 60
    beta = np.array([0.01, 0.7, np.pi / 2, 3.1])
    table = legendre_table(30, beta)
    for l, m in ((30, 0), (30, 1), (30, 17), (30, 30), (7, 3), (1, 0)):
        for i, angle in enumerate(beta):
            t = mpmath.cos(mpmath.mpf(float(angle)))
            derivative = (
                mpmath.diff(lambda x, l=l: (x * x - 1) ** l, t, l + m) if l < 8 else _rodrigues(mpmath, l, m, t)
            )
            norm = mpmath.sqrt((2 * l + 1) * mpmath.factorial(l - m) / (4 * mpmath.pi * mpmath.factorial(l + m)))
            exact = norm * (1 - t * t) ** (mpmath.mpf(m) / 2) * derivative / (mpmath.mpf(2) ** l * mpmath.factorial(l))
            assert abs(float(exact) - table[m, l, i]) < 1e-13


def _rodrigues(mpmath, l: int, m: int, t):
    """The (l + m)th derivative of (x^2 - 1)^l, term by term."""
    return mpmath.fsum(
        (-1) ** (l - k) * mpmath.binomial(l, k) * mpmath.ff(2 * k, l + m) * t ** (2 * k - l - m)
        for k in range(l + 1)
        if 2 * k >= l + m
    )


def test_factors_multiply_to_the_harmonics() -> None:
    lmax = 30
    betas, alphas, shb, sha = spherical_harmonics_s2_grid(lmax, 14, 9, dtype=D)
    to_grid = ToS2Grid(lmax, (62, 9), dtype=D)
    assert to_grid.grid.shape == (62, 9, 3)
    x = torch.stack(
        torch.broadcast_tensors(
            betas[:, None].sin() * alphas.sin(), betas[:, None].cos(), betas[:, None].sin() * alphas.cos()
        ),
        -1,
    )
    expected = spherical_harmonics(list(range(lmax + 1)), x, normalize=False)
    order = torch.cat([torch.arange(lmax - l, lmax + l + 1) for l in range(lmax + 1)])
    torch.testing.assert_close(shb[:, None] * sha[:, order], expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize("lmax", [0, 1, 5, 10, 20, 30])
@pytest.mark.parametrize("extra", [(1, 1), (2, 1), (2, 2), (5, 10)], ids=str)
@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_there_and_back(lmax: int, extra: tuple[int, int], normalization: str, generator: torch.Generator) -> None:
    res = (2 * lmax + extra[0], 2 * lmax + extra[1])  # the smallest grids too, odd and even
    to_grid, from_grid = ToS2Grid(lmax, res, normalization, dtype=D), FromS2Grid(res, lmax, normalization, dtype=D)
    x = torch.randn(3, (lmax + 1) ** 2, dtype=D, generator=generator)
    torch.testing.assert_close(from_grid(to_grid(x)), x, rtol=0, atol=1e-12)


@every_size
@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_values_are_those_of_the_harmonics(size: tuple, normalization: str, generator: torch.Generator) -> None:
    lmax, res = size
    to_grid = ToS2Grid(lmax, res, normalization, dtype=D)
    factor = {
        "integral": 1.0,
        "component": (4 * torch.pi / (lmax + 1)) ** 0.5,
        "norm": (4 * torch.pi / (lmax + 1)) ** 0.5,
    }[normalization]
    harmonics = spherical_harmonics(list(range(lmax + 1)), to_grid.grid, normalize=True)
    x = torch.randn(2, (lmax + 1) ** 2, dtype=D, generator=generator)
    scale = torch.cat(
        [
            torch.full((2 * l + 1,), (2 * l + 1) ** -0.5 if normalization == "component" else 1.0, dtype=D)
            for l in range(lmax + 1)
        ]
    )
    torch.testing.assert_close(
        to_grid(x), torch.einsum("zi,bai->zba", x * scale * factor, harmonics), rtol=0, atol=1e-12
    )


@every_size
def test_rotations_commute_with_the_transforms(size: tuple, generator: torch.Generator) -> None:
    lmax, res = size
    to_grid = ToS2Grid(lmax, res, dtype=D)
    rotation = rand_matrix(dtype=D, generator=generator)
    x = torch.randn((lmax + 1) ** 2, dtype=D, generator=generator)
    turned = torch.cat(
        [d @ part for d, part in zip(wigner_d_blocks(lmax, rotation), x.split([2 * l + 1 for l in range(lmax + 1)]))]
    )
    f = to_grid(turned)
    harmonics = spherical_harmonics(
        list(range(lmax + 1)), to_grid.grid @ rotation, normalize=True, normalization="component"
    )
    torch.testing.assert_close(f, harmonics @ (x / _sizes(lmax).sqrt()) / (lmax + 1) ** 0.5, rtol=0, atol=1e-12)


def _sizes(lmax: int) -> torch.Tensor:
    return torch.cat([torch.full((2 * l + 1,), 2 * l + 1.0, dtype=D) for l in range(lmax + 1)])


@pytest.mark.parametrize("res", [14, (14, 16), (12, 11), (None, 13), (12, None), (12, 7)], ids=str)
@pytest.mark.parametrize("lmax", [0, 1, 5, None])
def test_against_e3nn(lmax: int | None, res, generator: torch.Generator, oracle_in_double: None) -> None:
    from e3nn import o3

    for normalization in (*NORMALIZATIONS, "tensor"):
        degrees = complete_resolution(lmax, res)[0] + 1
        kind = torch.linspace(0.5, 2, degrees) if normalization == "tensor" else normalization
        for ours, theirs in (
            (ToS2Grid(lmax, res, kind), o3.ToS2Grid(lmax, res, kind)),
            (FromS2Grid(res, lmax, kind, lmax_in=4), o3.FromS2Grid(res, lmax, kind, lmax_in=4)),
        ):
            assert (ours.lmax, ours.res_beta, ours.res_alpha, repr(ours)) == (
                theirs.lmax,
                theirs.res_beta,
                theirs.res_alpha,
                repr(theirs),
            )
            shape = ((ours.lmax + 1) ** 2,) if isinstance(ours, ToS2Grid) else (ours.res_beta, ours.res_alpha)
            x = torch.randn(2, 1, *shape, generator=generator)
            torch.testing.assert_close(ours(x), theirs(x), rtol=1e-10, atol=1e-10)
            torch.testing.assert_close(ours.grid, theirs.grid, rtol=0, atol=1e-14)
            ours.load_state_dict(theirs.state_dict())


@pytest.mark.parametrize(("res", "l"), [(9, 3), (9, 4), (10, 4), (8, 0), (1, 0)])
def test_fourier(res: int, l: int, generator: torch.Generator) -> None:
    sha = spherical_harmonics_s2_grid(l, 2, res, dtype=D)[3]
    samples = torch.randn(2, 3, res, dtype=D, generator=generator)
    waves = torch.randn(2, 3, 2 * l + 1, dtype=D, generator=generator)
    torch.testing.assert_close(rfft(samples, l), samples @ sha, rtol=0, atol=1e-13)
    torch.testing.assert_close(irfft(waves, res), waves @ sha.T, rtol=0, atol=1e-13)
    torch.testing.assert_close(rfft(irfft(waves, res), l), res * waves, rtol=0, atol=1e-12)
    assert torch.autograd.gradgradcheck(lambda x: irfft(rfft(x, l), res) ** 2, samples[0, :1].requires_grad_())


@every_size
def test_transforms_are_each_others_derivative_and_survive(size: tuple, generator: torch.Generator) -> None:
    lmax, res = size
    to_grid, from_grid = ToS2Grid(lmax, res, dtype=D), FromS2Grid(res, lmax, dtype=D)
    x = torch.randn(1, (lmax + 1) ** 2, dtype=D, generator=generator, requires_grad=True)
    for function in (to_grid, lambda x: from_grid(to_grid(x).exp())):
        assert torch.autograd.gradcheck(function, x, fast_mode=True)
        assert torch.autograd.gradgradcheck(function, x, fast_mode=True)
    with as_users_run_it():
        compiled = torch.compile(lambda x: from_grid(to_grid(x).exp()), fullgraph=True, backend="aot_eager")
        torch.testing.assert_close(compiled(x), from_grid(to_grid(x).exp()))
        batch = {0: torch.export.Dim("batch", min=2)}
        samples = to_grid(x.expand(3, -1))
        program = torch.export.export(from_grid, (samples[:2],), dynamic_shapes=(batch,)).module()
        torch.testing.assert_close(program(samples), x.expand(3, -1))
    each = torch.func.vmap(to_grid)(x.detach().expand(4, -1))
    torch.testing.assert_close(each, to_grid(x.detach().expand(4, -1)), rtol=0, atol=1e-13)
    assert to_grid(x[:0]).shape == (0, to_grid.res_beta, to_grid.res_alpha)
    assert from_grid(to_grid(x[:0])).shape == (0, (lmax + 1) ** 2)
    assert not to_grid.state_dict()
    assert torch.equal(to_grid.float().double()(x), ToS2Grid(lmax, res, dtype=D)(x))


def test_default_precision_and_errors() -> None:
    assert s2_grid(4, 5)[0].dtype == torch.get_default_dtype()
    assert ToS2Grid(2).sha.dtype == torch.get_default_dtype()
    for bad in (
        lambda: s2_grid(0, 4),
        lambda: spherical_harmonics_s2_grid(-1, 4, 4),
        lambda: ToS2Grid(),
        lambda: ToS2Grid(3, 6),
        lambda: ToS2Grid(-1),
        lambda: ToS2Grid(2, 8, "components"),
        lambda: FromS2Grid(8, 2, torch.ones(2)),
        lambda: rfft(torch.ones(4), 3),
        lambda: irfft(torch.ones(5), 4),
        lambda: irfft(torch.ones(4), 9),
        lambda: ToS2Grid(2, 8)(torch.ones(8)),
        lambda: ToS2Grid(2, 8, dtype=D)(torch.ones(9, dtype=torch.float32)),
        lambda: FromS2Grid(8, 2)(torch.ones(7, 8)),
    ):
        with pytest.raises(InputError):
            bad()
