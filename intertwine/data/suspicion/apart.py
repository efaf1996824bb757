"""Structures whose labels stand apart from the predictions of a model that the labels of the others follow."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from intertwine.data.suspicion.misread import CLEARER, FEWEST, TIMES_ATOMS, Labelled, Reading, forms, in_short, reading

FAR = 8.0  # usual deviations from the others, from which on a label stands apart
BEYOND = 3.0  # and of an energy, so many errors of the baseline
#: Of errors in units of a model's usual one: up to which a label is sound, and beyond which another reading is tried.
SOUND, TRIED = 4.0, 3.0
LEAST_SOUND = 0.2  # share of sound labels, from which on they are what others are measured by
NEAR_MOST = 0.25  # of the error of a baseline, up to which the others are said to follow the predictions of a number
LEAST_OTHERS = 4  # structures beside those that stand apart
FOLLOW = 0.5  # share of the others that are nearer to the predictions than to the other reading of them, at least
NOISE = 0.05  # size over the usual one, below which nothing is told from a vector
CONSTANT = 0.1  # relative deviation of differences, up to which they are a constant
STEP_EV = 1e-3  # eV/atom, below which they are too
ITS_OWN = 3.0  # errors of the model, from which on a constant is not its
NEARLY_ALL = 0.9  # share of the structures that a constant is nearer to than to none
LEFT = 0.4  # share of the mean absolute error that a constant leaves at most


class Apart(NamedTuple):
    """Structures (numbers, ascending) whose label stands apart, and how, in a few words: "23.1 times the predictions,
    as if in kcal/mol"; ``unit``: that which it seems to be in, empty where it is none.
    """

    structures: tuple[int, ...] = ()
    words: str = ""
    unit: str = ""


class _Rows(NamedTuple):
    """Labels by structure: ``numbers`` of those that have some; ``place``: of each row among them; ``known``: rows."""

    numbers: np.ndarray
    place: np.ndarray
    known: Labelled

    def sums(self, values: np.ndarray) -> np.ndarray:
        """Sum over the rows of each structure."""
        return np.bincount(self.place, values, minlength=len(self.numbers))

    def of(self, kept: np.ndarray) -> Labelled:
        return self.known.of(kept[self.place])


def apart(
    data: Labelled,
    unit: str,
    *,
    extensive: bool = False,
    per_atom: bool = False,
    vector: bool = False,
    energies: str = "",
    usual: float | None = None,
    spread: float | None = None,
) -> Apart:
    r"""The structures whose labels are far from the predictions where those of the others are near.

    A structure stands apart if another unit, sign, order or size of its label leaves :data:`CLEARER` of the squared
    error, at least three structures have the same, and these do together
    (:func:`~intertwine.data.suspicion.misread.misread`); or if its error is far from those of the others: of a number
    (per atom, if ``per_atom``) :data:`FAR` robust deviations from their median and :data:`BEYOND` times ``spread``, of
    a vector or tensor, whose root mean square error is taken over that of the prediction, :data:`FAR` times the median,
    and more than 1. The others are those with an error that is usual for the model, where it is known and there are
    some, or all; those that stand apart may then be the most.

    Args:
        data: predictions and labels, with ``owner``.
        unit, extensive, vector, energies: as for :func:`~intertwine.data.suspicion.misread.misread`.
        per_atom: errors of it are divided by the number of atoms.
        usual: root mean square error of the model on what it was made for, in the unit of the label (per atom, if
            ``per_atom``).
        spread: mean absolute error of a baseline, likewise; without it no number is told to be far.
    """
    known = data.known()
    assert known.owner is not None
    numbers, place = np.unique(known.owner, return_inverse=True)
    rows = _Rows(numbers, place.reshape(-1), known)
    if len(numbers) <= LEAST_OTHERS:
        return Apart()
    best = _otherwise(rows, unit, extensive, per_atom, vector)
    if not best.any() and reading(known, unit, extensive=extensive, vector=vector)[0] is not None:
        return Apart()  # all of them are of another unit or sign: nothing stands apart
    far = _far(rows, ~best, per_atom, vector, usual, spread)
    both = best | far
    if not both.any() or (~both).sum() < min(LEAST_OTHERS, len(numbers) - 1):
        return Apart()
    numbered = tuple(numbers[both].tolist())
    explained, units = (
        reading(rows.of(best), unit, extensive=extensive, vector=vector, energies=energies)
        if best.any()
        else (None, [])
    )
    if not vector and (words := _constant(rows, both, per_atom, unit, explained)):
        return Apart(numbered, words)
    parts, named = [], ""
    if explained is not None:
        parts.append(in_short(explained, units) + (" in most of them" if 0 < far.sum() < best.sum() else ""))
        named = units[0]
    if far.sum() >= max(best.sum(), 1):
        parts.append("far from the predictions" if vector else _how_far(rows, far, ~both, per_atom, unit))
    return Apart(numbered, ", or ".join(parts), named)


def _otherwise(rows: _Rows, unit: str, extensive: bool, per_atom: bool, vector: bool) -> np.ndarray:
    """Which structures another reading explains, the same of all of them (structures,); none where there is none."""
    known = rows.known
    own = rows.sums(np.square(known.truth - known.predicted).sum(1))
    size, said = (rows.sums(np.square(values).sum(1)) for values in (known.truth, known.predicted))
    error = _error(rows, own, size, said, per_atom, vector)
    choices: list[tuple[float, int, np.ndarray]] = []
    for form in forms(known, unit, extensive):
        if form.words == TIMES_ATOMS:  # which few files have, and an added constant looks like
            continue
        for name, factor in form.factors.items():
            for signed in (factor, -factor):
                if not form.words and not name and signed > 0:
                    continue  # the predictions themselves
                other = rows.sums(np.square(known.truth - signed * form.values).sum(1))
                better = (other < CLEARER * own) & (size > 0)
                if min(better.sum(), (~better).sum()) < FEWEST:
                    continue
                better &= error > TRIED * np.median(error[~better])
                follow = (own < CLEARER * other) & ~better  # the predictions, as the others must
                if better.sum() >= FEWEST and follow.sum() >= max(FEWEST, FOLLOW * (~better).sum()):
                    choices.append((float(np.where(better, other, own).sum()), len(choices), better))
    for _, _, better in sorted(choices, key=lambda choice: choice[:2]):
        if reading(rows.of(better), unit, extensive=extensive, vector=vector)[0] is not None:
            return better
    return np.zeros(len(rows.numbers), dtype=bool)


def _error(
    rows: _Rows, own: np.ndarray, size: np.ndarray, said: np.ndarray, per_atom: bool, vector: bool
) -> np.ndarray:
    r"""Of each structure: of a number the error (per atom), of vectors :math:`|l - p| / \sqrt{|l||p|}`, which is 0
    where they are too small to tell.
    """
    if not vector:
        return np.abs(_residuals(rows, per_atom))
    both = np.sqrt(size * said)
    tells = np.sqrt(np.maximum(size, said)) > NOISE * np.sqrt(np.median(said))
    return np.where(tells & (both > 0), np.sqrt(own / np.where(both > 0, both, 1.0)), 0.0)


def _residuals(rows: _Rows, per_atom: bool) -> np.ndarray:
    """Label less prediction of each structure, a number, per atom if ``per_atom``."""
    values = rows.known.truth[:, 0] - rows.known.predicted[:, 0]
    return rows.sums(values / (rows.known.atoms if per_atom else 1.0)) / np.maximum(rows.sums(np.ones(len(values))), 1)


def _far(
    rows: _Rows, others: np.ndarray, per_atom: bool, vector: bool, usual: float | None, spread: float | None
) -> np.ndarray:
    """Which of the others have an error that is far from what theirs are (structures,)."""
    none = np.zeros(len(others), dtype=bool)
    if others.sum() < LEAST_OTHERS:
        return none
    known = rows.known
    if vector:
        count = np.maximum(rows.sums(np.full(len(known.truth), float(known.truth.shape[1]))), 1)
        error = np.sqrt(rows.sums(np.square(known.truth - known.predicted).sum(1)) / count)
        said = np.sqrt(rows.sums(np.square(known.predicted).sum(1)) / count)
        share = error / np.maximum(said, max(float(np.median(said)), 1e-30))  # of what is predicted
        sound = _sound(error, others, usual)
        return np.asarray(others & (share > FAR * np.median(share[sound])) & (share > 1))
    if spread is None:
        return none
    error = _residuals(rows, per_atom)
    sound = _sound(np.abs(error), others, usual)
    middle = float(np.median(error[sound]))
    usual_here = 1.4826 * float(np.median(np.abs(error[sound] - middle)))
    far = np.asarray(others & (np.abs(error - middle) > max(FAR * usual_here, BEYOND * spread)))
    follow = sound & ~far
    if not follow.any() or np.abs(error[follow] - middle).mean() > NEAR_MOST * spread:
        return none  # errors of a model that has hardly learnt have such a tail by themselves
    return far


def _sound(error: np.ndarray, others: np.ndarray, usual: float | None) -> np.ndarray:
    """Those by which the others are measured."""
    if usual is not None:
        sound = others & (error <= SOUND * usual)
        if sound.sum() >= max(FEWEST, LEAST_SOUND * others.sum()):
            return sound
    return others


def _constant(rows: _Rows, those: np.ndarray, per_atom: bool, unit: str, rival: Reading | None) -> str:
    """What is said of numbers that are off the predictions by a constant; empty where they are not, or where another
    unit explains them better.
    """
    error = _residuals(rows, per_atom)
    off = error[those] - float(np.median(error[~those]))
    middle, others = float(np.median(off)), np.abs(error[~those] - np.median(error[~those]))
    within = max(CONSTANT * abs(middle), min(3 * float(others.max()), abs(middle) / 3))
    if len(off) < 2 or np.abs(off - middle).max() > within:
        return ""
    if rival is not None and not rival.form:
        scaled = rows.known._replace(predicted=rival.factor * rows.known.predicted)
        rest = np.abs(_residuals(rows._replace(known=scaled), per_atom))[those]
        if rest.mean() < np.abs(off - middle).mean():
            return ""
    return f"by about {middle:+.3g}{_each(unit, per_atom)} off the predictions in each, a constant"


def _how_far(rows: _Rows, far: np.ndarray, others: np.ndarray, per_atom: bool, unit: str) -> str:
    """In words how far numbers are off that no unit explains."""
    error = _residuals(rows, per_atom)
    off = error[far] - float(np.median(error[others]))
    largest = float(off[np.abs(off).argmax()])
    return f"{'up to ' if len(off) > 1 else ''}{largest:+.3g}{_each(unit, per_atom)} off the predictions"


def _each(unit: str, per_atom: bool) -> str:
    return f" {unit}{'/atom' if per_atom else ''}" if unit else ""


class Constant(NamedTuple):
    """What all labels are off by: ``words``, empty where it is no constant; ``left``: mean absolute error without it,
    in the unit of the label, per atom.
    """

    words: str = ""
    left: float = 0.0


def constant(
    data: Labelled, compositions: np.ndarray, symbols: list[str], usual: float | None, unit: str = "eV"
) -> Constant:
    r"""What an energy is off by in all structures, :math:`l - p \approx c N`, :math:`c` or :math:`\sum_z n_z c_z`, if
    that leaves :data:`LEFT` of the mean absolute error or less, and is more than a model's own error.

    Args:
        data: predictions and labels, a row for each structure.
        compositions: atoms of each species in each structure (structures, species).
        symbols: of the species.
        usual: root mean square error per atom of the model on what it was made for; None tells nothing.
        unit: of the energies.
    """
    kept = np.isfinite(data.truth[:, 0]) & np.isfinite(data.predicted[:, 0])
    off, atoms, counts = (data.truth - data.predicted)[kept, 0], data.atoms[kept], compositions[kept]
    if usual is None or len(off) < FEWEST:
        return Constant()
    before = float(np.abs(off / atoms).mean())
    each, whole = float(np.median(off / atoms)), float(np.median(off))
    choices = [(each * atoms, f"by {each:+.4g} {unit}/atom"), (whole + 0 * off, f"by {whole:+.4g} {unit}/structure")]
    choices = choices if np.ptp(atoms) > 0 else choices[:1]
    rank = np.linalg.matrix_rank(counts)
    if rank > 1 and rank == counts.shape[1] and len(off) >= 3 * rank:
        energies = _least_deviations(counts / atoms[:, None], off / atoms)
        named = ", ".join(
            f"{energy:+.4g} {unit} for {symbol}" for symbol, energy in zip(symbols, energies, strict=True)
        )
        choices.append((counts @ energies, f"by {named}"))
    for shift, words in choices:
        rest = np.abs(off - shift)
        left, most = float((rest / atoms).mean()), np.mean(rest < np.abs(shift) / 2) >= NEARLY_ALL
        if left <= LEFT * before and most and np.abs(shift / atoms).mean() > max(ITS_OWN * usual, STEP_EV):
            return Constant(words, left)
    return Constant()


def _least_deviations(matrix: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Coefficients of least absolute deviations, by iterated least squares."""
    weight = np.ones(len(target))
    for _ in range(20):
        solution = np.linalg.lstsq(matrix * weight[:, None], target * weight, rcond=None)[0]
        off = np.abs(target - matrix @ solution)
        weight = 1 / np.sqrt(np.maximum(off, max(1e-6, 0.1 * float(np.median(off)))))
    return np.asarray(solution)
