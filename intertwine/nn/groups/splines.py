r"""Kernels on a group expanded in cardinal B-splines on its Lie algebra. Bekkers 2020 (arXiv:1909.12057), section 3.

.. math:: k(x, h) = \sum_{a, b} c_{ab}\; B\Big(\frac{x - x_a}{s}\Big)\; B\Big(\frac{|\log(h_b^{-1} h)|}{s_H}\Big)

with centres :math:`x_a` in space and :math:`h_b` in H, and B in space a product over the axes. The kernels are local,
and what they say between their centres follows from the spline.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from intertwine.groups import SO, Group
from intertwine.nn.groups.cardinal_spline import cardinal_spline, overlap
from intertwine.nn.groups.lifting import Relative, evenly_spread, settled
from intertwine.nn.groups.polar_splines import PolarSplines
from intertwine.numerics import InputError, choose, safe
from intertwine.numerics.constants import ExactBuffers

#: How centres lie in space.
KINDS = ("localised", "atrous", "deformable", "polar")
ATROUS = 2  # distance of neighbouring centres of an atrous kernel over that of a localised one of the same splines
ORDERS = (2, 3, 4, 5)


def ball_of_centres(size: int, dimension: int) -> Float[Tensor, "centres n"]:
    """The points of the lattice of whole numbers (centres, n) within the distance ``size`` of the origin."""
    axis = torch.arange(-size, size + 1, dtype=torch.float64)
    points = torch.cartesian_prod(*[axis] * dimension).reshape(-1, dimension)
    return points[points.square().sum(1) <= size**2 + 1e-9]


def spread_elements(group: Group, number: int) -> Shaped[Tensor, "number ..."]:
    """So many elements of a group, well apart: regular ones where there are (:func:`evenly_spread`), otherwise of 512
    that are drawn always the one that is furthest from those chosen, beginning with the identity.
    """
    regular = evenly_spread(group, number)
    if regular is not None:
        return regular
    drawn = group.sample(512, torch.Generator().manual_seed(0))
    chosen = group.identity()[None]
    while len(chosen) < number:
        gaps = torch.linalg.vector_norm(group.log(group.product(group.inverse(chosen)[:, None], drawn)), dim=-1)
        chosen = torch.cat([chosen, drawn[gaps.amin(0).argmax()][None]])
    return chosen


class SplineKernel(ExactBuffers):
    r"""The functions :math:`B((x - x_a)/s)\, B(|\log(h_b^{-1} h)|/s_H)` for all a and b. Their coefficients are the
    matrices of the convolution that follows.

    Args:
        dimension: n, of space.
        point: H of the group :math:`\mathbb{R}^n \rtimes H`; None if it is the identity alone.
        size: centres on each side of the origin along an axis, in the ball of that radius.
        turns: centres in H.
        order: of the splines: 2 to 5. Forces need 3 to have no kink.
        inputs: invariants of an edge. The kernel is linear in them: functions are those, and those times each of them.
        kind: "localised": neighbouring centres are one width of a spline apart; "atrous": splines half as wide between
            the same centres; "deformable": as localised, and the centres are learned; "polar": shells times caps
            (:class:`~intertwine.nn.groups.polar_splines.PolarSplines`), and no size.
        shells, caps: of a polar kernel.

    Coordinates are in units of the cutoff; the outermost centre is at :math:`size / (size + 1)` of it.

    Attributes:
        functions: how many there are. square: about what the squares of the functions add up to.

    Raises:
        InputError: an unknown kind or order, or a size that is not positive.
    """

    places: Tensor
    lattice: Tensor
    elements: Tensor

    def __init__(
        self, dimension: int, point: Group | None, size: int, turns: int, order: int, kind: str, inputs: int = 0,
        shells: int = 16, caps: int = 6,
    ) -> None:  # fmt: skip
        super().__init__()
        choose(kind, KINDS, kind="kind of kernel", where="splines")
        if order not in ORDERS:
            raise InputError(f"splines of order {order}", where="order", remedy=f"give one of {ORDERS}; 3 is usual.")
        self.order, self.point = order, point
        elements = None if point is None else spread_elements(point, turns)
        self.turn_scale = 1.0 if elements is None or point is None else _typical_gap(point, elements)
        self.polar = PolarSplines(dimension, shells, caps, order) if kind == "polar" else None
        spacing = 1 / (size + 1)
        self.scale = spacing / (ATROUS if kind == "atrous" else 1)
        centres = ball_of_centres(size, dimension) * spacing
        in_space = len(centres) if self.polar is None else self.polar.functions
        self.functions = in_space * (1 if elements is None else len(elements)) * (1 + inputs)
        square = (overlap(order) * self.scale / spacing) ** dimension if self.polar is None else self.polar.square
        self.square = square * (1.0 if elements is None else overlap(order))
        self.centres = _parameter(centres) if kind == "deformable" else None
        self.turn_centres: nn.Parameter | None = None
        if self.centres is None and self.polar is None:
            self.register_exact("places", torch.arange(-size, size + 1, dtype=torch.float64) * spacing)
            self.register_exact("lattice", (centres / spacing + size).round().to(torch.int64))
        if elements is not None and point is not None:
            if kind == "deformable":
                self.turn_centres = _parameter(point.log(elements))
            else:
                self.register_exact("elements", elements)

    def forward(
        self, relative: Relative, invariants: Float[Tensor, "edges r"]
    ) -> Float[Tensor, "edges lifts lifts functions"]:
        """The functions at every pair of lifts of every edge."""
        phi = self.splines(relative)
        if not invariants.shape[1]:
            return phi
        times = torch.cat([torch.ones_like(invariants[:, :1]), invariants], dim=1)[:, None, None]
        return (phi[..., None] * times[..., None, :]).flatten(-2)

    def splines(self, relative: Relative) -> Float[Tensor, "edges lifts lifts splines"]:
        """The splines around all centres."""
        assert relative.vectors is not None
        space = self._in_space(relative.vectors)
        if self.point is None:
            return space
        h = self.point.exp(relative.turns)[..., None, :, :]
        elements = self.elements if self.turn_centres is None else self.point.exp(self.turn_centres)
        gaps = self.point.log(self.point.product(self.point.inverse(elements), h))
        turns = cardinal_spline(safe.norm(gaps) / self.turn_scale, self.order)
        turns = turns.expand(*space.shape[:-1], turns.shape[-1])
        return (space[..., :, None] * turns[..., None, :]).flatten(-2)

    def _in_space(self, x: Float[Tensor, "*batch n"]) -> Float[Tensor, "*batch centres"]:
        """The products over the axes; on a lattice, of splines that are evaluated once for each axis and place. Of a
        polar kernel shells times caps."""
        if self.polar is not None:
            return self.polar(x)
        if self.centres is not None:
            return cardinal_spline((x[..., None, :] - self.centres) / self.scale, self.order).prod(-1)
        along = cardinal_spline((x[..., None] - self.places) / self.scale, self.order)
        result = along[..., 0, :].index_select(-1, self.lattice[:, 0])
        for axis in range(1, x.shape[-1]):
            result = result * along[..., axis, :].index_select(-1, self.lattice[:, axis])
        return result


def _parameter(start: Tensor) -> nn.Parameter:
    """In the precision of torch's layers."""
    return nn.Parameter(torch.zeros(start.shape).copy_(start))


def _typical_gap(group: Group, elements: Tensor) -> float:
    """The mean distance of an element from the nearest other, by the logarithm; 1 for a single one."""
    if len(elements) < 2:
        return 1.0
    gaps = group.log(group.product(group.inverse(elements)[:, None], elements))
    if group == SO(2) or group == SO(3):
        gaps = settled(gaps)
    lengths = torch.linalg.vector_norm(gaps, dim=-1) + torch.diag(torch.full((len(elements),), torch.inf))
    return float(lengths.amin(1).mean())
