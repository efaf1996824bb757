r"""The symmetric group :math:`S_n`: tuples, :math:`p: i \mapsto p[i]`, their groups and representations."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from math import factorial, prod

import torch
from jaxtyping import Float
from torch import Tensor

from intertwine.numerics import InputError
from intertwine.numerics.linalg import complete_basis

Permutation = tuple[int, ...]


def is_perm(p: Sequence[int]) -> bool:
    """Whether p contains each of 0, ..., n - 1 once."""
    return sorted(p) == list(range(len(p)))


def identity(n: int) -> Permutation:
    """The permutation of n points that moves none."""
    return tuple(range(n))


def compose(p1: Sequence[int], p2: Sequence[int]) -> Permutation:
    r""":math:`p_1 \circ p_2`, that is :math:`i \mapsto p_1[p_2[i]]`.

    Raises:
        InputError: one is not a permutation, or they are of different numbers of points.

    >>> compose((1, 2, 0), (1, 0, 2))
    (2, 1, 0)
    """
    _require(p1)
    _require(p2)
    if len(p1) != len(p2):
        raise InputError(
            f"permutations of {len(p1)} and of {len(p2)} points",
            where="compose",
            remedy="both must be of the same number.",
        )
    return tuple(p1[i] for i in p2)


def inverse(p: Sequence[int]) -> Permutation:
    r""":math:`p^{-1}`: p composed with it is the identity.

    >>> inverse((1, 2, 0))
    (2, 0, 1)
    """
    _require(p)
    return tuple(sorted(range(len(p)), key=p.__getitem__))


def rand(n: int) -> Permutation:
    """A uniformly random permutation of n points, from Python's generator ``random``."""
    return from_int(random.randint(0, factorial(n) - 1), n)


def from_int(i: int, n: int) -> Permutation:
    r"""The i-th permutation of n points, :math:`0 \le i < n!`, by the digits of i in the factorial number system.

    Raises:
        InputError: i is out of range.

    >>> [from_int(i, 3) for i in range(3)]
    [(0, 1, 2), (1, 0, 2), (2, 0, 1)]
    """
    if not 0 <= i < factorial(n):
        raise InputError(
            f"there is no permutation {i} of {n} points",
            where="from_int",
            remedy=f"count from 0 to {factorial(n) - 1}.",
        )
    pool, p = list(range(n)), []
    for size in range(n, 0, -1):
        i, digit = divmod(i, size)
        p.append(pool.pop(digit))
    return tuple(p)


def to_int(p: Sequence[int]) -> int:
    """The number of a permutation: the inverse of :func:`from_int`."""
    _require(p)
    pool, i, unit = list(range(len(p))), 0, 1
    for point in p:
        digit = pool.index(point)
        i, unit = i + digit * unit, unit * len(pool)
        pool.pop(digit)
    return i


def group(n: int) -> set[Permutation]:
    """The symmetric group of n points."""
    return {from_int(i, n) for i in range(factorial(n))}


def germinate(subset: Iterable[Permutation]) -> set[Permutation]:
    """The group that some permutations generate.

    >>> sorted(germinate({(1, 2, 0)}))
    [(0, 1, 2), (1, 2, 0), (2, 0, 1)]
    """
    return {p for _, p in closure({(1, p) for p in subset})}


def is_group(g: Iterable[Permutation]) -> bool:
    """Whether a set of permutations of the same number of points contains the identity, all inverses and all products.

    Raises:
        InputError: the permutations are of different numbers of points.
    """
    g = set(g)
    # a finite set that is not empty and closed under products has the identity and the inverses: they are powers of its
    # elements
    return bool(g) and all(compose(p1, p2) in g for p1 in g for p2 in g)


def to_cycles(p: Sequence[int]) -> set[Permutation]:
    """The cycles of length 2 or more, each starting at its smallest point.

    >>> sorted(to_cycles((2, 3, 0, 1, 4)))
    [(0, 2), (1, 3)]
    """
    _require(p)
    cycles, seen = set(), set()
    for start in range(len(p)):
        if start in seen:
            continue
        cycle, i = [start], p[start]
        while i != start:
            cycle.append(i)
            i = p[i]
        seen.update(cycle)
        if len(cycle) > 1:
            cycles.add(tuple(cycle))
    return cycles


def from_cycles(cycles: Iterable[Sequence[int]], n: int) -> Permutation:
    """The permutation of n points with disjoint cycles: the inverse of :func:`to_cycles`.

    Raises:
        InputError: the cycles share a point, or have one that is not below n.

    >>> from_cycles({(0, 2), (1, 3)}, 5)
    (2, 3, 0, 1, 4)
    """
    p = list(range(n))
    points = [i for cycle in cycles for i in cycle]
    if len(set(points)) != len(points) or not set(points) <= set(p):
        raise InputError(f"{sorted(map(tuple, cycles))} are not disjoint cycles of {n} points", where="from_cycles")
    for cycle in cycles:
        for i, image in zip(cycle, [*cycle[1:], cycle[0]] if cycle else []):
            p[i] = image
    return tuple(p)


def sign(p: Sequence[int]) -> int:
    """1 for a product of an even number of transpositions, -1 for one of an odd number."""
    return prod(-1 if len(cycle) % 2 == 0 else 1 for cycle in to_cycles(p))


def natural_representation(
    p: Sequence[int], dtype: torch.dtype | None = None, device: torch.device | str | None = None
) -> Float[Tensor, "n n"]:
    r"""The permutation matrix A with :math:`A e_i = e_{p[i]}`.

    >>> natural_representation((1, 2, 0))
    tensor([[0., 0., 1.],
            [1., 0., 0.],
            [0., 1., 0.]])
    """
    _require(p)
    return torch.eye(len(p), dtype=dtype, device=device)[:, list(p)] if p else torch.eye(0, dtype=dtype, device=device)


def standard_representation(
    p: Sequence[int], dtype: torch.dtype | None = None, device: torch.device | str | None = None
) -> Float[Tensor, "m m"]:
    """The irreducible orthogonal representation of dimension n - 1: the natural one on the vectors whose components add
    up to zero.

    Raises:
        InputError: p is not a permutation of one point or more.
    """
    if not p:
        raise InputError(
            "no points", where="standard_representation", remedy="give a permutation of one point or more."
        )
    basis = complete_basis(torch.ones(1, len(p), dtype=torch.float64, device=device), eps=0.1 / len(p))
    return (basis @ natural_representation(p, dtype=torch.float64, device=device) @ basis.T).to(
        torch.empty(0, dtype=dtype).dtype
    )


def closure(generators: Iterable[tuple[int, Permutation]]) -> set[tuple[int, Permutation]]:
    """The group that permutations with signs generate, (s, p)(t, q) = (st, pq); nothing for no generators.

    >>> sorted(closure({(-1, (1, 0))}))
    [(-1, (1, 0)), (1, (0, 1))]
    """
    elements = set(generators)
    steps, new = tuple(elements), elements
    while new:
        new = {(s * t, tuple(p[i] for i in q)) for s, p in new for t, q in steps} - elements
        elements = elements | new
    return elements


def _require(p: Sequence[int]) -> None:
    if not is_perm(p):
        raise InputError(
            f"{tuple(p)} is not a permutation", where="permutations", remedy="use each of 0, ..., n - 1 once."
        )
