"""What the tests of the engines share: structures whose energy moves, ASE's answer, and a small trained-like field."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule

from intertwine.integrations import Calculator

#: Of every engine, beside ASE, in float64: eV, eV/A and eV/A^3.
AGREEMENT = 1e-6


def triclinic() -> Atoms:
    """Two elements in a cell without a right angle, smaller than the cutoff along two of its vectors."""
    atoms = bulk("SiC", "zincblende", a=4.36) * (2, 1, 1)
    atoms.rattle(0.1, seed=1)
    return atoms


def silicon() -> Atoms:
    """Eight atoms off their places."""
    atoms = bulk("Si", cubic=True)
    atoms.rattle(0.1, seed=1)
    return atoms


def ethanol() -> Atoms:
    """A molecule."""
    atoms = molecule("CH3CH2OH")
    atoms.rattle(0.05, seed=1)
    return atoms


def chain() -> Atoms:
    """What repeats along one vector only."""
    atoms = Atoms("C4", [[0, 0, 0], [1.2, 0.2, 0.1], [2.5, -0.1, 0.3], [3.7, 0.3, -0.2]], pbc=[True, False, False])
    atoms.set_cell([5.0, 9.0, 9.0])
    return atoms


@pytest.fixture
def spring(force_field: Callable[..., Any]) -> Any:
    """A cheap field whose forces are of the size that bonds have."""
    return force_field("schnet", scale=5.0)


def ase(task: Any, atoms: Atoms) -> Atoms:
    """The same structure with our calculator."""
    other = atoms.copy()
    other.calc = Calculator(task)
    return other


def assert_conserved(total: np.ndarray, potential: np.ndarray) -> None:
    """The energy stays, while its parts move: its drift from the first tenth to the last is below a thousandth of what
    the potential energy spans, and its noise below a hundredth.
    """
    span, tenth = np.ptp(potential), max(1, len(total) // 10)
    assert span > 0.1  # eV: something happened
    assert abs(total[-tenth:].mean() - total[:tenth].mean()) < 1e-3 * span
    assert np.std(total) < 1e-2 * span
