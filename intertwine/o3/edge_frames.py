r"""Frames of edges without a pole: Wigner matrices that turn the direction of each edge to the polar axis.

A rotation R with :math:`R u = e_y` is fixed up to the roll about the axis, and no choice of it is smooth on the whole
sphere. Whatever is computed from :math:`D^l(R)` and turned back by :math:`D^l(R)^T` may not depend on the roll, so any
choice serves, edge by edge: the shortest way from u to :math:`+e_y` on the upper half of the sphere; on the lower half,
the same after a half turn about the x axis. Both are polynomials in u divided by :math:`1 + |u_y| \ge 1`.

The derivative does not need the chart at all. A function f of R that does not feel the roll changes with u as if R
moved without roll, :math:`dR = -R\,[u \times du]_\times`, and so do its derivatives, because infinitesimal rotations on
the right commute with the roll on the left. Hence, with the generators :math:`X^l_k` of the representation,

.. math:: dD^l = -D^l \sum_k (u \times du)_k X^l_k,

which needs no derivative of the recursion, is closed (its own derivative is the same rule again), and holds at every
order.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from intertwine.groups.wigner import wigner_d_blocks
from intertwine.numerics import InputError, safe
from intertwine.numerics.safe import plain
from intertwine.o3.generators import so3_generators


class EdgeFrames(NamedTuple):
    r"""What the edges of a graph share with all layers: made once by :func:`edge_frames`.

    Attributes:
        matrices: the rows :math:`|m| \le` mmax of :math:`D^l(R)` for l = 0 ... lmax, one degree after the other and row
            after row, (edges, sum of (2 min(l, mmax) + 1)(2l + 1)); :func:`frame_block` shows one degree. All 0 for an
            edge of length zero, which has no frame.
        zero: which edges have length zero, (edges,); None where it is known that there is none.
        lmax, mmax: the largest degree, and the highest order that is kept.
    """

    matrices: Float[Tensor, "edges entries"]
    zero: Bool[Tensor, " edges"] | None
    lmax: int
    mmax: int


def edge_frames(vectors: Float[Tensor, "edges 3"], lmax: int, mmax: int | None = None) -> EdgeFrames:
    r"""Wigner matrices :math:`D^l(R)` with :math:`R\,r / \|r\| = e_y`, for every edge.

    Values and derivatives of all orders are finite and right for every direction, the poles included, in everything
    that does not feel the roll of the frame about the edge; a single matrix does, and its derivative is the one without
    roll.

    Args:
        vectors: r, (edges, 3), in any unit of length.
        lmax: largest degree, 0 or more.
        mmax: only the rows :math:`|m| \le` mmax, 0 or more; all if None.

    Raises:
        InputError: vectors of another shape, or a negative degree.

    >>> frames = edge_frames(torch.tensor([[0.0, -2.0, 0.0], [1.0, 1.0, 0.0]]), lmax=2, mmax=1)
    >>> frames.matrices.shape, frame_block(frames, 2).shape
    (torch.Size([2, 25]), torch.Size([2, 3, 5]))
    """
    if vectors.ndim != 2 or vectors.shape[-1] != 3 or not vectors.is_floating_point():
        raise InputError(
            f"edge vectors are {vectors.dtype} {tuple(vectors.shape)}",
            where="edge_frames",
            remedy="give floats of shape (edges, 3).",
        )
    orders = lmax if mmax is None else mmax
    exact = vectors if vectors.device.type == "mps" else vectors.to(torch.float64)  # Apple's GPUs have no float64
    u = safe.normalize(exact)
    zero = None if safe.ordinary(vectors) else (vectors.detach() == 0).all(-1)
    if zero is not None and safe.inspectable(vectors) and not bool(zero.any()):
        zero = None
    if torch.is_grad_enabled() and u.requires_grad and plain(u) and lmax > 0:
        return EdgeFrames(_Turned.apply(u, lmax, orders, vectors.dtype), zero, lmax, min(orders, lmax))
    return EdgeFrames(_turned(u, lmax, orders, vectors.dtype), zero, lmax, min(orders, lmax))


def frame_block(frames: EdgeFrames, l: int) -> Float[Tensor, "edges rows columns"]:
    """The rows of degree l, (edges, 2 min(l, mmax) + 1, 2l + 1), as a view.

    Args:
        frames: of :func:`edge_frames`.
        l: degree, from 0 to lmax.
    """
    return _blocks(frames.matrices, frames.lmax, frames.mmax)[l]


def _blocks(matrices: Tensor, lmax: int, mmax: int) -> list[Tensor]:
    shapes = [(2 * min(l, mmax) + 1, 2 * l + 1) for l in range(lmax + 1)]
    pieces = matrices.split([rows * columns for rows, columns in shapes], -1)
    return [piece.unflatten(-1, shape) for piece, shape in zip(pieces, shapes)]


def edge_rotations(u: Float[Tensor, "edges 3"]) -> Float[Tensor, "edges 3 3"]:
    r"""Rotations R with :math:`R u = e_y`; the matrix 0 for u = 0.

    Args:
        u: unit vectors (edges, 3), or zero.

    >>> edge_rotations(torch.tensor([[0.0, -1.0, 0.0]])) @ torch.tensor([0.0, -1.0, 0.0])
    tensor([[0., 1., 0.]])
    """
    length = (u.detach() != 0).any(-1).to(u.dtype)
    half_turn = torch.where(u.detach()[..., 1] < 0, -1.0, 1.0).to(u.dtype)  # about x: diag(1, -1, -1)
    x, y, z = u[..., 0], u[..., 1] * half_turn, u[..., 2] * half_turn
    a, b = x / (1 + y), z / (1 + y)
    rows = [length - a * x, -x, -a * z, x, y, z, -a * z, -z, length - b * z]
    turned = torch.stack(rows, dim=-1).unflatten(-1, (3, 3))
    return turned * torch.stack([torch.ones_like(half_turn), half_turn, half_turn], dim=-1)[..., None, :]


def _turned(u: Tensor, lmax: int, orders: int, dtype: torch.dtype) -> Tensor:
    """The matrices in plain, differentiable operations: in the precision of u, rounded once."""
    others = wigner_d_blocks(lmax, edge_rotations(u), orders)[1:]
    scalar = (u.detach() != 0).any(-1).to(u.dtype)[:, None, None]  # nothing of an edge of length zero is turned
    return torch.cat([block.flatten(1) for block in (scalar, *others)], 1).to(dtype)


class _Turned(torch.autograd.Function):
    """The matrices with the derivative of the module's docstring, in terms of the matrices themselves: closed under
    differentiation.
    """

    @staticmethod
    def forward(ctx: Any, u: Tensor, lmax: int, orders: int, dtype: torch.dtype) -> Tensor:
        matrices = _turned(u, lmax, orders, dtype)
        ctx.save_for_backward(u, matrices)
        ctx.sizes = lmax, orders
        return matrices

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None, None, None]:  # type: ignore[override]
        u, matrices = ctx.saved_tensors
        about = matrices.new_zeros(u.shape)  # the derivative with respect to a small rotation about each axis
        pairs = zip(_blocks(matrices, *ctx.sizes), _blocks(g, *ctx.sizes))
        for l, (block, cotangent) in enumerate(pairs):
            if l > 0:
                moved = (block @ _generators(l, block)).unflatten(-1, (3, 2 * l + 1))
                about = about + (moved * cotangent.unsqueeze(-2)).sum((1, 3))
        return -torch.linalg.cross(about.to(u.dtype), u, dim=-1), None, None, None


def _generators(l: int, like: Tensor) -> Tensor:
    """The three generators side by side, (2l+1, 3(2l+1))."""
    return torch.from_numpy(_generator_table(l)).to(like)


@lru_cache(maxsize=64)
def _generator_table(l: int) -> np.ndarray:
    return so3_generators(l, dtype=torch.float64).permute(1, 0, 2).flatten(1).numpy().copy()
