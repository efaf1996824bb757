r"""Weighted frames of graphs that are not nearly linear, in a few operations where small molecules are on a processor.

The equations are those of :mod:`~intertwine.geometry.frames.weighted`. Values and first derivatives are computed in
NumPy, derivatives of derivatives by the plain formulas. Derivatives go backwards through what follows, with
:math:`\bar y` for that of some L by y, and f for the first axis :math:`e_i` of a pair:

.. math::
    \bar s &= \bar R_2 + \bar R_3 \times f, \qquad \bar f = \bar R_1 + s \times \bar R_3 &&
        \text{of } R = (f, s, f \times s) \\
    \bar b_j &= (\bar s - s\, (s \cdot \bar s)) / \|b_j\| \text{ across } f &&\text{of } s = b_j / \|b_j\| \\
    \bar t_j &= 3\, h(t_j)^{2/3}\, \big(\bar q_j - \textstyle\sum_k q_k \bar q_k\big) / \textstyle\sum_k h(t_k) &&
        \text{of } q_j = h(t_j) / \textstyle\sum_k h(t_k), \; t_j = v_j / V \\
    \bar v_j &= \bar t_j / V + \bar V\, (9 v_j^8 - 8 v_j^7 V) / \textstyle\sum_k v_k^8 &&
        \text{of } V = \textstyle\sum_k v_k^9 / \textstyle\sum_k v_k^8
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from intertwine.numerics import by_hand

Formulas = Callable[..., tuple[Tensor, Tensor]]


class Shares(NamedTuple):
    """Parts of the points of each row, and what their derivatives are made of."""

    parts: np.ndarray  # h(u / U) / sum of these (rows, points)
    over: np.ndarray  # u / U - t_0, or 0 (rows, points)
    total: np.ndarray  # sum of h (rows, 1)
    scale: np.ndarray  # U (rows, 1)
    unit: np.ndarray  # u / (the largest u), t (rows, points)
    eighth: np.ndarray  # t^8 (rows, points)
    sums: np.ndarray  # of these (rows, 1)

    @classmethod
    def of(cls, u: np.ndarray, threshold: float) -> Shares:
        """Of numbers u >= 0 (rows, points), where not all of a row are 0; ``threshold`` is t_0."""
        tiny = np.finfo(u.dtype).tiny
        largest = np.maximum(np.maximum.reduce(u, axis=1, keepdims=True), tiny)
        unit = u / largest
        eighth = unit * unit
        eighth *= eighth
        eighth *= eighth
        sums = np.maximum(np.add.reduce(eighth, axis=1, keepdims=True), 1)
        scale = largest * (dot(eighth, unit) / sums)
        over = np.maximum(u / np.maximum(scale, tiny) - threshold, 0)
        h = over * over * over
        total = np.maximum(np.add.reduce(h, axis=1, keepdims=True), tiny)
        return cls(h / total, over, total, scale, unit, eighth, sums)

    def derivative(self, of_parts: np.ndarray, u: np.ndarray) -> np.ndarray:
        """By u, of that by the parts."""
        of_ratio = 3 * self.over * self.over * (of_parts - dot(self.parts, of_parts)) / (self.total * self.scale)
        seventh = self.unit**7
        slope = (9 * self.eighth - 8 * seventh * (dot(self.eighth, self.unit) / self.sums)) / self.sums
        return of_ratio - dot(of_ratio, u) / self.scale * slope


def dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Of rows (rows, n), with the axis kept: (rows, 1)."""
    return np.add.reduce(a * b, axis=1, keepdims=True)


