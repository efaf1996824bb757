r"""Harmonics of low degree as one matrix product of monomials, :math:`Y = A\,\mu(x)`, and their derivatives likewise.

Up to degree 3 the coefficients are small numbers, so no digit is lost, and a few operations replace the many of the
recursion. With :math:`\partial_k Y = A_k\,\mu'(x)`, :math:`\mu'` the monomials of one degree less, the gradient of
:math:`\sum g\,Y` is :math:`\sum_j \mu'_j (A_k^T g)_j`. Rows are monomials or components, columns are points.
"""

from __future__ import annotations

from functools import lru_cache
from math import comb, factorial
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from intertwine.numerics import safe

HIGHEST_DEGREE = 3


class Polynomials(NamedTuple):
    """The constants of a list of degrees up to :data:`HIGHEST_DEGREE`; ``terms`` are the monomials, ``lower`` those of
    one degree less.
    """

    values: Float[Tensor, "terms dim"]  # A
    slopes: Float[Tensor, "three_lower dim"]  # A_x, A_y, A_z, one above the other
    below: Int[Tensor, " three_lower"]  # the monomial that d/dk of a lower monomial is a multiple of
    power: Float[Tensor, "three_lower 1"]  # the multiple


def exponents(degree: int) -> list[tuple[int, int, int]]:
    """Powers of (x, y, z) of the monomials up to a degree, in the order of :func:`monomials`."""
    return [(a, b, d - a - b) for d in range(degree + 1) for a in range(d, -1, -1) for b in range(d - a, -1, -1)]


def monomials(x: Float[Tensor, "3 n"], degree: int) -> Float[Tensor, "terms n"]:
    """All monomials of the coordinates up to a degree: x times those before, y times those before without x, z times
    the last one.
    """
    one = torch.ones_like(x[:1])
    if degree < 2:
        return torch.cat([one, x]) if degree else one
    axes, parts, before = x.unbind(), [one, x], x
    for d in range(2, degree + 1):
        pieces = [before * axes[0], before[-d:] * axes[1], before[-1:] * axes[2]]
        if d < degree:
            before = torch.cat(pieces)
        parts += pieces if d == degree else [before]
    return torch.cat(parts)


@lru_cache(maxsize=256)
def coefficients(
    degrees: tuple[int, ...], scales: tuple[float, ...]
) -> tuple[list[list[float]], list[list[float]], list[int], list[float]]:
    """The numbers of :class:`Polynomials` in double precision.

    Args:
        degrees: the degrees of the harmonics.
        scales: n_lm for l = 0, 1, ..., m = 0 ... l, in the normalisation that is wanted.
    """
    largest = max(degrees, default=0)
    terms, lower = exponents(largest), exponents(max(largest - 1, 0))
    harmonics = []
    for l in degrees:
        for m in range(-l, l + 1):
            scale = scales[l * (l + 1) // 2 + abs(m)]
            harmonics.append({term: scale * value for term, value in _harmonic(l, m).items()})
    values = [[harmonic.get(term, 0.0) for harmonic in harmonics] for term in terms]
    slopes, below, power = [], [], []
    for k in range(3):
        for term in lower:
            up, down = _shift(term, k, 1), _shift(term, k, -1)
            slopes.append([(term[k] + 1) * harmonic.get(up, 0.0) for harmonic in harmonics])
            below.append(lower.index(down) if term[k] else 0)
            power.append(float(term[k]))
    return values, slopes, below, power


def _shift(term: tuple[int, int, int], k: int, by: int) -> tuple[int, int, int]:
    """The powers with the k-th one changed."""
    a, b, c = term
    return a + by * (k == 0), b + by * (k == 1), c + by * (k == 2)


def _harmonic(l: int, m: int) -> dict[tuple[int, int, int], float]:
    """Q_lm times c_m, or s_|m| for m < 0, as a polynomial: powers of (x, y, z) to coefficients."""
    n = abs(m)
    polynomial: dict[tuple[int, int, int], float] = {}
    for k in range((l - n) // 2 + 1):
        outer = (
            (-1) ** k * factorial(l) / (2 ** (n + 2 * k) * factorial(n + k) * factorial(k) * factorial(l - n - 2 * k))
        )
        for j in range(k + 1):  # rho^(2k) = sum binomial x^(2j) z^(2k-2j)
            for i in range(int(m < 0), n + 1, 2):  # (z + i x)^n = sum binomial (i x)^i z^(n-i)
                term = (2 * j + i, l - n - 2 * k, 2 * k - 2 * j + n - i)
                polynomial[term] = polynomial.get(term, 0.0) + outer * comb(k, j) * comb(n, i) * (-1) ** (i // 2)
    return polynomial


def gradient(
    x: Float[Tensor, "3 n"], g: Float[Tensor, "n dim"], degree: int, constants: Polynomials
) -> Float[Tensor, "3 n"]:
    """The gradient of sum(g Y(x)) at a block of points."""
    lower = monomials(x, max(degree - 1, 0))
    return (torch.mm(constants.slopes, g.t()).reshape(3, *lower.shape) * lower).sum(1)


def second(
    x: Float[Tensor, "3 n"], g: Float[Tensor, "n dim"], v: Float[Tensor, "3 n"], degree: int, constants: Polynomials
) -> tuple[Float[Tensor, "3 n"], Float[Tensor, "n dim"]]:
    """The Hessian of sum(g Y(x)) times v, and the derivative of Y along v, at a block of points."""
    lower = monomials(x, max(degree - 1, 0))
    along = (torch.mm(constants.slopes, g.t()).reshape(3, *lower.shape) * v[:, None]).sum(0)
    rates = (lower.index_select(0, constants.below) * constants.power).reshape(3, *lower.shape)
    tangent = torch.mm((lower * v[:, None]).reshape(constants.power.shape[0], x.shape[1]).t(), constants.slopes)
    return (rates * along).sum(1), tangent


def exact_products(x: Tensor) -> bool:
    """Whether matrix products keep the precision of x: not under autocast, nor where a lower precision of products is
    allowed.
    """
    if safe.autocasting(x):
        return False
    return x.dtype == torch.float64 or (x.dtype == torch.float32 and torch.get_float32_matmul_precision() == "highest")
