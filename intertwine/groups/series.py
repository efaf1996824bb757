r"""Entire functions that exponential maps are made of, accurate and differentiable at zero.

Near zero each is its power series, elsewhere its formula; the formula's argument is replaced by a constant where the
series is used, so that no infinity enters the backward pass.
"""

from __future__ import annotations

from math import factorial

import torch
from jaxtyping import Float
from torch import Tensor

from intertwine.numerics import safe

_TERMS = 12


def expm1_ratio(x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    r""":math:`(e^x - 1) / x`, 1 at zero."""
    small = x.abs() < 0.3
    far = torch.where(small, 1.0, x)
    return torch.where(small, _sum([1 / factorial(k + 1) for k in range(_TERMS)], x, small), far.expm1() / far)


def sine_rest(square: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    r""":math:`(\theta - \sin\theta)/\theta^3` as a function of :math:`\theta^2`, 1/6 at zero."""
    small = square < 0.25
    far = torch.where(small, 1.0, square)
    near = _sum([(-1) ** k / factorial(2 * k + 3) for k in range(_TERMS)], square, small)
    return torch.where(small, near, (1 - safe.sinc_sqrt(far)) / far)


def half_angle_rest(square: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    r""":math:`(1 - \frac\theta2 \cot\frac\theta2)/\theta^2` as a function of :math:`\theta^2`, 1/12 at zero.

    Made of :math:`(\sin h - h \cos h)/h^3` with :math:`h = \theta/2`, which is entire.
    """
    h2 = square / 4
    small = h2 < 0.25
    far = torch.where(small, 1.0, h2)
    near = _sum([(-1) ** k * (2 * k + 2) / factorial(2 * k + 3) for k in range(_TERMS)], h2, small)
    sinc = safe.sinc_sqrt(h2)
    return torch.where(small, near, (safe.sinc_sqrt(far) - far.sqrt().cos()) / far) / (4 * sinc)


def rotation_phi(
    x: Float[Tensor, "*batch 3"], v: Float[Tensor, "*shape 3"], inverse: bool = False
) -> Float[Tensor, "..."]:
    r""":math:`\Phi(x) v = v + \frac{1-\cos\theta}{\theta^2} x \times v + \frac{\theta-\sin\theta}{\theta^3} x \times (x
    \times v)`, :math:`\theta = |x| < 2\pi`, or its inverse :math:`v - \frac12 x \times v + c(\theta)\, x \times (x
    \times v)`.
    """
    square = x.square().sum(-1, keepdim=True)
    once = torch.linalg.cross(*torch.broadcast_tensors(x, v), dim=-1)
    twice = torch.linalg.cross(torch.broadcast_tensors(x, once)[0], once, dim=-1)
    if inverse:
        return v - once / 2 + half_angle_rest(square) * twice
    return v + safe.sinc_sqrt(square / 4).square() / 2 * once + sine_rest(square) * twice


def plane_phi(
    s: Float[Tensor, "*batch"], angle: Float[Tensor, "*batch"], v: Float[Tensor, "*shape 2"], inverse: bool = False
) -> Float[Tensor, "..."]:
    r""":math:`\Phi v = \frac{e^z - 1}{z} v` with :math:`z = s + i\theta` and v read as a complex number, or its
    inverse.
    """
    size = s.square() + angle.square()
    small = size < 0.09
    a, b = torch.where(small, 1.0, s), torch.where(small, 0.0, angle)
    real, imag = a.expm1() * b.cos() - 2 * (b / 2).sin().square(), a.exp() * b.sin()  # e^z - 1 without cancellation
    norm = a.square() + b.square()
    c, d = (real * a + imag * b) / norm, (imag * a - real * b) / norm
    near, zero = torch.where(small, s, 0.0), torch.where(small, angle, 0.0)
    e, f = torch.zeros_like(s), torch.zeros_like(s)
    for k in range(_TERMS, -1, -1):  # Horner's scheme of the sum of z^k / (k + 1)!
        e, f = e * near - f * zero + 1 / factorial(k + 1), e * zero + f * near
    c, d = torch.where(small, e, c), torch.where(small, f, d)
    if inverse:
        c, d = c / (c.square() + d.square()), -d / (c.square() + d.square())
    x, y = v.unbind(-1)
    return torch.stack([c * x - d * y, d * x + c * y], dim=-1)


def horner(coefficients: list[float], x: Tensor) -> Tensor:
    """The polynomial with these coefficients, the constant term first, at real or complex x."""
    total = torch.zeros_like(x)
    for coefficient in reversed(coefficients):
        total = total * x + coefficient
    return total


def _sum(coefficients: list[float], x: Tensor, small: Tensor) -> Tensor:
    """The series where ``small``; elsewhere the constant term."""
    return horner(coefficients, torch.where(small, x, 0.0))
