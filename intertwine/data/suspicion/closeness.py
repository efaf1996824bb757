"""Distances: atoms on top of each other, and positions in another unit than is believed."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from ase.data import covalent_radii

from intertwine.data.suspicion.frames import Frames
from intertwine.geometry import neighbour_list

CLOSE = 0.4  # of the sum of covalent radii (C-C 0.61 A, H-H 0.25 A): no two nuclei come so near
SMALL = 96  # nodes, up to which all pairs are computed at once
PAIRS = 200_000  # pairs at a time
SAMPLED_STRUCTURES, SAMPLED_NODES = 200, 5_000
REACH_ANGSTROM = 5.5  # of the neighbours that are looked for
#: Distance to the nearest neighbour over the sum of covalent radii: in molecules and solids 0.83 to 1.05.
LEAST, MOST = 0.56, 1.6
WIDE = 2.0  # ratio of the quantiles at 80 % and 20 %, from which on bonds are stretched, whatever the unit
FEWEST = 3  # atoms, below which nothing is said of their distances
NOBLE = (2, 10, 18, 36, 54, 86)


class Nearest(NamedTuple):
    """Nearest neighbours (by distance over the sum of covalent radii) of sampled atoms.

    ``atom``: its number among all nodes; ``other``: atomic number of the neighbour; ``distance`` (A); ``direction``:
    unit vector to the atom from its neighbour; ``ratio``: distance over the sum of covalent radii.
    """

    atom: np.ndarray
    other: np.ndarray
    distance: np.ndarray
    direction: np.ndarray
    ratio: np.ndarray


def radii_of(z: np.ndarray) -> np.ndarray:
    """Covalent radii, A; 0.2 where there is none."""
    return np.asarray(covalent_radii[np.clip(z, 0, len(covalent_radii) - 1)])


def _known(z: np.ndarray) -> np.ndarray:
    """Whether the covalent radius is known: not of ghosts (0), nor beyond Cm, where ASE has none."""
    return np.asarray((z > 0) & (z <= 96))


def coincident(frames: Frames) -> list[tuple[int, int, int, float]]:
    """Structures with atoms on top of each other: its index, two of its atoms, their distance (A)."""
    results = []
    radii = np.where(frames.z > 0, CLOSE * radii_of(frames.z), np.nan)  # a ghost may be anywhere
    periodic, starts = frames.periodic, frames.starts
    for count in np.unique(frames.counts):
        for repeats in (False, True):
            members = np.flatnonzero((frames.counts == count) & (periodic == repeats))
            if count < 2 or not len(members):
                continue
            if count > SMALL:
                results += [each for k in members for each in _by_list(frames, int(k), radii)]
                continue
            lower = np.tri(int(count), dtype=bool)  # each pair once, no atom with itself
            for part in np.array_split(members, -(-len(members) * int(count) ** 2 // PAIRS)):
                rows = starts[part][:, None] + np.arange(count)
                own = radii[rows[:1] if (frames.z[rows] == frames.z[rows[0]]).all() else rows]
                squares = _squares(frames, part, rows, repeats)
                bad = (squares < np.square(own[:, :, None] + own[:, None, :])) & ~lower
                for k in np.flatnonzero(bad.any((1, 2))):
                    i, j = divmod(int(np.where(bad[k], squares[k], np.inf).argmin()), int(count))
                    results.append((int(part[k]), i, j, float(np.sqrt(max(squares[k, i, j], 0.0)))))
    return sorted(results)


def _squares(frames: Frames, part: np.ndarray, rows: np.ndarray, repeats: bool) -> np.ndarray:
    """Squares of distances (structures, atoms, atoms), to about 1e-12 of the extent; in periodic structures to the
    image that is nearest in fractional coordinates, which for atoms that coincide is the nearest.
    """
    pos = frames.pos[rows]
    if repeats and frames.cell is not None and frames.pbc is not None:
        cell = frames.cell[part]
        # a direction that does not repeat needs no vector
        fractions = pos @ np.linalg.pinv(cell)
        steps = np.round(fractions[:, :, None] - fractions[:, None]) * frames.pbc[part][:, None, None]
        return np.square(pos[:, :, None] - pos[:, None] - steps @ cell[:, None]).sum(-1)
    pos = pos - pos.mean(1, keepdims=True)
    norms = np.square(pos).sum(-1)
    return norms[:, :, None] + norms[:, None, :] - 2 * (pos @ pos.transpose(0, 2, 1))


def _by_list(frames: Frames, k: int, radii: np.ndarray) -> list[tuple[int, int, int, float]]:
    start, end = frames.starts[k : k + 2]
    own = radii[start:end]
    source, target, vectors = neighbours(frames, k, 2 * float(np.nan_to_num(own).max()) or CLOSE)
    distances = np.linalg.norm(vectors, axis=1)
    bad = np.flatnonzero((distances < own[source] + own[target]) & (source != target))
    if not len(bad):
        return []
    edge = bad[distances[bad].argmin()]
    first, second = sorted((int(source[edge]), int(target[edge])))
    return [(k, first, second, float(distances[edge]))]


def neighbours(frames: Frames, k: int, cutoff: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Source and target of each pair of a structure within a cutoff, and the vector from source to target."""
    start, end = frames.starts[k : k + 2]
    pos, repeats = torch.from_numpy(np.ascontiguousarray(frames.pos[start:end])), bool(frames.periodic[k])
    cell = torch.from_numpy(np.ascontiguousarray(frames.cell[k])) if repeats and frames.cell is not None else None
    x, y, z = frames.pbc[k].tolist() if repeats and frames.pbc is not None else (False, False, False)
    edges, shifts = neighbour_list(pos, cutoff, cell, (x, y, z))
    source, target = edges.numpy()
    images = shifts.to(pos.dtype) @ cell if cell is not None else torch.zeros(len(source), 3, dtype=pos.dtype)
    # a convention of signs for images need not be known: the distance tells which it is
    ahead = (pos[edges[1]] - pos[edges[0]] + images).numpy()
    behind = (pos[edges[1]] - pos[edges[0]] - images).numpy()
    return source, target, ahead if (np.linalg.norm(ahead, axis=1) <= cutoff * (1 + 1e-9)).all() else behind


