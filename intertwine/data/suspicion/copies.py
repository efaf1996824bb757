"""Copies: a number for each structure that is the same for a copy of it, also one that is moved, turned, or has its
atoms in another order; a molecule also if it was turned in a box that stayed.
"""

from __future__ import annotations

import numpy as np

from intertwine.data.suspicion.frames import Frames

DIGITS = 1e-6  # relative difference, and A, below which two structures are the same
WAVES = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [1, 0, 1], [0, 1, 1], [1, 1, 1], [2, 1, 0]])
VACUUM_ANGSTROM = 4.0  # between an atom and an image, along each lattice vector, from which on a box holds a molecule
_SPREAD = np.uint64(0x9E3779B97F4A7C15)  # 2^64 over the golden ratio


def marks(frames: Frames) -> np.ndarray:
    r"""A number for each structure (structures,), of what does not change with a motion or a reordering of atoms.

    Of an open structure these are its composition and :math:`\sum_i w_i r_i^p` for p = 1, 2, 4, with r the distance
    from the centre and w a weight of the species; of a periodic one composition, volume, lengths of the lattice vectors
    and the structure factors :math:`|\sum_i w_i e^{2\pi i\, m \cdot s_i}|` of its fractional coordinates s, in place of
    which a molecule with vacuum around it has the sums of an open structure. Charges, velocities and other inputs count
    too. Each is rounded to six digits, so copies written with fewer digits may be missed; two structures that differ
    have the same number with a probability of about 1e-19.
    """
    owner, size = frames.owner, len(frames)
    weight = np.sqrt(frames.z + 0.5)
    total = lambda values: np.bincount(owner, values, minlength=size)  # noqa: E731
    columns = [frames.counts.astype(float), total(weight), total(frames.z.astype(float) ** 2)]
    pos, boxed = in_boxes(frames)
    centre = np.stack([total(pos[:, axis]) for axis in range(3)], axis=1) / np.maximum(frames.counts, 1)[:, None]
    r2 = np.square(pos - centre[owner]).sum(1)
    periodic = frames.periodic
    extended = periodic & ~boxed
    columns += [np.where(extended, 0.0, total(weight * r2**power)) for power in (0.5, 1.0, 2.0)]
    if frames.cell is not None and periodic.any():
        columns += _repeating(frames, periodic, extended, weight)
    for _, value in sorted(frames.others.items()):
        squares = np.square(value.reshape(len(value), -1)).sum(1)
        columns.append(squares if len(value) == size and len(value) != len(frames.z) else total(weight * squares))
    return _number(np.stack(columns, axis=1))


def in_boxes(frames: Frames) -> tuple[np.ndarray, np.ndarray]:
    """Positions (nodes, 3) in which molecules are whole where their box repeats, and which structures repeat and hold
    a molecule with vacuum around it (structures,); all others stay as they are.
    """
    boxed = np.zeros(len(frames), dtype=bool)
    if frames.cell is None or frames.pbc is None or not frames.periodic.any():
        return frames.pos, boxed
    cell, fractions, volume = _fractions(frames, frames.periodic)
    sound = volume > 1e-9
    boxed = frames.periodic & sound
    area = np.stack([np.linalg.norm(np.cross(cell[:, k - 2], cell[:, k - 1]), axis=1) for k in range(3)], axis=1)
    heights = volume[:, None] / np.where(area > 0, area, np.inf)  # between the faces of the cell
    whole = np.empty_like(fractions)
    for axis in range(3):
        repeats = frames.pbc[:, axis] & sound
        gap, start = _widest(fractions[:, axis] % 1.0, frames)
        boxed &= ~repeats | (gap * heights[:, axis] >= VACUUM_ANGSTROM)
        wrapped = (fractions[:, axis] - start[frames.owner] + 1e-9) % 1.0
        whole[:, axis] = np.where(repeats[frames.owner], wrapped, fractions[:, axis])
    pos = np.einsum("nj,njk->nk", whole, cell[frames.owner])
    return np.where(boxed[frames.owner, None], pos, frames.pos), boxed


def _widest(values: np.ndarray, frames: Frames) -> tuple[np.ndarray, np.ndarray]:
    """The widest gap between the values in [0, 1) of each structure, on the circle, and the value that ends it."""
    order = np.lexsort((values, frames.owner))
    ascending, owner = values[order], frames.owner[order]
    last = np.maximum(frames.starts[1:] - 1, 0)
    before = np.roll(ascending, 1)
    filled = frames.counts > 0
    first = frames.starts[:-1][filled]
    before[first] = ascending[last[filled]] - 1.0
    gaps = ascending - before
    widest, start = np.zeros(len(frames)), np.zeros(len(frames))
    np.maximum.at(widest, owner, gaps)
    at = gaps >= widest[owner]
    start[owner[at]] = ascending[at]
    return widest, start


def _fractions(frames: Frames, periodic: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cell of each structure (the unit cube where it does not repeat), fractional coordinates in it (of the unit cube,
    where the cell has no volume), and its volume.
    """
    assert frames.cell is not None
    cell = np.where(periodic[:, None, None], frames.cell, np.eye(3))
    volume = np.abs(np.linalg.det(cell))
    inverse = np.linalg.inv(np.where((volume > 1e-9)[:, None, None], cell, np.eye(3)))
    return cell, np.einsum("nj,njk->nk", frames.pos, inverse[frames.owner]), volume


def _repeating(frames: Frames, periodic: np.ndarray, extended: np.ndarray, weight: np.ndarray) -> list[np.ndarray]:
    owner, size = frames.owner, len(frames)
    cell, fractions, volume = _fractions(frames, periodic)
    columns = [np.where(periodic, volume, 0.0), *np.where(periodic, np.linalg.norm(cell, axis=2).T, 0.0)]
    for wave in WAVES:
        phase = 2 * np.pi * (fractions @ wave)
        real, imaginary = (np.bincount(owner, weight * part(phase), minlength=size) for part in (np.cos, np.sin))
        # one that vanishes by symmetry is 0 but for rounding
        columns.append(np.where(extended, np.round(np.hypot(real, imaginary), 5), 0.0))
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
