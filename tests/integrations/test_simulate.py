"""Dynamics conserves energy, relaxation finds a minimum, and what is not physics is said."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.calculator import Calculator as AseCalculator
from ase.calculators.calculator import all_changes
from ase.calculators.emt import EMT
from ase.io import read

from intertwine.integrations import Calculator, relax, run_dynamics
from intertwine.numerics import GeometryError, InputError


class Repulsive(AseCalculator):
    """A potential that throws atoms apart: what a network does far from its data."""

    implemented_properties = ["energy", "forces"]  # noqa: RUF012 - ASE's interface

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes) -> None:
        super().calculate(atoms, properties, system_changes)
        x = atoms.positions
        self.results = {"energy": -100 * float((x * x).sum()), "forces": 200 * x}


def test_energy_is_conserved(force_field, tmp_path) -> None:
    """With an untrained, smooth force field the drift is the integrator's, and the error falls as the square of the time step."""
    fluctuations = []
    for timestep, steps in ((0.2, 100), (0.1, 200)):
        atoms = molecule("CH3CH2OH")
        atoms.calc = Calculator(force_field(scale=5.0))
        record = run_dynamics(atoms, steps, timestep=timestep, every=2 if timestep == 0.1 else 1, trajectory=tmp_path / "a.traj")
        fluctuations.append(np.std(record.total))
        assert abs(np.array(record.total) - record.total[0]).max() < 0.05 * np.ptp(record.potential)
        assert len(record.time) == 101
        assert record.time[-1] == pytest.approx(0.02)
    assert fluctuations[1] == pytest.approx(fluctuations[0] / 4, rel=0.15)
    frames = read(tmp_path / "a.traj", index=":")
    assert len(frames) == 101
    assert frames[-1].get_potential_energy() == record.potential[-1]
    assert np.array_equal(frames[-1].positions, atoms.positions)


def test_drift_is_a_slope() -> None:
    from intertwine.integrations import Dynamics

    record = Dynamics(atoms=2, time=[0.0, 1.0, 2.0, 3.0], total=[-4000.0, -3999.998, -3999.996, -3999.994])
    assert record.drift == pytest.approx(1.0, rel=1e-6)  # 2 meV for 2 atoms in each ps
    assert record.fluctuation == pytest.approx(0.0, abs=1e-6)
    assert Dynamics(atoms=1).drift == Dynamics(atoms=1).fluctuation == 0.0


def test_same_seed_same_trajectory(force_field) -> None:
    ends = []
    for seed in (3, 3, 4):
        atoms = molecule("CH3CH2OH")
        atoms.calc = Calculator(force_field())
        run_dynamics(atoms, 10, ensemble="nvt", seed=seed)
        ends.append(atoms.positions)
    assert np.array_equal(ends[0], ends[1])
    assert not np.array_equal(ends[0], ends[2])


def test_nothing_moves_at_zero_kelvin_without_forces(force_field) -> None:
    atoms = molecule("H2O")[:1]
    atoms.calc = Calculator(force_field())
    before = atoms.positions.copy()
    record = run_dynamics(atoms, 5, temperature=0.0, every=1)
    assert np.array_equal(atoms.positions, before)
    assert record.drift == 0.0


def test_a_blow_up_is_said_with_its_step(tmp_path) -> None:
    atoms = molecule("H2O")
    atoms.calc = Repulsive()
    with pytest.raises(GeometryError, match=r"blew up at step \d+") as error:
        run_dynamics(atoms, 1000, every=1, trajectory=tmp_path / "a.traj")
    assert "smaller time step" in str(error.value)
    assert len(read(tmp_path / "a.traj", index=":")) > 1  # what there was is kept


def test_relaxation_converges(force_field) -> None:
    atoms = molecule("CH3CH2OH")
    atoms.calc = Calculator(force_field())
    start, steps = atoms.get_potential_energy(), []
    assert relax(atoms, fmax=1e-3, steps=2000, progress=lambda step, largest: steps.append((step, largest)))
    assert np.linalg.norm(atoms.get_forces(), axis=1).max() < 1e-3
    assert atoms.get_potential_energy() < start
    assert steps[-1][1] < 1e-3
    again = molecule("CH3CH2OH")
    again.calc = Calculator(force_field())
    assert not relax(again, fmax=1e-3, steps=1)


def test_relaxation_of_a_cell() -> None:
    """The physics is EMT's: copper has a lattice constant of 3.59 A there."""
    atoms = bulk("Cu", "fcc", a=3.8)
    atoms.calc = EMT()
    assert relax(atoms, fmax=1e-4, cell=True)
    assert atoms.get_volume() == pytest.approx(3.59**3 / 4, rel=5e-3)
    assert np.abs(atoms.get_stress()).max() < 1e-4


@pytest.mark.parametrize(
    "arguments", [{"steps": 0}, {"steps": 5, "timestep": -1.0}, {"steps": 5, "every": 0}, {"steps": 5, "temperature": -1.0}]
)
def test_arguments_out_of_range(arguments: dict, force_field) -> None:
    atoms = molecule("H2O")
    atoms.calc = Calculator(force_field())
    with pytest.raises(InputError, match=r"is -|is 0|temperature of"):
        run_dynamics(atoms, **arguments)


def test_other_refusals(force_field) -> None:
    atoms = molecule("H2O")
    atoms.calc = Calculator(force_field())
    with pytest.raises(InputError, match="unknown ensemble 'npt'"):
        run_dynamics(atoms, 5, ensemble="npt")
    with pytest.raises(InputError, match="no cell to relax"):
        relax(atoms, cell=True)
    with pytest.raises(InputError, match="fmax"):
        relax(atoms, fmax=0.0)
    slab = Atoms("C", cell=[3, 3, 3], pbc=[True, True, False])
    with pytest.raises(InputError, match="no cell to relax"):
        relax(slab, cell=True)
