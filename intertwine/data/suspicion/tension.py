"""Stresses that no substance has, and those that do not go with the change of energies in a strain."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from intertwine.data.suspicion.conversions import AS_NEAR, STRESSES, nearest_of, read_in
from intertwine.data.suspicion.copies import in_boxes
from intertwine.data.suspicion.frames import Frames, volumes
from intertwine.data.suspicion.work import same_atoms
from intertwine.data.units import factor as in_ev

GPA = 1 / in_ev("GPa", "stress")  # in an eV/A^3
#: No crystal holds a mean tension of so many GPa, however it is stretched: diamond, the strongest, holds some 90.
TENSE, FEW, SHARE = 250.0, 3, 0.02  # GPa; in so many structures, and in such a share of them
#: Nor do calculations reach a median of so many GPa, which stars have.
PRESSED = 3000.0
USUAL = (0.02, 120.0)  # GPa, of the median size of the stresses in a unit that explains them
STRAIN, SHORT, TURNED = (1e-4, 0.06), 0.3, 1e-3  # of two cells; A, of atoms in them; what is left of a rotation
EXPLAINED, FEWEST = 0.81, 20  # share of the change of energies, by how many pairs
WORKS, NEAR = (0.7, 1.4), 1.35  # energy change over work of the stress in sound sets; factor to that of a unit


def stress_unit(frames: Frames, sound: np.ndarray) -> str:
    r"""What is said of stresses that can't be in the unit they were read in; empty if nothing speaks against it.

    Energies of two structures of the same atoms in cells that differ by a strain :math:`\epsilon` change by
    :math:`V \sigma : \epsilon` and the work of the forces; where they do for a factor, it tells the unit and the sign.
    Where no structures are alike, the size tells: no substance holds a mean tension (a third of the trace) of
    :data:`TENSE` GPa. A pressure has no such bound below :data:`PRESSED` GPa, and nothing is said of one.

    Args:
        frames: with stresses, eV/A^3.
        sound: which structures have no wild label (structures,).
    """
    assert frames.stress is not None
    kept = np.isfinite(frames.stress).all((1, 2)) & frames.periodic & sound
    if kept.sum() < FEW or not frames.stress[kept].any():
        return ""
    done = _strained(frames, kept)
    if done is not None:
        return _of_work(frames, done)
    mean = GPA * np.einsum("kii->k", frames.stress[kept]) / 3
    tense = (mean > TENSE).sum() >= max(FEW, SHARE * len(mean))
    median = float(np.median(np.abs(mean)))
    if not tense and median < PRESSED:
        return ""
    own, sizes = read_in(frames.units, "stress"), np.abs(frames.stress[kept]).max((1, 2))
    size = float(np.median(sizes)) / in_ev(own, "stress")
    fits = [each for each in (*STRESSES[:2], "eV/A^3") if USUAL[0] < size * in_ev(each, "stress") * GPA < USUAL[1]]
    volume = volumes(frames)[kept]
    virial = USUAL[0] < float(np.median(sizes / volume)) * GPA < USUAL[1]
    told = (
        f"mean tensions of up to {_figure(mean.max())} GPa, where no substance holds {TENSE:.0f}"
        if tense
        else f"pressures of {_figure(median)} GPa, which only stars have"
    )
    may = [f"--unit stress={unit}" for unit in fits if unit != own]
    options = f" ({' or '.join(may)})" if may else ""
    too = ", or they are times the volume of the cell: then divide them by it in the file" if virial else ""
    return f"the stresses are {told}: they are not in {own}{options}{too}"


def _figure(value: float) -> str:
    """A pressure with two digits."""
    return f"{float(f'{value:.2g}'):,.0f}"


class _Strain(NamedTuple):
    """``ratio``: what energies change by over the work of the stress, less that of the forces; ``first``, ``last``:
    structures that were compared; ``volume``: of their cells, A^3.
    """

    ratio: float
    first: int
    last: int
    volume: float


def _of_work(frames: Frames, done: _Strain) -> str:
    if WORKS[0] < done.ratio < WORKS[1]:
        return ""
    own = read_in(frames.units, "stress")
    where = f"between frames {frames.numbers[done.first]} and {frames.numbers[done.last]}"
    words = f"energies change by {done.ratio:.3g} times the work of the stress {where}"
    size, minus = abs(done.ratio), done.ratio < 0
    if minus and WORKS[0] < size < WORKS[1]:
        return f"{words}: it has the opposite sign, for a stress is minus a pressure; turn it round in the file"
    choice = nearest_of((*STRESSES, "eV/A^3"), size, "stress", frames.units, NEAR)
    too = " and has the opposite sign, which is to be turned round in the file" if minus else ""
    virial = abs(np.log(size * done.volume)) < np.log(NEAR)
    if virial and (choice is None or abs(np.log(size * done.volume)) < np.log(AS_NEAR)):
        turned = "call it virial in the file" if minus else "divide it by the volume in the file"
        return f"{words}: it seems to be {'minus ' if minus else ''}the stress times the volume of the cell; {turned}"
    if choice is None:
        return f"{words}: it is not in {own}, or the energies are in another unit{too}"
    return f"{words}: it seems to be in {choice.units[0]} (--unit stress={choice.units[0]}){choice.also}{too}"


def _strained(frames: Frames, kept: np.ndarray) -> _Strain | None:
    """None where few structures have the same atoms in strained cells, or energies don't follow from the work."""
    if frames.energy is None or frames.cell is None or frames.stress is None:
        return None
    kept = kept & np.isfinite(frames.energy) & ~in_boxes(frames)[1]
    group = same_atoms(frames, kept)
    if len(group) < 4:
        return None
    rows = frames.starts[group][:, None] + np.arange(frames.counts[group[0]])
    cell, volume = frames.cell[group], volumes(frames)[group]
    if not (volume > 1e-6).all():
        return None
    i, j = np.triu_indices(len(group), 1)
    gradient = np.linalg.inv(cell[j]) @ cell[i] - np.eye(3)
    strain = (gradient + gradient.transpose(0, 2, 1)) / 2
    size = np.abs(strain).max((1, 2))
    apart = frames.pos[rows]
    fractions = np.einsum("kni,kij->knj", apart, np.linalg.inv(cell))
    step = fractions[i] - fractions[j]
    step = np.einsum("kni,kij->knj", step - np.round(step), (cell[i] + cell[j]) / 2)
    moved = np.sqrt(np.square(step).sum(2).mean(1))
    reach = SHORT if frames.forces is not None else 0.01
    near = (STRAIN[0] < size) & (size < STRAIN[1]) & (moved < reach)
    near &= np.abs(gradient - strain).max((1, 2)) < TURNED
    i, j, strain, step = i[near], j[near], strain[near], step[near]
    if len(i) < FEWEST:
        return None
    stress = frames.stress[group]
    done = (volume[i] + volume[j]) / 2 * np.einsum("kab,kab->k", (stress[i] + stress[j]) / 2, strain)
    forces = np.nan_to_num(frames.forces[rows]) if frames.forces is not None else np.zeros_like(apart)
    other = -0.5 * ((forces[i] + forces[j]) * step).sum((1, 2))
    change = frames.energy[group[i]] - frames.energy[group[j]]
    ratio = _ratio(done, other, change)
    return None if ratio is None else _Strain(ratio, int(group[0]), int(group[-1]), float(np.median(volume)))


def _ratio(done: np.ndarray, other: np.ndarray, change: np.ndarray) -> float | None:
    """The factor b of the least squares change = a other + b done, if done explains what other leaves."""
    left, rest = (each - other * (each @ other) / max(float(other @ other), 1e-30) for each in (change, done))
    if not (left @ left > 0 and rest @ rest > 1e-6 * (done @ done) > 0):
        return None
    explained = (left @ rest) ** 2 / ((left @ left) * (rest @ rest))
    return float(left @ rest) / float(rest @ rest) if explained > EXPLAINED else None