class Pairs(NamedTuple):
    """The pairs of points that count, and what their frames are made of. Rows are the first points that count."""

    x: np.ndarray  # from the centre (graphs, most, 3)
    u: np.ndarray  # |x|^2 (graphs, most)
    p: Shares
    graph: np.ndarray  # of each row
    i: np.ndarray  # its place in the graph
    first: np.ndarray  # e_i (rows, 3)
    length: np.ndarray  # |x_i| (rows, 1)
    along: np.ndarray  # x_j . e_i (rows, most)
    b: np.ndarray  # (rows, most, 3)
    v: np.ndarray  # |b|^2, and 0 for i itself (rows, most)
    q: Shares
    row: np.ndarray  # of each pair
    j: np.ndarray  # place of its second point in the graph
    across: np.ndarray  # |b_j| (pairs, 1)
    axes: np.ndarray  # e_i, s and their product, one below the other (pairs, 3, 3)

    @classmethod
    def of(cls, x: np.ndarray, threshold: float, least: float) -> Pairs | None:
        """Of points side by side; None where one graph has all of them in one place, or a second axis with V / U below
        ``least``.
        """
        most = x.shape[1]
        points = x.reshape(-1, 3)
        u = np.add.reduce(x * x, axis=2)
        p = Shares.of(u, threshold)
        if p.total.min() <= np.finfo(u.dtype).tiny:
            return None
        graph, i = p.parts.nonzero()
        first, y = points.take(graph * most + i, axis=0), x.take(graph, axis=0)
        length = np.sqrt(dot(first, first))
        first = first / length
        along = np.add.reduce(y * first[:, None], axis=2)
        b = y - along[:, :, None] * first[:, None]
        v = np.add.reduce(b * b, axis=2)
        v[np.arange(len(i)), i] = 0
        q = Shares.of(v, threshold)
        if (q.scale < least * p.scale.take(graph, axis=0)).any():
            return None
        row, j = q.parts.nonzero()
        e, s = first.take(row, axis=0), b.reshape(-1, 3).take(row * most + j, axis=0)
        s = s - dot(s, e) * e  # what rounding has left of the first axis
        across = np.sqrt(dot(s, s))
        axes = np.empty((len(row), 3, 3), dtype=x.dtype)
        axes[:, 0], axes[:, 1] = e, s / across
        axes[:, 2] = cross(e, axes[:, 1])
        return cls(x, u, p, graph, i, first, length, along, b, v, q, row, j, across, axes)

    def weights(self) -> np.ndarray:
        """p q of each pair."""
        return self.p.parts[self.graph, self.i][self.row] * self.q.parts[self.row, self.j]

    def derivative(self, of_axes: np.ndarray, of_weights: np.ndarray) -> np.ndarray:
        """By x, of those by the axes (pairs, 3, 3), one below the other, and by the weights (pairs,)."""
        rows, row, j = np.arange(len(self.i)), self.row, self.j
        e, s = self.axes[:, 0], self.axes[:, 1]
        starts = np.searchsorted(row, rows)  # each row has a pair
        of_s = of_axes[:, 1] + cross(of_axes[:, 2], e)
        of_s = (of_s - s * dot(s, of_s)) / self.across
        tilt = dot(of_s, e)
        of_first = np.add.reduceat(of_axes[:, 0] + cross(s, of_axes[:, 2]) - tilt * self.across * s, starts)
        p, q = self.p.parts[self.graph, self.i], self.q.parts[row, j]
        of_q = np.zeros_like(self.v)
        of_q[row, j] = of_weights * p[row]
        of_v = self.q.derivative(of_q, self.v)
        of_v[rows, self.i] = 0
        of_b = 2 * of_v[:, :, None] * self.b
        of_b[row, j] += of_s - tilt * e
        of_first -= np.add.reduce(self.along[:, :, None] * of_b, axis=1)
        of_first = (of_first - self.first * dot(self.first, of_first)) / self.length
        of_p = np.zeros_like(self.u)
        of_p[self.graph, self.i] = np.add.reduceat(of_weights * q, starts)
        of_x = np.add.reduceat(of_b, np.searchsorted(self.graph, np.arange(len(self.x))))
        of_x += 2 * self.p.derivative(of_p, self.u)[:, :, None] * self.x
        of_x[self.graph, self.i] += of_first
        return of_x


def cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The product of vectors (rows, 3); NumPy's own takes several times as long for few."""
    result = np.empty(a.shape, dtype=a.dtype)
    for k in range(3):
        i, j = (k + 1) % 3, (k + 2) % 3
        np.subtract(a[:, i] * b[:, j], a[:, j] * b[:, i], out=result[:, k])
    return result


