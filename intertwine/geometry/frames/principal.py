r"""Principal axes: as plain formulas, and with all signs in a few operations where small molecules are on a processor.

There values and first derivatives are computed in NumPy; derivatives of derivatives are those of the plain formulas.
With :math:`C = \sum_i x_i x_i^\top = V \Lambda V^\top` and the derivative G of some L by the axes V,

.. math:: \partial L / \partial x_i = (S + S^\top)\, x_i, \qquad S = V (V^\top G \circ F) V^\top, \qquad
    F_{ij} = 1 / (\lambda_j - \lambda_i)
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from intertwine.geometry.frames.frame import Frames
from intertwine.geometry.frames.segments import Segments, about_centres, array_of, derivatives
from intertwine.geometry.frames.space import Space
from intertwine.numerics import segment
from intertwine.numerics.linalg import eigh, inverse_gaps


def principal(
    points: Float[Tensor, "rows d"],
    owner: Int[Tensor, " rows"],
    graphs: int,
    space: Space,
    weights: Float[Tensor, " rows"] | None = None,
    known: tuple[Tensor, Tensor] | None = None,
) -> tuple[Float[Tensor, "graphs d"], Float[Tensor, "rows d"], Float[Tensor, "graphs d d"]]:
    """The centre of each graph, its points from there, and its axes in the order of ascending eigenvalues; those of a
    group without reflections have determinant 1.

    Args:
        points, owner, graphs, weights: as of :func:`~intertwine.geometry.frames.pca`.
        space: the group.
        known: eigenvalues and eigenvectors, if they are known already.
    """
    centre, x = space.about_centre(points, owner, graphs, weights)
    weighed = x if weights is None else weights.to(x).unsqueeze(1) * x
    _, axes = eigh(segment.sum(weighed.unsqueeze(2) * x.unsqueeze(1), owner, graphs), known)
    return centre, x, proper(axes) if space.special else axes  # with reflections all signs are tried anyway


def proper(axes: Float[Tensor, "*batch d d"]) -> Float[Tensor, "*batch d d"]:
    """The same with the last axis reversed where the determinant is -1."""
    sign = torch.linalg.det(axes.detach()).sign()  # it is 1 or -1, up to rounding
    return torch.cat([axes[..., :-1], axes[..., -1:] * sign[..., None, None]], dim=-1)


def all_signs(
    points: Float[Tensor, "rows d"],
    owner: Int[Tensor, " rows"],
    graphs: int,
    space: Space,
    table: Float[Tensor, "signs d"],
) -> Frames | None:
    """The frames of all signs in ``table``; None where they can't be made in NumPy, or a point is not finite."""
    x, segments = array_of(points), Segments.of(owner, graphs)
    if x is None or segments is None:
        return None
    if points.requires_grad and torch.is_grad_enabled():
        centre, rotation = _AllSigns.apply(points, table, segments, space)
    else:
        centre, rotation = (torch.from_numpy(y) for y in _all_signs(x, table.numpy(), segments, space)[:2])
    return Frames(rotation, centre, rotation.new_full((), 1 / len(table)).expand(graphs, len(table)))


def _all_signs(points: np.ndarray, table: np.ndarray, segments: Segments, space: Space) -> tuple[np.ndarray, ...]:
    """Centres, axes with all signs; and for derivatives the points from the centres, eigenvalues, eigenvectors and the
    sign that the last one of them is taken with.
    """
    centre, x = about_centres(points, segments, space.translations)
    values, vectors = np.linalg.eigh(segments.sum(x[:, :, None] * x[:, None, :]))
    last = np.sign(np.linalg.det(vectors))[:, None] if space.special else np.ones((1, 1), dtype=x.dtype)
    return centre, _with_last(vectors, last)[:, None] * table[:, None], x, values, vectors, last


def _with_last(vectors: np.ndarray, sign: np.ndarray) -> np.ndarray:
    return np.concatenate([vectors[:, :, :-1], vectors[:, :, -1:] * sign[:, :, None]], axis=2)


class _AllSigns(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, points: Tensor, table: Tensor, segments: Segments, space: Space) -> tuple[Tensor, Tensor]:
        centre, rotation, *rest = _all_signs(points.detach().numpy(), table.numpy(), segments, space)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(points)
        ctx.rest = table, segments, space, rest
        return torch.from_numpy(centre), torch.from_numpy(rotation)

    @staticmethod
    def backward(ctx: Any, of_centre: Tensor | None, of_rotation: Tensor | None) -> tuple[Tensor | None, ...]:
        table, segments, space, (x, values, vectors, last) = ctx.rest
        (points,) = ctx.saved_tensors
        if torch.is_grad_enabled():
            known, owner = (torch.from_numpy(values), torch.from_numpy(vectors)), torch.from_numpy(segments.owner)
            centre, _, axes = principal(points, owner, segments.graphs, space, known=known)
            rotation = axes.unsqueeze(1) * table.unsqueeze(1)
            return *derivatives([(centre, of_centre), (rotation, of_rotation)], [points]), None, None, None
        of_x = np.zeros_like(x)
        if of_rotation is not None:
            of_axes = _with_last((of_rotation.numpy() * table.numpy()[:, None]).sum(1), last)
            half = vectors @ (vectors.mT @ of_axes * _inverse_gaps(values)) @ vectors.mT
            of_x = np.einsum("rab,rb->ra", segments.each(half + half.mT), x)
        shift = None if of_centre is None else of_centre.numpy()
        return torch.from_numpy(segments.from_centres(of_x, shift) if space.translations else of_x), None, None, None


def _inverse_gaps(values: np.ndarray) -> np.ndarray:
    """:func:`~intertwine.numerics.linalg.inverse_gaps`."""
    shortest = np.finfo(values.dtype).eps * np.abs(values).max(axis=1)
    if not (np.diff(values, axis=1).min(axis=1) > shortest).all():
        return inverse_gaps(torch.from_numpy(values)).numpy()
    unit = np.eye(values.shape[1], dtype=values.dtype)
    return 1 / (values[:, None, :] - values[:, :, None] + unit) - unit
