r"""Functions with a finite value and finite derivatives of every order at the points where the plain formula has none.

At a singular point (the zero vector, a pole, collinear points) each function takes the value stated in its docstring
and all derivatives are zero there. The trick is the same throughout: the argument is replaced by a harmless constant
*before* the singular operation, and the result by the stated value after it, so no infinity enters the backward pass.

Vectors are divided by their largest component first. That scale counts as a constant, which is exact because every
function here is homogeneous in it; squares then neither overflow nor underflow, and nor do the backward pass's negative
powers.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from intertwine.numerics import modes


def sqrt(x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    r"""``sqrt(x)`` for ``x > 0``, and 0 with zero derivatives for ``x <= 0``."""
    zero = x <= 0  # NaN is not, and stays
    return torch.where(zero, 0.0, torch.where(zero, 1.0, x).sqrt())


def norm(x: Float[Tensor, "*shape dim"], keepdim: bool = False) -> Float[Tensor, "..."]:
    r"""Euclidean norm :math:`\|x\|` over the last axis; 0 with zero derivatives at the zero vector."""
    if ordinary(x):
        return (x * x).sum(-1, keepdim=keepdim).sqrt()
    scale = _scale(x)
    scaled = x / scale
    result = scale * sqrt((scaled * scaled).sum(-1, keepdim=True))
    return result if keepdim else result.squeeze(-1)


def soft_norm(x: Float[Tensor, "..."], scale: float, dim: int = -1) -> Float[Tensor, "..."]:
    r""":math:`\sqrt{\|x\|^2 + s^2} - s`: the norm far from zero, :math:`\|x\|^2/2s` near it, and smooth everywhere.

    The norm itself has a cusp at zero. Where symmetry makes a vector vanish (the carbon of methane) the derivative of
    the cusp is a unit vector along rounding noise, and forces would be noise of order one.

    Args:
        x: vectors along ``dim``.
        scale: s > 0, where the two regimes meet, in the unit of x.
        dim: the axis to reduce.
    """
    square = (x * x).sum(dim)
    return square / ((square + scale * scale).sqrt() + scale)  # the same as the formula, without its cancellation


def normalize(x: Float[Tensor, "*shape dim"]) -> Float[Tensor, "*shape dim"]:
    r"""Unit vector :math:`x/\|x\|`; the zero vector, with zero derivatives, at the zero vector."""
    return direction(x)[0]


def direction(x: Float[Tensor, "..."], dim: int = -1) -> tuple[Float[Tensor, "..."], Float[Tensor, "..."]]:
    r""":func:`normalize` along an axis, and :math:`1/\|x\|` without that axis; both 0 at the zero vector."""
    square = (x * x).sum(dim, keepdim=True)
    if _ordinary(square):
        inverse = square.rsqrt()
        return x * inverse, inverse.squeeze(dim)
    scale = _scale(x, dim)
    scaled = x / scale
    square = (scaled * scaled).sum(dim, keepdim=True)
    zero = square <= 0
    inverse = torch.where(zero, 0.0, torch.where(zero, 1.0, square).rsqrt())
    return torch.where(zero, 0.0, scaled * inverse), (inverse / scale).squeeze(dim)


def compress(x: Float[Tensor, "*shape dim"]) -> Float[Tensor, "*shape dim"]:
    r""":math:`x\, \mathrm{asinh}(\|x\|) / \|x\|`: short vectors as they are, of long ones the logarithm of the length.

    Below a length of 0.1 by its series to :math:`\|x\|^{16}`, so that all derivatives exist.
    """
    square = (x * x).sum(-1, keepdim=True)
    small = square < 1e-2
    inner = torch.where(small, square, 0.0)
    series = torch.ones_like(square)
    for k in range(8, 0, -1):
        series = 1 - series * inner * ((2 * k - 1) ** 2 / (2 * k * (2 * k + 1)))
    length = torch.where(small, 1.0, square).sqrt()
    return x * torch.where(small, series, length.asinh() / length)


def angle(x: Float[Tensor, "*shape 3"], y: Float[Tensor, "*shape 3"]) -> Float[Tensor, "*shape"]:
    r"""Angle between two vectors in [0, pi] (radians), :math:`\mathrm{atan2}(\|x \times y\|, x \cdot y)`.

    Accurate at small angles and near pi, where ``acos`` of the cosine loses half of the digits. Collinear vectors give
    0 or pi with zero derivatives; a zero vector gives 0.
    """
    x, y = x / _scale(x), y / _scale(y)
    sine, cosine = norm(torch.linalg.cross(x, y, dim=-1)), (x * y).sum(-1)
    collinear = sine == 0
    value = torch.atan2(torch.where(collinear, 1.0, sine), torch.where(collinear, 1.0, cosine))
    # two plain numbers would be of the default precision
    flat = torch.where(cosine < 0, torch.pi, torch.zeros_like(value))
    return torch.where(collinear, flat, value)


def sinc(x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    r""":math:`\sin(x) / x`, 1 at zero, with accurate derivatives there (those of ``torch.sinc`` are NaN from the second
    on).

    Below |x| = 0.3 by its series to :math:`x^{14}`, which is exact to the last digit in float64 up to the third
    derivative.
    """
    small = x.abs() < 0.3
    if modes.inspectable(x) and not bool(small.any()):
        return x.sin() / x
    square = torch.where(small, x * x, 0.0)
    series = torch.ones_like(x)
    for k in range(7, 0, -1):
        series = 1 - series * square / (2 * k * (2 * k + 1))
    large = torch.where(small, 1.0, x)
    return torch.where(small, series, large.sin() / large)


def sinc_sqrt(x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    r""":math:`\sin(\sqrt x) / \sqrt x` for :math:`x \ge 0`: :func:`sinc` as the smooth function of its squared argument
    that it is.

    Of a squared length it has the true derivatives at zero; :func:`sinc` of :func:`norm` has not.
    """
    small = x < 0.09
    series, inner = torch.ones_like(x), torch.where(small, x, 0.0)
    for k in range(7, 0, -1):
        series = 1 - series * inner / (2 * k * (2 * k + 1))
    root = torch.where(small, 1.0, x).sqrt()
    return torch.where(small, series, root.sin() / root)


def ordinary(x: Tensor) -> bool:
    """Whether it is known that all vectors (last axis) have ordinary lengths, so that plain formulas and their
    derivatives are safe.
    """
    return modes.inspectable(x) and _ordinary(x.detach().square().sum(-1))


def _ordinary(square: Tensor) -> bool:
    """Whether it is known that all squares of lengths are."""
    if not modes.inspectable(square) or not square.numel():
        return False
    shortest, longest = torch.aminmax(square.detach())
    return float(shortest) > 1e-12 and float(longest) < 1e12


def _scale(x: Tensor, dim: int = -1) -> Tensor:
    """Largest absolute component of each vector, a constant for autograd; 1 for the zero vector."""
    largest = x.detach().abs().amax(dim, keepdim=True) if x.shape[dim] else x.detach().sum(dim, keepdim=True)
    return torch.where(largest > 0, largest, 1.0)
