"""Energies and forces: wild ones, and units in which energies can't be."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from intertwine.data.suspicion.conversions import EV, read_in
from intertwine.data.suspicion.frames import Frames
from intertwine.data.units import factor as in_ev

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
BINDING = (1.0, 9.5)  # eV/atom, of what holds together


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


class EnergyUnit(NamedTuple):
    """What is said of energies, empty if nothing speaks against the unit they were read in, and ``unit``: that which
    they are in by their size; empty where it tells none.
    """

    line: str = ""
    unit: str = ""


def energy_unit(frames: Frames) -> EnergyUnit:
    """Whether energies are in another unit than they were read in, by their size."""
    assert frames.energy is not None
    own = read_in(frames.units, "energy")
    for whose, times in _over_electrons(frames).items():
        for unit, many in {**EV, "eV": 1.0}.items():
            if unit != own and _is_of(times, many * in_ev(own, "energy")):
                return EnergyUnit(
                    f"{whose} are {times[0]:.3g} times those of all electrons of the atoms in {own}, as energies in "
                    f"{unit} are",
                    unit,
                )
    known, single = np.isfinite(frames.energy) & (frames.energy != 0), isolated(frames)
    if (known & single).any() and (known & ~single).any() and not in_ev_by_size(frames):
        return EnergyUnit(_binding(frames, known, single))
    return EnergyUnit()


def _binding(frames: Frames, known: np.ndarray, single: np.ndarray) -> str:
    """What is said where isolated atoms and the other structures have energies of different units."""
    assert frames.energy is not None
    first = frames.starts[:-1]
    alone = {int(frames.z[first[k]]): float(frames.energy[k]) for k in np.flatnonzero(known & single)}
    each = np.array([alone.get(z, np.nan) for z in range(120)])[np.clip(frames.z, 0, 119)]
    binding = (frames.energy - np.bincount(frames.owner, each, minlength=len(frames))) / frames.counts
    binding = binding[known & ~single & np.isfinite(binding)]
    if not len(binding) or -LARGEST_BINDING < np.median(binding) < LARGEST_UNBOUND:
        return ""
    own = read_in(frames.units, "energy")
    fits = [
        f"--unit energy={unit}"
        for unit, many in {**EV, "eV": 1.0}.items()
        if BINDING[0] < -float(np.median(binding)) / many / in_ev(own, "energy") < BINDING[1]
    ]
    named = f" ({' or '.join(fits)})" if fits else ""
    return (
        f"the structures differ from their isolated atoms by {np.median(binding):.3g} eV/atom, and no substance binds "
        f"by more than 9: these energies don't go together, or are not in {own}{named}"
    )
