"""Ethanol to learn from in a second."""

from __future__ import annotations

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

from intertwine.data import molecules


def ethanol_frames(count: int) -> list[Atoms]:
    """Ethanol with its atoms displaced, under springs to their places: energies (eV) and forces (eV/A) to learn."""
    graph, rng = molecules()[4], np.random.default_rng(0)
    frames = []
    for _ in range(count):
        shift = 0.05 * rng.normal(size=(9, 3))
        atoms = Atoms(graph.z.numpy(), positions=graph.pos.numpy() + shift)
        atoms.calc = SinglePointCalculator(atoms, energy=-4200.0 + 5.0 * float((shift**2).sum()), forces=-10.0 * shift)
        frames.append(atoms)
    return frames
