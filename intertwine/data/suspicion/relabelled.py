"""Copies of training structures whose labels are others than those of the training set, each by its number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from intertwine.data.suspicion.conversions import EV, FORCES, STRESSES
from intertwine.data.suspicion.copies import marks
from intertwine.data.suspicion.frames import Frames
from intertwine.data.units import factor as in_ev

SAME = 1e-3  # relative difference of two labels, below which they are the same
APART_EV, LEAST_EV = 0.01, 1e-5  # eV/atom, of energies: always another one; never another one
EXACT = 3e-3  # relative deviation of a ratio or of a difference, up to which it is a single number, or that of a unit
NO_FACTOR = 0.05  # difference from 1 of a ratio, which two methods have in large energies
NAMED = 4  # structures that a line names
FACTORS = {
    "energy": EV,
    "forces": FORCES,
    "stress": {unit: 1 / in_ev(unit, "stress") for unit in STRESSES},
}  # how many of a unit are in the library's own


class Relabelled(NamedTuple):
    """Copies with another label than in the training set.

    ``label``: its name; ``frames``: their indices, ascending; ``copies``: how many copies have it at all; ``ratio``:
    here over there, of each; ``shift``: here less there, of an energy in eV; ``atoms``: of each.
    """

    label: str
    frames: tuple[int, ...]
    copies: int
    ratio: np.ndarray
    shift: np.ndarray
    atoms: np.ndarray


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


def relabelled(marked: np.ndarray, known: Mapping[str, np.ndarray], frames: Frames) -> list[Relabelled]:
    """The copies that have another label than the structures of the training set that they are copies of, by label.

    Args:
        marked: marks of the training set (structures,).
        known: its labels by name, as :func:`sizes_of_labels` has them.
        frames: structures with labels, of which some may be copies.
    """
    if not len(marked):
        return []
    order, own = np.argsort(marked, kind="stable"), marks(frames)
    first, last = (np.searchsorted(marked, own, side, sorter=order) for side in ("left", "right"))
    copies = np.flatnonzero(last > first)
    result = []
    for name, labels in sizes_of_labels(frames).items():
        if name not in known:
            continue
        before = np.array([_nearest(known[name][order[first[k] : last[k]]], labels[k]) for k in copies.tolist()])
        both = np.isfinite(before) & np.isfinite(labels[copies])
        which, before = copies[both], before[both]
        atoms, shift = np.maximum(frames.counts[which], 1), labels[which] - before
        differs = np.abs(shift) > SAME * np.abs(before)
        if name == "energy":
            differs = (differs & (np.abs(shift) > LEAST_EV * atoms)) | (np.abs(shift) > APART_EV * atoms)
        if differs.any():
            with np.errstate(divide="ignore", invalid="ignore"):
                ratio = labels[which] / before
            told = tuple(which[differs].tolist())
            result.append(Relabelled(name, told, len(which), ratio[differs], shift[differs], atoms[differs]))
    return result


def _nearest(values: np.ndarray, value: float) -> float:
    """The label of the training structures of a mark that is nearest to one of a copy: several may have the mark."""
    values = values[np.isfinite(values)]
    return float(values[np.abs(values - value).argmin()]) if len(values) else np.nan


def sentences(others: Sequence[Relabelled], frames: Frames, whose: str = "") -> list[str]:
    """A sentence for all labels that the same copies have otherwise: how many they are, the first by number, and the
    factor or the constant, if it is one.

    Args:
        others: of :func:`relabelled`.
        frames: the structures.
        whose: such as "the test set"; empty for structures that the user gives.
    """
    groups: dict[tuple[int, ...], list[Relabelled]] = {}
    for each in others:
        groups.setdefault(each.frames, []).append(each)
    lines = []
    for which, labels in groups.items():
        count, total = len(which), max(each.copies for each in labels)
        share = f"{count} of {total}" if count < total else f"all {total}" if total > 1 else "the"
        copies = f"{share} {'copies' if total > 1 else 'copy'} of training structures{f' in {whose}' if whose else ''}"
        told = [_explained(each) for each in labels]
        words = "; ".join(words for words, _ in told)
        them = "them" if count > 1 else "it"
        wrong = f"only one of the two can be right: mend {them}, or leave {them} out"
        remedy = f"convert {them}" if all(known for _, known in told) else wrong
        lines.append(
            f"{copies} {'have' if count > 1 else 'has'} other labels here than there "
            f"({numbered(frames, which)}): {words}; {remedy}"
        )
    return lines


def numbered(frames: Frames, which: Sequence[int]) -> str:
    """Structures by their numbers, a few of them: "frames 0, 3, 4, 7, ... of a.xyz (counted from 0)"."""
    first = frames.place(which[0])
    if len(which) == 1:
        return first
    number, _, rest = first.removeprefix("frame ").partition(" ")
    more = [frames.number(k, which[0]) for k in which[1:NAMED]]
    return f"frames {', '.join([number, *more])}{', ...' if len(which) > NAMED else ''} {rest}".strip()


def _explained(each: Relabelled) -> tuple[str, bool]:
    """How a label differs, in words, and whether a unit explains it."""
    name, verb = each.label, "are" if each.label == "forces" else "is"
    median = float(np.median(each.ratio)) if np.isfinite(each.ratio).all() else np.nan
    spread = float(np.abs(each.ratio - median).max()) if np.isfinite(median) else np.inf
    if spread <= EXACT * abs(median) and abs(median - 1) >= NO_FACTOR:
        unit = unit_of(name, median)
        size = "in size " if name != "energy" else ""
        return f"{name} {verb} {size}{median:.5g} times as large{unit}", bool(unit)
    if name == "energy" and len(each.frames) > 1:
        for whose, values in (("per atom", each.shift / each.atoms), ("per structure", each.shift)):
            middle = float(np.median(values))
            if np.abs(values - middle).max() <= max(EXACT * abs(middle), LEAST_EV):
                return f"energy is {middle:+.5g} eV {whose} off in each, a constant", False
    return f"{name} {verb} another", False


def unit_of(name: str, ratio: float) -> str:
    """The unit whose factor a ratio of labels is, in words; empty if there is none."""
    own = {"energy": "eV", "forces": "eV/A", "stress": "eV/A^3"}[name]
    for unit, many in FACTORS[name].items():
        for factor, here, there in ((many, unit, own), (1 / many, own, unit)):
            if abs(ratio / factor - 1) < EXACT:
                return f", as if in {here} here and in {there} there"
    return ", the opposite sign" if name == "energy" and abs(ratio + 1) < EXACT else ""
