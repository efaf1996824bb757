"""Energies and forces: wild ones, and units in which they can't be."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from intertwine.data.suspicion.closeness import Nearest
from intertwine.data.suspicion.copies import in_boxes
from intertwine.data.suspicion.frames import Frames
from intertwine.data.units import factor as in_ev

EV = {"kcal/mol": 23.0605, "kJ/mol": 96.4853, "Hartree": 1 / 27.21139, "Ry": 2 / 27.21139, "meV": 1e3}  # in an eV
#: An energy is wild beyond so many robust deviations from what its composition says, and so many eV/atom,
DEVIATIONS, LEAST_EV, FEW_EV = 40.0, 0.5, 20.0
#: or if it stands alone: beyond fewer deviations, and so many times what the share BULK of all is within.
ALONE_DEVIATIONS, ALONE, BULK = 12.0, 4.0, 0.98
FEW_OF_ELEMENT = 3  # structures with an element, below which nobody knows which of them is wrong
MANY_EACH = 8  # structures for each direction of the compositions, below which a large deviation is no rarity
RESOLUTION_EV = 0.01  # eV/atom: deviations are not taken to be smaller
FITTED_STRUCTURES, ROUNDS = 20_000, 25
#: A force is wild beyond so many eV/A and times the median of the largest forces of the structures,
WILD_FORCE, OVER_MEDIAN = 300.0, 100.0
#: or if it stands alone: beyond fewer of both, and so many times what the share BULK of all is within (ALONE). No bond
#: that is stretched pulls as much: the strongest, of N2, by D a / 2 = 13 eV/A (Morse potential, D 9.9 eV, a 2.7 / A).
ALONE_FORCE, ALONE_OVER_MEDIAN = 30.0, 50.0
#: Beyond so many times what BULK is within it stands alone whatever the median is, in sets of so many structures: the
#: largest force of sound sets is 1.0 to 1.8 times that where atoms vibrate, and up to 3.0 in relaxations.
FAR_ALONE, FEW_FORCES = 3.75, 6
#: Total energy over that of all electrons of the free atoms: 0.996 to 1.03 in sets of molecules.
WINDOW, SPREAD = (0.985, 1.04), 0.02
LARGEST_BINDING, LARGEST_UNBOUND = 15.0, 20.0  # eV/atom; tungsten, which binds most strongly, has 8.9
STIFF = 34.0  # eV/A^2, of a bond to hydrogen; O-H 48, C-H 31, S-H 26
#: Units that forces are taken to be in where they can't be in eV/A; how many are in an eV/A.
FORCES = {unit: 1 / in_ev(unit, "forces") for unit in ("kcal/mol/A", "kJ/mol/A", "Hartree/A", "Hartree/Bohr")}
STIFFEST, SOFTEST, CORRELATED = 300.0, 4.0, 0.85
WORKS, WORK_CORRELATED, COMPARED = (0.5, 2.0), 0.9, 100  # energy change over work: 0.83 to 1.08 in sound sets


class Baseline(NamedTuple):
    """What energies are by composition alone.

    ``residual``: energy minus that, per atom (structures,), in eV; NaN for isolated atoms, and where an element is in
    fewer than three structures; ``deviation``: their usual
    size; ``limit``: beyond which one is wild; ``energies``: of the species, as fitted (species,), in eV.
    """

    residual: np.ndarray
    deviation: float
    limit: float
    energies: np.ndarray


def isolated(frames: Frames) -> np.ndarray:
    """Which structures are one atom that does not repeat."""
    return (frames.counts == 1) & ~frames.periodic


def baseline(frames: Frames) -> Baseline | None:
    r"""Least absolute deviations of energies per atom from :math:`\sum_z x_z e_z`, with x the shares of the species, by
    iterated least squares; None if there are too few.
    """
    assert frames.energy is not None
    kept = np.flatnonzero(~isolated(frames) & np.isfinite(frames.energy))
    species, counts = frames.composition()
    if len(kept) < 6:
        return None
    picked = kept[np.unique(np.linspace(0, len(kept) - 1, min(len(kept), FITTED_STRUCTURES)).astype(int))]
    shares, target = counts[picked] / frames.counts[picked, None], frames.energy[picked] / frames.counts[picked]
    energies, middle = np.full(len(species), np.median(target)), np.median(target)
    weight = np.ones(len(target))
    for _ in range(ROUNDS):
        weighted = shares * weight[:, None]
        matrix = weighted.T @ shares
        ridge = 1e-7 * np.trace(matrix) / len(species) * np.eye(len(species))
        energies = middle + np.linalg.solve(matrix + ridge, weighted.T @ (target - middle))
        off = np.abs(target - shares @ energies)
        weight = 1 / np.maximum(off, max(1e-3 * RESOLUTION_EV, 0.1 * float(np.median(off))))
    residual = np.full(len(frames), np.nan)
    rare = (counts[picked] > 0).sum(0) < FEW_OF_ELEMENT
    judged = kept[~(counts[kept][:, rare] > 0).any(1)]
    residual[judged] = (frames.energy[judged] - counts[judged] @ energies) / frames.counts[judged]
    if not len(judged):
        return None
    deviation = max(1.4826 * float(np.median(np.abs(residual[judged]))), RESOLUTION_EV)
    rank = np.linalg.matrix_rank(shares)
    few, limit = len(kept) < 3 * rank, DEVIATIONS * deviation
    if len(kept) >= MANY_EACH * rank:
        bulk = float(np.quantile(np.abs(residual[judged]), BULK, method="lower"))
        limit = min(limit, max(ALONE_DEVIATIONS * deviation, ALONE * bulk))
    return Baseline(residual, deviation, max(limit, FEW_EV if few else LEAST_EV), energies)


def wild_forces(frames: Frames) -> tuple[np.ndarray, np.ndarray]:
    """Structures with a wild force, and the largest force of each structure (structures,), in eV/A.

    Sizes are compared with medians and quantiles, which wild forces do not move. They do move the root mean square: it
    is 2.2 eV/A in 1,000 structures of MPtrj, where half of the structures have no force above 0.2.
    """
    assert frames.forces is not None
    sizes = np.linalg.norm(np.nan_to_num(frames.forces), axis=1)
    largest = np.zeros(len(frames))
    np.maximum.at(largest, frames.owner, sizes)
    several = largest[frames.counts > 1]
    usual = float(np.median(several)) if len(several) else 0.0
    bulk = float(np.quantile(several, BULK, method="lower")) if len(several) else np.inf
    far = FAR_ALONE * bulk if len(several) >= FEW_FORCES else np.inf
    alone = max(ALONE_FORCE, min(max(ALONE_OVER_MEDIAN * usual, ALONE * bulk), far))
    return np.flatnonzero(largest > min(max(WILD_FORCE, OVER_MEDIAN * usual), alone)), largest


def free_atoms(z: np.ndarray) -> np.ndarray:
    r"""Energies of all electrons of free atoms in eV, to about 1 % (below zinc):
    :math:`-0.7687 Z^{7/3} + Z^2/2 - 0.2699 Z^{5/3}` Hartree (Englert and Schwinger, Phys. Rev. A 32, 26, 1985), and
    -1/2 Hartree for hydrogen.
    """
    z = z.astype(np.float64)
    hartree = np.where(z == 1, -0.5, -0.768745 * z ** (7 / 3) + z**2 / 2 - 0.2699 * z ** (5 / 3))
    return 27.21139 * hartree


def in_ev_by_size(frames: Frames) -> bool:
    """Whether energies are those of all electrons of the atoms in eV."""
    return any(_is_of(times, 1.0) for times in _over_electrons(frames).values())


def _over_electrons(frames: Frames) -> dict[str, tuple[float, float]]:
    """Median and relative spread of energies over those of all electrons of the free atoms, by whose they are."""
    assert frames.energy is not None
    known, single = np.isfinite(frames.energy) & (frames.energy != 0), isolated(frames)
    electrons = np.bincount(frames.owner, free_atoms(frames.z), minlength=len(frames))
    result = {}
    for whose, which in (("total energies", known & ~single), ("energies of isolated atoms", known & single)):
        if which.any() and electrons[which].all():
            ratios = frames.energy[which] / electrons[which]
            median = float(np.median(ratios))
            result[whose] = median, float(np.median(np.abs(ratios - median))) / max(abs(median), 1e-30)
    return result


def _is_of(times: tuple[float, float], factor: float) -> bool:
    return WINDOW[0] < times[0] / factor < WINDOW[1] and times[1] < SPREAD


def energy_unit(frames: Frames) -> str:
    """What is said of energies that are not in eV by their size; empty if nothing speaks against it."""
    assert frames.energy is not None
    for whose, times in _over_electrons(frames).items():
        for unit, factor in EV.items():
            if _is_of(times, factor):
                return (
                    f"{whose} are {times[0]:.3g} times those of all electrons of the atoms in eV, as energies in "
                    f"{unit} are: --unit energy={unit}"
                )
    known, single = np.isfinite(frames.energy) & (frames.energy != 0), isolated(frames)
    if (known & single).any() and (known & ~single).any():
        return _binding(frames, known, single)
    return ""


def _binding(frames: Frames, known: np.ndarray, single: np.ndarray) -> str:
    """What is said where isolated atoms and the other structures have energies of different units."""
    assert frames.energy is not None
    first = frames.starts[:-1]
    alone = {int(frames.z[first[k]]): float(frames.energy[k]) for k in np.flatnonzero(known & single)}
    own = np.array([alone.get(z, np.nan) for z in range(120)])[np.clip(frames.z, 0, 119)]
    binding = (frames.energy - np.bincount(frames.owner, own, minlength=len(frames))) / frames.counts
    binding = binding[known & ~single & np.isfinite(binding)]
    if not len(binding) or -LARGEST_BINDING < np.median(binding) < LARGEST_UNBOUND:
        return ""
    return (
        f"the structures differ from their isolated atoms by {np.median(binding):.3g} eV/atom, and no substance binds "
        "by more than 9: these energies don't go together, or are not in eV (--unit energy=kcal/mol?)"
    )


def force_unit(frames: Frames, near: Nearest, sound: np.ndarray) -> str:
    """What is said of forces by the stiffness of bonds to hydrogen, which is 17 to 60 eV/A^2 in any substance: the
    slope of the force along a bond over its length. Empty if nothing speaks against eV/A. Whether energies are in that
    unit too follows from the work of the forces (:func:`work`).
    """
    known = _stiffness(frames, near)
    if known is None:
        return ""
    if known < 0:
        return "forces stretch long bonds and compress short ones: they are the gradient, and forces are minus it"
    if SOFTEST <= known <= STIFFEST:
        return ""
    unit = min(FORCES, key=lambda name: abs(np.log(known / FORCES[name] / STIFF)))
    option, too = f"--unit forces={unit}", f"--unit energy={unit.rpartition('/')[0]}"
    if frames.energy is not None and not in_ev_by_size(frames):
        done = _work(frames, sound)
        if done is None:  # who gives forces in another unit often gives energies in it too
            option += f"; with {too} if energies are in it too"
        elif WORKS[0] < done.ratio < WORKS[1]:
            option += f" {too}"
    return (
        f"by the forces, bonds to hydrogen have a stiffness of {known:.3g} eV/A^2, where 17 to 60 is usual: "
        f"they are not in eV/A ({option})"
    )


def forces_in_ev(frames: Frames, near: Nearest) -> bool:
    """Whether forces are in eV/A by the stiffness of bonds to hydrogen."""
    known = _stiffness(frames, near) if frames.forces is not None else None
    return known is not None and SOFTEST <= known <= STIFFEST


def _stiffness(frames: Frames, near: Nearest) -> float | None:
    """Of bonds to hydrogen (eV/A^2), negative for gradients; None where there are few, or no slope."""
    assert frames.forces is not None
    hydrogen = np.flatnonzero(
        (frames.z[near.atom.astype(int)] == 1) & (near.other > 1) & (near.ratio < MOST_BOND)
        & np.isfinite(frames.forces[near.atom.astype(int)]).all(1)
    )  # fmt: skip
    along = -(frames.forces[near.atom[hydrogen].astype(int)] * near.direction[hydrogen]).sum(1)
    length, other = near.distance[hydrogen].copy(), near.other[hydrogen]
    for z in np.unique(other):
        length[other == z] -= length[other == z].mean()
        along[other == z] -= along[other == z].mean()
    stiffness, correlation = _slope(length, along)
    if len(hydrogen) < 30 or abs(correlation) < CORRELATED:
        return None
    return float(stiffness)


MOST_BOND = 1.6  # times the covalent radii
STEP_ANGSTROM = 0.5  # root mean square over the atoms, up to which forces at both ends tell the work between them


class Work(NamedTuple):
    """What energies change by, over the work of the forces, between two structures: ``ratio``; ``first``, ``last``: the
    structures that were compared.
    """

    ratio: float
    first: int
    last: int


def work(frames: Frames, sound: np.ndarray) -> str:
    r"""What is said where energies do not change by the work of the forces: between two structures of the same atoms,
    laid on top of each other, :math:`E_k - E_l \approx -\frac12 (F_k + F_l) \cdot (x_k - x_l)`, for springs exactly.
    Pairs that are far apart are left out.

    Args:
        frames: with energies and forces.
        sound: which structures have no wild label (structures,).
    """
    done = _work(frames, sound)
    if done is None or WORKS[0] < done.ratio < WORKS[1]:
        return ""
    where = f"between frames {frames.numbers[done.first]} and {frames.numbers[done.last]}"
    if done.ratio < 0:
        return f"energies grow along the forces {where}: they are the gradient, and forces are minus it"
    units = "energies and forces are in different units"
    return f"energies change by {done.ratio:.3g} times the work of the forces {where}: {units}"


def _work(frames: Frames, sound: np.ndarray) -> Work | None:
    """None where few structures have the same atoms, or energies don't follow from the work."""
    assert frames.energy is not None
    assert frames.forces is not None
    sound = sound & np.isfinite(frames.energy) & (frames.counts > 1)
    group = _same_atoms(frames, sound)
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


def _same_atoms(frames: Frames, sound: np.ndarray) -> np.ndarray:
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


def _slope(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Of y over x, both with mean zero, and their correlation; zeros where nothing varies."""
    size = float(np.sqrt((x @ x) * (y @ y)))
    return (float(x @ y) / float(x @ x), float(x @ y) / size) if size > 0 else (0.0, 0.0)
