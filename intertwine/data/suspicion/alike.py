"""Labels that are alike though the structures differ, and structures that are in another unit of length than others."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from intertwine.data.suspicion.closeness import REACH_ANGSTROM, neighbours
from intertwine.data.suspicion.copies import marks
from intertwine.data.suspicion.frames import Frames, volumes
from intertwine.data.units import factor

ZERO_FORCES, EQUAL_ENERGIES = "forces that are all zero", "energies that are all equal"
FEWEST, LOOKED_AT = 3, 20  # structures; of which so many are looked at
#: Share of a sum of vectors to neighbours that is left of its sizes, above which no symmetry forbids a force.
LOPSIDED = 0.005
FEW_OTHERS, ODD_SHARE = 5, 0.25  # structures beside odd ones of the same elements; share of these at most
WIDE = 1.3  # factor around the median, within which all others are
BOHR = 1 / factor("Bohr", "pos")
NEAR, ROUGH = 0.08, 0.25  # relative difference of a ratio of distances to that of a unit


def zero_forces(frames: Frames) -> str:
    """What is said where all forces are exactly zero, though atoms are at places that no symmetry makes so; empty
    otherwise.
    """
    assert frames.forces is not None
    several = np.flatnonzero(frames.counts > 1)
    if len(several) < FEWEST or np.nan_to_num(frames.forces).any() or np.isnan(frames.forces).all():
        return ""
    picked = several[np.unique(np.linspace(0, len(several) - 1, min(len(several), LOOKED_AT)).astype(int))]
    if not any(_lopsided(frames, int(k)) for k in picked):
        return ""
    return (
        f"all forces are zero in {len(several):,} of {len(several):,} structures, whose atoms are not at places of "
        "symmetry: they were not computed, or not written; leave them out (--set task.force_weight=0)"
    )


def _lopsided(frames: Frames, k: int) -> bool:
    _, target, vectors = neighbours(frames, k, REACH_ANGSTROM)
    distance = np.linalg.norm(vectors, axis=1)
    kept = distance > 0
    size = np.exp(-distance[kept]) * (1 - distance[kept] / REACH_ANGSTROM) ** 2  # nothing at the reach
    pull = vectors[kept] * (size / distance[kept])[:, None]
    total = np.zeros((int(frames.counts[k]), 3))
    np.add.at(total, target[kept], pull)
    most = np.bincount(target[kept], size, minlength=len(total)).max(initial=0.0)
    return bool(np.linalg.norm(total, axis=1).max(initial=0.0) > LOPSIDED * most > 0)


def equal_energies(frames: Frames) -> str:
    """What is said where energies are equal, to the last digit, in structures of one composition that differ; empty
    otherwise.
    """
    assert frames.energy is not None
    known = np.isfinite(frames.energy) & (frames.counts > 1)
    groups = [group for group in _compositions(frames, known) if len(group) >= FEWEST]
    if not groups or any(np.ptp(frames.energy[group]) > 0 for group in groups):
        return ""
    own = marks(frames)
    if any(len(np.unique(own[group])) < max(2, len(group) // 2) for group in groups):
        return ""
    count = sum(map(len, groups))
    if count < 0.5 * known.sum():
        return ""
    example = float(frames.energy[groups[0][0]])
    return (
        f"all energies of one composition are equal ({example:.8g} eV in {len(groups[0]):,} structures that differ), "
        f"in {count:,} of {int(known.sum()):,} structures: they are no energies of these structures"
    )


def _compositions(frames: Frames, kept: np.ndarray, *, exactly: bool = True) -> list[np.ndarray]:
    """The structures of each composition, or of the same elements and number of atoms; periodic ones apart."""
    _, counts = frames.composition()
    each = counts if exactly else counts > 0
    rows = np.concatenate([each, frames.counts[:, None], frames.periodic[:, None]], axis=1)[kept]
    _, which = np.unique(rows, axis=0, return_inverse=True)
    order = np.argsort(which.reshape(-1), kind="stable")
    parts = np.split(np.flatnonzero(kept)[order], np.cumsum(np.bincount(which.reshape(-1)))[:-1])
    return [part for part in parts if len(part)]


class OddLengths(NamedTuple):
    """Structures (indices) whose distances are so many times (``ratio``) those of the others like them."""

    frames: tuple[int, ...]
    ratio: float


def odd_lengths(frames: Frames) -> OddLengths | None:
    """Structures that are by the factor of Bohr larger or smaller than all others of the same elements and number of
    atoms; None if there are none.
    """
    size = _sizes(frames)
    odd: dict[float, list[int]] = {}
    for group in _compositions(frames, (frames.counts > 1) & (size > 0), exactly=False):
        if len(group) <= FEW_OTHERS:
            continue
        ratio = size[group] / np.median(size[group])
        for each in (BOHR, 1 / BOHR):
            far = np.abs(ratio / each - 1) < ROUGH
            usual = np.abs(np.log(ratio)) < np.log(WIDE)
            if (
                not far.any()
                or far.sum() > ODD_SHARE * len(group)
                or not (far | usual).all()
                or usual.sum() < FEW_OTHERS
            ):
                continue
            beside = float(np.median([_nearest(frames, int(k)) for k in group[usual][:LOOKED_AT]]))
            odd.setdefault(each, []).extend(
                int(k) for k in group[far][:LOOKED_AT] if abs(_nearest(frames, int(k)) / beside / each - 1) < NEAR
            )
    for each, which in odd.items():
        if which:
            return OddLengths(tuple(sorted(which)), each)
    return None


def _sizes(frames: Frames) -> np.ndarray:
    """A length of each structure (structures,): the cube root of its volume, the spread of its atoms where open, A."""
    total = lambda values: np.bincount(frames.owner, values, minlength=len(frames))  # noqa: E731
    counts = np.maximum(frames.counts, 1)
    centre = np.stack([total(frames.pos[:, axis]) for axis in range(3)], axis=1) / counts[:, None]
    spread = np.sqrt(total(np.square(frames.pos - centre[frames.owner]).sum(1)) / counts)
    if frames.cell is None:
        return spread
    return np.where(frames.periodic, np.cbrt(volumes(frames)), spread)


def _nearest(frames: Frames, k: int) -> float:
    """Mean distance to the nearest neighbour, A; infinite where there is none near enough."""
    _, target, vectors = neighbours(frames, k, 2 * REACH_ANGSTROM)
    distance = np.full(int(frames.counts[k]), np.inf)
    np.minimum.at(distance, target, np.linalg.norm(vectors, axis=1))
    return float(distance.mean())
