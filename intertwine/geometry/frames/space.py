"""The group that frames are of, and points of graphs as rows about their centre."""

from __future__ import annotations

import functools
import math
import re
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from intertwine.groups import Group
from intertwine.numerics import GeometryError, InputError, by_hand, safe, segment


@dataclass(frozen=True)
class Space:
    """A group of isometries of the plane or of space, taken apart.

    Args:
        d: the dimension, 2 or 3.
        special: rotations only, no reflections.
        translations: whether they are in it.
    """

    d: int
    special: bool
    translations: bool

    @classmethod
    def of(cls, group: str | Group, d: int) -> Space:
        """That of a group, or of its name: O(d), SO(d), E(d), SE(d).

        Args:
            group: the group.
            d: dimension of the points that it is to act on.

        Raises:
            InputError: it is no such group, or of another dimension.
        """
        return _space(group if isinstance(group, str) else group.name, d)

    def cloud(
        self,
        points: Float[Tensor, "rows d"],
        owner: Int[Tensor, " rows"],
        graphs: int,
        size: int | None = None,
        mass: Float[Tensor, " rows"] | None = None,
    ) -> Cloud:
        """Points from the one that does not move: :func:`centre_of`, or 0 where translations are not in the group.

        Raises:
            InputError: a mass is not positive.
            GeometryError: a point is not finite.
        """
        size = segment.even(owner, graphs) if size is None else size
        if size and mass is None and self.translations:
            blocks, centre = _blocks(points, owner, graphs, size)
            return Cloud(centre, owner, blocks, None)
        check_finite(points, owner)
        if self.translations:
            centre, points = _about_centre(points, owner, graphs, mass)
        else:
            centre = points.new_zeros(graphs, self.d)
        return Cloud(centre, owner, points.reshape(graphs, size, self.d) if size else None, points)


@dataclass(frozen=True)
class Cloud:
    """Points of graphs about their centres.

    Args:
        centre: of each graph (graphs, d), in the unit of the points.
        owner: graph of each point.
        blocks: points from the centre of their graph (graphs, size, d), if it is known that all graphs have as many,
            one graph behind the other; else None.
        rows: the same points (rows, d); None if there are blocks of them.
    """

    centre: Float[Tensor, "graphs d"]
    owner: Int[Tensor, " rows"]
    blocks: Float[Tensor, "graphs size d"] | None
    rows: Float[Tensor, "rows d"] | None

    @property
    def x(self) -> Float[Tensor, "rows d"]:
        """Points from the centre of their graph, in their order."""
        if self.rows is None:
            assert self.blocks is not None
            return self.blocks.flatten(0, 1)
        return self.rows

    def moments(self, mass: Float[Tensor, " rows"] | None = None) -> Float[Tensor, "graphs d d"]:
        r""":math:`\sum_i m_i x_i x_i^\top` of each graph; m are all 1 if None."""
        if self.blocks is not None and mass is None:
            return self.blocks.mT @ self.blocks
        weighed = self.x if mass is None else mass.to(self.x).unsqueeze(1) * self.x
        return segment.sum(weighed.unsqueeze(2) * self.x.unsqueeze(1), self.owner, self.centre.shape[0])

    def dense(self) -> Float[Tensor, "graphs most d"]:
        """Points of each graph side by side, and zeros where it has fewer than another one."""
        return dense(self.x, self.owner, self.centre.shape[0])[0] if self.blocks is None else self.blocks


@functools.lru_cache(maxsize=64)
def _space(name: str, d: int) -> Space:
    parts = re.fullmatch(r"(S?)([OE])\(([23])\)", name)
    if parts is None:
        raise InputError(
            f"there are no such frames of {name!r}",
            where="group",
            remedy="use one of O(d), SO(d), E(d), SE(d) with d = 2 or 3.",
        )
    if int(parts[3]) != d:
        raise InputError(
            f"points in {d} dimensions and the group {name}", where="group", remedy=f"give that of {d} dimensions."
        )
    return Space(d, bool(parts[1]), parts[2] == "E")


def centre_of(
    points: Float[Tensor, "rows d"],
    owner: Int[Tensor, " rows"],
    graphs: int,
    mass: Float[Tensor, " rows"] | None = None,
    size: int | None = None,
) -> Float[Tensor, "graphs d"]:
    r""":math:`t = \sum_i m_i x_i / \sum_i m_i` of each graph; 0 for a graph of no points.

    Args:
        points: x.
        owner: graph of each.
        graphs: how many.
        mass: m, positive; all 1 if None.
        size: :func:`~intertwine.numerics.segment.even`, if it is known.

    Raises:
        InputError: a mass is not positive.
        GeometryError: a point is not finite.
    """
    size = segment.even(owner, graphs) if size is None else size
    if size and mass is None:
        return _blocks(points, owner, graphs, size)[1]
    check_finite(points, owner)
    return _about_centre(points, owner, graphs, mass)[0]


def _blocks(
    points: Float[Tensor, "rows d"], owner: Int[Tensor, " rows"], graphs: int, size: int
) -> tuple[Float[Tensor, "graphs size d"], Float[Tensor, "graphs d"]]:
    """Points from the centre of their graph, and the centres, of graphs of ``size`` points, one behind the other: the
    same numbers as :func:`_about_centre`.

    Raises:
        GeometryError: a point is not finite.
    """
    x = points.reshape(graphs, size, -1)
    if by_hand.readable(points) and points.shape[0] <= by_hand.FEW_ROWS:
        made = _Blocks.of(x.detach().numpy(), owner)
        if not math.isfinite(np.add.reduce(made.centre, axis=None)):  # of all points, for it is their sum
            check_finite(points, owner)
        blocks, centre = by_hand.computed(made, x)
        return blocks, centre
    check_finite(points, owner)
    return _about_means(x, owner)


