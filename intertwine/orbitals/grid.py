r"""Regular grids in space, and sums over them.

.. math:: r_{ijk} = o + i\, a + j\, b + k\, c, \qquad \int f \approx |a \cdot (b \times c)| \sum_{ijk} f(r_{ijk})

The steps a, b, c need not be orthogonal. A sum over such a grid is not accurate where f has a cusp: a grid of 0.1 A
misses 0.4 of the ten electrons of water. Quadrature (:mod:`intertwine.orbitals.quadrature`) does not.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from intertwine.numerics import InputError
from intertwine.orbitals.basis import BOHR

CHUNK = 20_000  # points at a time
MOST_POINTS = 50_000_000  # of a grid around a molecule: 400 MB of values
SPACING = 0.1  # A
MARGIN = 4.0  # A around the atoms; of water's electrons 4e-5 are beyond


class Grid(NamedTuple):
    """The ``origin`` (A), the ``steps`` a, b, c as rows (A), and the ``counts`` of points along them."""

    origin: Float[Tensor, "3"]
    steps: Float[Tensor, "3 3"]
    counts: tuple[int, int, int]

    @property
    def size(self) -> int:
        """How many points there are."""
        return math.prod(self.counts)

    @property
    def volume(self) -> float:
        """Of one step in all directions (Bohr^3)."""
        return abs(float(torch.linalg.det(self.steps / BOHR)))

    def points(self, first: int = 0, last: int | None = None) -> Float[Tensor, "points 3"]:
        """Positions (A) of the points from ``first`` to before ``last`` (default: all), c fastest."""
        number = torch.arange(first, self.size if last is None else last, device=self.steps.device)
        rows = torch.stack([
            number // (self.counts[1] * self.counts[2]), number // self.counts[2] % self.counts[1],
            number % self.counts[2],
        ], dim=1)  # fmt: skip
        return self.origin + rows.to(self.steps) @ self.steps


def grid_around(pos: Float[Tensor, "atoms 3"], spacing: float = SPACING, margin: float = MARGIN) -> Grid:
    """The grid of a box about a molecule, whose sides are along the axes of coordinates; float64.

    Args:
        pos: positions (A).
        spacing: length of all steps (A).
        margin: least distance from an atom to the outside (A).

    Raises:
        InputError: a spacing that is not positive, a negative margin, no atoms, or more than 50 million points.
    """
    if not (math.isfinite(spacing) and spacing > 0 and math.isfinite(margin) and margin >= 0 and len(pos)):
        what = f"a spacing of {spacing} A and a margin of {margin} A around {len(pos)} atoms"
        raise InputError(what, where="grid", remedy=f"give positive lengths: {SPACING} and {MARGIN:g} are usual.")
    x = pos.detach().to(torch.float64)
    low, high = x.min(0).values - margin, x.max(0).values + margin
    sides = ((high - low) / spacing).tolist()
    if math.prod(side + 2 for side in sides) > MOST_POINTS:
        what = f"a spacing of {spacing} A makes {math.prod(side + 2 for side in sides):.2g} points"
        raise InputError(what, where="grid", remedy=f"give a larger one: at most {MOST_POINTS:,} points are made.")
    a, b, c = (math.ceil(side - 1e-9) + 1 for side in sides)
    over = torch.tensor([a - 1, b - 1, c - 1]).to(x) * spacing - (high - low)
    return Grid(low - over / 2, torch.eye(3).to(x) * spacing, (a, b, c))


def values_on_grid(
    function: Callable[[Float[Tensor, "1 points 3"]], Float[Tensor, "1 points"]], grid: Grid
) -> Float[Tensor, "a b c"]:
    """A function of points (A) on a grid, 20,000 points at a time, without derivatives.

    Args:
        function: of points of one geometry, such as :func:`intertwine.orbitals.values.expanded_density` of the points.
        grid: where.
    """
    with torch.no_grad():
        parts = [
            function(grid.points(first, min(first + CHUNK, grid.size)).unsqueeze(0))[0]
            for first in range(0, grid.size, CHUNK)
        ]
    return torch.cat(parts).reshape(grid.counts)
