r"""Vectors of graphs seen from frames, :math:`R_k^\top (x - c)`, as rows of copies."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from intertwine.geometry.frames.segments import Segments, at_hand, derivatives

#: Places of graphs side by side, for each row there is, up to which they are not too many.
SPARSE = 4


def seen(
    x: Float[Tensor, "rows n"],
    rotation: Float[Tensor, "graphs frames n n"],
    centre: Float[Tensor, "graphs n"] | None,
    owner: Int[Tensor, " rows"],
) -> Float[Tensor, "copied n"]:
    r""":math:`R_k^\top (x - c)` in the precision of x: all rows in the first frame of their graph, then in the next one.

    The difference is taken in the precision of the finer of both, so that far from the origin no digits are lost.

    Args:
        x: vectors.
        rotation: R of each graph and frame, orthogonal, with the axes as columns.
        centre: c of each graph; None for the origin.
        owner: graph of each vector.
    """
    graphs = rotation.shape[0]
    if all(at_hand(t) for t in (x, rotation, x if centre is None else centre)):
        segments = Segments.of(owner, graphs)
        if segments is not None and graphs * segments.most <= SPARSE * len(owner):
            return _at_once(x, rotation, centre, segments)
    return _formula(x, rotation, centre, owner)


def _formula(x: Tensor, rotation: Tensor, centre: Tensor | None, owner: Tensor) -> Tensor:
    graphs, frames, n, _ = rotation.shape
    local = x if centre is None else (x - centre.index_select(0, owner)).to(x.dtype)
    side_by_side = rotation.to(x.dtype).transpose(1, 2).reshape(graphs, n, frames * n).index_select(0, owner)
    return (local.unsqueeze(1) @ side_by_side).view(-1, frames, n).transpose(0, 1).reshape(-1, n)


def _at_once(x: Tensor, rotation: Tensor, centre: Tensor | None, segments: Segments) -> Tensor:
    derived = x.requires_grad or rotation.requires_grad or (centre is not None and centre.requires_grad)
    if derived and torch.is_grad_enabled():
        result: Tensor = _Seen.apply(x, rotation, centre, segments)
        return result
    shift = None if centre is None else centre.detach().numpy()
    return torch.from_numpy(_seen(x.detach().numpy(), rotation.detach().numpy(), shift, segments)[0])


def _seen(
    x: np.ndarray, rotation: np.ndarray, centre: np.ndarray | None, segments: Segments
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The rows, the vectors from the centre side by side, and the matrices of each graph side by side."""
    graphs, frames, n, _ = rotation.shape
    local = x if centre is None else (x - segments.each(centre)).astype(x.dtype, copy=False)
    dense, matrices = segments.dense(local), rotation.astype(x.dtype, copy=False).transpose(0, 2, 1, 3)
    matrices = matrices.reshape(graphs, n, frames * n)
    rows = segments.rows(dense @ matrices).reshape(len(x), frames, n)
    return rows.swapaxes(0, 1).reshape(-1, n), dense, matrices


class _Seen(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, rotation: Tensor, centre: Tensor | None, segments: Segments) -> Tensor:
        shift = None if centre is None else centre.detach().numpy()
        rows, *rest = _seen(x.detach().numpy(), rotation.detach().numpy(), shift, segments)
        ctx.save_for_backward(x, rotation, centre)
        ctx.rest = segments, rest
        return torch.from_numpy(rows)

    @staticmethod
    def backward(ctx: Any, of_rows: Tensor) -> tuple[Tensor | None, ...]:
        segments, (dense, matrices) = ctx.rest
        inputs = ctx.saved_tensors
        if torch.is_grad_enabled():
            rows = _formula(*inputs, torch.from_numpy(segments.owner))
            return *derivatives([(rows, of_rows)], inputs), None
        x, rotation, centre = inputs
        graphs, frames, n, _ = rotation.shape
        g = of_rows.numpy().reshape(frames, len(x), n).swapaxes(0, 1).reshape(len(x), frames * n)
        side_by_side = segments.dense(g)
        of_x = segments.rows(side_by_side @ matrices.mT)
        of_matrices = (dense.mT @ side_by_side).reshape(graphs, n, frames, n).swapaxes(1, 2)
        of_centre = None if centre is None else torch.from_numpy(-segments.sum(of_x)).to(centre.dtype)
        return torch.from_numpy(of_x), torch.from_numpy(of_matrices).to(rotation.dtype), of_centre, None
