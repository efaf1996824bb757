r"""What a frame is: finitely many isometries of each graph, with weights, that turn with it.

A weighted frame takes a graph X to elements :math:`g_k` with weights :math:`w_k \ge 0`, :math:`\sum_k w_k = 1`, so that
the same set of pairs belongs to :math:`gX` with :math:`g g_k` in place of :math:`g_k`. With it any function
:math:`\Phi` becomes equivariant:

.. math::
    \langle\Phi\rangle(X) = \sum_k w_k\, \rho_2(g_k)\, \Phi(g_k^{-1} X)

Puny, Atzmon, Smith, Misra, Grover, Ben-Hamu, Lipman 2022 (arXiv:2110.03336), with equal weights; Dym, Lawrence, Siegel
2024 (arXiv:2402.16077).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


@dataclass(frozen=True)
class Frames:
    r"""The frames of each graph of a batch: :math:`g_k x = R_k x + t`.

    A graph with fewer frames than another has more of them with weight 0, whose matrix is the identity.

    Args:
        rotation: :math:`R_k`, orthogonal matrices whose columns are the axes (graphs, frames, d, d).
        centre: t, the point that the frames are at (graphs, d), in the unit of the positions; zeros for a group
            without translations.
        weight: :math:`w_k` (graphs, frames), at least 0; they add up to 1 over the frames of a graph.
    """

    rotation: Float[Tensor, "graphs frames d d"]
    centre: Float[Tensor, "graphs d"]
    weight: Float[Tensor, "graphs frames"]

    @property
    def graphs(self) -> int:
        """How many graphs they are of."""
        return self.weight.shape[0]

    @property
    def frames(self) -> int:
        """How many a graph has at most."""
        return self.weight.shape[1]

    @property
    def kept(self) -> Bool[Tensor, "graphs frames"]:
        """Which of them count, being of a weight above 0."""
        return self.weight > 0

    @property
    def alike(self) -> bool:
        """Whether all weights are the same constant, as far as their rule says so: without a look at them."""
        return not any(self.weight.stride())  # one number in all places

    def number(self) -> Int[Tensor, " graphs"]:
        """How many of each graph count."""
        return self.kept.sum(1)

    def into(self, pos: Float[Tensor, "nodes d"], owner: Int[Tensor, " nodes"]) -> Float[Tensor, "nodes frames d"]:
        r"""Points in each frame of their graph, :math:`g_k^{-1} x = R_k^\top (x - t)`.

        The difference is taken before anything is rounded to the precision of the frames.

        Args:
            pos: points, in the unit of the centre.
            owner: graph of each.
        """
        precise = torch.promote_types(pos.dtype, self.centre.dtype)
        across = pos.to(precise) - self.centre.to(precise).index_select(0, owner)
        return self.turned_in(across.to(self.rotation.dtype), owner)

    def turned_in(self, x: Float[Tensor, "nodes d"], owner: Int[Tensor, " nodes"]) -> Float[Tensor, "nodes frames d"]:
        r"""Vectors in each frame of their graph, :math:`R_k^\top x`."""
        return torch.einsum("nfab,na->nfb", self.rotation.index_select(0, owner), x)

    def turned_out(
        self, x: Float[Tensor, "nodes frames d"], owner: Int[Tensor, " nodes"]
    ) -> Float[Tensor, "nodes frames d"]:
        r"""Vectors that are known in each frame of their graph, in space: :math:`R_k x_k`."""
        return torch.einsum("nfab,nfb->nfa", self.rotation.index_select(0, owner), x)

    def average(
        self, x: Float[Tensor, "rows frames *shape"], owner: Int[Tensor, " rows"] | None = None
    ) -> Float[Tensor, "rows *shape"]:
        r""":math:`\sum_k w_k x_k`, of one row for each graph, or for each of what ``owner`` says the graph of."""
        weight = self.weight if owner is None else self.weight.index_select(0, owner)
        return (x * weight.view(*weight.shape, *[1] * (x.ndim - 2)).to(x.dtype)).sum(1)

    def detach(self) -> Frames:
        """The same numbers as constants. Forces through an average over them are not the gradient of its energy."""
        return Frames(self.rotation.detach(), self.centre.detach(), self.weight.detach())

    def to(self, dtype: torch.dtype) -> Frames:
        """In another precision."""
        return Frames(self.rotation.to(dtype), self.centre.to(dtype), self.weight.to(dtype))
