r"""Layers that keep the variance of what passes through them: unit second moment in, about that out, in networks of any
depth.

Gasteiger, Becker, Günnemann 2021 (arXiv:2106.08903), section 6 and appendix: sums over :math:`\sqrt 2`, orthogonal
weights, no biases.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

SQRT_HALF = 0.5**0.5


class Dense(nn.Module):
    r""":math:`\sigma(W x)` with :math:`\sigma = \sqrt 2\,\mathrm{silu}`, or W x: unit variance in, unit variance out.

    Args:
        inputs, outputs: numbers of features.
        activated: whether there is :math:`\sigma`.
        gain: standard deviation of W x at the start.
    """

    def __init__(self, inputs: int, outputs: int, activated: bool = True, gain: float = 1.0) -> None:
        super().__init__()
        self.linear, self.activated = nn.Linear(inputs, outputs, bias=False), activated
        weight = nn.init.orthogonal_(self.linear.weight)
        with torch.no_grad():
            weight.mul_(gain / (inputs * weight.square().mean()).sqrt())

    def forward(self, x: Float[Tensor, "*rows inputs"]) -> Float[Tensor, "*rows outputs"]:
        return activation(self.linear(x)) if self.activated else self.linear(x)


class Residual(nn.Module):
    r""":math:`(x + \sigma(W \sigma(W x))) / \sqrt 2`."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(Dense(width, width), Dense(width, width))

    def forward(self, x: Float[Tensor, "*rows width"]) -> Float[Tensor, "*rows width"]:
        return (x + self.layers(x)) * SQRT_HALF


def spread(terms: float) -> float:
    """One over the standard deviation of a sum of so many terms of unit variance, each two of them with a correlation
    of one half.
    """
    return (0.5 * terms * (terms + 1)) ** -0.5


def activation(x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    return F.silu(x) * 2**0.5  # the gain of half of the line: never above one, of whatever size x is
