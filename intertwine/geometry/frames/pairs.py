r"""Axes of ordered pairs of points: what weighted and minimal frames choose from.

Of a pair (i, j) the first axis is along :math:`x_i`, the second along the part of :math:`x_j` across it,
:math:`b = x_j - (x_j \cdot e_1) e_1`, and :math:`e_3 = e_1 \times e_2`. They turn with the points, whatever those are,
and are smooth where :math:`x_i \ne 0` and :math:`b \ne 0`.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from intertwine.geometry.frames.space import slots
from intertwine.numerics import safe


def across(x: Float[Tensor, "rows points 3"], axis: Float[Tensor, "rows 3"]) -> Float[Tensor, "rows points 3"]:
    """The parts of the points of each row that are perpendicular to its unit vector."""
    return x - (x @ axis.unsqueeze(2)) * axis.unsqueeze(1)


def spatial(first: Float[Tensor, "rows 3"], b: Float[Tensor, "rows 3"]) -> Float[Tensor, "rows 3 3"]:
    """Axes as columns, from unit vectors and vectors across them, which are neither zero.

    What rounding has left of the first in a short b is taken out once more.
    """
    second = safe.normalize(b - (b * first).sum(1, keepdim=True) * first)
    return torch.stack([first, second, torch.linalg.cross(first, second, dim=1)], dim=2)


def planar(first: Float[Tensor, "rows 2"]) -> Float[Tensor, "rows 2 2"]:
    """Axes as columns, from unit vectors in the plane: the second is a quarter turn from the first."""
    return torch.stack([first, torch.stack([-first[:, 1], first[:, 0]], dim=1)], dim=2)


def arbitrary(axis: Float[Tensor, "rows 3"]) -> Float[Tensor, "rows 3"]:
    """Some vectors across unit vectors, of a length of at least 0.8; not equivariant."""
    least = torch.nn.functional.one_hot(axis.detach().abs().argmin(1), 3).to(axis)
    return least - (least * axis).sum(1, keepdim=True) * axis


def turns(count: int, like: Tensor) -> Float[Tensor, "count 3 3"]:
    """Turns about the first axis by multiples of 360/count degrees, the identity first."""
    angle = torch.arange(count, dtype=torch.float64) * (2 * torch.pi / count)
    result = torch.zeros(count, 3, 3, dtype=torch.float64)
    result[:, 0, 0] = 1
    result[:, 1, 1] = result[:, 2, 2] = angle.cos()
    result[:, 2, 1], result[:, 1, 2] = angle.sin(), -angle.sin()
    return result.to(like)


def spread(d: int, like: Tensor) -> Float[Tensor, "turns d d"]:
    """Rotations over which outputs of degree 1 and 2 average to zero: those of a tetrahedron, or of a triangle.

    They are the frame of points in one place, of which no direction is known.
    """
    if d == 2:
        return turns(3, like)[:, 1:, 1:]
    signs = torch.tensor([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]], dtype=like.dtype, device=like.device)
    cycles = torch.stack([torch.eye(3, dtype=like.dtype, device=like.device).roll(k, 0) for k in range(3)])
    return (cycles.unsqueeze(1) * signs.unsqueeze(1)).flatten(0, 1)


def padded(
    rotation: Float[Tensor, "rows d d"],
    weight: Float[Tensor, " rows"],
    owner: Int[Tensor, " rows"],
    graphs: int,
    special: bool,
    mirror: bool,
) -> tuple[Float[Tensor, "graphs frames d d"], Float[Tensor, "graphs frames"]]:
    """Matrices and weights of axes in a list, those of each graph side by side.

    A graph of which none is listed has those of :func:`spread`.

    Args:
        rotation, weight, owner: axes, their weights, the graph of each.
        graphs: how many.
        special: the group has no reflections.
        mirror: take the mirror image of each besides, and half the weight.
    """
    d = rotation.shape[1]
    row, taken = slots(owner, graphs)
    known = taken.any(1)
    if not bool(known.all()):
        everywhere, lost = spread(d, rotation), (~known).nonzero().squeeze(1)
        number = len(everywhere)
        rotation = torch.cat([rotation, everywhere.repeat(len(lost), 1, 1)])
        weight = torch.cat([weight, weight.new_full((len(lost) * number,), 1 / number)])
        row, taken = slots(torch.cat([owner, lost.repeat_interleave(number)]), graphs)
    hands = torch.stack([rotation, mirrored(rotation)], dim=1) if mirror else rotation.unsqueeze(1)
    axes = hands.index_select(0, row.flatten()).unflatten(0, row.shape)
    identity = torch.eye(d, dtype=rotation.dtype, device=rotation.device)
    axes = torch.where(taken[:, :, None, None, None], axes, identity).flatten(1, 2)
    shares = weight.index_select(0, row.flatten()).unflatten(0, row.shape) * taken / hands.shape[1]
    return axes, shares.repeat_interleave(hands.shape[1], dim=1)


def mirrored(rotation: Float[Tensor, "rows d d"]) -> Float[Tensor, "rows d d"]:
    """The same axes with the last one reversed."""
    return torch.cat([rotation[..., :-1], -rotation[..., -1:]], dim=-1)
