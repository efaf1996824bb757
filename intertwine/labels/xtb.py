"""Labels by tblite: the extended tight binding methods of Grimme's group (Bannwarth et al. 2019)."""

from __future__ import annotations

from typing import Any

import numpy as np
from ase.units import Bohr, Hartree

from intertwine.labels.methods import XTB
from intertwine.labels.programs import program
from intertwine.labels.recipe import Recipe
from intertwine.labels.structure import NoLabelsError, Structure

ACCURACY_1 = 1e-6  # Eh, the threshold of the energy at tblite's accuracy 1
#: eV between the highest occupied and the lowest empty orbital, below which a closed shell is doubted. It is four times
#: kT of the 300 K that tblite smears occupations by: an orbital that should be empty has a quarter of an electron.
#: Of O2, S2, twisted ethylene and dissociated N2 it is below 0.04, of singlets (O3, C2, CH2) above 1.
SUSPECT_GAP = 0.1
OPEN_SHELL = (
    f"the highest occupied and the lowest empty orbital are less than {SUSPECT_GAP:g} eV apart, as where the ground "
    "state is a triplet (O2); labelled as a singlet (--spin 2 labels the triplet)"
)


def xtb_labels(structure: Structure, recipe: Recipe) -> tuple[dict[str, np.ndarray], str]:
    r"""The labels that a recipe wants of a structure, in the units of :data:`~intertwine.labels.recipe.UNITS`; and what
    speaks against them.

    These methods have no exchange between spins: the triplet of O2 is 0.07 eV above the singlet, by the entropy of the
    smeared occupations alone. So it is not asked for, as :func:`~intertwine.labels.scf.scf_labels` does; a gap that is
    closed is said.

    tblite's accuracy is the recipe's threshold of the energy over 1e-6 Eh, which tightens its other thresholds too. The
    polarizability is by central differences of the dipole as in :func:`~intertwine.labels.scf.scf_labels`.

    Raises:
        NoLabelsError: there are none, and why.
    """
    result = _computed(structure, recipe, None)
    labels: dict[str, np.ndarray] = {}
    if "energy" in recipe.want:
        labels["energy"] = np.array(float(result.get("energy")) * Hartree)
    if "forces" in recipe.want:
        labels["forces"] = -np.asarray(result.get("gradient")) * Hartree / Bohr
    if "dipole" in recipe.want:
        labels["dipole"] = np.asarray(result.get("dipole")) * Bohr
    if "polarizability" in recipe.want:
        step = recipe.field_step
        moments = [[_computed(structure, recipe, sign * step * e).get("dipole") for sign in (1, -1)] for e in np.eye(3)]
        alpha = np.stack([(np.asarray(plus) - np.asarray(minus)) / (2 * step) for plus, minus in moments], axis=1)
        labels["polarizability"] = (alpha + alpha.T) / 2 * Bohr**3
    return labels, OPEN_SHELL if not recipe.spin and _gap(result) < SUSPECT_GAP else ""


def _gap(result: Any) -> float:
    """Energy between the highest occupied and the lowest empty orbital of a closed shell (eV)."""
    energies = np.sort(np.asarray(result.get("orbital-energies")).reshape(-1))
    pairs = round(float(np.sum(result.get("orbital-occupations"))) / 2)
    return float(energies[pairs] - energies[pairs - 1]) * Hartree if 0 < pairs < len(energies) else np.inf


def _computed(structure: Structure, recipe: Recipe, field: np.ndarray | None) -> Any:
    """tblite's result, in an electric field (atomic units) or none."""
    interface = program("tblite.interface")
    errors = (program("tblite.exceptions").TBLiteRuntimeError, program("tblite.exceptions").TBLiteValueError)
    try:
        calculator = interface.Calculator(
            XTB[recipe.method], structure.numbers, structure.positions / Bohr, float(structure.charge), recipe.spin
        )
        for name, value in (
            ("verbosity", 0),
            ("accuracy", recipe.energy_threshold / ACCURACY_1),
            ("max-iter", recipe.cycles),
        ):
            calculator.set(name, value)
        if field is not None:
            calculator.add("electric-field", _pointer(field))
        return calculator.singlepoint()
    except errors as error:
        raise NoLabelsError(f"tblite: {' '.join(str(error).split())[:200]}") from error


def _pointer(field: np.ndarray) -> Any:
    """A field as tblite's C function takes it, to which its wrapper hands arrays through as they are (0.4 to 0.8)."""
    ffi = program("tblite.library").ffi
    return ffi.new("double[3]", field.tolist())
