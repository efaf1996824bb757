"""Forces along bonds to hydrogen, whose stiffness is known: whether they are in the unit they were read in."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from intertwine.data.suspicion.closeness import Nearest
from intertwine.data.suspicion.conversions import ENERGIES, FORCES, Choice, energy_of, nearest_of, read_in
from intertwine.data.suspicion.frames import Frames
from intertwine.data.suspicion.labels import in_ev_by_size
from intertwine.data.suspicion.work import by_work, work_between
from intertwine.data.units import factor as in_ev

STIFF = 34.0  # eV/A^2, of a bond to hydrogen; O-H 48, C-H 31, S-H 26
STIFFEST, SOFTEST, CORRELATED = 300.0, 4.0, 0.85
USUAL = 2.0  # factor around STIFF, within which a unit explains it: 17 to 60 in any substance
SAME = 1.35  # factor around the energies' change over the work of the forces, within which two units go together
MOST_BOND = 1.6  # times the covalent radii


class ForceUnit(NamedTuple):
    """What is said of forces, and ``units``: options that mend them, empty where none is known."""

    line: str = ""
    units: str = ""


def force_unit(frames: Frames, near: Nearest, sound: np.ndarray, energy: str = "") -> ForceUnit:
    """What is said of forces by the stiffness of bonds to hydrogen, which is 17 to 60 eV/A^2 in any substance: the
    slope of the force along a bond over its length. Empty if nothing speaks against the unit they were read in.

    The unit is one that gives a usual stiffness. Where the unit of the energies is known, and they follow the work of
    the forces, it is one by which they do; of those that are near, one of the same energy.

    Args:
        frames: with forces.
        near: their nearest neighbours.
        sound: which structures have no wild label (structures,).
        energy: the unit of the energies where their size tells it; empty where it tells none, or the one they were read
            in.
    """
    known = _stiffness(frames, near)
    if known is None:
        return ForceUnit()
    if known < 0:
        return ForceUnit(
            "forces stretch long bonds and compress short ones: they are the gradient, and forces are minus it"
        )
    if SOFTEST <= known <= STIFFEST:
        return ForceUnit()
    own = read_in(frames.units, "forces")
    words = f"by the forces, bonds to hydrogen have a stiffness of {known:.3g} eV/A^2, where 17 to 60 is usual: "
    choice, option = _options(frames, sound, known, energy)
    if choice is None:
        return ForceUnit(f"{words}they are not in {own}, nor in another unit that is known")
    return ForceUnit(f"{words}they are not in {own} ({option}){choice.also}", option)


def _options(frames: Frames, sound: np.ndarray, known: float, energy: str) -> tuple[Choice | None, str]:
    """The units of forces that explain a stiffness, and the options that mend it."""
    units, candidates = frames.units, (*FORCES, "eV/A")
    right = frames.energy is not None and in_ev_by_size(frames)  # in what they were read in
    whose = energy or (read_in(units, "energy") if right else "")
    done = work_between(frames, sound) if frames.energy is not None else None
    choice = nearest_of(candidates, STIFF / known, "forces", units, USUAL, (whose,) if energy else ())
    if whose and done is not None and done.ratio > 0:
        closer = by_work(frames, sound, whose)
        fits = [unit for unit in (closer.units if closer else ()) if _usual(known, unit, units)]
        choice = Choice(tuple(fits)) if fits else choice
    if choice is None:
        return None, ""
    option = f"--unit forces={choice.units[0]}"
    if energy:
        return choice, f"--unit energy={energy} {option}"
    if frames.energy is None or right:
        return choice, option
    unit = energy_of(choice.units[0])
    if done is None:  # who gives forces in another unit often gives energies in it too
        same = unit == read_in(units, "energy")
        return choice, option if same else f"{option}; with --unit energy={unit} if energies are in it too"
    return _with_energies(choice, done.ratio, units)


def _usual(known: float, unit: str, units: dict[str, str]) -> bool:
    stiffness = known * in_ev(unit, "forces") / in_ev(read_in(units, "forces"), "forces")
    return STIFF / USUAL < stiffness < STIFF * USUAL


def _with_energies(choice: Choice, ratio: float, units: dict[str, str]) -> tuple[Choice, str]:
    """Of the units of forces the first whose energy follows from the work, and options for both; for forces alone where
    energies are of no unit by it.
    """
    own, pairs = in_ev(read_in(units, "forces"), "forces"), []
    for unit in choice.units:
        fits = nearest_of(ENERGIES, in_ev(unit, "forces") / own / ratio, "energy", units, SAME) if ratio > 0 else None
        pairs += [(energy_of(unit) not in fits.units, unit, fits.units)] if fits is not None else []
    if not pairs:
        return choice, f"--unit forces={choice.units[0]}"
    _, unit, energies = min(pairs, key=lambda pair: pair[0])
    energy = energy_of(unit) if energy_of(unit) in energies else energies[0]
    too = "" if energy == read_in(units, "energy") else f" --unit energy={energy}"
    return Choice((unit, *(each for each in choice.units if each != unit))), f"--unit forces={unit}{too}"


def forces_in_ev(frames: Frames, near: Nearest) -> bool:
    """Whether forces are in the unit they were read in by the stiffness of bonds to hydrogen."""
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


def _slope(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Of y over x, both with mean zero, and their correlation; zeros where nothing varies."""
    size = float(np.sqrt((x @ x) * (y @ y)))
    return (float(x @ y) / float(x @ x), float(x @ y) / size) if size > 0 else (0.0, 0.0)
