"""The calculator in single precision, wherever a structure is written: far from the origin, over many cells."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule

from intertwine.integrations import Calculator

BOUND = 2e-5  # of the rms: docs/design.md, a model in float32


def crystal() -> Atoms:
    atoms = bulk("C", "diamond", a=3.57) * (1, 2, 1)
    atoms.rattle(0.1, seed=1)
    return atoms


@pytest.mark.parametrize("name", ["painn", "schnet", "egnn"])
@pytest.mark.parametrize("atoms", [molecule("CH3CH2OH"), crystal()], ids=["ethanol", "diamond"])
def test_far_away(atoms: Atoms, name: str, force_field) -> None:
    atoms = atoms.copy()
    atoms.calc = Calculator(force_field(name).float())
    forces, size = atoms.get_forces(), np.sqrt(np.mean(atoms.get_forces() ** 2))
    steps = [1e4, [-30.0, 0.0, 1e4]]
    if atoms.pbc.any():
        stress = atoms.get_stress()
        steps += [500 * atoms.cell[0], np.random.default_rng(0).integers(-500, 501, (len(atoms), 3)) @ atoms.cell[:]]
    for step in steps:
        atoms.positions += step
        assert np.abs(atoms.get_forces() - forces).max() <= BOUND * size
        if atoms.pbc.any():
            assert np.abs(atoms.get_stress() - stress).max() <= BOUND * np.abs(stress).max()
