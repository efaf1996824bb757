"""Rows of graphs in NumPy: on a processor a small operation takes a third of torch's time there, and frames of small
molecules are made of small operations alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from intertwine.numerics import safe


@dataclass(frozen=True)
class Segments:
    """Which rows are of which graph, where the graphs stand one behind the other and none is empty.

    Args:
        owner: graph of each row (rows,).
        starts: first row of each graph (graphs,).
        counts: rows of each graph (graphs,).
    """

    owner: np.ndarray
    starts: np.ndarray
    counts: np.ndarray

    @classmethod
    def of(cls, owner: Int[Tensor, " rows"], graphs: int) -> Segments | None:
        """Those of rows whose graphs are told by ``owner``; None where rows are mixed, a graph is empty, or where
        nobody may look.
        """
        rows = owner.shape[0]
        if not rows or owner.device.type != "cpu" or not safe.plain(owner):
            return None
        number = owner.numpy()
        starts = np.zeros(1, dtype=np.intp)
        if graphs > 1:
            starts = np.concatenate([starts, (number[1:] != number[:-1]).nonzero()[0] + 1])
            if len(starts) != graphs or (number[starts] != np.arange(graphs)).any():
                return None
        return cls(number, starts, np.diff(starts, append=rows))

    @property
    def graphs(self) -> int:
        """How many there are."""
        return len(self.starts)

    @property
    def size(self) -> int:
        """Rows of each graph, or 0 where graphs differ in it."""
        size, rest = divmod(len(self.owner), len(self.starts))
        return size if not rest and bool((self.counts == size).all()) else 0

    def sum(self, x: np.ndarray) -> np.ndarray:
        """Over the rows of each graph, one after the other: (rows, ...) to (graphs, ...)."""
        return np.add.reduceat(x, self.starts, axis=0)

    def mean(self, x: np.ndarray) -> np.ndarray:
        """Over the rows of each graph: (rows, d) to (graphs, d)."""
        return self.sum(x) / self.counts[:, None].astype(x.dtype)

    def each(self, y: np.ndarray) -> np.ndarray:
        """What a graph has, for each of its rows: (graphs, ...) to (rows, ...)."""
        return y.take(self.owner, axis=0)

    def first(self, x: np.ndarray) -> np.ndarray:
        """The first row of each graph."""
        return x.take(self.starts, axis=0)

    def dense(self, x: np.ndarray) -> np.ndarray:
        """The rows of each graph side by side, and zeros where it has fewer than another one: (graphs, most, d)."""
        if size := self.size:
            return x.reshape(self.graphs, size, -1)
        result = np.zeros((self.graphs, int(self.counts.max()), x.shape[1]), dtype=x.dtype)
        result[self._taken()] = x
        return result

    def rows(self, x: np.ndarray) -> np.ndarray:
        """Those that :meth:`dense` has put side by side: (graphs, most, d) to (rows, d)."""
        return x.reshape(-1, x.shape[2]) if self.size else x[self._taken()]

    def _taken(self) -> np.ndarray:
        return np.arange(int(self.counts.max())) < self.counts[:, None]


def array_of(x: Float[Tensor, "*shape"]) -> np.ndarray | None:
    """The numbers of a tensor on a processor, which nobody records, and all of which are finite; else None."""
    if x.device.type != "cpu" or x.dtype not in (torch.float32, torch.float64) or not safe.plain(x):
        return None
    numbers = x.detach().numpy()
    return numbers if math.isfinite(numbers.sum()) else None


def about_centres(points: np.ndarray, segments: Segments, centred: bool) -> tuple[np.ndarray, np.ndarray]:
    """The mean of the points of each graph (graphs, d), and the points from there (rows, d); of the origin if not
    ``centred``.

    The mean is taken from the first point of each graph on: far from the origin differences are exact, and a mean is
    not.
    """
    if not centred:
        return np.zeros((segments.graphs, points.shape[1]), dtype=points.dtype), points
    start = segments.first(points)
    x = points - segments.each(start)
    mean = segments.mean(x)
    return start + mean, x - segments.each(mean)


def from_centres(of_x: np.ndarray, of_centre: np.ndarray | None, segments: Segments, centred: bool) -> np.ndarray:
    """Derivatives by the points, of those by what :func:`about_centres` makes of them."""
    if not centred:
        return of_x
    shared = -segments.sum(of_x)
    if of_centre is not None:
        shared = shared + of_centre
    return of_x + segments.each(shared / segments.counts[:, None].astype(of_x.dtype))


def derivative(pairs: Sequence[tuple[Tensor, Tensor | None]], x: Tensor) -> Tensor:
    r""":math:`\sum_k g_k^\top \partial y_k / \partial x` of pairs (y, g), that can be differentiated again."""
    asked = [(y, g) for y, g in pairs if g is not None and y.requires_grad]
    if not asked:
        return torch.zeros_like(x)
    y, g = zip(*asked, strict=True)
    return torch.autograd.grad(y, x, g, create_graph=True, materialize_grads=True)[0]
