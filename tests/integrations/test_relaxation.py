"""Relaxations end at rest and never above the start, whatever the forces are."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import scipy.linalg
from ase import Atoms, units
from ase.build import bulk
from ase.calculators.calculator import Calculator as AseCalculator
from ase.calculators.calculator import all_changes
from ase.calculators.emt import EMT
from ase.constraints import FixAtoms
from ase.io import read
from systems import argon, copper, ethanol

from intertwine.integrations import Calculator, relax
from intertwine.numerics import InputError


class Surface(AseCalculator):
    """An energy (eV) and forces (eV/A) of each coordinate by itself.

    Args:
        energy: (n, 3) positions -> (n, 3) energies.
        forces: (n, 3) positions -> (n, 3) forces, which need not be its slope.
    """

    implemented_properties = ["energy", "forces"]  # noqa: RUF012 - ASE's interface

    def __init__(self, energy, forces) -> None:
        super().__init__()
        self.energy, self.forces = energy, forces

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes) -> None:
        super().calculate(atoms, properties, system_changes)
        x = atoms.positions
        self.results = {"energy": float(self.energy(x).sum()), "forces": self.forces(x)}


#: Forces that lead uphill: a network whose forces are a head of its own, a wrong sign, a slope that they do not see.
WRONG = {
    "tilted": (lambda x: 2 * x * x - x, lambda x: -4 * x),
    "wrong sign": (lambda x: -2 * x * x, lambda x: -4 * x),
    "steps": (lambda x: 2 * x * x - 0.002 * np.floor(1000 * x), lambda x: -4 * x),
}


@pytest.mark.parametrize("surface", WRONG)
@pytest.mark.parametrize("start", [0.003, 0.02, 0.1])
def test_a_climb_is_no_relaxation(surface: str, start: float, tmp_path: Path) -> None:
    """The forces vanish at 0, which is higher than the start: not converged, said, and the start kept or bettered."""
    atoms = Atoms("H3", positions=np.full((3, 3), start))
    atoms.calc = Surface(*WRONG[surface])
    energy, said = atoms.get_potential_energy(), []
    ended = relax(atoms, fmax=0.01, steps=60, say=said.append, trajectory=tmp_path / "r.traj")
    assert not ended
    assert atoms.get_potential_energy() <= energy
    assert ended.gained == pytest.approx(energy - atoms.get_potential_energy())
    assert ended.gained >= 0
    assert ended.largest_force >= 0.01
    assert ended.steps <= 60
    assert "no longer goes down" in said[0]
    assert "FIRE" in ended.methods
    frames = read(tmp_path / "r.traj", ":")  # its end is what is kept, whatever was tried after it
    assert ended.kept < ended.steps
    assert np.array_equal(frames[-1].positions, atoms.positions)
    assert np.array_equal(frames[ended.kept].positions, atoms.positions)
    assert frames[-1].get_potential_energy() == min(frame.get_potential_energy() for frame in frames)


@pytest.mark.parametrize("seed", range(6))
def test_a_rough_surface_is_gone_down(seed: int) -> None:
    rng = np.random.default_rng(seed)
    wave, height, phase = 10.0 ** rng.uniform(0.5, 2), 0.05 * rng.random(), rng.uniform(0, 6, (4, 3))
    atoms = Atoms("H4", positions=rng.normal(size=(4, 3)))
    atoms.calc = Surface(
        lambda x: 0.5 * x * x + height * np.cos(wave * x + phase),
        lambda x: -x + height * wave * np.sin(wave * x + phase),
    )
    energy, seen = atoms.get_potential_energy(), []
    ended = relax(atoms, fmax=0.02, steps=400, progress=lambda step, largest: seen.append((step, largest)))
    assert ended
    assert atoms.get_potential_energy() < energy
    assert np.linalg.norm(atoms.get_forces(), axis=1).max() < 0.02
    assert [step for step, _ in seen] == list(range(ended.steps + 1))
    assert seen[-1][1] == pytest.approx(ended.largest_force)


@pytest.mark.parametrize("system", ["copper", "argon", "network"])
def test_every_step_is_in_the_trajectory(system: str, force_field, tmp_path: Path) -> None:
    atoms = {"copper": copper, "argon": argon, "network": None}[system]
    atoms = atoms((1, 1, 1)) if atoms else ethanol(lambda: Calculator(force_field()))
    atoms.rattle(0.05, seed=1)
    start = atoms.copy()
    atoms.set_constraint(FixAtoms([0]))
    ended = relax(atoms, fmax=0.02, steps=300, trajectory=tmp_path / "r.traj")
    frames = read(tmp_path / "r.traj", ":")
    assert ended
    assert ended.kept == ended.steps
    assert len(frames) == ended.steps + 1
    assert np.array_equal(frames[0].positions, start.positions)
    assert np.array_equal(frames[-1].positions, atoms.positions)
    assert frames[0].get_potential_energy() == pytest.approx(ended.start)
    assert frames[-1].get_potential_energy() == pytest.approx(ended.end)
    assert all(np.array_equal(frame.positions[0], start.positions[0]) for frame in frames)


@pytest.mark.parametrize(("system", "pressure"), [(copper, None), (copper, 5.0), (copper, -3.0), (argon, 0.2)])
def test_a_cell_comes_to_the_pressure(system, pressure: float | None) -> None:
    atoms = system((1, 1, 1))
    atoms.set_cell(atoms.cell @ np.diag([1.03, 1.0, 0.99]), scale_atoms=True)
    atoms.set_constraint(FixAtoms([1]))
    held = atoms.get_scaled_positions()[1]
    ended = relax(atoms, fmax=1e-4, cell=True, pressure=pressure)
    assert ended
    assert atoms.get_stress() / units.GPa == pytest.approx([-(pressure or 0.0)] * 3 + [0] * 3, abs=5e-3)
    enthalpy = atoms.get_potential_energy() + (pressure or 0.0) * units.GPa * atoms.get_volume()
    assert ended.end == pytest.approx(enthalpy)
    assert ended.gained > 0
    assert np.allclose(atoms.get_scaled_positions()[1], held)


@pytest.mark.parametrize(("error", "said"), [("7.09e-13", False), ("2.5e-08", False), ("3.1e-06", True)])
def test_a_logarithm_that_is_good_enough_is_not_warned_of(
    error: str, said: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SciPy's error of the logarithm of a cell's deformation, which depends on the machine."""
    exact = scipy.linalg.logm

    def warns(matrix: np.ndarray) -> np.ndarray:
        warnings.warn(f"logm result may be inaccurate, approximate err = {error}", RuntimeWarning, stacklevel=2)
        return exact(matrix)

    monkeypatch.setattr(scipy.linalg, "logm", warns)
    atoms = bulk("Cu", cubic=True)
    atoms.set_cell(atoms.cell @ np.diag([1.03, 1.0, 0.99]), scale_atoms=True)
    atoms.calc = EMT()
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        assert relax(atoms, fmax=1e-2, cell=True)
    assert bool([each for each in heard if "logm" in str(each.message)]) == said


def test_what_is_relaxed_already_takes_no_step() -> None:
    for atoms in (copper((1, 1, 1)), argon((1, 1, 1)), copper((2, 1, 1))):
        ended = relax(atoms, fmax=0.05)
        assert (ended.converged, ended.steps, ended.gained) == (True, 0, 0.0)
        assert ended.methods == ["L-BFGS"]


@pytest.mark.parametrize("pressure", [1.0, float("nan"), 0.0])
def test_a_pressure_needs_a_cell(pressure: float) -> None:
    with pytest.raises(InputError, match="pressure of"):
        relax(copper((1, 1, 1)), pressure=pressure)


@pytest.mark.parametrize(
    ("pbc", "words"), [(False, "an open structure"), ([1, 1, 0], "in 2 of three"), ([0, 0, 1], "in 1 of three")]
)
def test_cells_that_do_not_repeat_are_named(pbc: object, words: str) -> None:
    atoms = copper((1, 1, 1))
    atoms.pbc = pbc
    with pytest.raises(InputError, match=words):
        relax(atoms, cell=True)
