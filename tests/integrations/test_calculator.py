"""ASE sees what the task says, whatever the skin, the cell and the history of the calculator."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.fd import calculate_numerical_forces, calculate_numerical_stress

from intertwine.geometry import Graph
from intertwine.integrations import Calculator
from intertwine.models import PaiNN
from intertwine.numerics import CheckpointError, DataError, GeometryError, InputError
from intertwine.tasks import Property


def crystal() -> Atoms:
    """Diamond with its atoms off their places, two of them in a cell much smaller than the cutoff."""
    atoms = bulk("C", "diamond", a=3.57)
    atoms.rattle(0.1, seed=1)
    return atoms


@pytest.mark.parametrize(
    "atoms", [molecule("CH3CH2OH"), crystal(), molecule("H2O")[:1]], ids=["ethanol", "diamond", "one atom"]
)
def test_the_same_as_the_task(atoms: Atoms, force_field) -> None:
    task, atoms = force_field(), atoms.copy()
    periodic = bool(atoms.pbc.any())
    graph = Graph(atoms.positions, z=atoms.numbers, cell=np.asarray(atoms.cell) if periodic else None)
    expected = task(graph)
    atoms.calc = Calculator(task)
    assert atoms.get_potential_energy() == expected["energy"].item()
    assert np.array_equal(atoms.get_forces(), expected["forces"].numpy())
    if periodic:
        assert np.array_equal(atoms.get_stress(voigt=False), expected["stress"][0].numpy())


@pytest.mark.parametrize("name", ["painn", "schnet", "egnn"])
def test_forces_by_ases_own_differences(name: str, force_field) -> None:
    atoms = molecule("CH3CH2OH")
    atoms.rattle(0.05, seed=2)
    atoms.calc = Calculator(force_field(name))
    forces = atoms.get_forces()
    assert np.allclose(forces, calculate_numerical_forces(atoms, eps=1e-4), rtol=1e-6, atol=1e-7 * np.abs(forces).max())
    assert np.abs(forces.sum(0)).max() < 1e-12 * max(1.0, np.abs(forces).max())


@pytest.mark.parametrize("name", ["painn", "schnet"])
def test_stress_by_ases_own_differences(name: str, force_field) -> None:
    atoms = crystal()
    assert atoms.cell.lengths().max() < force_field(name).cutoff
    atoms.calc = Calculator(force_field(name))
    stress = atoms.get_stress()
    numeric = calculate_numerical_stress(atoms, eps=1e-5)
    assert np.abs(stress).max() > 1e-4
    assert np.allclose(stress, numeric, rtol=1e-5, atol=1e-6 * np.abs(stress).max())


@pytest.mark.parametrize("periodic", [False, True])
def test_the_skin_does_not_change_a_bit(periodic: bool, force_field) -> None:
    """Along a trajectory, a list with a skin gives the bits of one made anew, and is made anew less often."""
    atoms = crystal().repeat((2, 1, 1)) if periodic else molecule("CH3CH2OH")
    skinned, fresh = Calculator(force_field(), skin=0.5), Calculator(force_field(), skin=0.0)
    rng, steps = np.random.default_rng(0), 30
    for _ in range(steps):
        atoms.positions += 0.03 * rng.normal(size=atoms.positions.shape)
        results = []
        for calculator in (skinned, fresh):
            copied = atoms.copy()
            copied.calc = calculator
            results.append(
                (copied.get_potential_energy(), copied.get_forces(), copied.get_stress() if periodic else None)
            )
        assert results[0][0] == results[1][0]
        assert np.array_equal(results[0][1], results[1][1])
        if periodic:
            assert np.array_equal(results[0][2], results[1][2])
    assert fresh.rebuilds == steps
    assert 1 < skinned.rebuilds < steps // 2


def test_changes_of_species_cell_and_periodicity_rebuild(force_field) -> None:
    """And every result is that of a calculator without a past."""
    calculator = Calculator(force_field(), skin=1.0)
    atoms = crystal()

    def check(rebuilds: int) -> None:
        atoms.calc = calculator
        energy, forces = atoms.get_potential_energy(), atoms.get_forces()
        assert calculator.rebuilds == rebuilds
        other = atoms.copy()
        other.calc = Calculator(force_field(), skin=0.0)
        assert energy == other.get_potential_energy()
        assert np.array_equal(forces, other.get_forces())

    check(1)
    check(1)
    atoms.set_cell(1.02 * np.asarray(atoms.cell), scale_atoms=True)
    check(2)
    atoms.numbers[0] = 8
    check(3)
    atoms.pbc = [True, True, False]
    check(4)
    atoms.positions += 1e-3
    check(4)
    del atoms[0]
    check(5)
    atoms.pbc = False
    check(6)


def test_precision_and_the_callers_task(force_field) -> None:
    task = force_field().train()
    atoms = molecule("CH3CH2OH")
    atoms.calc = Calculator(task, dtype=torch.float32)
    energy32, forces32 = atoms.get_potential_energy(), atoms.get_forces()
    assert task.training
    assert task.dtype == torch.float64  # the caller's task is left alone
    atoms.calc = Calculator(task)
    assert forces32.dtype == np.float64
    assert energy32 == pytest.approx(atoms.get_potential_energy(), abs=1e-5)
    assert np.allclose(forces32, atoms.get_forces(), atol=1e-5)
    assert energy32 != atoms.get_potential_energy()


def test_all_pairs_need_no_list(force_field) -> None:
    atoms = molecule("CH3CH2OH")
    atoms.calc = Calculator(force_field("egnn", cutoff=None))
    forces = atoms.get_forces()
    assert np.allclose(forces, calculate_numerical_forces(atoms, eps=1e-4), atol=1e-7)
    assert atoms.calc.rebuilds == 0


def test_what_it_refuses(force_field, tmp_path) -> None:
    with pytest.raises(InputError, match="learned the task property"):
        Calculator(Property(PaiNN(width=4, layers=1)))
    with pytest.raises(InputError, match="skin"):
        Calculator(force_field(), skin=-0.1)
    with pytest.raises(InputError, match="skin"):
        Calculator(force_field(), skin=float("nan"))
    with pytest.raises(CheckpointError, match="no such run folder"):
        Calculator(tmp_path / "absent")
    atoms = molecule("H2O")
    atoms.calc = Calculator(force_field(species=(6, 1)))
    with pytest.raises(DataError, match=r"unknown species: atomic numbers \[8\]"):
        atoms.get_forces()
    atoms = molecule("H2O")
    atoms.calc = Calculator(force_field())
    atoms.positions[1, 0] = np.nan
    with pytest.raises(GeometryError, match="node 1 is not finite"):
        atoms.get_forces()
    flat = Atoms("CO", positions=[[0, 0, 0], [0, 0, 1]], cell=[[3, 0, 0], [0, 3, 0], [3, 3, 0]], pbc=True)
    flat.calc = Calculator(force_field())
    with pytest.raises(GeometryError, match="singular"):
        flat.get_potential_energy()
