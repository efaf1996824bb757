r"""Grids of directions: points of the sphere S^2 or of the circle S^1, for features on :math:`\mathbb{R}^n \times
S^{n-1}`.

Position and direction are a homogeneous space, :math:`\mathbb{R}^3 \times S^2 = SE(3) / SO(2)`: a direction is an
orientation whose turn about its own axis is not looked at. A grid of vertices, faces or edges of an icosahedron is
mapped to itself by its 120 symmetries.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from intertwine.groups import FiniteGroup, icosahedral, octahedral
from intertwine.nn.checks import check_sizes
from intertwine.numerics import ExactBuffers, InputError, choose

GOLDEN = (1 + math.sqrt(5)) / 2
#: Of each polyhedron: its rotations, and a point of each orbit of axes by the orbit's length. The inversion maps every
#: orbit to itself.
ORBITS: dict[str, tuple[Callable[[], FiniteGroup], dict[int, tuple[float, float, float]]]] = {
    "icosahedral": (icosahedral, {12: (0.0, 1.0, GOLDEN), 20: (1.0, 1.0, 1.0), 30: (0.0, 0.0, 1.0)}),
    "octahedral": (octahedral, {6: (0.0, 0.0, 1.0), 8: (1.0, 1.0, 1.0), 12: (1.0, 1.0, 0.0)}),
}


class Directions(ExactBuffers):
    r"""Unit vectors :math:`o_1, \ldots, o_N`.

    Args:
        points: (directions, n).
        symmetry: what a network on them is equivariant to: "T(3) x icosahedral with inversion".

    Attributes:
        name: of the space that features live in: "R^3 x S^2".
        count: N.
    """

    points: Tensor

    def __init__(self, points: Float[Tensor, "o n"], symmetry: str) -> None:
        super().__init__()
        self.count, self.dimension = points.shape
        self.symmetry, self.name = symmetry, f"R^{self.dimension} x S^{self.dimension - 1}"
        self.register_exact("points", points)

    def along(self, v: Float[Tensor, "rows n *channels"]) -> Float[Tensor, "rows o *channels"]:
        r""":math:`v \cdot o_k` of each direction."""
        return torch.einsum("kx,ix...->ik...", self.points, v)

    def cosines(self) -> Float[Tensor, "o o"]:
        r""":math:`o_k \cdot o_l`."""
        return self.points @ self.points.T

    def mean(self, f: Float[Tensor, "nodes o channels"]) -> Float[Tensor, "nodes channels"]:
        r""":math:`\frac1N \sum_k f_k`."""
        return f.mean(1)

    def out_of(self, u: Float[Tensor, "nodes o channels"]) -> Float[Tensor, "nodes n channels"]:
        r""":math:`\frac1N \sum_k u_k\, o_k`."""
        return torch.einsum("kx,ikc->ixc", self.points, u) / self.count

    def extra_repr(self) -> str:
        return f"{self.name}, {self.count}"


def directions(grid: str, dimension: int, count: int) -> Directions:
    """The grid of a name.

    Args:
        grid: of the sphere "icosahedral" (12 vertices, 20 faces, 30 edges, and unions: 32, 42, 50, 62), "octahedral"
            (6, 8, 12 and unions) or "fibonacci" (any number, spread evenly); of the circle equal angles, whatever the
            name.
        dimension: n, 2 or 3.
        count: number of directions.

    Raises:
        InputError: an unknown grid, or a number that it does not have.
    """
    check_sizes(orientations=count)
    choose(grid, [*ORBITS, "fibonacci"], kind="grid of directions", where="grid")
    if dimension == 2:
        angles = 2 * math.pi * torch.arange(count, dtype=torch.float64) / count
        return Directions(torch.stack([angles.cos(), angles.sin()], dim=-1), f"T(2) x D_{count}")
    if dimension != 3:
        raise InputError(f"{dimension} dimensions", where="dimension", remedy="directions are of 2 or 3.")
    if grid == "fibonacci":
        return Directions(fibonacci_sphere(count), "T(3)")
    group, axes = ORBITS[grid]
    unions = {sum(sizes): sizes for k in range(len(axes), 0, -1) for sizes in itertools.combinations(sorted(axes), k)}
    if count not in unions:
        known = ", ".join(map(str, sorted(unions)))
        raise InputError(
            f"no {grid} grid of {count} directions",
            where="orientations",
            remedy=f"give one of {known}, or grid='fibonacci' for any number.",
        )
    turning = group()
    matrices = turning.linear(turning.elements())
    points = [_orbit(matrices, torch.tensor(axes[size], dtype=torch.float64)) for size in unions[count]]
    return Directions(torch.cat(points), f"T(3) x {grid} with inversion")


def fibonacci_sphere(n: int) -> Float[Tensor, "n 3"]:
    r"""n points spread evenly over the sphere: heights at equal steps, each turned by the golden angle from the one
    before (Swinbank and Purser 2006, "Fibonacci grids: a novel approach to global modelling", eq. 1 and 2).
    """
    k = torch.arange(n, dtype=torch.float64) + 0.5
    z, angle = 1 - 2 * k / n, 2 * math.pi * k / GOLDEN
    r = (1 - z * z).clamp(min=0).sqrt()
    return torch.stack([r * angle.cos(), r * angle.sin(), z], dim=-1)


def _orbit(matrices: Float[Tensor, "h 3 3"], axis: Float[Tensor, " 3"]) -> Float[Tensor, "o 3"]:
    images = matrices @ (axis / axis.norm())
    same = (images[:, None] - images).abs().amax(-1) < 1e-6
    return images[same.to(torch.int64).argmax(1).unique()]
