"""Labels of a test set beside those of the training set: units in which only one of the two can be."""

from __future__ import annotations

import numpy as np

from intertwine.data.suspicion.conversions import EV, FORCES, energy_of
from intertwine.data.suspicion.frames import Frames
from intertwine.data.suspicion.labels import baseline, isolated
from intertwine.data.suspicion.lines import Suspect

NEAR = 1.12  # factor around that of a unit, in which energies over what a composition has elsewhere are of that unit
ALIKE = 0.2  # relative deviation of that ratio, up to which it is one ratio
FEWEST = 3  # structures, below which nothing is compared
#: Forces that are so many times as large have another unit, or are of another kind of structure: within a factor
#: ABOUT of a unit's they are taken to be of it.
STRONGER, ABOUT = 8.0, 2.5
UNSURE = 1.5  # factor from the nearest unit to others that are as likely, where sizes alone tell


def other_units(train: Frames, other: Frames, name: str) -> list[Suspect]:
    """What is said of energies and forces of a set that are by the factor of a unit off those of the training set.

    Energies are compared with what their composition has in the training set, forces by their size (median over the
    structures of the root mean square). Forces that are smaller are judged only beside energies, for relaxed structures
    have none. Where forces are off by a factor and energies are about zero, their spread tells of them.

    Args:
        train: the training set.
        other: the set.
        name: what a line calls it.
    """
    suspects, factor, energy = [], 1.0, ""
    if (ratio := _energies(train, other)) is not None:
        for unit, size in EV.items():
            for each in (size, 1 / size):
                if _about(ratio, each, NEAR):
                    factor, energy = each, unit
                    words = f"energies of {name} are {ratio:.3g} times what those of the training set add up to"
                    suspects.append(Suspect("energy unit", f"{words}: {_which(unit)}"))
    if (ratio := _forces(train, other)) is not None:
        sizes = {unit: each for unit, size in FORCES.items() for each in (size, 1 / size) if _about(ratio, each)}
        if factor != 1.0:
            sizes = {u: each for u, each in sizes.items() if energy_of(u) == energy and (each > 1) == (factor > 1)}
        if sizes and (factor != 1.0 or ratio > STRONGER):
            units = sorted(sizes, key=lambda each: abs(np.log(ratio / sizes[each])))
            near = [each for each in units[1:] if _about(sizes[each], sizes[units[0]], UNSURE)] if factor == 1.0 else []
            unit, too = units[0], f" ({' and '.join(near[:2])} {'are' if near[1:] else 'is'} as likely)" if near else ""
            words = f"forces of {name} are {ratio:.3g} times those of the training set"
            suspects.append(Suspect("force unit", f"{words}: {_which(unit)}{too}"))
            spread = _spread(train, other) if factor == 1.0 else None
            if spread is not None and _about(spread, ratio):
                words = f"energies of {name} spread {spread:.3g} times as widely as those of the training set"
                suspects.append(Suspect("energy unit", f"{words}: {_which(energy_of(unit))}"))
    return suspects


def _which(unit: str) -> str:
    own = "eV/A" if "/A" in unit or "Bohr" in unit else "eV"
    return f"one of the two seems to be in {unit}, the other in {own}; convert one of them, for a model knows one unit"


def _about(ratio: float, size: float, factor: float = ABOUT) -> bool:
    return max(ratio / size, size / ratio) < factor


def _energies(train: Frames, other: Frames) -> float | None:
    """Median of the energies over what their composition has in the training set; None if it is not one ratio."""
    if train.energy is None or other.energy is None or (fit := baseline(train)) is None:
        return None
    species, counts = train.composition()
    own, numbers = other.composition()
    place = np.searchsorted(species, own).clip(max=len(species) - 1)
    known = species[place] == own
    expected = numbers[:, known] @ fit.energies[place[known]]
    kept = ~isolated(other) & np.isfinite(other.energy) & (numbers[:, ~known].sum(1) == 0) & (expected != 0)
    usual = np.abs(counts @ fit.energies)[~np.isnan(fit.residual)] / train.counts[~np.isnan(fit.residual)]
    if kept.sum() < FEWEST or fit.deviation > ALIKE * float(np.median(usual)):
        return None
    ratios = other.energy[kept] / expected[kept]
    median = float(np.median(ratios))
    alike = float(np.median(np.abs(ratios - median))) < ALIKE * abs(median)
    return median if median > 0 and alike else None


def _spread(train: Frames, other: Frames) -> float | None:
    """Deviation of the energies per atom beyond their compositions, over that in the training set."""
    if train.energy is None or other.energy is None:
        return None
    fits = [baseline(frames) for frames in (train, other)]
    return fits[1].deviation / fits[0].deviation if fits[0] is not None and fits[1] is not None else None


def _forces(train: Frames, other: Frames) -> float | None:
    """Size of the forces over that in the training set."""
    sizes = []
    for frames in (train, other):
        if frames.forces is None:
            return None
        squares = np.square(frames.forces).sum(1)
        sums = np.bincount(frames.owner, np.nan_to_num(squares), minlength=len(frames))
        rms = np.sqrt(sums / np.maximum(frames.counts, 1))[frames.counts > 1]
        if len(rms) < FEWEST or not np.median(rms) > 0:
            return None
        sizes.append(float(np.median(rms)))
    return sizes[1] / sizes[0]
