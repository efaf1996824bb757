"""A frozen force field along a path of structures: edges are listed, and listed again when atoms have moved."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from ase import Atoms

from intertwine.geometry import neighbour_list
from intertwine.integrations.frozen.step import Step

if TYPE_CHECKING:
    from intertwine.integrations.frozen.stepper import Stepper

#: Largest difference from torch's own evaluation of the same tables, over the root mean square of the forces, or over
#: the scale of the training set's where that is larger: of a sum in another order.
BOUNDS = {torch.float64: 1e-9, torch.float32: 1e-4}


class Moving:
    """The steps of one thread.

    Args:
        stepper: nobody else's.
        skin: extra radius (A) of the list, made anew when an atom has moved by half of it, or the cell changed.

    Attributes:
        rebuilds: how often it was made.
    """

    def __init__(self, stepper: Stepper, skin: float) -> None:
        self.stepper, self.skin, self.rebuilds = stepper, skin, 0
        self._made: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None

    def __call__(self, atoms: Atoms) -> tuple[Step, bool]:
        """A step, and whether the list was made for it.

        Args:
            atoms: one or more, at finite positions, of species that the model knows.

        Raises:
            GeometryError: a cell that is singular, or more pairs than any memory holds.
        """
        new = self._stale(atoms)
        if new:
            self._made = None  # nothing of a list that fails is used
            self._list(atoms)
        return self.stepper(atoms.positions), new

    def _stale(self, atoms: Atoms) -> bool:
        numbers = self.stepper.numbers
        if self._made is None or numbers is None or not np.array_equal(numbers, atoms.numbers):
            return True
        positions, cell, pbc = self._made
        if not (pbc == atoms.pbc).all() or not (cell == atoms.cell.array).all():
            return True
        moved = atoms.positions - positions
        return bool(np.einsum("ij,ij->i", moved, moved).max() > (0.5 * self.skin) ** 2)

    def _list(self, atoms: Atoms) -> None:
        if self.stepper.numbers is None or not np.array_equal(self.stepper.numbers, atoms.numbers):
            self.stepper.place(atoms.numbers)
        pbc, cell = atoms.pbc.copy(), np.array(atoms.cell.array)
        periodic = bool(pbc.any())
        pairs, shifts = neighbour_list(
            torch.from_numpy(atoms.positions),
            self.stepper.cutoff + self.skin,
            torch.from_numpy(cell) if periodic else None,
            tuple(map(bool, pbc)),  # type: ignore[arg-type]
        )
        across = shifts.numpy() @ cell if periodic else np.zeros((pairs.shape[1], 3))
        self.stepper.connect(pairs[0].numpy(), pairs[1].numpy(), across)
        self._made = atoms.positions.copy(), cell, pbc
        self.rebuilds += 1


def deviation(step: Step, task: Any, graph: Any) -> float:
    """The largest difference of forces (eV/A) and of the energies of atoms (eV) from torch's evaluation of a task, over
    the larger of the root mean square of the forces and the scale of the energies.
    """
    with torch.no_grad():
        energies = task.atomic_energies(graph) - task.references.values.index_select(0, graph.z)
    forces = task(graph)["forces"].detach().double().cpu().numpy()
    size = max(float(np.sqrt(np.mean(forces**2))), float(task.scale))
    worst = max(np.abs(step.forces - forces).max(), np.abs(step.energies - energies.cpu().numpy()).max())
    return float(np.nan_to_num(worst / size, nan=np.inf))
