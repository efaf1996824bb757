"""Atoms and bonds as pictures show them: colours and sizes of elements, who is bound, which way to look."""

from __future__ import annotations

from typing import Any

import numpy as np
from ase.data import chemical_symbols, covalent_radii
from ase.data.colors import jmol_colors

BOND = 1.25  # of the sum of covalent radii, up to which two atoms are drawn as bound
BALL = 0.45  # of the covalent radius, that of an atom's ball


def look(numbers: Any) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Symbols, colours (atoms, 3) from 0 to 1 (Jmol's), and radii of balls (A) of atoms; of an unknown number those of
    no element, as of a point charge.

    Args:
        numbers: atomic numbers.
    """
    known = np.asarray(numbers, dtype=np.int64)
    known = np.where((known >= 0) & (known < min(len(jmol_colors), len(chemical_symbols))), known, 0)
    return [chemical_symbols[z] for z in known], np.array(jmol_colors)[known], BALL * covalent_radii[known]


def bonds(numbers: Any, pos: Any) -> list[tuple[int, int]]:
    """Pairs of atoms whose distance is at most 1.25 times the sum of their covalent radii.

    Args:
        numbers: atomic numbers. pos: positions (A).
    """
    z, x = np.asarray(numbers, dtype=np.int64), np.asarray(pos, dtype=np.float64).reshape(-1, 3)
    r = covalent_radii[np.clip(z, 0, len(covalent_radii) - 1)]
    apart = np.linalg.norm(x[:, None] - x, axis=2)
    first, second = np.nonzero(np.triu(apart <= BOND * (r[:, None] + r), 1) & (z[:, None] > 0) & (z > 0))
    return list(zip(first.tolist(), second.tolist(), strict=True))


def facing(pos: Any) -> np.ndarray:
    """The rotation (3, 3) that lays the plane in which atoms spread most before the viewer: rows are right, up and
    towards the viewer.

    Args:
        pos: positions (A).
    """
    x = np.asarray(pos, dtype=np.float64).reshape(-1, 3)
    across, up = np.linalg.svd(np.concatenate([x - x.mean(0), 1e-9 * np.eye(3)]))[2][:2]
    across, up = (axis * np.sign(axis[np.abs(axis).argmax()]) for axis in (across, up))
    return np.stack([across, up, np.cross(across, up)])
