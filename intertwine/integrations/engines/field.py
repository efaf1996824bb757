"""What every engine asks of a force field: the calculator, and energy, forces and virial of a structure."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import torch
from ase import Atoms
from ase.calculators.calculator import BaseCalculator
from jaxtyping import Float

from intertwine.geometry import from_voigt
from intertwine.integrations.calculator import Calculator

MARGIN = 1.0  # A, beyond what a cutoff needs


def calculator_of(
    field: Any, *, dtype: torch.dtype | None = None, device: str | None = "auto", allow: Collection[str] = ()
) -> BaseCalculator:
    """The ASE calculator of a field: itself, if it is one already, else :class:`~intertwine.integrations.Calculator`
    of it, whose arguments these are.

    Args:
        field: a run folder, a run, a force field, or a calculator of ASE.
        dtype: precision; None keeps the model's. A calculator keeps its own.
        device: where to compute.
        allow: modules outside the package whose classes a run may name.
    """
    return field if isinstance(field, BaseCalculator) else Calculator(field, dtype=dtype, device=device, allow=allow)


def evaluated(atoms: Atoms) -> tuple[float, Float[np.ndarray, "atoms 3"], Float[np.ndarray, "3 3"]]:
    r"""Energy E (eV), forces F (eV/A) and virial (eV) of a structure that has a calculator.

    .. math::
        W_{ab} = -\frac{\partial E}{\partial\varepsilon_{ab}} = -V \sigma_{ab}

    with the strain :math:`\varepsilon` and ASE's stress :math:`\sigma`. Without a period it is
    :math:`\sum_i x_{ia} F_{ib}`, of which the order of a and b does not matter where turning the structure leaves the
    energy alone. Our calculator has no stress of a structure with one period: there the open directions get a period
    that no pair within the cutoff reaches across, which changes neither energy nor forces.

    Args:
        atoms: the structure, in A. Its ``calc`` gives energy and forces, and the stress of what repeats.
    """
    periods = int(atoms.pbc.sum())
    if periods == 1 and isinstance(atoms.calc, Calculator) and atoms.calc.task.cutoff is not None:
        atoms = _roomy(atoms, float(atoms.calc.task.cutoff))
    if isinstance(atoms.calc, Calculator):  # once, without a comparison with the last structure for each result
        atoms.calc.calculate(atoms, ["energy", "forces", "stress"])
        results = atoms.calc.results
        if periods == 0 or "stress" in results:
            return results["energy"], results["forces"], _virial(atoms, results["forces"], results.get("stress"))
    energy, forces = float(atoms.get_potential_energy()), atoms.get_forces()
    return energy, forces, _virial(atoms, forces, atoms.get_stress() if periods else None)


def _virial(
    atoms: Atoms, forces: Float[np.ndarray, "atoms 3"], stress: Float[np.ndarray, "6"] | None
) -> Float[np.ndarray, "3 3"]:
    """In eV, from the stress in ASE's six numbers (eV/A^3) if anything repeats."""
    if not atoms.pbc.any() or stress is None:
        moment = atoms.positions.T @ forces
        return 0.5 * (moment + moment.T)
    return -atoms.get_volume() * from_voigt(stress)


def _roomy(atoms: Atoms, cutoff: float) -> Atoms:
    """A chain with periods across it that are too long for the cutoff to reach over."""
    along = int(np.flatnonzero(atoms.pbc)[0])
    axis = atoms.cell[along] / np.linalg.norm(atoms.cell[along])
    _, _, frame = np.linalg.svd(axis[None])
    extents = np.ptp(atoms.positions @ frame[1:].T, axis=0)
    cell = np.zeros((3, 3))
    cell[along] = atoms.cell[along]
    across = [k for k in range(3) if k != along]
    for k, direction, extent in zip(across, frame[1:], extents, strict=True):
        cell[k] = direction * (extent + cutoff + MARGIN)
    chain = Atoms(atoms, cell=cell, pbc=True)
    chain.calc = atoms.calc
    return chain
