"""Neighbour search by explicit periodic images and a k-d tree: slower than cell lists, but of any extent and shape."""

from __future__ import annotations

import numpy as np


def ghost_search(points: np.ndarray, box: np.ndarray, pbc: np.ndarray, cutoff: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    r"""All i, j and S with :math:`\|x_j + S\,\mathrm{cell} - x_i\| \le r_c`, but for a point with itself at S = 0.

    Args:
        points: positions (N, 3) in A.
        box: lattice vectors as rows (3, 3) in A; looked at only where ``pbc`` is set.
        pbc: periodic along each lattice vector? (3,)
        cutoff: r_c in A.

    Returns:
        i (E,), j (E,) and S (E, 3).
    """
    from scipy.spatial import cKDTree

    count = len(points)
    owner, lattice, wrapped = np.arange(count), np.zeros((count, 3), dtype=np.int64), np.zeros((count, 3), dtype=np.int64)
    home = points
    if pbc.any():
        inverse = np.linalg.inv(box)
        fractional = points @ inverse
        wrapped = np.where(pbc, np.floor(fractional), 0).astype(np.int64)
        home, fractional = points - wrapped @ box, fractional - wrapped
        margin = cutoff * np.linalg.norm(inverse, axis=0) * (1 + 1e-12)  # r_c over the distance between lattice planes
        for axis in np.flatnonzero(pbc):
            steps = np.arange(-int(np.ceil(margin[axis])), int(np.ceil(margin[axis])) + 1)
            moved = fractional[owner, axis][None, :] + steps[:, None]
            which, ghost = np.nonzero((moved >= -margin[axis]) & (moved <= 1 + margin[axis]))
            owner, lattice = owner[ghost], lattice[ghost]
            lattice[:, axis] = steps[which]
    found = cKDTree(home).sparse_distance_matrix(cKDTree(home[owner] + lattice @ box), cutoff, output_type="ndarray")
    i, ghost = found["i"], found["j"]
    j = owner[ghost]
    shifts = lattice[ghost] - wrapped[j] + wrapped[i]
    others = (i != j) | shifts.any(axis=1)
    return i[others], j[others], shifts[others]
