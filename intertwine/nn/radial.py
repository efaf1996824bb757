"""Radial bases: a distance as a vector of smooth functions of it."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from intertwine.numerics import InputError, choose


class GaussianBasis(nn.Module):
    r""":math:`e_k(d) = \exp(-\gamma (d - \mu_k)^2)`, centres :math:`\mu_k` evenly on [start, cutoff], :math:`\gamma = 1/(2\Delta\mu^2)`.

    SchNet (Schütt et al. 2017), eq. 2, with the width tied to the spacing.

    Args:
        size: number of functions, at least 2.
        cutoff: last centre (A).
        start: first centre (A).
    """

    def __init__(self, size: int, cutoff: float, start: float = 0.0) -> None:
        super().__init__()
        if size < 2:
            raise InputError(f"a basis of {size} Gaussians", where="radial_size", remedy="give at least 2.")
        centres = torch.linspace(start, cutoff, size, dtype=torch.float64)
        self.size = size
        self.gamma = 0.5 / float(centres[1] - centres[0]) ** 2
        self.register_buffer("centres", centres.to(torch.float32), persistent=False)

    def forward(self, d: Float[Tensor, " edges"]) -> Float[Tensor, "edges size"]:
        return torch.exp(-self.gamma * (d.unsqueeze(-1) - self.centres.to(d)) ** 2)


class BesselBasis(nn.Module):
    r""":math:`e_k(d) = \sqrt{2/r_c}\, \sin(k \pi d / r_c) / d`, k = 1 .. size; its limit :math:`\sqrt{2/r_c}\,k\pi/r_c` at d = 0.

    DimeNet (Gasteiger et al. 2020), eq. 7. Evaluated through sinc, so that value and derivatives are finite at d = 0.

    Args:
        size: number of functions.
        cutoff: r_c (A).
    """

    def __init__(self, size: int, cutoff: float) -> None:
        super().__init__()
        self.size, self.cutoff = size, float(cutoff)
        self.register_buffer("k", torch.arange(1, size + 1, dtype=torch.float32), persistent=False)

    def forward(self, d: Float[Tensor, " edges"]) -> Float[Tensor, "edges size"]:
        frequency = self.k.to(d) / self.cutoff
        return math.sqrt(2 / self.cutoff) * math.pi * frequency * torch.sinc(d.unsqueeze(-1) * frequency)


BASES = {"gaussian": GaussianBasis, "bessel": BesselBasis}


def radial_basis(name: str, size: int, cutoff: float) -> nn.Module:
    """The basis of a name ("gaussian" or "bessel")."""
    return BASES[choose(name, BASES, kind="radial basis", where="radial")](size, cutoff)
