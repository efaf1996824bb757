r"""Spherical harmonics as functions of two angles, :math:`Y^l(\alpha, \beta) = S(\alpha)\, P^l(\cos\beta)`.

The point is :math:`R_y(\alpha) R_x(\beta)\, e_y = (\sin\beta \sin\alpha,\ \cos\beta,\ \sin\beta \cos\alpha)`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import pi, sqrt
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from intertwine.numerics import InputError, Rebuildable, choose
from intertwine.o3.harmonic_constants import tables_for
from intertwine.o3.irreps import Irreps
from intertwine.o3.solid_harmonics import polar_part
from intertwine.o3.spherical_harmonics import NORMALIZATIONS, read_degrees


class Legendre(nn.Module):
    r"""Associated Legendre functions, scaled as the polar factor of the ``integral`` harmonics.

    .. math:: P^l_m = \sqrt{\frac{2l+1}{4\pi} \frac{(l-|m|)!}{(l+|m|)!}}\; y^{|m|}\, \frac{d^{|m|} P_l(z)}{dz^{|m|}},
        \qquad z = \cos\beta,\ y = \sin\beta

    (no Condon-Shortley sign), by the stable recursion in the degree.

    Args:
        ls: the degrees.

    Raises:
        InputError: a degree is negative.

    >>> Legendre([0, 1])(torch.tensor(0.6), torch.tensor(0.8)).shape
    torch.Size([4])
    """

    def __init__(self, ls: int | Sequence[int] | Irreps) -> None:
        super().__init__()
        self.degrees = read_degrees(ls, "Legendre")

    def forward(self, z: Float[Tensor, "*batch"], y: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch dim"]:
        r"""Components l, m = -l ... l of each degree, :math:`P^l_{-m} = P^l_m`.

        Args:
            z: the cosine of the polar angle.
            y: its sine; taken as given, not made from z, so that both derivatives are finite at the poles.
        """
        tables = tables_for(self.degrees, "integral", z)
        largest = max(self.degrees, default=0)
        height, width = z.reshape(-1), y.reshape(-1)
        powers = [torch.ones_like(width)]
        for _ in range(largest):
            powers.append(powers[-1] * width)
        power = torch.stack(powers)
        power = torch.cat([power[:1], power[1:] / sqrt(2)])  # the sqrt(2) of m > 0 is the azimuthal factor's
        polar = polar_part(height, torch.ones_like(height), tables.recursion, largest)
        rows = torch.cat([part * power[: l + 1] for l, part in enumerate(polar)]) * tables.scale
        return rows.index_select(0, tables.polar).t().reshape(*z.shape, tables.polar.shape[0])


class SphericalHarmonicsAlphaBeta(Rebuildable):
    r"""The module of :func:`spherical_harmonics_alpha_beta`.

    Args:
        l: degree, list of degrees or irreps.
        normalization: ``integral``, ``component`` or ``norm``, as in
            :func:`intertwine.o3.spherical_harmonics.spherical_harmonics`.

    Raises:
        InputError: a negative degree or an unknown normalisation.
    """

    def __init__(self, l: int | Sequence[int] | str | Irreps, normalization: str = "integral") -> None:
        super().__init__()
        self.normalization = choose(
            normalization, NORMALIZATIONS, kind="normalization", where="SphericalHarmonicsAlphaBeta"
        )
        self.degrees = read_degrees(l, "SphericalHarmonicsAlphaBeta")
        self.legendre = Legendre(self.degrees)

    def _rebuild(self, state: Mapping[str, Any]) -> None:
        SphericalHarmonicsAlphaBeta.__init__(self, state["_ls_list"], state["normalization"])

    def _adopt(self, state: Mapping[str, Any]) -> None:
        super()._adopt({**state, "_modules": {}})  # e3nn's Legendre polynomials are a graph

    def forward(self, alpha: Float[Tensor, "*batch"], beta: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch dim"]:
        """The harmonics at angles in radians.

        Raises:
            InputError: the angles differ in shape.
        """
        if alpha.shape != beta.shape:
            raise InputError(
                f"alpha {tuple(alpha.shape)} and beta {tuple(beta.shape)} differ in shape",
                where="SphericalHarmonicsAlphaBeta",
                remedy="torch.broadcast_tensors(alpha, beta).",
            )
        largest = max(self.degrees, default=0)
        azimuth = spherical_harmonics_alpha(largest, alpha).index_select(
            -1, tables_for(self.degrees, "integral", alpha).azimuth
        )
        factors = {
            "integral": [1.0] * len(self.degrees),
            "component": [sqrt(4 * pi)] * len(self.degrees),
            "norm": [sqrt(4 * pi / (2 * l + 1)) for l in self.degrees],
        }[self.normalization]
        result = azimuth * self.legendre(beta.cos(), beta.sin())
        if self.normalization == "integral":
            return result
        each = [factor for l, factor in zip(self.degrees, factors) for _ in range(2 * l + 1)]
        # exact in a trace as well
        return result * torch.tensor(each, dtype=torch.float64, device=result.device).type_as(result)


def spherical_harmonics_alpha_beta(
    l: int | Sequence[int] | str | Irreps,
    alpha: Float[Tensor, "*batch"],
    beta: Float[Tensor, "*batch"],
    *,
    normalization: str = "integral",
) -> Float[Tensor, "*batch dim"]:
    r"""Spherical harmonics of :math:`R_y(\alpha) R_x(\beta)\, e_y`.

    Args:
        l: degree, list of degrees (any order, with repeats) or irreps; the output follows its order.
        alpha: azimuth (radians).
        beta: polar angle, from the y axis (radians).
        normalization: ``integral``, ``component`` or ``norm``.

    Raises:
        InputError: a negative degree, an unknown normalisation, or angles of different shapes.

    >>> spherical_harmonics_alpha_beta(1, torch.tensor(0.0), torch.tensor(0.0), normalization="norm").round(decimals=4)
    tensor([0., 1., 0.])
    """
    return SphericalHarmonicsAlphaBeta(l, normalization)(alpha, beta)


def spherical_harmonics_alpha(l: int, alpha: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch dim"]:
    r"""The azimuthal factor S of :func:`spherical_harmonics_alpha_beta`.

    .. math:: S = (\sqrt2 \sin l\alpha, \ldots, \sqrt2 \sin\alpha, 1, \sqrt2 \cos\alpha, \ldots, \sqrt2 \cos l\alpha)

    Args:
        l: largest order.
        alpha: azimuth (radians).

    Raises:
        InputError: l is negative.

    >>> spherical_harmonics_alpha(1, torch.tensor(0.0))
    tensor([0.0000, 1.0000, 1.4142])
    """
    if l < 0:
        raise InputError(f"orders start at 0, got {l}", where="spherical_harmonics_alpha")
    angle = alpha[..., None] * torch.arange(1, l + 1, dtype=alpha.dtype, device=alpha.device)
    return torch.cat([sqrt(2) * angle.sin().flip(-1), torch.ones_like(alpha)[..., None], sqrt(2) * angle.cos()], dim=-1)