def _about_means(
    points: Float[Tensor, "graphs size d"], owner: Int[Tensor, " rows"]
) -> tuple[Float[Tensor, "graphs size d"], Float[Tensor, "graphs d"]]:
    start = points.detach()[:, :1]
    x = points - start
    mean = (segment.sum(x.flatten(0, 1), owner, points.shape[0]) / points.shape[1]).unsqueeze(1)
    return x - mean, (start + mean).squeeze(1)


class _Blocks(NamedTuple):
    x: np.ndarray  # from the centre (graphs, size, d)
    centre: np.ndarray  # (graphs, d)
    owner: Tensor  # of all rows

    @classmethod
    def of(cls, points: np.ndarray, owner: Tensor) -> _Blocks:
        """Of points (graphs, size, d)."""
        start = points[:, :1]
        x = points - start
        mean = np.add.reduce(x, axis=1, keepdims=True) / x.shape[1]
        return cls(x - mean, (start + mean)[:, 0], owner)

    def values(self) -> tuple[np.ndarray, ...]:
        return self.x, self.centre

    def derivatives(self, *cotangents: np.ndarray) -> tuple[np.ndarray | None, ...]:
        of_x, of_centre = cotangents
        common = (of_centre - np.add.reduce(of_x, axis=1)) / of_x.shape[1]
        return (of_x + common[:, None],)

    def formulas(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        return _about_means(inputs[0], self.owner)


def _about_centre(
    points: Float[Tensor, "rows d"],
    owner: Int[Tensor, " rows"],
    graphs: int,
    mass: Float[Tensor, " rows"] | None,
) -> tuple[Float[Tensor, "graphs d"], Float[Tensor, "rows d"]]:
    """:func:`centre_of`, and the points from there.

    The mean is taken from the first point of each graph on: far from the origin differences are exact, and a mean is
    not.
    """
    if mass is not None:
        _check(mass)
    if not points.shape[0]:
        return points.new_zeros(graphs, points.shape[1]), points
    start = first_of(points.detach(), owner, graphs)
    x = points - start.index_select(0, owner)
    if mass is None:
        total = counted(owner, graphs).clamp(min=1).to(x).unsqueeze(1)
        mean = segment.sum(x, owner, graphs) / total
    else:
        total = segment.sum(mass, owner, graphs).unsqueeze(1)
        mean = segment.sum(x * mass.unsqueeze(1), owner, graphs) / torch.where(total > 0, total, 1.0)
    return start + mean, x - mean.index_select(0, owner)


def first_of(x: Float[Tensor, "rows d"], owner: Int[Tensor, " rows"], graphs: int) -> Float[Tensor, "graphs d"]:
    """The first row of each graph; 0 for a graph of none."""
    rows = x.shape[0]  # no len: programs keep sizes open
    numbers = torch.arange(rows, device=x.device)
    first = (numbers.new_zeros(graphs) + rows).scatter_reduce(0, owner, numbers, "amin")
    return torch.where((first < rows).unsqueeze(1), x.index_select(0, first.clamp(max=rows - 1)), 0.0)


def check_finite(points: Float[Tensor, "rows d"], owner: Int[Tensor, " rows"]) -> None:
    """Raise a :class:`GeometryError` that names the first point that is not finite, where that costs nothing."""
    if not safe.inspectable(points) or math.isfinite(float(points.detach().sum())):  # all are, if their sum is
        return
    strange = ~torch.isfinite(points).all(1)
    if bool(strange.any()):
        row = int(strange.nonzero()[0])
        what = f"point {row}, of graph {int(owner[row])}, is not finite"
        raise GeometryError(what, where="frames", remedy="remove or repair that structure.")


def _check(mass: Float[Tensor, " rows"]) -> None:
    if safe.inspectable(mass) and not bool((mass > 0).all()):
        row = int((~(mass > 0)).nonzero()[0])
        raise InputError(f"weight {float(mass[row]):g} of row {row}", where="weights", remedy="weights are positive.")


def counted(owner: Int[Tensor, " rows"], graphs: int) -> Int[Tensor, " graphs"]:
    """How many rows each graph has."""
    return torch.bincount(owner, minlength=graphs)


def places(owner: Int[Tensor, " rows"], counts: Int[Tensor, " graphs"]) -> Int[Tensor, " rows"]:
    """The place of each row among those of its owner, from 0; rows are sorted by owner, who has ``counts`` of them."""
    return torch.arange(len(owner), device=owner.device) - (counts.cumsum(0) - counts).index_select(0, owner)


def slots(owner: Int[Tensor, " rows"], graphs: int) -> tuple[Int[Tensor, "graphs most"], Bool[Tensor, "graphs most"]]:
    """The rows of each graph side by side, in their order, and which of the places are taken; others name some row."""
    counts = counted(owner, graphs)
    column = torch.arange(int(counts.max()) if graphs else 1, device=owner.device)
    sorted_row = ((counts.cumsum(0) - counts).unsqueeze(1) + column).clamp(max=len(owner) - 1)
    return owner.argsort(stable=True)[sorted_row], column < counts.unsqueeze(1)


def dense(
    points: Float[Tensor, "rows d"], owner: Int[Tensor, " rows"], graphs: int
) -> tuple[Float[Tensor, "graphs most d"], Bool[Tensor, "graphs most"], Int[Tensor, "graphs most"]]:
    """Points of each graph side by side, which of the places are taken, and the row in each place (:func:`slots`).

    Places that are not taken hold zeros.
    """
    row, taken = slots(owner, graphs)
    side_by_side = points.index_select(0, row.flatten()).unflatten(0, row.shape)
    return torch.where(taken.unsqueeze(2), side_by_side, 0.0), taken, row
