r"""Unit vectors :math:`u = x / \|x\|` of the columns of an array, with the short derivative
:math:`(g - u\,(u \cdot g)) / \|x\|`.

The zero vector stays zero, with zero derivatives of every order (as :func:`intertwine.numerics.safe.normalize`, which
keeps vectors on the last axis).
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from intertwine.numerics import safe
from intertwine.numerics.safe import plain


class Unit(torch.autograd.Function):
    """u(x) for the columns of x (3, n)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        unit, inverse = direction(torch.stack(x.unbind()))
        ctx.save_for_backward(x, unit, inverse)
        return unit

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Tensor:  # type: ignore[override]
        x, unit, inverse = ctx.saved_tensors
        return (
            Projected.apply(x, g, unit, inverse)
            if torch.is_grad_enabled() and plain(g)
            else _projected(g, unit, inverse)
        )


class Projected(torch.autograd.Function):
    """The gradient of sum(g u(x)) as a function of x and g; u and 1 / |x| come along, as constants, not to be computed
    again.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, g: Tensor, unit: Tensor, inverse: Tensor) -> Tensor:
        ctx.save_for_backward(x, g, unit, inverse)
        return _projected(g, unit, inverse)

    @staticmethod
    def backward(ctx: Any, v: Tensor) -> tuple[Tensor, Tensor, None, None]:  # type: ignore[override]
        x, g, unit, inverse = ctx.saved_tensors
        if torch.is_grad_enabled():  # as a function of x, for the derivatives to come
            unit, inverse = direction(x)
        along_v, along_g = (unit * v).sum(0), (unit * g).sum(0)
        radial = torch.addcmul((v * g).sum(0), along_v, along_g, value=-3)
        dx = torch.addcmul(torch.addcmul(unit * radial, v, along_g), g, along_v) * (inverse * inverse).neg()
        return dx, torch.addcmul(v, unit, along_v, value=-1) * inverse, None, None


def _projected(g: Tensor, unit: Tensor, inverse: Tensor) -> Tensor:
    return torch.addcmul(g, unit, (unit * g).sum(0), value=-1) * inverse


def direction(x: Float[Tensor, "3 n"]) -> tuple[Float[Tensor, "3 n"], Float[Tensor, " n"]]:
    """:math:`u` and :math:`1 / \\|x\\|`, both 0 for a zero column, in differentiable operations."""
    square = (x * x).sum(0)
    if safe.inspectable(x) and x.shape[1]:
        shortest, longest = torch.aminmax(square.detach())
        if shortest > 1e-12 and longest < 1e12:
            inverse = square.rsqrt()
            return x * inverse, inverse
    largest = x.detach().abs().amax(0)
    scale = torch.where(largest > 0, largest, 1.0)
    scaled = x / scale
    square = (scaled * scaled).sum(0)
    positive = square > 0
    inverse = torch.where(positive, torch.where(positive, square, 1.0).rsqrt(), 0.0)
    return scaled * inverse, inverse / scale
