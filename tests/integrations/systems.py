"""Structures with potentials of ASE, to run dynamics and relaxations on."""

from __future__ import annotations

from collections.abc import Callable

from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.emt import EMT
from ase.calculators.lj import LennardJones


def copper(size: tuple[int, int, int] = (2, 2, 1)) -> Atoms:
    """Crystalline copper under EMT at its lattice constant."""
    atoms = bulk("Cu", cubic=True, a=3.59).repeat(size)
    atoms.calc = EMT()
    return atoms


def argon(size: tuple[int, int, int] = (2, 2, 1)) -> Atoms:
    """Crystalline argon under a smooth Lennard-Jones potential."""
    atoms = bulk("Ar", "fcc", a=5.25, cubic=True).repeat(size)
    atoms.calc = LennardJones(sigma=3.4, epsilon=0.0104, rc=6.5, ro=5.5, smooth=True)
    return atoms


def ethanol(calculator: Callable[[], object]) -> Atoms:
    """A molecule in vacuum."""
    atoms = molecule("CH3CH2OH")
    atoms.calc = calculator()
    return atoms
