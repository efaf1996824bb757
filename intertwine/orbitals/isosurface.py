r"""Surfaces where a function on a grid has one value, as triangles: marching tetrahedra.

Each cell of the grid is cut into the six tetrahedra whose corners lie on a way from its first corner to its last, along
the three steps in one of their orders. Cells that touch cut their common face alike, so that the surface is closed
where it does not meet the end of the grid. In a tetrahedron the function is linear between the corners, and a vertex
lies on an edge from point p to point q at

.. math:: p + t\, (q - p), \qquad t = \frac{c - f(p)}{f(q) - f(p)}.

Sources: the simplices are Kuhn's, IBM J. Res. Dev. 4, 518 (1960); triangles in tetrahedra as by Doi and Koide, IEICE
Trans. E74, 214 (1991).
"""

from __future__ import annotations

import math
from itertools import permutations
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from intertwine.numerics import InputError
from intertwine.orbitals.grid import Grid


class Surface(NamedTuple):
    """``vertices`` (A), and the ``triangles`` between them, which seen from outside turn to the left."""

    vertices: Float[Tensor, "vertices 3"]
    triangles: Int[Tensor, "triangles 3"]

    def area(self) -> float:
        """Of all triangles (A^2)."""
        a, b, c = self.vertices[self.triangles].unbind(1)
        return 0.5 * float(torch.linalg.cross(b - a, c - a).norm(dim=1).sum())

    def volume(self) -> float:
        """What a closed surface encloses (A^3)."""
        a, b, c = self.vertices[self.triangles].unbind(1)
        return float((a * torch.linalg.cross(b, c)).sum()) / 6


def isosurface(values: Float[Tensor, "a b c"], grid: Grid, level: float) -> Surface:
    """The surface around the points of a grid whose values are above a level, float64.

    Args:
        values: on the grid.
        grid: where the values are; steps may be skewed, and may be left-handed.
        level: in the unit of the values.

    Returns:
        The surface, without triangles where no value or every value is above. It is open where values at the end of the
        grid are above.

    Raises:
        InputError: values of another shape than the grid, fewer than two points along a step, or a number that is not
            finite.
    """
    counts = tuple(grid.counts)
    f = values.detach().to("cpu", torch.float64)
    if tuple(f.shape) != counts or min(counts) < 2:
        what = f"values of shape {tuple(f.shape)} on a grid of {counts}"
        raise InputError(what, where="isosurface", remedy="give a value of each point, and two points along each step.")
    if not (math.isfinite(level) and bool(f.isfinite().all())):
        raise InputError("the level or a value is not finite", where="isosurface", remedy="give finite numbers.")
    strides = (counts[1] * counts[2], counts[2], 1)
    offsets = torch.tensor([sum(s for k, s in enumerate(strides) if mask >> 2 - k & 1) for mask in range(8)])
    inside = f > level
    keys = _edges(inside, offsets)
    edges, triangles = keys.flatten().unique(return_inverse=True)
    low, mask = edges // 8, edges % 8
    flat = f.flatten()
    start, end = flat[low], flat[low + offsets[mask]]
    share = ((level - start) / (end - start)).unsqueeze(1)
    index = torch.stack([low // strides[0], low // strides[1] % counts[1], low % counts[2]], dim=1)
    along = torch.stack([mask >> 2 & 1, mask >> 1 & 1, mask & 1], dim=1)
    steps, origin = (x.to("cpu", torch.float64) for x in (grid.steps, grid.origin))
    vertices = origin + (index + share * along) @ steps
    triangles = triangles.reshape(-1, 3)
    return Surface(vertices, triangles.flip(1) if float(torch.linalg.det(steps)) < 0 else triangles)


def _edges(inside: Tensor, offsets: Tensor) -> Int[Tensor, "triangles 3"]:
    """Of each triangle the edges that its vertices lie on: the number of the edge's lower point, times 8, plus the
    steps to its upper one, a bit for each axis."""
    count = sum(_corner(inside, mask).to(torch.int8) for mask in range(8))
    cells = torch.zeros_like(inside)
    cells[:-1, :-1, :-1] = (count > 0) & (count < 8)  # type: ignore[operator]
    base, flat = cells.flatten().nonzero(), inside.flatten()
    keys = [base.new_zeros(0, 3)]
    for corners in TETRAHEDRA:
        points = base + offsets[list(corners)]
        codes = (flat[points] * torch.tensor([1, 2, 4, 8])).sum(1)
        for code, faces in TRIANGLES.items():
            here = points[codes == code]
            for face in faces:
                ends = [(min(a, b, key=corners.__getitem__), corners[a] ^ corners[b]) for a, b in face]
                keys.append(torch.stack([here[:, low] * 8 + mask for low, mask in ends], dim=1))
    return torch.cat(keys)


def _corner(inside: Tensor, mask: int) -> Tensor:
    """The corner of every cell that is reached by the steps of a mask."""
    a, b, c = (slice(1, None) if mask >> 2 - k & 1 else slice(None, -1) for k in range(3))
    return inside[a, b, c]


def _even(order: tuple[int, ...]) -> bool:
    return sum(a > b for k, a in enumerate(order) for b in order[k + 1 :]) % 2 == 0


def _tetrahedra() -> list[tuple[int, int, int, int]]:
    """Corners of the six tetrahedra of a cell, as the steps to them (the first axis is the bit 4), in an order in which
    the three edges from the first corner are right-handed."""
    ways = []
    for order in permutations(range(3)):
        first, second = 4 >> order[0], 4 >> order[0] | 4 >> order[1]
        ways.append((0, first, second, 7) if _even(order) else (0, second, first, 7))
    return ways


def _triangles() -> dict[int, list[list[tuple[int, int]]]]:
    """Of each set of corners of a tetrahedron that are inside (a bit each), the triangles, whose vertices lie on edges
    between two corners."""
    table = {}
    for code in range(1, 15):
        inside = [k for k in range(4) if code >> k & 1]
        outside = [k for k in range(4) if not code >> k & 1]
        i, j, k, l = (*outside, *inside) if len(inside) == 3 else (*inside, *outside)
        k, l = (k, l) if _even((i, j, k, l)) else (l, k)
        if len(inside) == 2:
            table[code] = [[(i, k), (i, l), (j, l)], [(i, k), (j, l), (j, k)]]
        else:
            table[code] = [[(i, j), (i, k), (i, l)] if len(inside) == 1 else [(i, j), (i, l), (i, k)]]
    return table


TETRAHEDRA = _tetrahedra()
TRIANGLES = _triangles()
