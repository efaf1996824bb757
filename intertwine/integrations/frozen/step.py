"""What a step gives, and who computes it: the only door to the files here that compile, which need llvmlite."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from intertwine.kernels.shared import choice

if TYPE_CHECKING:
    from intertwine.integrations.frozen.stepper import Stepper


class Step(NamedTuple):
    """What a step gives, in float64 and in the order of the atoms.

    Attributes:
        energies: of the atoms (eV), beyond the references.
        forces: (atoms, 3), eV/A.
        virial: dE/d(strain) (3, 3), eV, symmetric.
    """

    energies: np.ndarray
    forces: np.ndarray
    virial: np.ndarray


def stepper_of(task: Any) -> Stepper | None:
    """The step of a task; None where it has no frozen form, or nothing compiles one."""
    if choice.asked() not in ("auto", "cpu") or not choice.compiles():
        return None
    from intertwine.integrations.frozen.stepper import Stepper, UnfitError

    try:
        return Stepper(task)
    except UnfitError:
        return None
