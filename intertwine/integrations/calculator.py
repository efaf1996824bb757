"""A trained force field as an ASE calculator, with a neighbour list that is rebuilt only when atoms have moved."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
from ase import Atoms
from ase.calculators.calculator import Calculator as AseCalculator
from ase.calculators.calculator import all_changes
from ase.stress import full_3x3_to_voigt_6_stress
from torch import Tensor

from intertwine.geometry import Graph, connect, distances, edge_vectors
from intertwine.numerics import InputError
from intertwine.tasks import ForceField, Task
from intertwine.training import load_run
from intertwine.training.evaluation import check_species


class Calculator(AseCalculator):
    """Energy (eV), forces (eV/A) and, for structures periodic in three directions, stress (eV/A^3, ASE's sign).

    Args:
        model: a run folder, or a :class:`~intertwine.tasks.ForceField`.
        skin: extra radius (A) of the neighbour list; it is rebuilt when an atom has moved by half of it, or the cell changed.
            Pairs beyond the cutoff are dropped at every step, so results do not depend on the skin.
        dtype: precision; None keeps the model's. Use ``torch.float64`` for long dynamics.
        device: "cpu" or "cuda".

    Raises:
        InputError: the model is not a force field, or the skin is negative.
        CheckpointError: the run folder can't be read.

    >>> from ase.build import molecule
    >>> atoms = molecule("CH3CH2OH")
    >>> atoms.calc = Calculator("runs/my-run")  # doctest: +SKIP
    >>> atoms.get_potential_energy()  # doctest: +SKIP
    """

    implemented_properties = ["energy", "free_energy", "forces", "stress"]  # noqa: RUF012 - ASE's own way

    def __init__(self, model: Any, skin: float = 0.5, dtype: torch.dtype | None = None, device: str = "cpu", **options: Any) -> None:
        super().__init__(**options)
        run = None if isinstance(model, Task) else load_run(model, device=device)
        task = copy.deepcopy(model) if run is None else run.task  # the caller's stays as it is
        self.species: tuple[int, ...] = run.species if run is not None else ()
        if not isinstance(task, ForceField):
            where = "Calculator" if isinstance(model, Task) else str(model)
            remedy = "train on energies and forces, --task force_field (and --key forces=NAME, if the file calls them so)."
            raise InputError(f"has no forces: it learned the task {task.name}", where=where, remedy=remedy)
        if not skin >= 0:
            raise InputError(f"a skin of {skin} A", where="skin", remedy="give 0 or a positive length; 0.5 A suits molecules.")
        self.task = task.to(device=device, dtype=dtype).eval()
        self.skin, self.device = float(skin), torch.device(device)
        self.rebuilds = 0
        self._reference: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray] | None = None
        self._edges: tuple[Tensor, Tensor] | None = None

    def calculate(self, atoms: Atoms | None = None, properties: Any = ("energy",), system_changes: Any = all_changes) -> None:
        super().calculate(atoms, properties, system_changes)
        check_species(self.species, self.atoms.numbers.tolist())
        graph = self._graph(self.atoms)
        prediction = self.task(graph.to(self.device))
        energy = float(prediction["energy"])
        self.results = {"energy": energy, "free_energy": energy, "forces": prediction["forces"].double().cpu().numpy()}
        if "stress" in prediction:
            self.results["stress"] = full_3x3_to_voigt_6_stress(prediction["stress"][0].double().cpu().numpy())

    def _graph(self, atoms: Atoms) -> Graph:
        periodic = bool(atoms.pbc.any())
        cell = np.asarray(atoms.cell) if periodic else None
        graph = Graph(atoms.positions.copy(), z=atoms.numbers.copy(), cell=cell, pbc=atoms.pbc.copy() if periodic else None)
        cutoff = self.task.cutoff
        if cutoff is None:
            return connect(graph, None)
        if self._edges is None or self._stale(atoms):
            wide = connect(graph, cutoff + self.skin)
            self._edges = (wide.edge_index, wide.shifts)
            self._reference = (atoms.positions.copy(), np.array(atoms.cell), atoms.pbc.copy(), atoms.numbers.copy())
            self.rebuilds += 1
        graph.edge_index, graph.shifts = self._edges
        near = distances(edge_vectors(graph)) <= cutoff
        graph.edge_index, graph.shifts = graph.edge_index[:, near], graph.shifts[near]
        return graph

    def _stale(self, atoms: Atoms) -> bool:
        if self._reference is None:
            return True
        positions, cell, pbc, numbers = self._reference
        same = len(numbers) == len(atoms) and (numbers == atoms.numbers).all() and (pbc == atoms.pbc).all() and (cell == atoms.cell).all()
        if not same or not np.isfinite(atoms.positions).all():
            return True
        moved = np.square(atoms.positions - positions).sum(1).max(initial=0.0)
        return bool(moved > (0.5 * self.skin) ** 2)
