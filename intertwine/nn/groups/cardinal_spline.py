"""The cardinal B-spline, of which kernels on groups are made."""

from __future__ import annotations

from math import comb, factorial

import torch
from jaxtyping import Float
from torch import Tensor


def cardinal_spline(x: Float[Tensor, "*shape"], order: int) -> Float[Tensor, "*shape"]:
    r"""The cardinal B-spline :math:`B^n(x) = \frac{1}{n!} \sum_k (-1)^k \binom{n+1}{k} (x + \tfrac{n+1}{2} - k)_+^n`.

    It has n - 1 continuous derivatives, vanishes for :math:`|x| \ge (n+1)/2`, and its shifts by whole numbers add up to
    1. Evaluated at :math:`-|x|`, where the sum has fewest terms and no cancellation that matters.

    Args:
        x: any numbers.
        order: n, 1 or more.

    >>> cardinal_spline(torch.tensor([-1.0, 0.0, 1.0]), 3)
    tensor([0.1667, 0.6667, 0.1667])
    """
    left = -x.abs() + (order + 1) / 2
    total = torch.zeros_like(x)
    for k in range(order // 2 + 1):
        total = total + (-1) ** k * comb(order + 1, k) * (left - k).clamp(min=0) ** order
    return total / factorial(order)


def overlap(order: int) -> float:
    r""":math:`\int B^n(x)^2\, dx = B^{2n+1}(0)`: a spline is even, and B^n convolved with itself is
    :math:`B^{2n+1}`.
    """
    return float(cardinal_spline(torch.zeros(()), 2 * order + 1))
