r"""Radial functions from a table: a network of the distance is asked at some distances, and cubic splines join them.

.. math::
    R(d) = \sum_k T_k\, B(d/h - k), \qquad T_k = \tfrac16(-v_{k-1} + 8 v_k - v_{k+1}), \qquad v_k = N(k h), \qquad
    h = r_c / K

with the cubic B-spline B (support :math:`[-2, 2]`), and a network N that vanishes at the cutoff: :math:`v_k = 0` from
K on, and :math:`T_k = 0` from K - 1 on. R has two continuous derivatives, and is zero with both at the cutoff and
beyond. It is the quasi-interpolant that reproduces cubics; below zero N is continued by the cubic through the first
four :math:`v_k`. So R differs from N by :math:`O(h^4)`, where N is as smooth as that: under the cosine envelope, whose
second derivative jumps at the cutoff, by :math:`O(h^2)` within 2 h of it.

Where a batch has more edges than there are knots, N costs little, and for the forces neither it nor its derivatives are
asked at all. The sum over k is a convolution from knots to edges: its kernel, and those of its derivatives, do it.

What is computed at the knots is differenced, so that its rounding counts 1/h times in the forces: it is done in single
precision at least, also under autocast; a model in half precision asks its networks at every edge.

de Boor, A Practical Guide to Splines, Springer 1978, chapter XII (quasi-interpolants).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from intertwine.kernels import Operand, Plan, Table
from intertwine.kernels.convolution.fused import Fused
from intertwine.nn.cutoff import positive
from intertwine.nn.irreps.fully_connected import FullyConnectedNet
from intertwine.numerics import InputError, safe

TERMS = 4  # B-splines that are not zero at a distance
FEWEST = 8  # knots
KNOTS_A_FUNCTION = 8  # knots for each radial function


class Sampled(NamedTuple):
    """What radial networks are asked with: attributes of the knots (K, k), and what joins them.

    Attributes:
        attributes: of the knots, that at the cutoff left out.
        row, edge: coefficient, counted from k = -1, and edge of each term (4 edges,).
        value: B of each term (4 edges, 1), no unit; differentiable in the distances.
        edges: how many there are.
    """

    attributes: Float[Tensor, "knots k"]
    row: Int[Tensor, " terms"]
    edge: Int[Tensor, " terms"]
    value: Float[Tensor, "terms 1"]
    edges: int


class RadialNetwork(FullyConnectedNet):
    """A network N without biases, so that it vanishes where its inputs do, that is asked at edges or at knots.

    Args:
        hs, act, variance_in: as of :class:`~intertwine.nn.FullyConnectedNet`.
    """

    def __init__(self, hs: Sequence[int], act: Callable[[Tensor], Tensor] | None, variance_in: int | float) -> None:
        super().__init__(hs, act, variance_in)
        self._sum = summed(hs[-1])

    def weights(self, at: Float[Tensor, "edges k"] | Sampled) -> Float[Tensor, "edges outputs"]:
        """N of the attributes of each edge, or R of those of the knots.

        Args:
            at: from :meth:`intertwine.nn.embedding.EdgeEmbedding.filters`.
        """
        if isinstance(at, Tensor):
            return self(at)
        with safe.without_autocast(at.value.device):
            return joined(self._sum, coefficients(self(at.attributes)), at)


def coefficients(v: Float[Tensor, "knots outputs"]) -> Float[Tensor, "rows outputs"]:
    r"""T from k = -1 to K + 2, of the values :math:`v_0 \dots v_{K - 1}` at the knots; the last four are 0."""
    below = [10 * v[0] - 20 * v[1] + 15 * v[2] - 4 * v[3], 4 * v[0] - 6 * v[1] + 4 * v[2] - v[3]]
    v = torch.cat([torch.stack(below), v])  # from k = -2 on
    return torch.cat([(8 * v[1:-1] - v[:-2] - v[2:]) / 6, v.new_zeros(TERMS, v.shape[1])])


def summed(outputs: int) -> Fused:
    """The sum over the terms of an edge, for so many radial functions."""
    scalars, path = Operand.of([(outputs, 1)], "ir_mul"), (0, 0, 0, "uvu", False, 1.0, Table.of(np.ones((1, 1, 1))))
    return Fused(Plan.of(scalars, Operand.of([(1, 1)]), scalars, [path]))


def joined(total: Fused, table: Float[Tensor, "rows outputs"], at: Sampled) -> Float[Tensor, "edges outputs"]:
    """R of each edge.

    Args:
        total: from :func:`summed`.
        table: T, from :func:`coefficients`.
        at: the terms of the edges.
    """
    return total.convolve(table, at.value, None, at.row, at.edge, at.edges)


class RadialSpline:
    """The knots and the B-splines around each distance.

    Args:
        knots: K, number of intervals up to the cutoff.
        cutoff: r_c (A).

    Raises:
        InputError: fewer than 8 knots, or a cutoff that is no length.
    """

    def __init__(self, knots: int, cutoff: float) -> None:
        if not isinstance(knots, int) or knots < FEWEST:
            remedy = f"give {FEWEST} or more (128 are usual), or 0 to ask the network at every edge."
            raise InputError(f"{knots} knots", where="radial_knots", remedy=remedy)
        self.knots, self.cutoff = knots, positive(cutoff)

    def distances(self, like: Float[Tensor, "..."]) -> Float[Tensor, " knots"]:
        """Where the network is asked (A): 0, h, ..., (K - 1) h."""
        return torch.arange(self.knots, dtype=like.dtype, device=like.device) * (self.cutoff / self.knots)

    def sampled(self, attributes: Float[Tensor, "knots k"], d: Float[Tensor, " edges"]) -> Sampled:
        """The attributes of the knots, with the terms of edges of lengths d (A)."""
        place = d * (self.knots / self.cutoff)
        first = place.detach().floor().clamp(0, self.knots - 1)
        u = place - first
        v = 1 - u
        values = torch.stack([v**3, (3 * u - 6) * u * u + 4, (3 * v - 6) * v * v + 4, u**3], dim=1) / 6
        values = torch.where((d < self.cutoff).unsqueeze(1), values, 0.0)
        row = first.to(torch.int64).unsqueeze(1) + torch.arange(TERMS, device=d.device)
        edge = torch.arange(d.shape[0], device=d.device).unsqueeze(1).expand_as(row)
        return Sampled(attributes, row.reshape(-1), edge.reshape(-1), values.reshape(-1, 1), d.shape[0])
