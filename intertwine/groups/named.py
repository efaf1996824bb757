"""The finite groups that have names: cyclic, dihedral, polyhedral and symmetric ones; permutations without a table."""

from __future__ import annotations

import itertools
import math
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from intertwine.groups.finite import MOST, FiniteGroup
from intertwine.groups.group import Group
from intertwine.groups.irreps import polygon_irreps
from intertwine.groups.rotations import axis_angle_to_matrix
from intertwine.numerics import InputError


def cyclic(n: int) -> FiniteGroup:
    """C_n: rotations of the plane by multiples of 360/n degrees; element k is k of them."""
    _require(n, "C")
    k = torch.arange(n)
    turns = _turns(n)
    labels = [f"{360 * i / n:g}" for i in range(n)]
    return FiniteGroup(f"C_{n}", (k[:, None] + k) % n, turns, labels, partial(polygon_irreps, turns))


def dihedral(n: int) -> FiniteGroup:
    """D_n: rotations and reflections of a regular polygon, 2n of them; n + k reflects y, then turns k times."""
    _require(n, "D")
    k = torch.arange(2 * n)
    turn, flip = k % n, k // n
    table = (turn[:, None] + torch.where(flip[:, None] == 1, -turn, turn)) % n + n * (flip[:, None] ^ flip)
    mirror = torch.diag(torch.tensor([1.0, -1.0], dtype=torch.float64))
    labels = [f"{360 * i / n:g}" for i in range(n)] + [f"{360 * i / n:g} mirror" for i in range(n)]
    matrices = torch.cat([_turns(n), _turns(n) @ mirror])
    return FiniteGroup(f"D_{n}", table, matrices, labels, partial(polygon_irreps, matrices))


def tetrahedral(inversion: bool = False) -> FiniteGroup:
    """T: the 12 rotations of a tetrahedron; with the inversion T_h, 24 elements."""
    return _polyhedral("T", [([0.0, 0.0, 1.0], 2), ([1.0, 1.0, 1.0], 3)], inversion)


def octahedral(inversion: bool = False) -> FiniteGroup:
    """O: the 24 rotations of a cube; with the inversion O_h, 48 elements."""
    return _polyhedral("O", [([0.0, 0.0, 1.0], 4), ([1.0, 1.0, 1.0], 3)], inversion)


def icosahedral(inversion: bool = False) -> FiniteGroup:
    """I: the 60 rotations of an icosahedron with a vertex at (0, 1, golden ratio); with the inversion I_h, 120."""
    return _polyhedral("I", [([0.0, 1.0, (1 + math.sqrt(5)) / 2], 5), ([1.0, 1.0, 1.0], 3)], inversion)


class Permutations(Group):
    r"""S_n for any n without a table: an element (..., n) has :math:`g(i)`, where thing i goes.

    It permutes the axes of R^n. :func:`symmetric` has the same elements as numbers, with irreps, to n = 6.

    Args:
        n: the number of things, 1 or more.
    """

    is_compact = True

    def __init__(self, n: int) -> None:
        if n < 1:
            raise InputError(f"S_{n}", where="Permutations", remedy="give 1 or more things.")
        self.name, self.space, self.element_shape = f"S_{n} of lists", n, (n,)
        self.order = math.factorial(n)

    def identity(self, dtype: torch.dtype = torch.int64, device: torch.device | str | None = None) -> Tensor:
        return torch.arange(self.element_shape[0], device=device)

    def product(self, g: Tensor, h: Tensor) -> Tensor:
        g, h = torch.broadcast_tensors(g, h)
        return g.gather(-1, h)

    def inverse(self, g: Tensor) -> Tensor:
        return g.argsort(-1)

    def linear(self, g: Tensor) -> Float[Tensor, "*batch n n"]:
        return (g[..., None, :] == self.identity(device=g.device)[:, None]).to(torch.float64)

    def act(self, g: Tensor, x: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        x, source = torch.broadcast_tensors(x, self.inverse(g))
        return x.gather(-1, source)

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """n elements, each with the same probability."""
        return torch.rand(n, *self.element_shape, generator=generator, dtype=torch.float64).argsort(-1)

    def generators(self) -> Tensor:
        """The cycle of all things, and the exchange of the first two."""
        cycle = self.identity().roll(-1)
        swap = self.identity().clone()
        swap[:2] = swap[:2].flip(0)
        return torch.stack([cycle, swap])

    def elements(self) -> Tensor:
        if (self.order or 0) > MOST:
            raise self._lacks(f"list of its elements: they are more than {MOST}", "sample them")
        return torch.tensor(list(itertools.permutations(range(self.element_shape[0]))))


def symmetric(n: int) -> FiniteGroup:
    """S_n: all permutations of n things, in lexicographic order; a table for n <= 6."""
    if not 1 <= n <= 6:
        raise InputError(f"S_{n}", where="symmetric", remedy="a table is kept for n from 1 to 6; use Permutations(n).")
    return FiniteGroup.from_permutations(f"S_{n}", _transpositions(n))


def _transpositions(n: int) -> list[tuple[int, ...]]:
    return [tuple(range(n))] + [(*range(k), k + 1, k, *range(k + 2, n)) for k in range(n - 1)]


def _turns(n: int) -> Float[Tensor, "n 2 2"]:
    """Exact where sine and cosine are 0 or 1."""
    cosine = [_cosine(k, n) for k in range(n)]
    sine = [_cosine(4 * k - n, 4 * n) for k in range(n)]
    return torch.tensor([[[c, -s], [s, c]] for c, s in zip(cosine, sine)], dtype=torch.float64)


def _cosine(k: int, n: int) -> float:
    """cos(2 pi k / n), with the angle reduced to an eighth of a turn before it is rounded."""
    k = abs(k) % n
    k = min(k, n - k)
    if 4 * k > n:
        return -_cosine(n - 2 * k, 2 * n)
    return math.cos(2 * math.pi * k / n) if 8 * k <= n else math.sin(2 * math.pi * (n - 4 * k) / (4 * n))


def _polyhedral(name: str, axes: list[tuple[list[float], int]], inversion: bool) -> FiniteGroup:
    turns = [
        axis_angle_to_matrix(
            torch.tensor(axis, dtype=torch.float64), torch.tensor(2 * math.pi / n, dtype=torch.float64)
        )
        for axis, n in axes
    ]
    if inversion:
        turns.append(-torch.eye(3, dtype=torch.float64))
    return FiniteGroup.from_matrices(name + "h" * inversion, torch.stack(turns))


def _require(n: int, letter: str) -> None:
    if not 1 <= n <= MOST // 2:
        raise InputError(f"{letter}_{n}", where="groups", remedy=f"give a number from 1 to {MOST // 2}.")
