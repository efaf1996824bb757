r"""Convolutions of voxels with a kernel that is zero outside a ball: only its taps are multiplied.

A ball of radius 2.5 has 81 of the 125 taps of a cube. It is a box of 5 x 3 x 3 taps and two pairs of faces, each pair a
kernel of 2 x 3 x 3 taps that are 4 apart. So three convolutions add up to one, with two thirds of its operations.
"""

from __future__ import annotations

import itertools

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

WORTH = 0.85  # of the taps: a split that leaves more of them is not worth its passes over the features
MOST = 3  # convolutions
LEAST = 20480  # numbers in the planes of one image from which torch takes oneDNN for small kernels (use_mkldnn, 2.13)

Box = tuple[tuple[int, int], ...]
"""Of each axis (reach a, step): the offsets -a, -a + step, ..., a."""


def boxes(support: Bool[Tensor, "i j k"]) -> list[Box]:
    """Disjoint boxes that cover the taps of a kernel, symmetric about the middle, the largest first; none where that
    saves too little.

    Args:
        support: which taps are not zero, (size, size, size), symmetric under reflections of each axis.
    """
    reach, rest = support.shape[0] // 2, support.clone()
    result: list[Box] = []
    # long along the first axis first: taps that are apart there make the slowest convolutions
    spans = [(a, 1) for a in range(reach, -1, -1)] + [(a, 2 * a) for a in range(reach, 0, -1)]
    taken = 0
    while rest.any():
        best: tuple[int, Box] = (0, ())
        for box in itertools.product(spans, repeat=3):
            block = rest[_slices(box, reach)]
            if block.numel() > best[0] and bool(block.all()) and sum(step > 1 for _, step in box) < 2:
                best = (block.numel(), box)
        if len(result) == MOST or not best[0]:
            return []
        result.append(best[1])
        taken += best[0]
        rest[_slices(best[1], reach)] = False
    return result if len(result) > 1 and taken <= WORTH * support.numel() else []


def whole(size: int) -> list[Box]:
    """All taps in one box."""
    return [((size // 2, 1),) * 3]


def channels_last_is_faster(f: Float[Tensor, "images maps *sizes"]) -> bool:
    """Whether channels go last: in single precision on a processor, by up to 15 percent."""
    return f.dtype == torch.float32 and f.device.type == "cpu"


def several_are_faster(f: Float[Tensor, "images maps *sizes"]) -> bool:
    """Whether several convolutions beat one: where oneDNN does the small kernels as well."""
    return f.shape[0] > 1 or f.shape[1:4].numel() > LEAST


def convolve_boxes(
    f: Float[Tensor, "images maps_in i j k"], kernel: Float[Tensor, "maps_out maps_in s s s"], parts: list[Box]
) -> Float[Tensor, "images maps_out i j k"]:
    """The convolution with zeros around the voxels, a box of taps after the other."""
    f, total = _ChannelsLast.apply(f), None
    reach = kernel.shape[-1] // 2
    for box in parts:
        taps = kernel[(slice(None), slice(None), *_slices(box, reach))].contiguous(memory_format=torch.channels_last_3d)
        part = F.conv3d(f, taps, padding=tuple(a for a, _ in box), dilation=tuple(step for _, step in box))
        total = part if total is None else total + part
    return _ChannelsLast.apply(total)


def _slices(box: Box, reach: int) -> tuple[slice, ...]:
    return tuple(slice(reach - a, reach + a + 1, step) for a, step in box)


class _ChannelsLast(torch.autograd.Function):
    """The identity; a tensor, and its gradient on the way back, is laid out once for all the convolutions around it."""

    @staticmethod
    def forward(ctx, f: Tensor) -> Tensor:
        return f.contiguous(memory_format=torch.channels_last_3d)

    @staticmethod
    def backward(ctx, cotangent: Tensor) -> Tensor:
        return _ChannelsLast.apply(cotangent)