def sampled(frames: Frames) -> np.ndarray:
    """Structures that are looked at where not all need be: evenly spread, of more than one atom."""
    several = np.flatnonzero((frames.counts > 1) | frames.periodic)
    picked = several[np.unique(np.linspace(0, len(several) - 1, min(len(several), SAMPLED_STRUCTURES)).astype(int))]
    enough = np.cumsum(frames.counts[picked]) <= SAMPLED_NODES
    return picked[enough] if enough.any() else picked[:1]


def nearest(frames: Frames) -> Nearest:
    """Nearest neighbours of the atoms of sampled structures."""
    parts = []
    for k in sampled(frames):
        start, end = frames.starts[k : k + 2]
        source, target, vectors = neighbours(frames, int(k), REACH_ANGSTROM)
        z = frames.z[start:end]
        distance = np.linalg.norm(vectors, axis=1)
        atoms = _known(z[source]) & _known(z[target])
        source, target, vectors, distance = source[atoms], target[atoms], vectors[atoms], distance[atoms]
        ratio = distance / (radii_of(z[source]) + radii_of(z[target]))
        order = np.lexsort((ratio, target))
        first = order[np.unique(target[order], return_index=True)[1]]
        first = first[distance[first] > 0]
        direction = vectors[first] / distance[first, None]
        parts.append((start + target[first], z[source[first]], distance[first], direction, ratio[first]))
    if not parts:
        return Nearest(*(np.zeros((0, *shape)) for shape in ((), (), (), (3,), ())))
    return Nearest(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def length_unit(frames: Frames, near: Nearest) -> str:
    """What is said of distances that no substance has; empty if they are usual."""
    ratio = near.ratio[~np.isin(near.other, NOBLE)]
    looked_at = int(_known(frames.z[np.isin(frames.owner, sampled(frames))]).sum())
    few = len(near.ratio) < 0.2 * looked_at and not (near.ratio <= MOST).any()
    if looked_at >= FEWEST and few and not np.isin(frames.z, NOBLE).any():
        return f"most atoms are more than {REACH_ANGSTROM:g} A from all others, as positions in pm are: --unit pos=pm"
    if len(ratio) < FEWEST:
        return ""
    low, median, high = (float(np.quantile(ratio, share)) for share in (0.2, 0.5, 0.8))
    if (median >= LEAST and low <= MOST) or high > WIDE * low:
        return ""
    unit = "pm" if median > 20 else "Bohr" if median > MOST else "nm" if median < 0.2 else ""
    read = f"as positions in {unit} are: --unit pos={unit}" if unit else "check the unit of positions: --unit pos=..."
    return f"neighbours are {median:.3g} times as far apart as covalent radii say, {read}"
