"""What a step of a frozen force field gives."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


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
