r"""Rotations from vectors that turn with a structure, by Gram and Schmidt: differentiable, and finite where vectors
vanish or are collinear.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from intertwine.geometry.frames import pairs
from intertwine.numerics import InputError, safe

LEAST = 1e-3  # in the unit of the vectors: shorter ones, after Gram and Schmidt, give no axis


def gram_schmidt(
    vectors: Float[Tensor, "graphs axes n"], least: float = LEAST
) -> tuple[Float[Tensor, "graphs n n"], Float[Tensor, "graphs axes"]]:
    """Rotations whose first columns span the vectors in their order, with determinant 1; and the length that was left
    of each vector, in its unit.

    What is left shorter than ``least`` is replaced by the coordinate axis that is farthest from the axes before.

    Args:
        vectors: n - 1 of them, n = 2 or 3.
        least: in the unit of the vectors.

    Raises:
        InputError: another number of vectors or dimensions.
    """
    _, count, n = vectors.shape
    if n not in (2, 3) or count != n - 1:
        what = f"{count} vectors of {n} components"
        raise InputError(what, where="gram_schmidt", remedy="give n - 1 vectors in 2 or 3 dimensions.")
    axes: list[Tensor] = []
    lengths = []
    for v in vectors.unbind(1):
        rest = _across(v, axes)
        length = safe.norm(rest, keepdim=True)
        lengths.append(length.squeeze(-1))
        short = length < least
        own = _across(_farthest(v, axes), axes)
        axes.append(safe.normalize(_across(torch.where(short, own, rest / torch.where(short, 1.0, length)), axes)))
    rotation = pairs.planar(*axes) if n == 2 else torch.stack([*axes, torch.linalg.cross(*axes, dim=-1)], dim=-1)
    return rotation, torch.stack(lengths, dim=1)


def _across(v: Tensor, axes: list[Tensor]) -> Tensor:
    """What is left of v beside the axes."""
    for axis in axes:
        v = v - (v * axis).sum(-1, keepdim=True) * axis
    return v


def _farthest(like: Tensor, axes: list[Tensor]) -> Tensor:
    """The coordinate axis of which least lies along the axes."""
    covered = sum((axis.detach().square() for axis in axes), torch.zeros_like(like))
    return torch.nn.functional.one_hot(covered.argmin(-1), like.shape[-1]).to(like)
