r"""A force field of any origin, averaged over rotations: an ASE calculator around an ASE calculator.

.. math::
    \bar E(x) = \sum_k w_k\, E(R_k^{-1} x), \qquad \bar F = \sum_k w_k\, R_k F(R_k^{-1} x), \qquad
    \bar\sigma = \sum_k w_k\, R_k\, \sigma(R_k^{-1} x)\, R_k^\top

Forces are minus the gradient of the averaged energy where the calculator's are minus the gradient of its own. With each
step comes how far single orientations are from the mean, and what a coarser quadrature would have given.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from ase import Atoms
from ase.calculators.calculator import Calculator as AseCalculator
from ase.calculators.calculator import all_changes

from intertwine.geometry import from_voigt, to_voigt
from intertwine.groups import Group, Orthogonal
from intertwine.groups.quadrature import rotation_grid
from intertwine.numerics import InputError
from intertwine.symmetrize import elements_of

PROPERTIES = ("energy", "free_energy", "forces", "stress")
RANK = {"energy": 0, "free_energy": 0, "forces": 1, "stress": 2}


class AveragedCalculator(AseCalculator):  # type: ignore[misc]
    r"""Energies (eV), forces (eV/A) and stress (eV/A^3) of a calculator, averaged over rotations of the structure.

    In ``results`` stand, beside each property, ``<name>_std``, the standard deviation over the orientations, and
    ``<name>_bias``, the mean less that of the coarser quadrature which a part of the same orientations makes (of odd
    orders; of order 3 one of order 1); of samples in its place ``<name>_error``, std / sqrt(samples).

    Args:
        calculator: any ASE calculator, which is called once for each element and step.
        order: of the quadrature over rotations, exact for energies of that band limit as functions of the orientation;
            3 are 32 rotations.
        samples: so many Haar-random rotations in place of it, drawn once: the averaged energy stays a function.
        group: SO(3); or O(3), with each rotation also as a reflection; or a finite group of rotations, of which all
            elements are taken.
        seed: of the samples.

    Raises:
        InputError: a group that does not turn space, an order below 0, no samples.
    """

    def __init__(
        self, calculator: Any, order: int = 3, *, samples: int | None = None, group: Group | None = None, seed: int = 0
    ) -> None:
        super().__init__()
        self.calculator, self.group = calculator, group or Orthogonal(3, special=True)
        if self.group.space != 3:
            raise InputError(f"{self.group} does not turn structures", where="group", remedy="use one of O(3).")
        finite = self.group.order is not None
        chosen = None if finite or samples is not None else order
        grid = elements_of(self.group, chosen, samples, finite and samples is None, seed)
        self.rotations = self.group.linear(grid.elements).to(torch.float64).numpy()
        self.weights, self.samples = grid.weights.numpy(), samples
        self.coarse = None if finite or samples else coarser(order, len(self.weights))
        has = set(getattr(calculator, "implemented_properties", PROPERTIES))
        self.implemented_properties = [name for name in PROPERTIES if name in has]

    def calculate(
        self, atoms: Atoms | None = None, properties: Any = ("energy",), system_changes: Any = all_changes
    ) -> None:
        super().calculate(atoms, properties, system_changes)
        assert self.atoms is not None  # ASE has just copied it
        asked = {*properties, "energy", "forces"}  # those two cost one call, and who asks for one asks for the other
        wanted = [name for name in self.implemented_properties if name in asked]
        values: dict[str, list[np.ndarray]] = {name: [] for name in wanted}
        for rotation in self.rotations:
            for name, value in self._turned(self.atoms, rotation, wanted).items():
                values[name].append(value)
        self.results = {}
        for name in wanted:
            self._summarize(name, np.stack(values[name]))

    def _turned(self, atoms: Atoms, rotation: np.ndarray, wanted: list[str]) -> dict[str, np.ndarray]:
        """What the calculator says of the structure turned by the inverse of a rotation, turned forth."""
        copy = turned_atoms(atoms, rotation.T)
        self.calculator.calculate(copy, wanted, all_changes)
        result = {}
        for name in wanted:
            value = np.array(self.calculator.results[name], dtype=np.float64)
            if RANK[name] == 1:
                value = value @ rotation.T
            elif RANK[name] == 2:
                full = value if value.shape == (3, 3) else from_voigt(value)
                value = to_voigt(rotation @ full @ rotation.T)
            result[name] = value
        return result

    def _summarize(self, name: str, values: np.ndarray) -> None:
        mean = np.tensordot(self.weights, values, axes=1)
        deviation = np.sqrt(np.tensordot(self.weights, (values - mean) ** 2, axes=1))
        self.results |= {name: _plain(mean), f"{name}_std": _plain(deviation)}
        if self.samples:
            self.results[f"{name}_error"] = _plain(deviation / self.samples**0.5)
        elif self.coarse is None and self.group.order is not None:
            self.results[f"{name}_bias"] = _plain(np.zeros_like(mean))
        elif self.coarse is not None:
            part = self.weights * self.coarse
            self.results[f"{name}_bias"] = _plain(mean - np.tensordot(part / part.sum(), values, axes=1))


def turned_atoms(atoms: Atoms, rotation: np.ndarray) -> Atoms:
    """A copy with positions, cell and vectors of the atoms turned about the origin, without constraints.

    Args:
        atoms: of ASE.
        rotation: an orthogonal matrix; magnetic moments that are vectors are axial.
    """
    copy = atoms.copy()
    copy.set_constraint()
    copy.set_cell(np.asarray(atoms.cell) @ rotation.T, scale_atoms=False)
    copy.positions = atoms.positions @ rotation.T
    for name in ("momenta", "initial_magmoms"):
        if name in copy.arrays and copy.arrays[name].ndim == 2:
            sign = np.linalg.det(rotation).round() if name == "initial_magmoms" else 1.0
            copy.arrays[name] = sign * atoms.arrays[name] @ rotation.T
    return copy


def coarser(order: int, elements: int) -> np.ndarray | None:
    """Which elements of :func:`~intertwine.groups.quadrature.rotation_grid` make a quadrature of order (order - 1) / 2:
    every other angle about both outer axes. None of even orders, whose angles have no half.

    Args:
        order: of the grid.
        elements: of the group's grid, a multiple of that of the rotations (reflections behind them).
    """
    if order % 2 == 0:
        return None
    angles, nodes = order + 1, len(rotation_grid(order)[1]) // (order + 1) ** 2
    even = np.arange(angles) % 2 == 0
    part = (even[:, None, None] & np.ones(nodes, dtype=bool)[None, :, None] & even[None, None, :]).reshape(-1)
    return np.tile(part, elements // len(part)).astype(np.float64)


def _plain(value: Any) -> Any:
    return float(value) if np.ndim(value) == 0 else value
