"""The group that frames are of, and points of graphs as rows about their centre."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from intertwine.groups import Group
from intertwine.numerics import GeometryError, InputError, safe, segment


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
        name = group if isinstance(group, str) else group.name
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
        return cls(d, bool(parts[1]), parts[2] == "E")

    def centre(
        self,
        points: Float[Tensor, "rows d"],
        owner: Int[Tensor, " rows"],
        graphs: int,
        mass: Float[Tensor, " rows"] | None,
    ) -> Float[Tensor, "graphs d"]:
        """The point that does not move: :func:`centre_of`, or 0 where translations are not in the group."""
        if self.translations:
            return centre_of(points, owner, graphs, mass)
        check_finite(points, owner)
        return points.new_zeros(graphs, self.d)


def centre_of(
    points: Float[Tensor, "rows d"],
    owner: Int[Tensor, " rows"],
    graphs: int,
    mass: Float[Tensor, " rows"] | None = None,
) -> Float[Tensor, "graphs d"]:
    r""":math:`t = \sum_i m_i x_i / \sum_i m_i` of each graph; 0 for a graph of no points.

    What rounding has left of the sum of the points about it is added once more, so that points far from the origin lose
    no digits.

    Args:
        points: x.
        owner: graph of each.
        graphs: how many.
        mass: m, positive; all 1 if None.

    Raises:
        InputError: a mass is not positive.
        GeometryError: a point is not finite.
    """
    check_finite(points, owner)
    if mass is None:
        total = counted(owner, graphs).clamp(min=1).to(points).unsqueeze(1)
    else:
        _check(mass)
        total = segment.sum(mass, owner, graphs).unsqueeze(1)
        total = torch.where(total > 0, total, 1.0)

    def mean(x: Tensor) -> Tensor:
        return segment.sum(x if mass is None else x * mass.unsqueeze(1), owner, graphs) / total

    centre = mean(points)
    rest = mean(points.detach() - centre.detach().index_select(0, owner))
    return centre + rest.detach()


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
