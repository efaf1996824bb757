r"""The basis of a distance and an angle: spherical Bessel functions times Legendre polynomials.

.. math::
    R_{ln}(u) = \frac{\sqrt 2}{|j_{l+1}(z_{ln})|}\; j_l(z_{ln} u), \qquad
    Y_l(\cos\alpha) = \sqrt{\tfrac{2l+1}{4\pi}}\; P_l(\cos\alpha), \qquad j_l(z_{ln}) = 0

The solutions of the wave equation in a sphere whose radius is the cutoff, :math:`u = d / r_c`, orthonormal with the
weight :math:`u^2`: Gasteiger, Groß and Günnemann, ICLR 2020 (arXiv:2003.03123), eq. 6, without its :math:`r_c^{-3/2}`.

Closed forms of :math:`j_l` in sines and cosines cancel to nothing at short distances. Here both are Chebyshev series,
whose polynomials cost a handful of products of whole arrays, and which are as smooth and as accurate at u = 0 as
anywhere. The constants come from
:math:`j_l(y) = \tfrac12 (-\mathrm{i})^l \int_{-1}^{1} e^{\mathrm{i} y s} P_l(s)\, \mathrm{d}s` by Gauss' rule, and from
bisection between the zeros of :math:`j_{l-1}`, all in float64.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.polynomial import chebyshev as series
from numpy.polynomial import legendre
from torch import Tensor

from intertwine.numerics import ExactBuffers, InputError


class SphericalBesselBasis(ExactBuffers):
    r""":math:`R_{ln}(u)` for l = 0 ... degrees - 1 and n = 1 ... size.

    Args:
        degrees: how many degrees l.
        size: how many functions of each.

    Raises:
        InputError: a number that is not positive.
    """

    coefficients: Tensor

    def __init__(self, degrees: int, size: int) -> None:
        super().__init__()
        if degrees < 1 or size < 1:
            raise InputError(
                f"{degrees} degrees of {size} functions",
                where="SphericalBesselBasis",
                remedy="give at least one of each.",
            )
        self.degrees, self.size = degrees, size
        self.zeros = spherical_bessel_zeros(degrees, size)
        norms = np.stack([spherical_bessel(l + 1, self.zeros[l]) for l in range(degrees)])
        # past half of the largest wave number the series falls faster than any power
        order = 24 + int(0.75 * self.zeros.max())

        def functions(t: np.ndarray) -> np.ndarray:
            waves = [spherical_bessel(l, np.multiply.outer((t + 1) / 2, self.zeros[l])) for l in range(degrees)]
            return (np.stack(waves, axis=1) * np.sqrt(2) / np.abs(norms)).reshape(len(t), -1)

        self.register_exact("coefficients", series.chebinterpolate(functions, order))

    def forward(self, u: Float[Tensor, " edges"]) -> Float[Tensor, "edges functions"]:
        """Values with the columns (l, n), n fastest, from distances u >= 0 in units of the cutoff; those beyond 1 count
        as 1.
        """
        # the polynomials lose as many digits as they have degrees: double, then rounded
        t = 2 * u.double().clamp(max=1.0) - 1
        return chebyshev(t, len(self.coefficients)).to(u.dtype).T @ self.coefficients


class LegendreBasis(ExactBuffers):
    r""":math:`Y_l(\cos\alpha)` for l = 0 ... degrees - 1, from the cosine: smooth also where the points are collinear.

    Args:
        degrees: how many degrees l.
    """

    coefficients: Tensor

    def __init__(self, degrees: int) -> None:
        super().__init__()
        scale = np.sqrt((2 * np.arange(degrees) + 1) / (4 * np.pi))
        rows: Any = lambda t: legendre.legvander(t, degrees - 1)  # noqa: E731
        values: Any = series.chebinterpolate(rows, degrees - 1)
        self.register_exact("coefficients", values * scale)

    def forward(self, cosine: Float[Tensor, " triplets"]) -> Float[Tensor, "triplets degrees"]:
        return chebyshev(cosine, len(self.coefficients)).T @ self.coefficients


def chebyshev(t: Float[Tensor, " points"], count: int) -> Float[Tensor, "count points"]:
    """Chebyshev polynomials :math:`T_0(t)` ... :math:`T_{count-1}(t)`, by :math:`T_{k+m} = 2 T_k T_m - T_{k-m}`: as
    many steps as ``count`` has binary digits."""
    polynomials = torch.stack([torch.ones_like(t), t])
    while len(polynomials) < count:
        k = len(polynomials) - 1
        m = min(k, count - 1 - k)
        polynomials = torch.cat(
            [polynomials, 2 * polynomials[k] * polynomials[1 : m + 1] - polynomials[k - m : k].flip(0)]
        )
    return polynomials[:count]


def spherical_bessel(l: int, y: np.ndarray) -> np.ndarray:
    """:math:`j_l(y)` for real y, to 1e-15 absolutely."""
    s, w = _gauss(32 * (2 + int(l + np.abs(y).max(initial=0.0)) // 32))
    phase = np.multiply.outer(y, s)
    wave = np.cos(phase) if l % 2 == 0 else np.sin(phase)
    return (-1) ** (l // 2) * 0.5 * wave @ (w * legendre.legval(s, np.eye(l + 1)[l]))


@lru_cache(maxsize=16)
def _gauss(points: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights of Gauss' rule on [-1, 1]."""
    return legendre.leggauss(points)


def spherical_bessel_zeros(degrees: int, size: int) -> np.ndarray:
    """The first ``size`` positive zeros of :math:`j_0` ... :math:`j_{degrees-1}`, (degrees, size): those of :math:`j_l`
    lie one between each two neighbouring ones of :math:`j_{l-1}`."""
    zeros = [np.pi * np.arange(1, size + degrees)]
    for l in range(1, degrees):
        low, high = zeros[-1][:-1].copy(), zeros[-1][1:].copy()
        sign = np.sign(spherical_bessel(l, low))
        for _ in range(60):
            middle = (low + high) / 2
            left = np.sign(spherical_bessel(l, middle)) == sign
            low, high = np.where(left, middle, low), np.where(left, high, middle)
        zeros.append((low + high) / 2)
    return np.stack([row[:size] for row in zeros])
