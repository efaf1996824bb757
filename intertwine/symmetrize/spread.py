"""How far a mean over samples, or over a quadrature, can be trusted."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Spread(NamedTuple):
    """A mean over elements of a group and its errors, each of the shape and in the unit of the output.

    Attributes:
        mean: the average.
        deviation: standard deviation of one element's answer, under the measure of the group: how far the network
            alone is from its average.
        error: standard error of the mean over samples, deviation / sqrt(n); None where elements are not drawn.
        bias: difference between the next order of the quadrature and this one; zero where all elements are taken; None
            where they are drawn, which is without bias.
    """

    mean: Tensor
    deviation: Tensor
    error: Tensor | None
    bias: Tensor | None


def moments(values: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """The mean (...) and the sum of squares from it (...), of values (n, ...) with weights (n) that need not add up to
    1.
    """
    shaped = weights.to(values).reshape(-1, *[1] * (values.ndim - 1))
    total = shaped.sum()
    mean = (shaped * values).sum(0) / total
    return mean, (shaped * (values - mean).square()).sum(0)


class Gathered:
    """Mean and variance of a stream of weighted values (Chan, Golub and LeVeque 1979), without keeping them."""

    def __init__(self) -> None:
        self.weight, self.mean, self.squares = 0.0, torch.zeros(()), torch.zeros(())

    def see(self, values: Tensor, weights: Tensor) -> None:
        """More values (n, ...), and their weights (n)."""
        weight = float(weights.sum())
        if not weight:
            return
        mean, squares = moments(values, weights)
        if not self.weight:
            self.weight, self.mean, self.squares = weight, mean, squares
            return
        total, apart = self.weight + weight, mean - self.mean
        self.mean = self.mean + apart * (weight / total)
        self.squares = self.squares + squares + apart.square() * (self.weight * weight / total)
        self.weight = total

    def deviation(self) -> Tensor:
        """Root of the weighted mean of the squares."""
        return (self.squares / self.weight).clamp(min=0).sqrt()
