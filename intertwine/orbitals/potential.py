r"""The electrostatic potential of a molecule whose density is a sum of functions on its atoms.

.. math:: V(r) = \sum_i \frac{Z_i}{|r - R_i|} - \int \frac{\tilde\rho(r')}{|r - r'|}\, \mathrm{d}r'

A Gaussian with a solid harmonic in front is derivatives of a Gaussian by its centre, and so is its potential:

.. math:: \int \frac{S_{lm}(r')\, e^{-a r'^2}}{|r - r'|}\, \mathrm{d}r' = \frac{2\pi}{a}\, S_{lm}(r)\, F_l(a r^2),
    \qquad F_l(x) = \int_0^1 t^{2l} e^{-x t^2}\, \mathrm{d}t.

Source: Helgaker, Jorgensen, Olsen, Molecular Electronic-Structure Theory (2000), section 9.8 (Boys' function) and 9.7.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from intertwine.numerics import safe
from intertwine.orbitals.basis import BOHR, Basis
from intertwine.orbitals.gaussians import Group
from intertwine.orbitals.overlap import centres_of
from intertwine.orbitals.values import expansion

SERIES = 1.0  # argument up to which Boys' function is summed
TERMS = 20  # of the sum, the last of which is below 1e-16 of it


def boys(l: int, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    r""":math:`F_l(x) = \int_0^1 t^{2l} e^{-x t^2} \mathrm{d}t` for x that are not negative, to rounding in float64:
    a series of :math:`e^{-x} \sum_k (2x)^k / ((2l + 1) (2l + 3) \cdots (2l + 2k + 1))` below 1, else
    :math:`\gamma(l + 1/2, x) / (2 x^{l + 1/2})`.
    """
    small = x.clamp(max=SERIES)
    term = torch.full_like(x, 1 / (2 * l + 1))
    total = term
    for k in range(1, TERMS):
        term = term * (2 * small / (2 * l + 2 * k + 1))
        total = total + term
    large, power = x.clamp(min=SERIES), l + 0.5
    whole = math.gamma(power) * torch.special.gammainc(torch.full_like(x, power), large) / (2 * large**power)
    return torch.where(x < SERIES, torch.exp(-small) * total, whole)


def electrostatic_potential(
    basis: Basis,
    numbers: Int[Tensor, " atoms"],
    pos: Float[Tensor, "m atoms 3"],
    coefficients: Float[Tensor, "m n"],
    points: Float[Tensor, "m points 3"],
) -> Float[Tensor, "m points"]:
    """The potential of nuclei and electrons at points (Eh / e), float64; infinite at a nucleus.

    Args:
        basis: auxiliary.
        numbers: atomic numbers, of all geometries.
        pos: positions (A).
        coefficients: C of the density of electrons, which counts positive (e / Bohr^(3/2)).
        points: of each geometry (A).

    Raises:
        DataError: an element that the basis does not have.
    """
    at, r = centres_of(numbers, pos), points.to(torch.float64)
    apart = safe.norm(r.unsqueeze(2) / BOHR - at.unsqueeze(1))
    nuclei = (numbers.to(apart) / apart).sum(2)
    return nuclei - expansion(basis, numbers, pos.to(torch.float64), coefficients, r, _coulomb)


def _coulomb(group: Group, square: Tensor) -> Tensor:
    """The radial part of the potential of the primitives of a group."""
    a = group.exponents.to(square)
    return 2 * math.pi / a * boys(group.degree, a * square)
