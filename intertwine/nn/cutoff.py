"""Envelopes that take a message to zero at the cutoff, so that energies and forces have no jump there."""

from __future__ import annotations

import math
from numbers import Real

import torch
from jaxtyping import Float
from torch import Tensor, nn

from intertwine.numerics import InputError, choose


class CosineCutoff(nn.Module):
    r""":math:`c(d) = \frac12(1 + \cos(\pi d / r_c))` for :math:`d < r_c`, else 0. Behler and Parrinello (2007), eq. 4.

    Value and first derivative vanish at the cutoff; the second derivative jumps there.
    """

    def __init__(self, cutoff: float) -> None:
        super().__init__()
        self.cutoff = positive(cutoff)

    def forward(self, d: Float[Tensor, " edges"]) -> Float[Tensor, " edges"]:
        inside = torch.cos(d * (math.pi / (2 * self.cutoff))) ** 2  # the same, with no digits lost near the cutoff
        return torch.where(d < self.cutoff, inside, 0.0)


class PolynomialCutoff(nn.Module):
    r""":math:`c(u) = 1 - \tfrac{(p+1)(p+2)}{2} u^p + p(p+2) u^{p+1} - \tfrac{p(p+1)}{2} u^{p+2}`,
    :math:`u = d/r_c < 1`, else 0.

    DimeNet (Gasteiger et al. 2020), eq. 8. Value, first and second derivative vanish at the cutoff. Evaluated as
    :math:`(1-u)^3 \sum_{k<p} \tfrac{(k+1)(k+2)}{2} u^k`, the same polynomial with no digits lost near the cutoff.

    Args:
        cutoff: r_c (A).
        p: the larger, the later the decay.
    """

    def __init__(self, cutoff: float, p: int = 6) -> None:
        super().__init__()
        if p < 2:
            raise InputError(f"p = {p}", where="PolynomialCutoff", remedy="give 2 or more; 6 is usual.")
        self.cutoff, self.p = positive(cutoff), p

    def forward(self, d: Float[Tensor, " edges"]) -> Float[Tensor, " edges"]:
        u, p = d / self.cutoff, self.p
        series = torch.full_like(u, p * (p + 1) / 2)
        for k in range(p - 2, -1, -1):
            series = series * u + (k + 1) * (k + 2) / 2
        return torch.where(u < 1, (1 - u) ** 3 * series, 0.0)


def positive(cutoff: float | None) -> float:
    """The cutoff as a number; an :class:`InputError` unless it is a positive, finite length (A)."""
    if not isinstance(cutoff, Real) or not 0 < cutoff < math.inf:
        raise InputError(
            f"the cutoff is {cutoff}", where="cutoff", remedy="give a positive length (in A), 5.0 for example."
        )
    return float(cutoff)


CUTOFFS = {"cosine": CosineCutoff, "polynomial": PolynomialCutoff}


def envelope(name: str, cutoff: float) -> nn.Module:
    """The envelope of a name ("cosine" or "polynomial")."""
    return CUTOFFS[choose(name, CUTOFFS, kind="cutoff function", where="cutoff_function")](cutoff)
