r"""Functions with a finite value and finite derivatives of every order at the points where the plain formula has none.

At a singular point (the zero vector, a pole, collinear points) each function takes the value stated in its docstring and
all derivatives are zero there. The trick is the same throughout: the argument is replaced by a harmless constant *before*
the singular operation, and the result by the stated value after it, so no infinity enters the backward pass.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def sqrt(x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    r"""``sqrt(x)`` for ``x > 0``, and 0 with zero derivatives for ``x <= 0``."""
    positive = x > 0
    return torch.where(positive, torch.where(positive, x, 1.0).sqrt(), 0.0)


def norm(x: Float[Tensor, "*shape dim"], keepdim: bool = False) -> Float[Tensor, "..."]:
    r"""Euclidean norm :math:`\|x\|` over the last axis; 0 with zero derivatives at the zero vector.

    The square of a component below 1e-19 underflows in float32: such vectors count as zero.
    """
    return sqrt((x * x).sum(-1, keepdim=keepdim))


def normalize(x: Float[Tensor, "*shape dim"]) -> Float[Tensor, "*shape dim"]:
    r"""Unit vector :math:`x/\|x\|`; the zero vector, with zero derivatives, at the zero vector."""
    square = (x * x).sum(-1, keepdim=True)
    positive = square > 0
    return torch.where(positive, x * torch.where(positive, square, 1.0).rsqrt(), 0.0)


def angle(x: Float[Tensor, "*shape 3"], y: Float[Tensor, "*shape 3"]) -> Float[Tensor, "*shape"]:
    r"""Angle between two vectors in [0, pi] (radians), :math:`\mathrm{atan2}(\|x \times y\|, x \cdot y)`.

    Accurate at small angles and near pi, where ``acos`` of the cosine loses half of the digits. Collinear vectors give 0 or pi
    with zero derivatives; a zero vector gives 0.
    """
    sine, cosine = norm(torch.linalg.cross(x, y, dim=-1)), (x * y).sum(-1)
    collinear = sine == 0
    value = torch.atan2(torch.where(collinear, 1.0, sine), torch.where(collinear, 1.0, cosine))
    flat = torch.where(cosine < 0, torch.pi, 0.0).to(value)
    return torch.where(collinear, flat, value)
