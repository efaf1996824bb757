"""Labels beside predictions of the same structures: whether another unit, sign, order or size explains the errors."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from intertwine.data.units import factor

ENERGIES = ("kcal/mol", "kJ/mol", "Hartree", "Ry", "meV", "cm^-1")
#: Units that labels are taken to be in, by the unit that they should have.
UNITS: dict[str, tuple[str, tuple[str, ...]]] = {
    "eV": ("energy", ENERGIES),
    "eV/A": (
        "forces",
        ("Hartree/Bohr", "Ry/Bohr", "Hartree/A", "Ry/A", "kcal/mol/A", "kJ/mol/A", "kJ/mol/nm", "meV/A", "eV/nm",
         "eV/Bohr", "kcal/mol/Bohr"),
    ),
    "eV/A^3": (
        "stress",
        ("GPa", "kbar", "bar", "MPa", "Hartree/Bohr^3", "Ry/Bohr^3", "kcal/mol/A^3", "kJ/mol/A^3", "eV/Bohr^3",
         "meV/A^3"),
    ),
    "e*A": ("dipole", ("Debye", "e*Bohr")),
}  # fmt: skip
#: Orders of six numbers, and which of xx, yy, zz, yz, xz, xy stands at each place.
ORDERS = {
    "xx yy zz xy yz zx, which is VASP's": [0, 1, 2, 5, 3, 4],
    "xx yy zz xz xy yz": [0, 1, 2, 4, 5, 3],
    "xx yy zz xy xz yz": [0, 1, 2, 5, 4, 3],
    "xx xy xz yy yz zz": [0, 5, 4, 1, 3, 2],
}
NEAR = 1.12  # factor around that of a unit, of labels that follow the predictions exactly
SIGN_ALONE = 3.0  # that around 1, within which opposite labels are taken to be of the same unit
PARALLEL, OPPOSITE = 0.8, -0.5  # correlation about zero from which on labels follow predictions, or are against them
EXACTLY_OPPOSITE = -0.95  # the same of numbers, whose correlation about zero their mean decides
CLEARER = 0.3  # share of the squared error that an explanation leaves at most
PLAINER = 2.0  # by which squared errors of another order or size count more than those of a factor alone
BESIDE = 0.1  # difference of the logarithms of two factors, up to which both units are named
FEWEST = 3  # structures
TIMES_ATOMS = "times the number of atoms"
ORDER = "another order than xx yy zz yz xz xy"


class Labelled(NamedTuple):
    """Predictions and labels of a target.

    ``predicted``, ``truth``: (rows, components), a stress in six numbers; ``atoms``: of the structure of each row
    (rows,); ``volume``: of its cell, A^3 (rows,), NaN where there is none; ``structures``: how many there are;
    ``owner``: the structure of each row, from 0 (rows,), None where each has a single row.
    """

    predicted: np.ndarray
    truth: np.ndarray
    atoms: np.ndarray
    volume: np.ndarray
    structures: int
    owner: np.ndarray | None = None

    def of(self, kept: np.ndarray) -> Labelled:
        """The rows that are ``kept`` (rows,), of structures by the same numbers."""
        owner = np.arange(len(self.truth)) if self.owner is None else self.owner
        structures = len(np.unique(owner[kept]))
        rows = self.predicted[kept], self.truth[kept], self.atoms[kept], self.volume[kept]
        return Labelled(*rows, structures, owner[kept])

    def known(self) -> Labelled:
        """The rows that have both."""
        return self.of(np.isfinite(self.predicted).all(1) & np.isfinite(self.truth).all(1))


class Form(NamedTuple):
    """What labels may be of the predictions, but for a factor: ``words``, empty of the predictions themselves; their
    values; and the factors by unit, "" of 1.
    """

    words: str
    values: np.ndarray
    factors: dict[str, float]


class Reading(NamedTuple):
    """``cost``: the squared error that it leaves over the square of the labels; ``form``, ``unit``, ``slope`` and
    ``factor``, with its sign.
    """

    cost: float
    form: str
    unit: str
    slope: float
    factor: float


def misread(
    data: Labelled, unit: str, *, extensive: bool = False, vector: bool = False, energies: str = ""
) -> tuple[str, str]:
    r"""What explains that labels l are not the predictions p: :math:`l \approx \pm f\, S p` with a form S (another
    order of the six numbers of a stress, times the volume, divided by the number of atoms) and the factor f of a unit.

    The slope :math:`\langle Sp, l\rangle / \langle Sp, Sp\rangle` must be near :math:`\pm f`, and the correlation about
    zero, :math:`\langle Sp, l\rangle / |Sp||l|`, high. Of all that are, the one with the smallest squared error is
    taken, if it leaves :data:`CLEARER` of what the predictions themselves leave, or less.

    Args:
        data: predictions and labels.
        unit: that the labels should have, such as "eV/A"; of others than :data:`UNITS` only the sign is looked at.
        extensive: the quantity is proportional to the number of atoms.
        vector: it is a vector or a tensor.
        energies: the unit that energies of the same data are in instead of eV, where it is known; of two units that
            are equally near, the one that goes with it is meant.

    Returns:
        What the labels are, and what to do, without a full stop, and the unit; both empty if nothing explains them.
    """
    best, units = reading(data, unit, extensive=extensive, vector=vector, energies=energies)
    return ("", "") if best is None else (_sentence(best, list(dict.fromkeys(units)), unit), units[0])


def reading(
    data: Labelled, unit: str, *, extensive: bool = False, vector: bool = False, energies: str = ""
) -> tuple[Reading | None, list[str]]:
    """What explains best that labels are not the predictions, as :func:`misread` says it, and the names of the units
    that it may be: the first is "" where it is that of the predictions; None if nothing explains them.
    """
    data = data.known()
    square = float(np.square(data.truth).sum())
    if data.structures < FEWEST or not square > 0:
        return None, []
    own = float(np.square(data.truth - data.predicted).sum()) / square
    lowest = OPPOSITE if vector else EXACTLY_OPPOSITE
    readings = [each for form in forms(data, unit, extensive) for each in _readings(form, data.truth, lowest)]
    best = min(readings, default=None)
    if best is None or best.cost > CLEARER * own:
        return None, []
    others = [
        each.unit
        for each in sorted(readings)[1:]
        if each.form == best.form and each.factor * best.factor > 0 and each.unit and best.unit
        and abs(np.log(each.factor / best.factor)) < BESIDE
    ]  # fmt: skip
    units = [name.removeprefix("1/") for name in (best.unit, *others)]
    units = [name for name in units if energies and name.startswith(f"{energies}/")] or units[:2]
    return best, units


def _readings(form: Form, truth: np.ndarray, lowest: float) -> Iterator[Reading]:
    """The factors by which labels may follow a form, with the squared error of each."""
    pp, tt, pt = (float((a * b).sum()) for a, b in ((form.values,) * 2, (truth,) * 2, (form.values, truth)))
    if not pp > 0:
        return
    slope, c = pt / pp, pt / np.sqrt(pp * tt)
    if lowest < c < PARALLEL:
        return
    for name, size in form.factors.items():
        if c > 0 and not name and not form.words:
            continue  # the predictions themselves
        if name and abs(c) < PARALLEL:
            continue  # which would tell no size
        within = np.log(SIGN_ALONE) if c < 0 and not name else np.log(NEAR) + 1 - abs(c)
        if abs(np.log(abs(slope) / size)) < within:
            share = size / abs(slope)
            cost = 1 - c * c * share * (2 - share)
            yield Reading(cost * (PLAINER if form.words else 1.0), form.words, name, slope, np.copysign(size, slope))


def forms(data: Labelled, unit: str, extensive: bool) -> Iterator[Form]:
    """What labels may be of predictions, with the units of each; arguments as those of :func:`misread`."""
    quantity, names = UNITS.get(unit, ("", ()))
    units = {"": 1.0} | {name: 1 / factor(name, quantity) for name in names}
    yield Form("", data.predicted, units | {f"1/{name}": factor(name, quantity) for name in names})
    if extensive and (data.atoms > 1).any():
        atoms = data.atoms[:, None]
        yield Form("divided by the number of atoms", data.predicted / atoms, units)
        yield Form(TIMES_ATOMS, data.predicted * atoms, {"": 1.0})
    if quantity == "stress" and data.truth.shape[1] == 6:
        for words, order in ORDERS.items():
            yield Form(f"in the order {words}", data.predicted[:, order], units)
        if np.isfinite(data.volume).all():
            volume = data.volume[:, None]
            energies = {"": 1.0} | {name: 1 / factor(name, "energy") for name in UNITS["eV"][1]}
            yield Form("times the volume of the cell", data.predicted * volume, energies)
            yield Form("divided by the volume of the cell", data.predicted / volume, {"": 1.0})


def in_short(best: Reading, units: list[str]) -> str:
    """A reading in a few words: "23.1 times the predictions, as if in kcal/mol"."""
    names = " or ".join(dict.fromkeys(filter(None, units)))
    sign = "with the opposite sign" if best.factor < 0 else ""
    if best.form:
        return " ".join(filter(None, ("about the predictions", best.form, f"and in {names}" if names else "", sign)))
    as_if = " ".join(filter(None, (f"in {names}" if names else "", sign)))
    return f"{best.slope:.3g} times the predictions, as if {as_if}"


def _sentence(best: Reading, units: list[str], unit: str) -> str:
    names = " or ".join(filter(None, units))
    sign = "with the opposite sign" if best.factor < 0 else ""
    if not best.form and not names:
        minus = {"eV/A": " (forces are minus the gradient)", "eV/A^3": " (a stress is minus a pressure)"}.get(unit, "")
        return (
            f"the labels are {best.slope:.3g} times the predictions: one of the two has the opposite sign{minus}; "
            "turn it round in one of them"
        )
    if not best.form:
        words = f"in {names} {sign}".strip()
        return (
            f"the labels are {best.slope:.3g} times the predictions: one of the two seems to be {words}, the other in "
            f"{unit}; convert one of them, for a model knows one unit"
        )
    scaled = f" and in {names}" if names else ""
    words = f"{best.form}{scaled}{f' {sign}' if sign else ''}"
    remedy = f"in {ORDER}" if best.form.startswith("in the order") else f"{best.form}"
    return f"the labels are about the predictions {words}: one of the two seems to be {remedy}; convert one of them"
