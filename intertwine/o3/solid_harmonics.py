r"""Solid harmonics by stable recursion: homogeneous polynomials, so no point of space is singular.

With y as the polar axis (e3nn's convention), :math:`\rho^2 = x^2 + z^2` and :math:`r^2 = \rho^2 + y^2`,

.. math::
    Y_{l,\pm m}(x, y, z) = n_{lm}\, Q_{lm}(y, \rho^2)\, \{\mathrm{Re}, \mathrm{Im}\} (z + i x)^m, \qquad
    Q_{lm} = l!\, \frac{r^{l-m} P_l^m(y / r)}{(l + m)!\, \sin^m\beta}, \qquad
    n_{lm} = \sqrt{(2l+1)(2 - \delta_{m0}) \frac{(l+m)!\,(l-m)!}{l!^2}} .

The upward recursion in the degree,
:math:`Q_{lm} = \frac{l(2l-1)}{l^2-m^2} \left(y\, Q_{l-1,m} - \frac{l-1}{2l-1} r^2 Q_{l-2,m}\right)` from
:math:`Q_{ll} = 2^{-l}`, loses no digits, and in this scale every derivative is another Q (Hobson 1931, chapter IV):
:math:`\partial_y Q_{lm} = l\, Q_{l-1,m}` and :math:`2\,\partial_{\rho^2} Q_{lm} = -l\, Q_{l-1,m+1}`.

Arrays have components on the first axis and points on the last one, so that each operation streams contiguous rows.
Everything here is made of differentiable operations; :mod:`intertwine.o3.harmonic_derivatives` has the fast
derivatives.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from intertwine.o3.harmonic_constants import Tables


def polar_part(
    y: Float[Tensor, " n"], square: Float[Tensor, " n"], recursion: Float[Tensor, "pairs 1"], largest: int
) -> list[Tensor]:
    """:math:`Q_{lm}` for all l up to ``largest``: a list of arrays (l + 1, n), rows m = 0 ... l.

    Args:
        y: the coordinate along the polar axis (n,), in the unit of length.
        square: :math:`r^2` (n,).
        recursion: the tables' :math:`l(2l-1)/(l^2-m^2)`, and :math:`2^{-l}` for m = l.
        largest: the largest degree.
    """
    one = torch.ones_like(y)[None]
    parts = [one]
    if largest:
        parts.append(torch.cat([y[None], 0.5 * one]))
    for l in range(2, largest + 1):
        top = y * parts[-1]
        body = torch.addcmul(top[:-1], square, parts[-2], value=-(l - 1) / (2 * l - 1))
        start = l * (l + 1) // 2
        parts.append(torch.cat([body, top[-1:], one]) * recursion[start : start + l + 1])
    return parts


def azimuthal_part(x: Float[Tensor, " n"], z: Float[Tensor, " n"], largest: int) -> tuple[Tensor, Tensor]:
    """:math:`c_m + i s_m = (z + i x)^m`: arrays c (largest + 1, n) for m = 0, 1, ... and s (largest, n) for m = 1, 2,
    ...

    The powers known so far times the highest of them are the next ones, so a few operations suffice.
    """
    if not largest:
        return torch.ones_like(x)[None], x[None][:0]
    c, s = z[None], x[None]
    while c.shape[0] < largest:
        count = min(c.shape[0], largest - c.shape[0])
        real, imaginary = c[:count], s[:count]
        next_c = torch.addcmul(real * c[-1], imaginary, s[-1], value=-1)
        next_s = torch.addcmul(real * s[-1], imaginary, c[-1])
        c, s = torch.cat([c, next_c]), torch.cat([s, next_s])
    return torch.cat([torch.ones_like(x)[None], c]), s


def solid_harmonics(x: Float[Tensor, "3 n"], tables: Tables) -> Float[Tensor, "dim n"]:
    """The harmonics of ``tables.degrees`` at n points, in differentiable operations."""
    largest = max(tables.degrees, default=0)
    square = (x * x).sum(0)
    polar = torch.cat(polar_part(x[1], square, tables.recursion, largest)) * tables.scale
    c, s = azimuthal_part(x[0], x[2], largest)
    return polar.index_select(0, tables.polar) * torch.cat([s.flip(0), c]).index_select(0, tables.azimuth)
