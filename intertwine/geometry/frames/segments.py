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
        counts: rows of each graph (graphs,), or one number if all have as many.
    """

    owner: np.ndarray
    starts: np.ndarray
    counts: np.ndarray | int

    @classmethod
    def of(cls, owner: Int[Tensor, " rows"], graphs: int) -> Segments | None:
        """Those of rows whose graphs are told by ``owner``; None where rows are mixed, a graph is empty, or where
        nobody may look.
        """
        rows = owner.shape[0]
        if not rows or owner.device.type != "cpu" or not safe.plain(owner):
            return None
        number, each = owner.numpy(), np.arange(graphs)
        size = rows // graphs
        if rows == size * graphs and (number.reshape(graphs, size) == each[:, None]).all():
            return cls(number, each * size, size)
        starts = np.concatenate([np.zeros(1, dtype=np.intp), (number[1:] != number[:-1]).nonzero()[0] + 1])
        if len(starts) != graphs or (number[starts] != each).any():
            return None
        return cls(number, starts, np.diff(starts, append=rows))

    @property
    def graphs(self) -> int:
        """How many there are."""
        return len(self.starts)

    @property
    def most(self) -> int:
        """Rows of the largest graph."""
        return self.counts if isinstance(self.counts, int) else int(self.counts.max())

    def sum(self, x: np.ndarray) -> np.ndarray:
        """Over the rows of each graph, one after the other: (rows, ...) to (graphs, ...)."""
        return np.add.reduceat(x, self.starts, axis=0)

    def mean(self, x: np.ndarray) -> np.ndarray:
        """Over the rows of each graph: (rows, d) to (graphs, d)."""
        return self.sum(x) / self._shared(x)

    def each(self, y: np.ndarray) -> np.ndarray:
        """What a graph has, for each of its rows: (graphs, ...) to (rows, ...)."""
        return y.take(self.owner, axis=0)

    def first(self, x: np.ndarray) -> np.ndarray:
        """The first row of each graph."""
        return x.take(self.starts, axis=0)

    def dense(self, x: np.ndarray) -> np.ndarray:
        """The rows of each graph side by side, and zeros where it has fewer than another one: (graphs, most, d)."""
        if isinstance(self.counts, int):
            return x.reshape(len(self.starts), self.counts, x.shape[1])
        taken = self._taken(self.counts)
        result = np.zeros((*taken.shape, x.shape[1]), dtype=x.dtype)
        result[taken] = x
        return result

    def rows(self, x: np.ndarray) -> np.ndarray:
        """Those that :meth:`dense` has put side by side: (graphs, most, d) to (rows, d)."""
        return x.reshape(-1, x.shape[2]) if isinstance(self.counts, int) else x[self._taken(self.counts)]

    def from_centres(self, of_x: np.ndarray, of_centre: np.ndarray | None) -> np.ndarray:
        """Derivatives by the points, of those by what :func:`about_centres` makes of them."""
        shared = -self.sum(of_x)
        if of_centre is not None:
            shared += of_centre
        return of_x + self.each(shared / self._shared(of_x))

    def _shared(self, x: np.ndarray) -> np.ndarray | int:
        """The number of rows of each graph, in the precision of x."""
        return self.counts if isinstance(self.counts, int) else self.counts[:, None].astype(x.dtype)

    @staticmethod
    def _taken(counts: np.ndarray) -> np.ndarray:
        return np.arange(int(counts.max())) < counts[:, None]


def at_hand(x: Float[Tensor, "*shape"]) -> bool:
    """Whether NumPy can take the numbers of a tensor: on a processor, where nobody records what is done with it."""
    return x.device.type == "cpu" and x.dtype in (torch.float32, torch.float64) and safe.plain(x)


def array_of(x: Float[Tensor, "*shape"]) -> np.ndarray | None:
    """The numbers of a tensor that is :func:`at_hand`, if all are finite; else None."""
    if not at_hand(x):
        return None
    numbers = x.detach().numpy()
    return numbers if math.isfinite(np.add.reduce(numbers, axis=None)) else None


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


def derivatives(pairs: Sequence[tuple[Tensor, Tensor | None]], inputs: Sequence[Tensor | None]) -> list[Tensor | None]:
    r""":math:`\sum_k g_k^\top \partial y_k / \partial x` of pairs (y, g), for each input x that needs it: such that can
    be differentiated again.
    """
    y = [y for y, g in pairs if g is not None and y.requires_grad]
    g = [g for y, g in pairs if g is not None and y.requires_grad]
    wanted = [x for x in inputs if x is not None and x.requires_grad]
    if not y:
        return [None] * len(inputs)
    rest = iter(torch.autograd.grad(y, wanted, g, create_graph=True, materialize_grads=True))
    return [next(rest) if x is not None and x.requires_grad else None for x in inputs]
