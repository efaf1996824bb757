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


def xtb_labels(structure: Structure, recipe: Recipe) -> dict[str, np.ndarray]:
    r"""The labels that a recipe wants of a structure, in the units of :data:`~intertwine.labels.recipe.UNITS`.

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
    return labels


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