class Arrangement(NamedTuple):
    """Pairs of graphs side by side, with their mirror images behind them if there are ``hands`` of them."""

    taken: np.ndarray | None  # (graphs, most pairs); None where all graphs have as many
    graphs: int
    hands: int

    @classmethod
    def of(cls, graph: np.ndarray, graphs: int, hands: int) -> Arrangement:
        """Of the graph of each pair, in their order."""
        counts = np.bincount(graph, minlength=graphs)
        most = int(counts.max())
        return cls(None if len(graph) == graphs * most else np.arange(most) < counts[:, None], graphs, hands)

    def frames(self, axes: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Matrices with the axes as columns (graphs, frames, 3, 3), and their weights (graphs, frames)."""
        matrices = axes.swapaxes(1, 2)
        if self.taken is None:
            matrices, weights = matrices.reshape(self.graphs, -1, 3, 3), weights.reshape(self.graphs, -1)
        else:
            listed, matrices = matrices, np.empty((*self.taken.shape, 3, 3), dtype=axes.dtype)
            matrices[:] = np.eye(3)
            matrices[self.taken] = listed
            shares, weights = weights, np.zeros(self.taken.shape, dtype=axes.dtype)
            weights[self.taken] = shares
        if self.hands == 1:
            return np.ascontiguousarray(matrices), weights
        both = np.empty((*matrices.shape[:2], 2, 3, 3), dtype=axes.dtype)
        both[:] = matrices[:, :, None]
        both[:, :, 1, :, 2] *= -1
        if self.taken is not None:
            both[~self.taken] = np.eye(3)
        return both.reshape(self.graphs, -1, 3, 3), np.repeat(weights / 2, 2, axis=1)

    def pairs(self, of_rotation: np.ndarray, of_weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Derivatives by the axes and the weights of each pair, of those by the frames."""
        matrices = of_rotation.reshape(self.graphs, -1, self.hands, 3, 3)
        shares = of_weight.reshape(self.graphs, -1, self.hands).sum(axis=2) / self.hands
        if self.hands == 2:
            signs = np.ones((2, 1, 3), dtype=of_rotation.dtype)
            signs[1, 0, 2] = -1
            matrices = (matrices * signs).sum(axis=2)
        matrices = matrices.reshape(self.graphs, -1, 3, 3).swapaxes(2, 3)
        if self.taken is None:
            return matrices.reshape(-1, 3, 3), shares.reshape(-1)
        return matrices[self.taken], shares[self.taken]


def bent_frames(
    x: Float[Tensor, "graphs points 3"], formulas: Formulas, special: bool, threshold: float, least: float
) -> tuple[Float[Tensor, "graphs frames 3 3"], Float[Tensor, "graphs frames"]] | None:
    """Matrices and weights; None where NumPy can't make them, or where a graph has all points in one place, or has a
    V / U below ``least``.

    Args:
        x: points from the centre of each graph side by side, and zeros where there are fewer.
        formulas: the same of the points and of the pairs that are ``known``, in torch.
        special: the group has no reflections.
        threshold: t_0.
        least: where turns begin.
    """
    if not x.numel() or not by_hand.readable(x):
        return None
    pairs = Pairs.of(x.detach().numpy(), threshold, least)
    if pairs is None:
        return None
    arrangement = Arrangement.of(pairs.graph.take(pairs.row), len(x), 1 if special else 2)
    rotation, weight = by_hand.computed(_Bent(pairs, arrangement, formulas), x)
    return rotation, weight


class _Bent(NamedTuple):
    pairs: Pairs
    arrangement: Arrangement
    plain: Formulas

    def values(self) -> tuple[np.ndarray, ...]:
        return self.arrangement.frames(self.pairs.axes, self.pairs.weights())

    def derivatives(self, *cotangents: np.ndarray) -> tuple[np.ndarray | None, ...]:
        return (self.pairs.derivative(*self.arrangement.pairs(*cotangents)),)

    def formulas(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        (x,), most = inputs, self.pairs.x.shape[1]
        known = self.pairs.graph * most + self.pairs.i, self.pairs.row * most + self.pairs.j
        return self.plain(x, known=tuple(torch.from_numpy(k) for k in known))
