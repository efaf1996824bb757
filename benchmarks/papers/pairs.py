"""Pairs of point clouds that are hard to tell apart: counterexamples of Joshi et al. 2023 and Pozdnyakov et al. 2020,
and why.

Each pair is two graphs with the same edges. In a star the edges join node 0, the centre at the origin, with all others;
what k bodies see of it are the invariants of all sets of k - 1 neighbours. The four-body pairs of Joshi et al. have an
isosceles triangle in them, and are congruent; with a scalene one (SCALENE) they are what they were meant to be.

Lengths are those of the papers divided by 3: edges of 1.7 to 2.9 A, for which models and their defaults are made. Of
edges of 5 A a smooth cutoff at 5 A leaves zeros.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations, permutations

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from intertwine.geometry import Graph, collate

ISOSCELES = ((3.0, -4.0), (0.0, 5.0), (-3.0, -4.0))  # of the paper: has a mirror line
SCALENE = ((3.0, -4.0), (0.0, 5.0), (-4.0, -3.0))
LENGTH_UNIT = 3.0  # one of ours in the papers'
COMPARED_DIGITS = 6  # to which invariants are compared


@dataclass(frozen=True)
class Pair:
    """Two graphs with the same edges: positions (nodes, 3) in A of the one and of the other, and edges (2, E) in one
    direction.
    """

    first: NDArray[np.float64]
    second: NDArray[np.float64]
    edges: NDArray[np.int64]

    def batch(self) -> Graph:
        """Both graphs as one batch in double precision, edges in both directions, every node a carbon atom."""
        both = torch.as_tensor(np.concatenate([self.edges, self.edges[::-1]], axis=1))
        return collate([Graph(x, z=[6] * len(x), edge_index=both) for x in (self.first, self.second)])


def star(first: ArrayLike, second: ArrayLike) -> Pair:
    """Neighbours (n, 3) of a centre at the origin, twice, in the papers' unit."""
    points = [
        np.concatenate([np.zeros((1, 3)), np.asarray(x, dtype=np.float64) / LENGTH_UNIT]) for x in (first, second)
    ]
    n = len(points[0]) - 1
    return Pair(points[0], points[1], np.array([[0] * n, range(1, n + 1)]))


def chains(k: int = 4) -> Pair:
    """k nodes in a line with a node aslant at either end; in the second graph the node at the head is on the other
    side.
    """
    line, tail = [(0.0, 5.0 * i, 0.0) for i in range(k)], (4.0, 5.0 * (k - 1) + 3.0, 0.0)
    first, second = (np.array([*line, (x, -3.0, 0.0), tail]) / LENGTH_UNIT for x in (-4.0, 4.0))
    joined = [(i, i + 1) for i in range(k - 1)] + [(0, k), (k - 1, k + 1)]
    return Pair(first - first.mean(0), second - second.mean(0), np.array(joined).T)


def turned(fold: int, angle: float) -> Pair:
    """A regular polygon at 1 A around its centre, and the same turned in its plane by an angle."""
    corners = 2 * math.pi * np.arange(fold) / fold

    def polygon(start: float) -> NDArray[np.float64]:
        return LENGTH_UNIT * np.stack([np.cos(corners + start), np.sin(corners + start), np.zeros(fold)], axis=1)

    return star(polygon(0.0), polygon(angle))


def two_body() -> Pair:
    """The same distances, another angle."""
    return star([(5, 0, 0), (3, 0, 4)], [(5, 0, 0), (-5, 0, 0)])


def three_body() -> Pair:
    """The same distances and angles."""
    common = [(5, 0, 5), (5, 5, 5), (-5, -5, 5)]
    return star([*common, (0, 5, 5)], [*common, (0, -5, 5)])


def four_body(triangle: ArrayLike = SCALENE, angle: float = 2 * math.pi / 10) -> Pair:
    """A triangle above, its mirror image turned by an angle below, and a node above the one or below the other."""
    c, s = math.cos(angle), math.sin(angle)
    above = [(x, 2.0, z) for x, z in np.asarray(triangle)]
    below = [(c * x + s * z, -2.0, c * z - s * x) for x, z in np.asarray(triangle)]
    return star([*above, *below, (0, 5, 0)], [*above, *below, (0, -5, 0)])


def chiral(triangle: ArrayLike = SCALENE) -> Pair:
    """A triangle and a node above it or below it: mirror images."""
    flat = [(x, 0.0, z) for x, z in np.asarray(triangle)]
    return star([*flat, (0, 5, 0)], [*flat, (0, -5, 0)])


#: The tests of body order, in the order of the tables.
BODY = {"2-body": two_body, "3-body": three_body, "4-body": four_body, "chiral": chiral}


def invariants(pair: Pair, bodies: int, handed: bool = False) -> tuple[Counter, Counter]:
    """What so many bodies say of the two stars: for every set of neighbours its scalar products and, if handed, its
    triple products, in the order of the neighbours that makes them smallest."""
    first, second = (Counter(_sets(points[1:], bodies - 1, handed)) for points in (pair.first, pair.second))
    return first, second


def congruent(pair: Pair, proper: bool) -> bool:
    """Whether an orthogonal map, or a rotation (proper), takes the first star to the second."""
    first, second = pair.first[1:], pair.second[1:]
    products = _products(first, list(range(len(first))), handed=proper)
    return any(_products(second, list(order), handed=proper) == products for order in permutations(range(len(second))))


def neighbourhoods(pair: Pair) -> tuple[list, list]:
    """Of each node of the two graphs the scalar products of the vectors to its neighbours: what one hop sees."""
    near = [[*pair.edges[1, pair.edges[0] == i], *pair.edges[0, pair.edges[1] == i]] for i in range(len(pair.first))]
    first, second = (
        [_products(x[near[i]] - x[i], list(range(len(near[i]))), False) for i in range(len(x))]
        for x in (pair.first, pair.second)
    )
    return first, second


def _sets(vectors: NDArray[np.float64], size: int, handed: bool) -> Iterator[tuple[float, ...]]:
    for chosen in combinations(range(len(vectors)), size):
        yield min(_products(vectors, list(order), handed) for order in permutations(chosen))


def _products(vectors: NDArray[np.float64], order: list[int], handed: bool) -> tuple[float, ...]:
    v = vectors[order]
    products = list((v @ v.T)[np.triu_indices(len(v))])
    if handed:
        products += [float(np.linalg.det(v[list(three)])) for three in combinations(range(len(v)), 3)]
    return tuple(round(float(x), COMPARED_DIGITS) + 0.0 for x in products)
