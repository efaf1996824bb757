r"""Cardinal B-splines in polar coordinates: shells of the distance times caps around directions.

.. math::
    \varphi_{ka}(x) = \Big[B\Big(\frac{|x|}{\delta} - k\Big) + B\Big(\frac{|x|}{\delta} + k\Big)\Big]\;
    B\Big(\frac{|n(x) - o_a|}{s}\Big), \qquad n(x) = \frac{x}{\sqrt{|x|^2 + \delta^2}}, \qquad
    k = 0, \ldots, K - 1, \quad a = 1, \ldots, N

with shells :math:`\delta` apart, directions :math:`o_a`, and s the mean distance of one from the next. A lattice of
centres has one resolution for all; here that of distances, which bonds ask for, is apart from that of directions. The
functions are local, as those of Bekkers 2020 (arXiv:1909.12057), section 3, are. At the origin, which has no direction,
n is 0; the bracket is even in :math:`|x|`, so the functions have as many continuous derivatives there as B has.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from intertwine.nn.checks import check_sizes
from intertwine.nn.groups.cardinal_spline import cardinal_spline, overlap
from intertwine.nn.groups.directions import ORBITS, directions, fibonacci_sphere
from intertwine.numerics import safe
from intertwine.numerics.constants import ExactBuffers

TRIED = 500  # directions over which the squares of the caps are averaged


class PolarSplines(ExactBuffers):
    r"""The functions :math:`\varphi_{ka}`, in units of the cutoff: :math:`\delta = 1/K`.

    Args:
        dimension: n, 2 or 3.
        shells: K.
        caps: N, the number of directions: of the sphere those of a polyhedron where one has so many (6, 8, 12, 14, 20,
            ...), else a spiral of points; of the circle equal angles.
        order: of B; order - 1 derivatives are continuous.

    Attributes:
        functions: K N. square: about what their squares add up to, between the shells.

    Raises:
        InputError: another dimension, or a number that is not positive.
    """

    directions: Tensor

    def __init__(self, dimension: int, shells: int, caps: int, order: int) -> None:
        super().__init__()
        check_sizes(shells=shells, caps=caps)
        self.shells, self.order, self.functions = shells, order, shells * caps
        grid = next((name for name, orbits in ORBITS.items() if caps in _sums(list(orbits[1]))), "fibonacci")
        points = directions(grid, dimension, caps).points.double()
        gaps = torch.cdist(points, points) + torch.diag(torch.full((caps,), torch.inf, dtype=points.dtype))
        self.scale = float(gaps.amin(1).mean()) if caps > 1 else 2.0
        self.register_exact("directions", points)
        tried = fibonacci_sphere(TRIED) if dimension == 3 else directions(grid, 2, TRIED).points.double()
        caps_at = cardinal_spline(torch.cdist(tried, points) / self.scale, order)
        self.square = overlap(order) * float(caps_at.square().sum(1).mean())

    def forward(self, x: Float[Tensor, "*batch n"]) -> Float[Tensor, "*batch functions"]:
        """The functions at points x, which are in units of the cutoff; all caps of a shell side by side."""
        d = safe.norm(x) * self.shells
        k = torch.arange(self.shells, dtype=x.dtype, device=x.device)
        radial = cardinal_spline(d[..., None] - k, self.order)
        if self.shells > 1:  # the mirror image of the first shell is itself
            mirrored = cardinal_spline(d[..., None] + k[1:], self.order)
            radial = radial + torch.nn.functional.pad(mirrored, (1, 0))
        direction = x * (self.shells / torch.sqrt(d.square() + 1))[..., None]
        angular = cardinal_spline(safe.norm(direction[..., None, :] - self.directions) / self.scale, self.order)
        return (radial[..., :, None] * angular[..., None, :]).flatten(-2)


def _sums(sizes: list[int]) -> set[int]:
    """The sizes of all unions of orbits."""
    sums = {0}
    for size in sizes:
        sums |= {total + size for total in sums}
    return sums - {0}
