"""Reductions over the edges of a node (or the nodes of a graph): entry ``k`` of ``x`` belongs to segment ``index[k]``.

All of them accept unsorted and empty input, and a segment without entries gives 0.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from intertwine.numerics import safe


def sum(x: Float[Tensor, "entries *shape"], index: Int[Tensor, " entries"], segments: Any) -> Float[Tensor, "_ *shape"]:
    r""":math:`y_i = \sum_{k: index_k = i} x_k`; the number of segments may be one that a trace has seen, a tensor."""
    return x.new_zeros(segments, *x.shape[1:]).index_add(0, index, x)


def count(index: Int[Tensor, " entries"], segments: int, dtype: torch.dtype) -> Float[Tensor, " segments"]:
    """The number of entries of each segment, as a floating-point number."""
    return torch.zeros(segments, dtype=dtype, device=index.device).index_add(
        0, index, torch.ones(index.shape, dtype=dtype, device=index.device)
    )


def even(index: Int[Tensor, " entries"], segments: int) -> int:
    """The number of entries of each segment, if all have as many and stand one segment behind the other; 0 if not, if
    there are none, or where that could not be seen for nothing.
    """
    entries = index.shape[0]
    if not entries or not safe.inspectable(index):
        return 0
    size = entries // segments
    if size * segments != entries:
        return 0
    if segments == 1:
        return size
    rows = index.detach().numpy().reshape(segments, size)
    return size if (rows == np.arange(segments)[:, None]).all() else 0


def mean(
    x: Float[Tensor, "entries *shape"], index: Int[Tensor, " entries"], segments: int
) -> Float[Tensor, "segments *shape"]:
    r""":math:`y_i = \frac{1}{n_i} \sum_{k: index_k = i} x_k` with :math:`n_i` the number of entries of segment i."""
    n = count(index, segments, x.dtype).clamp(min=1)
    return sum(x, index, segments) / n.view(-1, *[1] * (x.ndim - 1))


def max(
    x: Float[Tensor, "entries *shape"], index: Int[Tensor, " entries"], segments: int
) -> Float[Tensor, "segments *shape"]:
    r""":math:`y_i = \max_{k: index_k = i} x_k`; tied entries share the derivative equally."""
    where = index.view(-1, *[1] * (x.ndim - 1)).expand_as(x)
    return x.new_zeros(segments, *x.shape[1:]).scatter_reduce(0, where, x, "amax", include_self=False)


def logsumexp(
    x: Float[Tensor, "entries *shape"], index: Int[Tensor, " entries"], segments: int
) -> Float[Tensor, "segments *shape"]:
    r""":math:`y_i = \ln \sum_{k: index_k = i} e^{x_k}`, a smooth maximum that never overflows; 0 without entries."""
    shift = max(x.detach(), index, segments)
    total = sum((x - shift.index_select(0, index)).exp(), index, segments)
    return torch.where(total > 0, total, 1.0).log() + shift


def softmax(
    x: Float[Tensor, "entries *shape"], index: Int[Tensor, " entries"], segments: int
) -> Float[Tensor, "entries *shape"]:
    r""":math:`y_k = e^{x_k} / \sum_{l: index_l = index_k} e^{x_l}`, shifted by the maximum so that it never
    overflows.
    """
    shifted = x - max(x.detach(), index, segments).index_select(0, index)
    weight = shifted.exp()
    return weight / sum(weight, index, segments).index_select(0, index)


REDUCTIONS = {"sum": sum, "mean": mean, "max": max}
