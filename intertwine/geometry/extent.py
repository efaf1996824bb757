"""How large a search for neighbours would be, found before it is begun: lengths that can't be meant, and pairs beyond
any memory.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from intertwine.geometry.ghosts import images, tree_of_images
from intertwine.numerics import GeometryError

#: A: beyond it float64 holds positions to 1e-4 A only, and their squares soon leave the range of single precision.
LARGEST_LENGTH = 1e12
MOST_PAIRS = 16_000_000  # listed for a structure: a search for them takes 3 GB and half a minute,
MOST_NEIGHBOURS = 200  # or this many for each node, in structures so large that it is more
CERTAIN = 1000  # copies of a node that another one sees, beyond which their number is that of the volume
MOST_IMAGES = 1_000_000  # of nodes, that are looked at to count pairs
BALL = {0: 1.0, 1: 2.0, 2: math.pi, 3: 4 * math.pi / 3}  # volume of the unit ball, by dimension


def check_positions(pos: Tensor) -> None:
    """Raise a :class:`GeometryError` that names the first node whose position is not finite, or is too far away to be
    meant.
    """
    good = pos.abs() <= LARGEST_LENGTH
    if bool(good.all()):
        return
    node = int((~good.all(-1)).nonzero()[0])
    what = f"position of node {node} is not finite"
    if bool(torch.isfinite(pos[node]).all()):
        what = f"position of node {node} is {float(pos[node].abs().max()):.3g} A from the origin"
    raise GeometryError(what, where="pos", remedy="remove or repair that structure.")


def check_pairs(pairs: float | int, nodes: int, cutoff: float | None) -> None:
    """Raise a :class:`GeometryError` if so many pairs are too many for that many nodes."""
    most = max(MOST_PAIRS, MOST_NEIGHBOURS * nodes)
    if pairs > most:
        reach = "in all" if cutoff is None else f"within {cutoff:g} A"
        raise GeometryError(
            f"about {pairs:.2g} pairs {reach}, {pairs / nodes:.2g} for each of {nodes} node{'' if nodes == 1 else 's'}",
            where="cutoff",
            remedy=f"give a smaller cutoff; at most {most:,} pairs are listed. Are positions and cell in A?",
        )


def number_of_copies(box: np.ndarray, pbc: np.ndarray, cutoff: float) -> float:
    """How many copies of a node another one sees within the cutoff (A), on average over places: of the ball, for large
    numbers.
    """
    lattice = box[pbc]
    cell = math.sqrt(abs(np.linalg.det(lattice @ lattice.T))) if len(lattice) else 1.0
    return BALL[len(lattice)] * cutoff ** len(lattice) / cell if cell > 0 else math.inf


def check_number_of_pairs(points: np.ndarray, box: np.ndarray, pbc: np.ndarray, cutoff: float) -> None:
    """Raise a :class:`GeometryError` if too many pairs lie within the cutoff. Cheap where they are few; else they are
    counted.

    Args:
        points: positions (N, 3) in A, in the home cell.
        box: lattice vectors as rows (3, 3) in A.
        pbc: periodic along each lattice vector? (3,)
        cutoff: r_c in A.
    """
    n, copies = len(points), number_of_copies(box, pbc, cutoff)
    most = max(MOST_PAIRS, MOST_NEIGHBOURS * n)
    if n * n * max(1.0, copies) <= most:
        return
    number = n * n * copies if pbc.any() else math.inf
    if number <= most:
        number = max(number, BALL[3] * _crowd(points, cutoff))
    if number > most and copies < CERTAIN and n * images(box, pbc, cutoff) <= MOST_IMAGES:
        home, ghosts = tree_of_images(points, box, pbc, cutoff)
        number = float(home.count_neighbors(ghosts, cutoff)) - n
    elif not pbc.any():
        number = BALL[3] * _crowd(points, cutoff)
    check_pairs(number, n, cutoff)


def _crowd(points: np.ndarray, cutoff: float) -> float:
    """Pairs of nodes in one box of a grid of the cutoff's width: by 4 pi / 3 a fair guess of those within it."""
    boxes = np.floor(points / cutoff).astype(np.int64)
    _, counts = np.unique(boxes @ np.array([1, 1_000_003, 998_244_353_001]), return_counts=True)
    return float(np.square(counts.astype(np.float64)).sum())
