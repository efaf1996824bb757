"""The work of forces beside the change of energies: whether the two are in units that go together."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from intertwine.data.suspicion.conversions import ENERGIES, FORCES, Choice, nearest_of, read_in
from intertwine.data.suspicion.copies import in_boxes
from intertwine.data.suspicion.frames import Frames
from intertwine.data.units import factor as in_ev

WORKS, WORK_CORRELATED, COMPARED = (0.7, 1.4), 0.9, 100  # energy change over work: 0.83 to 1.08 in sound sets
NEAR = 1.35  # factor around that ratio, within which a unit explains it
STEP_ANGSTROM = 0.5  # root mean square over the atoms, up to which forces at both ends tell the work between them


class Work(NamedTuple):
    """What energies change by, over the work of the forces, between two structures: ``ratio``; ``first``, ``last``: the
    structures that were compared.
    """

    ratio: float
    first: int
    last: int


def work(frames: Frames, sound: np.ndarray, *, forces: bool = False) -> str:
    r"""What is said where energies do not change by the work of the forces: between two structures of the same atoms,
    laid on top of each other, :math:`E_k - E_l \approx -\frac12 (F_k + F_l) \cdot (x_k - x_l)`, for springs exactly.
    Pairs that are far apart are left out.

    Args:
        frames: with energies and forces.
        sound: which structures have no wild label (structures,).
        forces: these are known to be in the unit that they were read in.
    """
    done = work_between(frames, sound)
    if done is None or WORKS[0] < done.ratio < WORKS[1]:
        return ""
    where = f"between frames {frames.numbers[done.first]} and {frames.numbers[done.last]}"
    if done.ratio < 0:
        return f"energies grow along the forces {where}: they are the gradient, and forces are minus it"
    words = f"energies change by {done.ratio:.3g} times the work of the forces {where}"
    units, own = frames.units, read_in(frames.units, "forces")
    energy = nearest_of(ENERGIES, 1 / done.ratio, "energy", units, NEAR)
    force = None if forces else nearest_of((*FORCES, "eV/A"), done.ratio, "forces", units, NEAR)
    known = read_in(units, "energy")
    parts = (
        [f"energies are in {energy.units[0]} (--unit energy={energy.units[0]} --unit forces={own})"] if energy else []
    )
    if force is not None:
        parts.append(f"forces are in {force.units[0]} (--unit forces={force.units[0]} --unit energy={known})")
    too = f": it may be that {', or that '.join(parts)}" if parts else ""
    return f"{words}: energies and forces are in different units{too}"


def by_work(frames: Frames, sound: np.ndarray, energy: str) -> Choice | None:
    """The units of forces by whose work the energies change, if these are in a unit; None if nothing tells."""
    done = work_between(frames, sound)
    if done is None or done.ratio < 0:
        return None
    wanted = done.ratio * in_ev(energy, "energy") / in_ev(read_in(frames.units, "energy"), "energy")
    return nearest_of((*FORCES, "eV/A"), wanted, "forces", frames.units, NEAR, (energy,))


def work_between(frames: Frames, sound: np.ndarray) -> Work | None:
    """None where few structures have the same atoms, or energies don't follow from the work."""
    assert frames.energy is not None
    assert frames.forces is not None
    sound = sound & np.isfinite(frames.energy) & (frames.counts > 1)
    group = same_atoms(frames, sound)
    if len(group) < 8:
        return None
    rows = frames.starts[group][:, None] + np.arange(frames.counts[group[0]])
    whole, boxed = in_boxes(frames)  # a molecule in a box may turn
    pos, forces = whole[rows], frames.forces[rows]
    i, j = np.triu_indices(len(group), 1)
    if frames.periodic[group[0]] and not boxed[group].all():
        assert frames.cell is not None
        pos, cell = frames.pos[rows], frames.cell[group]
        same = np.abs(cell[i] - cell[j]).max((1, 2)) < 1e-6
        i, j = i[same], j[same]
        fractions = np.einsum("kni,kij->knj", pos[i] - pos[j], np.linalg.pinv(cell[i]))
        step, other = np.einsum("kni,kij->knj", fractions - np.round(fractions), cell[i]), forces[j]
    else:
        pos = pos - pos.mean(1, keepdims=True)
        turn = _onto(pos[i], pos[j])
        step = pos[i] - np.einsum("kni,kij->knj", pos[j], turn)
        other = np.einsum("kni,kij->knj", forces[j], turn)
    moved = np.square(step).sum((1, 2))
    order = np.argsort(moved, kind="stable")[: max(20, len(moved) // 10)]
    order = order[(moved[order] > 1e-8) & (moved[order] < frames.counts[group[0]] * STEP_ANGSTROM**2)]
    done = -0.5 * ((forces[i] + other) * step).sum((1, 2))[order]
    change = (frames.energy[group[i]] - frames.energy[group[j]])[order]
    if len(order) < 20 or not np.isfinite(done).all() or not (done @ done and change @ change):
        return None
    ratio, correlation = (done @ change) / (done @ done), (done @ change) / np.sqrt((done @ done) * (change @ change))
    return None if abs(correlation) < WORK_CORRELATED else Work(float(ratio), int(group[0]), int(group[-1]))


def same_atoms(frames: Frames, sound: np.ndarray) -> np.ndarray:
    """The largest group of structures with the same atoms in the same order, thinned."""
    position = np.arange(len(frames.z)) - np.repeat(frames.starts[:-1], frames.counts)
    values = (frames.z + 1.0) * np.sqrt(position + 2.0)
    key = np.bincount(frames.owner, values, minlength=len(frames)).round(6) + 1e9 * frames.periodic
    key = key + 1e10 * frames.counts
    kept = np.flatnonzero(sound)
    if not len(kept):
        return kept
    _, which, sizes = np.unique(key[kept], return_inverse=True, return_counts=True)
    group = kept[which == sizes.argmax()]
    return group[np.unique(np.linspace(0, len(group) - 1, min(len(group), COMPARED)).astype(int))]


def _onto(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Rotations that lay structures b on a (Kabsch), to be multiplied from the right (pairs, 3, 3)."""
    u, _, v = np.linalg.svd(np.einsum("kni,knj->kij", b, a))
    sign = np.sign(np.linalg.det(u @ v))
    return np.concatenate([u[..., :2], u[..., 2:] * sign[:, None, None]], axis=2) @ v
