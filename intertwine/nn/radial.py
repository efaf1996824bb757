"""Radial bases: a distance as a vector of smooth functions of it."""

from __future__ import annotations

from math import inf

import torch
from jaxtyping import Float
from torch import Tensor, nn

from intertwine.nn.cutoff import positive
from intertwine.nn.one_hot import bessel
from intertwine.numerics import InputError, choose

#: exp(-60) = 1e-26 beside a neighbour near 1: zero, before products of such numbers are denormal, 50 times as slow.
LEAST_EXPONENT = -60.0


class GaussianBasis(nn.Module):
    r""":math:`e_k(d) = \exp(-\gamma (d - \mu_k)^2)`, centres :math:`\mu_k` evenly on [start, cutoff],
    :math:`\gamma = 1/(2\Delta\mu^2)`.

    SchNet (Schütt et al. 2017), eq. 2, with the width tied to the spacing unless :math:`\gamma` is given.

    Args:
        size: number of functions, at least 2.
        cutoff: last centre (A).
        start: first centre (A).
        gamma: in 1/A^2; None for that of the spacing.

    Raises:
        InputError: a single function, a start at or beyond the cutoff, a gamma that is not positive.
    """

    def __init__(self, size: int, cutoff: float, start: float = 0.0, gamma: float | None = None) -> None:
        super().__init__()
        if size < 2:
            raise InputError(f"a basis of {size} Gaussians", where="radial_size", remedy="give at least 2.")
        self.size, self.start, self.cutoff = size, float(start), positive(cutoff)
        if self.start >= self.cutoff:
            raise InputError(
                f"the first centre is {start}, the last {cutoff}", where="start", remedy="start below the cutoff."
            )
        self.gamma = 0.5 * ((size - 1) / (self.cutoff - self.start)) ** 2 if gamma is None else float(gamma)
        if not 0 < self.gamma < inf:
            raise InputError(f"gamma is {gamma}", where="gamma", remedy="give a positive number in 1/A^2, such as 10.")

    def forward(self, d: Float[Tensor, " edges"]) -> Float[Tensor, "edges size"]:
        # not a buffer: one would be rounded to the precision that the model happens to be stored in
        centres = torch.linspace(self.start, self.cutoff, self.size, dtype=d.dtype, device=d.device)
        exponent = -self.gamma * (d.unsqueeze(-1) - centres) ** 2
        return torch.exp(exponent.masked_fill(exponent < LEAST_EXPONENT, -torch.inf))


class BesselBasis(nn.Module):
    r""":math:`e_k(d) = \sqrt{2/r_c}\, \sin(k \pi d / r_c) / d`, k = 1 .. size; its limit :math:`\sqrt{2/r_c}\,k\pi/r_c`
    at d = 0.

    DimeNet (Gasteiger et al. 2020), eq. 7. Evaluated through sin(x)/x, so that value and derivatives are finite at d =
    0.

    Args:
        size: number of functions.
        cutoff: r_c (A).
    """

    def __init__(self, size: int, cutoff: float) -> None:
        super().__init__()
        if size < 1:
            raise InputError(f"a basis of {size} functions", where="radial_size", remedy="give at least 1.")
        self.size, self.cutoff = size, positive(cutoff)

    def forward(self, d: Float[Tensor, " edges"]) -> Float[Tensor, "edges size"]:
        return bessel(d, self.size, self.cutoff)


BASES = {"gaussian": GaussianBasis, "bessel": BesselBasis}


def radial_basis(name: str, size: int, cutoff: float) -> nn.Module:
    """The basis of a name ("gaussian" or "bessel")."""
    return BASES[choose(name, BASES, kind="radial basis", where="radial")](size, cutoff)
