r"""Strides and their reverse that keep the symmetries of a grid.

Taking every second pixel of an even number breaks a turn by 90 degrees: the pixels that are kept are not those of the
turned image. Here samples lie symmetric about the middle, between pixels if need be:
:math:`p_i = \frac{n-1}{2} + s\,(i - \frac{m-1}{2})` with m = ceil(n / s) of n, and each is a mean with the weights
:math:`\max(0, 1 - |x - p_i| / s)`. For s = 2 those are the binomials 1 2 1 of odd and 1 3 3 1 of even sizes: blur, then
subsample (Zhang, ICML 2019, arXiv:1904.11486).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from intertwine.nn.checks import check_sizes


def places(size: int, stride: int) -> Float[Tensor, " m"]:
    """Where the samples of an axis of ``size`` pixels lie, in pixels from the first."""
    count = -(-size // stride)
    return (size - 1) / 2 + stride * (torch.arange(count, dtype=torch.float64) - (count - 1) / 2)


def downward(size: int, stride: int) -> Float[Tensor, "m n"]:
    """The weights of the pixels in each sample; rows add up to 1."""
    hats = (1 - (torch.arange(size) - places(size, stride)[:, None]).abs() / stride).clamp(min=0)
    return hats / hats.sum(1, keepdim=True)


def upward(size: int, stride: int) -> Float[Tensor, "n m"]:
    """The weights of the samples in each pixel, by linear interpolation; rows add up to 1."""
    hats = (1 - (torch.arange(size)[:, None] - places(size, stride)).abs() / stride).clamp(min=0)
    return hats / hats.sum(1, keepdim=True)


def along(
    f: Float[Tensor, "images maps *sizes"], matrices: Sequence[Float[Tensor, "_ _"]]
) -> Float[Tensor, "images maps *others"]:
    """A matrix applied along each axis behind the first two."""
    for axis, matrix in enumerate(matrices, 2):
        matrix = matrix.to(f)
        last = axis == f.ndim - 1
        f = f @ matrix.T if last else (f.movedim(axis, -1) @ matrix.T).movedim(-1, axis)
    return f


class AntiAliasedStride(nn.Module):
    """Blur and subsample by a stride, exact under the symmetries of the grid, for even and odd sizes.

    Args:
        stride: s, pixels between samples.
    """

    def __init__(self, stride: int = 2) -> None:
        super().__init__()
        check_sizes(stride=stride)
        self.stride = stride

    def forward(self, f: Float[Tensor, "images maps *sizes"]) -> Float[Tensor, "images maps *smaller"]:
        return along(f, [downward(n, self.stride) for n in f.shape[2:]])

    def up(self, f: Float[Tensor, "images maps *smaller"], sizes: Sequence[int]) -> Float[Tensor, "images maps *sizes"]:
        """Back to the ``sizes`` that there were, by linear interpolation."""
        return along(f, [upward(n, self.stride) for n in sizes])
