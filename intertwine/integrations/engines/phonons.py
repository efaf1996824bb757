"""Phonons of a crystal under a trained force field, as phonopy's object: dispersion, density of states, heat."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import torch
from ase import Atoms
from ase.calculators.calculator import BaseCalculator
from jaxtyping import Float

from intertwine.integrations.calculator import Calculator
from intertwine.integrations.engines.field import calculator_of
from intertwine.integrations.molecular_vibrations import LARGEST_FORCE, second_derivatives
from intertwine.numerics import GeometryError, InputError, choose

METHODS = ("derivatives", "displacements")
STEP = 0.01  # A


def phonons(
    field: Any,
    atoms: Atoms,
    supercell: Sequence[Any] = (2, 2, 2),
    *,
    method: str | None = None,
    distance: float = STEP,
    primitive: Any = "auto",
    largest_force: float = LARGEST_FORCE,
    device: str | None = "auto",
    allow: Collection[str] = (),
) -> Any:
    r"""A ``phonopy.Phonopy`` of a crystal at rest, with its force constants.

    .. math::
        D_{ab}(q) = (m_a m_b)^{-1/2} \sum_R \Phi(0a, Rb)\, e^{i q R}, \qquad D(q) e = \omega^2 e, \qquad
        \Phi_{ij} = \frac{\partial^2 E}{\partial x_i \partial x_j}

    What follows from them is phonopy's: ``run_band_structure``, ``run_mesh``, ``run_total_dos``,
    ``run_thermal_properties``. Frequencies are in THz, negative where imaginary.

    Args:
        field: a run folder, a run, a force field, or any calculator of ASE.
        atoms: the unit cell (A), where forces vanish and, for the volume of rest, the stress too.
        supercell: how often the cell is repeated along each lattice vector, or a matrix of integers. The force on an
            atom should not depend on another one that is further away than half of it.
        method: "derivatives": the field is differentiated twice, in float64. "displacements": central differences of
            its forces, in its own precision. Default: the first for our fields, the second for other calculators.
        distance: of the displacements (A).
        primitive: phonopy's primitive matrix: "auto", "P", "F", "I", ..., or a matrix.
        largest_force: on an atom (eV/A), above which the crystal is not at rest.
        device: where to compute.
        allow: modules outside the package whose classes a run may name.

    Raises:
        InputError: phonopy is not installed, or derivatives of a calculator that has none are wanted.
        GeometryError: the structure does not repeat along three lattice vectors, or forces are left.
        DataError: an element that was not trained on, or an input that is missing.

    >>> crystal = phonons("runs/mine", silicon, (3, 3, 3))  # doctest: +SKIP
    >>> crystal.run_mesh([20, 20, 20])  # doctest: +SKIP
    >>> crystal.run_thermal_properties(temperatures=[300]).heat_capacity  # J/K/mol  # doctest: +SKIP
    """
    if not atoms.pbc.all():
        what, remedy = "it does not repeat along three lattice vectors", "integrations.vibrations is for molecules."
        raise GeometryError(what, where="structure", remedy=remedy)
    exact = isinstance(field, Calculator) or not isinstance(field, BaseCalculator)
    method = choose(method or METHODS[not exact], METHODS, kind="method", where="method")
    if method == "derivatives" and not exact:
        what, remedy = f"{type(field).__name__} has no second derivatives", 'give method="displacements".'
        raise InputError(what, where="method", remedy=remedy)
    if not 0 < distance < float("inf"):
        raise InputError(f"a distance of {distance} A", where="distance", remedy="give 0.01 A or so.")
    calculator = calculator_of(field, dtype=torch.float64, device=device, allow=allow)
    crystal = _phonopy(atoms, supercell, primitive)
    whole = _supercell(crystal, atoms)
    if method == "derivatives":
        rows = crystal.primitive.p2s_map
        forces, hessian = second_derivatives(calculator, whole, rows=rows.tolist(), allow=allow)
        _check_rest(forces, largest_force)
        crystal.force_constants = hessian.reshape(len(rows), 3, len(whole), 3).transpose(0, 2, 1, 3).copy()
        return crystal
    _check_rest(_forces(whole, calculator), largest_force)
    crystal.generate_displacements(distance=distance, is_plusminus=True)
    moved = [_supercell(crystal, atoms, cell) for cell in crystal.supercells_with_displacements]
    crystal.forces = np.array([_forces(each, calculator) for each in moved])
    crystal.produce_force_constants()
    return crystal


def _phonopy(atoms: Atoms, supercell: Any, primitive: Any) -> Any:
    try:
        from phonopy import Phonopy
        from phonopy.structure.atoms import PhonopyAtoms
    except ImportError as error:
        raise InputError(f"phonopy is missing: {error}", where="phonopy", remedy="pip install phonopy.") from error
    repeats = np.array(supercell)
    matrix = np.diag(repeats) if repeats.shape == (3,) else repeats
    if matrix.shape != (3, 3) or matrix.dtype.kind not in "iu" or round(np.linalg.det(matrix)) < 1:
        remedy = "give three whole numbers, (2, 2, 2), or a matrix of them with a positive determinant."
        raise InputError(f"{supercell} repeats no cell", where="supercell", remedy=remedy)
    cell = PhonopyAtoms(
        symbols=atoms.get_chemical_symbols(),
        cell=atoms.cell.array,
        scaled_positions=atoms.get_scaled_positions(),
        masses=atoms.get_masses(),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that "auto" found a cell other than the one given is what it is for
        return Phonopy(cell, matrix, primitive_matrix=primitive, log_level=0)


def _supercell(crystal: Any, atoms: Atoms, cell: Any = None) -> Atoms:
    """Phonopy's supercell (or one with a displacement) with all that the structure says of its atoms."""
    whole = crystal.supercell
    unit = [whole.u2u_map[k] for k in whole.s2u_map]
    other = whole if cell is None else cell
    result = atoms[unit]
    result.set_constraint()
    result.set_cell(other.cell)
    result.positions = other.positions
    return result


def _forces(atoms: Atoms, calculator: BaseCalculator) -> Float[np.ndarray, "atoms 3"]:
    atoms.calc = calculator
    return atoms.get_forces()


def _check_rest(forces: Float[np.ndarray, "atoms 3"], most: float) -> None:
    largest = float(np.linalg.norm(forces, axis=1).max())
    if not largest <= most:
        what = f"forces of up to {largest:.3g} eV/A are left: frequencies are those of a place of rest"
        raise GeometryError(what, where="structure", remedy="relax it first: relax(atoms, fmax=1e-4, cell=True).")
