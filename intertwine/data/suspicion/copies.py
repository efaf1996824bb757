"""Copies: a number for each structure that is the same for a copy of it, also one that is moved, turned, or has its
atoms in another order.
"""

from __future__ import annotations

import numpy as np

from intertwine.data.suspicion.frames import Frames

DIGITS = 1e-6  # relative difference, and A, below which two structures are the same
WAVES = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [1, 0, 1], [0, 1, 1], [1, 1, 1], [2, 1, 0]])
_SPREAD = np.uint64(0x9E3779B97F4A7C15)  # 2^64 over the golden ratio


def marks(frames: Frames) -> np.ndarray:
    r"""A number for each structure (structures,), of what does not change with a motion or a reordering of atoms.

    Of an open structure these are its composition and :math:`\sum_i w_i r_i^p` for p = 1, 2, 4, with r the distance
    from the centre and w a weight of the species; of a periodic one composition, volume, lengths of the lattice vectors
    and the structure factors :math:`|\sum_i w_i e^{2\pi i\, m \cdot s_i}|` of its fractional coordinates s. Charges,
    velocities and other inputs count too. Each is rounded to six digits, so copies written with fewer digits may be
    missed; two structures that differ have the same number with a probability of about 1e-19.
    """
    owner, size = frames.owner, len(frames)
    weight = np.sqrt(frames.z + 0.5)
    total = lambda values: np.bincount(owner, values, minlength=size)  # noqa: E731
    columns = [frames.counts.astype(float), total(weight), total(frames.z.astype(float) ** 2)]
    centre = np.stack([total(frames.pos[:, axis]) for axis in range(3)], axis=1) / np.maximum(frames.counts, 1)[:, None]
    r2 = np.square(frames.pos - centre[owner]).sum(1)
    periodic = frames.periodic
    columns += [np.where(periodic, 0.0, total(weight * r2**power)) for power in (0.5, 1.0, 2.0)]
    if frames.cell is not None and periodic.any():
        columns += _repeating(frames, periodic, weight)
    for _, value in sorted(frames.others.items()):
        squares = np.square(value.reshape(len(value), -1)).sum(1)
        columns.append(squares if len(value) == size and len(value) != len(frames.z) else total(weight * squares))
    return _number(np.stack(columns, axis=1))


def _repeating(frames: Frames, periodic: np.ndarray, weight: np.ndarray) -> list[np.ndarray]:
    assert frames.cell is not None
    owner, size = frames.owner, len(frames)
    cell = np.where(periodic[:, None, None], frames.cell, np.eye(3))
    volume = np.abs(np.linalg.det(cell))
    sound = volume > 1e-9
    inverse = np.linalg.inv(np.where(sound[:, None, None], cell, np.eye(3)))
    fractions = np.einsum("nj,njk->nk", frames.pos, inverse[owner])
    columns = [np.where(periodic, volume, 0.0), *np.where(periodic, np.linalg.norm(cell, axis=2).T, 0.0)]
    for wave in WAVES:
        phase = 2 * np.pi * (fractions @ wave)
        real, imaginary = (np.bincount(owner, weight * part(phase), minlength=size) for part in (np.cos, np.sin))
        # one that vanishes by symmetry is 0 but for rounding
        columns.append(np.where(periodic, np.round(np.hypot(real, imaginary), 5), 0.0))
    return columns


def _number(columns: np.ndarray) -> np.ndarray:
    """Rows of numbers, rounded, as one whole number each."""
    exponent = np.floor(np.log10(np.maximum(np.abs(columns), DIGITS)))
    rounded = np.round(columns / 10.0**exponent / DIGITS / 3).astype(np.int64)
    result = np.zeros(len(columns), dtype=np.uint64)
    for k in range(columns.shape[1]):
        for part in (rounded[:, k], exponent[:, k].astype(np.int64)):
            result = (result ^ part.astype(np.uint64)) * _SPREAD
            result ^= result >> np.uint64(29)
    return result


def shared(marks: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Which of the structures with these marks are among those with the other ones, as indices."""
    return np.flatnonzero(np.isin(marks, known))
