"""Neighbour search by explicit periodic images and a k-d tree: slower than cell lists, but of any extent and shape."""

from __future__ import annotations

from typing import Any

import numpy as np


def ghost_search(
    points: np.ndarray, box: np.ndarray, pbc: np.ndarray, cutoff: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    r"""All i, j and S with :math:`\|x_j + S\,\mathrm{cell} - x_i\| \le r_c`, but for a point with itself at S = 0.

    Args:
        points: positions (N, 3) in A.
        box: lattice vectors as rows (3, 3) in A; looked at only where ``pbc`` is set.
        pbc: periodic along each lattice vector? (3,)
        cutoff: r_c in A.

    Returns:
        i (E,), j (E,) and S (E, 3).
    """
    home, cells = brought_home(points, box, pbc)
    owner, lattice = _images(home, box, pbc, cutoff)
    near = _tree(home).sparse_distance_matrix(_tree(home[owner] + lattice @ box), cutoff, output_type="ndarray")
    i, ghost = near["i"], near["j"]
    j = owner[ghost]
    shifts = lattice[ghost] - cells[j] + cells[i]
    others = (i != j) | shifts.any(axis=1)
    return i[others], j[others], shifts[others]


def brought_home(points: np.ndarray, box: np.ndarray, pbc: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Positions (N, 3) moved by whole lattice vectors into the home cell, and the cells (N, 3) that they were in."""
    cells = np.zeros(points.shape, dtype=np.int64)
    if pbc.any():
        cells = np.where(pbc, np.floor(points @ np.linalg.inv(box)), 0).astype(np.int64)
    return points - cells @ box, cells


def tree_of_images(home: np.ndarray, box: np.ndarray, pbc: np.ndarray, cutoff: float) -> tuple[Any, Any]:
    """k-d trees (``scipy.spatial.cKDTree``) of the points and of all their images within the cutoff, themselves among
    them.
    """
    owner, lattice = _images(home, box, pbc, cutoff)
    return _tree(home), _tree(home[owner] + lattice @ box)


def images(box: np.ndarray, pbc: np.ndarray, cutoff: float) -> float:
    """How many cells have images within the cutoff of the home cell."""
    return float(np.prod(2 * np.ceil(_margin(box, pbc, cutoff)) + 1))


def _margin(box: np.ndarray, pbc: np.ndarray, cutoff: float) -> np.ndarray:
    """r_c over the distance between lattice planes; 0 along open directions."""
    if not pbc.any():
        return np.zeros(3)
    return np.where(pbc, cutoff * np.linalg.norm(np.linalg.inv(box), axis=0) * (1 + 1e-12), 0.0)


def _images(home: np.ndarray, box: np.ndarray, pbc: np.ndarray, cutoff: float) -> tuple[np.ndarray, np.ndarray]:
    """The owner (images,) and the lattice translation (images, 3) of every image within the cutoff of the home cell."""
    owner, lattice = np.arange(len(home)), np.zeros((len(home), 3), dtype=np.int64)
    if pbc.any():
        fractional, margin = home @ np.linalg.inv(box), _margin(box, pbc, cutoff)
        for axis in np.flatnonzero(pbc):
            steps = np.arange(-int(np.ceil(margin[axis])), int(np.ceil(margin[axis])) + 1)
            moved = fractional[owner, axis][None, :] + steps[:, None]
            which, ghost = np.nonzero((moved >= -margin[axis]) & (moved <= 1 + margin[axis]))
            owner, lattice = owner[ghost], lattice[ghost]
            lattice[:, axis] = steps[which]
    return owner, lattice


def _tree(points: np.ndarray) -> Any:
    from scipy.spatial import cKDTree

    return cKDTree(points)
