"""Copies of training structures whose labels are others than those of the training set."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from intertwine.data.suspicion.conversions import EV, FORCES, STRESSES
from intertwine.data.suspicion.copies import marks
from intertwine.data.suspicion.frames import Frames
from intertwine.data.units import factor as in_ev

SAME = 1e-3  # relative difference of two labels, below which they are the same
EXACT = 3e-3  # relative deviation of a ratio, up to which it is one number, or that of a unit
NO_FACTOR = 0.05  # difference from 1 of a ratio, which two methods have in large energies
FACTORS = {
    "energy": EV,
    "forces": FORCES,
    "stress": {unit: 1 / in_ev(unit, "stress") for unit in STRESSES},
}  # how many of a unit are in the library's own


def sizes_of_labels(frames: Frames) -> dict[str, np.ndarray]:
    """Of each structure (structures,) the energy, and the root mean square of forces and stress, which does not change
    where it is turned or its atoms have another order; NaN where there is none.
    """
    sizes = {} if frames.energy is None else {"energy": frames.energy.astype(np.float64)}
    if frames.forces is not None:
        squares = np.bincount(frames.owner, np.square(frames.forces).sum(1), minlength=len(frames))
        sizes["forces"] = np.sqrt(squares / np.maximum(3 * frames.counts, 1))
    if frames.stress is not None:
        sizes["stress"] = np.sqrt(np.square(frames.stress).mean((1, 2)))
    return sizes


def ratios(marked: np.ndarray, known: Mapping[str, np.ndarray], frames: Frames) -> dict[str, np.ndarray]:
    """Labels of copies over those of the structures of the training set that they are copies of, by name, where more
    than half of them differ.

    Args:
        marked: marks of the training set (structures,).
        known: its labels by name, as :func:`sizes_of_labels` has them.
        frames: structures with labels, of which some may be copies.
    """
    order = np.argsort(marked, kind="stable")
    if not len(order):
        return {}
    own = marks(frames)
    place = order[np.searchsorted(marked, own, sorter=order).clip(max=len(order) - 1)]
    copies = marked[place] == own
    result = {}
    for name, labels in sizes_of_labels(frames).items():
        if name not in known:
            continue
        before, now = known[name][place[copies]], labels[copies]
        both = np.isfinite(before) & np.isfinite(now) & (before != 0)
        ratio = now[both] / before[both]
        if len(ratio) and np.mean(np.abs(ratio - 1) > SAME) > 0.5:
            result[name] = ratio
    return result


def relabelled(marked: np.ndarray, known: Mapping[str, np.ndarray], frames: Frames, whose: str = "") -> list[str]:
    """One sentence on each label that copies have otherwise than the training set; with the factor, if it is one.

    Args:
        marked, known: of the training set, as for :func:`ratios`.
        frames: structures with labels, of which some may be copies.
        whose: such as "the test set"; empty for structures that the user gives.
    """
    lines = []
    for name, ratio in ratios(marked, known, frames).items():
        median = float(np.median(ratio))
        verb = "are" if name == "forces" else "is"
        words = f"of the copies{f' in {whose}' if whose else ''}, {name} {verb}"
        if np.median(np.abs(ratio - median)) > EXACT * abs(median) or abs(median - 1) < NO_FACTOR:
            lines.append(f"{words} not what the training structures have: only one of the two can be right")
            continue
        size = "in size " if name != "energy" else ""
        lines.append(f"{words} {size}{median:.5g} times what the training structures have{_unit(name, median)}")
    return lines


def _unit(name: str, ratio: float) -> str:
    """The unit whose factor a ratio is, in words."""
    own = {"energy": "eV", "forces": "eV/A", "stress": "eV/A^3"}[name]
    for unit, many in FACTORS[name].items():
        for factor, whose in ((many, "these are"), (1 / many, "those of the training set are")):
            if abs(ratio / factor - 1) < EXACT:
                return f", as if {whose} in {unit} and the others in {own}: convert one of them"
    if name == "energy" and abs(ratio + 1) < EXACT:
        return ": one of the two has the opposite sign"
    return ": only one of the two can be right"
