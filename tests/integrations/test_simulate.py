"""Dynamics conserves energy, relaxation finds a minimum, and what is not physics is said."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk, fcc111, molecule
from ase.calculators.calculator import Calculator as AseCalculator
from ase.calculators.calculator import all_changes
from ase.calculators.emt import EMT
from ase.constraints import FixAtoms, FixBondLength, FixCartesian, FixCom, FixedPlane
from ase.io import read
from systems import copper

from intertwine.integrations import Calculator, relax, run_dynamics
from intertwine.integrations.ensembles import Ensemble, free, temperature_of
from intertwine.integrations.observed import Dynamics
from intertwine.integrations.simulate import brief, unlike
from intertwine.numerics import GeometryError, InputError


class Repulsive(AseCalculator):
    """A potential that throws atoms apart: what a network does far from its data."""

    implemented_properties = ["energy", "forces"]  # noqa: RUF012 - ASE's interface

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes) -> None:
        super().calculate(atoms, properties, system_changes)
        x = atoms.positions
        self.results = {"energy": -100 * float((x * x).sum()), "forces": 200 * x}


def test_energy_is_conserved(force_field, tmp_path) -> None:
    """With an untrained, smooth force field the drift is the integrator's, and the error falls as the square of the
    time step.
    """
    fluctuations = []
    for timestep, steps in ((0.2, 100), (0.1, 200)):
        atoms = molecule("CH3CH2OH")
        atoms.calc = Calculator(force_field(scale=5.0))
        record = run_dynamics(
            atoms, steps, timestep=timestep, every=2 if timestep == 0.1 else 1, trajectory=tmp_path / "a.traj"
        )
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


@pytest.mark.parametrize(("frames", "told"), [(1, False), (2, False), (3, True)])
def test_few_frames_have_no_drift_and_no_fluctuation(frames: int, told: bool) -> None:
    atoms, said = copper((1, 1, 1)), []
    record = run_dynamics(atoms, 6 * frames - 1, every=6, timestep=1.0, say=said.append)
    assert len(record.time) == frames
    for value in (record.drift, record.total_drift, record.fluctuation):
        assert np.isfinite(value) == told
    assert any(f"{frames} recorded step" in line and "no drift" in line for line in said) != told
    assert any(f"{(6 * frames - 1) * 1e-3:.3g} ps are too short for a drift" in line for line in said)


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
    said: list[str] = []
    with pytest.raises(GeometryError, match=r"blew up at step \d+") as error:
        run_dynamics(atoms, 1000, every=1, trajectory=tmp_path / "a.traj", log=tmp_path / "a.csv", say=said.append)
    assert "smaller time step" in str(error.value)
    assert str(error.value).count("What was written until then") == 1
    assert "--resume" not in str([*said, error.value])  # it would go on blowing up
    assert not any("What was written" in line for line in said)
    assert len(read(tmp_path / "a.traj", index=":")) > 1  # what there was is kept


@pytest.mark.parametrize("ensemble", ["nve", "nvt"])
@pytest.mark.parametrize("equilibrate", [1, 200])
def test_an_equilibration_that_blows_up_is_said(ensemble: str, equilibrate: int) -> None:
    atoms = molecule("H2O")
    atoms.calc = Repulsive()
    what = "equilibration" if equilibrate > 1 else "trajectory"
    with pytest.raises(GeometryError, match=rf"the {what} blew up at step \d+: kinetic energy .* eV \(.* K\)") as error:
        run_dynamics(atoms, 1000, ensemble=ensemble, equilibrate=equilibrate)
    assert "train longer" in str(error.value)


@pytest.mark.parametrize(
    ("bath", "least"),
    [
        ({"name": "nve"}, 1.0),
        ({"name": "nvt", "friction": 0.002}, 2.5),
        ({"name": "nvt", "thermostat": "bussi", "thermostat_time": 10.0}, 1.0),
        ({"name": "npt"}, 5.0),
    ],
)
def test_a_short_run_says_that_its_drift_is_no_rate(bath: dict[str, object], least: float) -> None:
    kind = Ensemble(timestep=0.5, **bath)
    assert brief(Dynamics(3, time=[0.0, 0.5 * least, least]), kind, round(2000 * least)) == []
    for span in (0.01, 0.1, 0.9 * least):
        (note,) = brief(Dynamics(3, time=[0.0, 0.5 * span, span]), kind, round(2000 * span))
        assert note.startswith(f"{span:.3g} ps are too short for a drift")
        assert f"(--steps {2000 * least:.0f})" in note


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
    "arguments",
    [{"steps": 0}, {"steps": 5, "timestep": -1.0}, {"steps": 5, "every": 0}, {"steps": 5, "temperature": -1.0}],
)
def test_arguments_out_of_range(arguments: dict, force_field) -> None:
    atoms = molecule("H2O")
    atoms.calc = Calculator(force_field())
    with pytest.raises(InputError, match=r"is -|is 0|temperature of"):
        run_dynamics(atoms, **arguments)


def test_other_refusals(force_field) -> None:
    atoms = molecule("H2O")
    atoms.calc = Calculator(force_field())
    with pytest.raises(InputError, match="unknown ensemble 'nph'"):
        run_dynamics(atoms, 5, ensemble="nph")
    with pytest.raises(InputError, match="no cell to relax"):
        relax(atoms, cell=True)
    with pytest.raises(InputError, match="fmax"):
        relax(atoms, fmax=0.0)
    slab = Atoms("C", cell=[3, 3, 3], pbc=[True, True, False])
    with pytest.raises(InputError, match="repeats in 2 of three directions"):
        relax(slab, cell=True)


def slab(*constraints) -> Atoms:
    atoms = fcc111("Cu", (2, 2, 3), vacuum=6.0)
    atoms.rattle(0.05, seed=0)
    atoms.set_constraint(list(constraints))
    atoms.calc = EMT()
    return atoms


BOTTOM = list(range(4))


@pytest.mark.parametrize("ensemble", ["nve", "nvt"])
@pytest.mark.parametrize(
    ("constraint", "held"),
    [
        (FixAtoms(BOTTOM), [[True] * 3] * 4),
        (FixCartesian(BOTTOM, [True, False, True]), [[True, False, True]] * 4),
        (FixedPlane(BOTTOM, [0, 0, 1]), [[False, False, True]] * 4),
    ],
    ids=["atoms", "coordinates", "plane"],
)
def test_constraints_hold_in_dynamics(ensemble: str, constraint, held, tmp_path) -> None:
    atoms = slab(constraint)
    start = atoms.positions.copy()
    record = run_dynamics(
        atoms, 40, timestep=1.0, ensemble=ensemble, every=5, equilibrate=10, trajectory=tmp_path / "a.traj"
    )
    still = atoms.positions == start
    assert np.array_equal(still[:4], held)
    assert not still[4:].any()
    assert 100 < np.mean(record.temperature) < 400  # of the degrees of freedom that are left
    frame = read(tmp_path / "a.traj")
    assert type(frame.constraints[0]) is type(constraint)
    if ensemble == "nve":
        assert abs(record.total[-1] - record.total[0]) < 1e-2 * np.ptp(record.potential) + 1e-3
        assert len(record.conserved) > 30
        assert np.ptp([energy for _, energy in record.conserved]) < 0.1 * np.ptp(record.total) + 1e-6


def test_constraints_hold_in_relaxation() -> None:
    for constraint in (FixAtoms(BOTTOM), FixCartesian(BOTTOM, [True, True, True]), FixedPlane(BOTTOM, [0, 0, 1])):
        atoms, largest = slab(constraint), []
        start = atoms.positions.copy()
        assert relax(atoms, fmax=0.02, steps=300, progress=lambda step, force, kept=largest: kept.append(force))
        assert np.array_equal(atoms.positions[:4, 2], start[:4, 2])
        assert np.abs(atoms.positions[4:] - start[4:]).max() > 0.01
        assert largest[-1] < 0.02  # of what is free to move
        assert np.linalg.norm(atoms.get_forces(apply_constraint=False), axis=1).max() > 0.02


def test_momentum_is_removed_only_where_it_is_conserved() -> None:
    """A slab that is held has no reason to be at rest on average; a molecule of fixed bonds has."""
    assert free(slab()) and free(slab(FixBondLength(0, 1), FixCom()))  # noqa: PT018 - one fact
    assert not free(slab(FixAtoms([0])))
    held, loose, bond = slab(FixAtoms(BOTTOM)), slab(), slab(FixBondLength(8, 9))
    for atoms in (held, loose, bond):
        run_dynamics(atoms, 1, timestep=1e-3, temperature=500.0, seed=1)
    assert np.linalg.norm(held.get_momenta().sum(0)) > 1
    assert np.linalg.norm(loose.get_momenta().sum(0)) < 1e-9
    assert np.linalg.norm(bond.get_momenta().sum(0)) < 1e-6


def test_masses_are_those_of_the_structure(force_field) -> None:
    """D2O: at one temperature heavier atoms are slower, and the same force moves them less."""
    ends = []
    for mass in (1.008, 2.014, 100.0):
        atoms = molecule("H2O")
        atoms.set_masses([15.999, mass, mass])
        atoms.calc = Calculator(force_field())
        run_dynamics(atoms, 1, timestep=0.1, temperature=0.0)
        ends.append(atoms.positions - molecule("H2O").positions)
        assert atoms.get_masses()[1] == mass
    assert np.allclose(ends[0][1:] * 1.008, ends[1][1:] * 2.014, rtol=1e-3)
    assert np.allclose(ends[0][1:] * 1.008, ends[2][1:] * 100, rtol=1e-3)
    assert np.abs(ends[0]).max() > 0


def test_velocities_are_kept_on_demand(force_field) -> None:
    def start(velocities: str) -> Atoms:
        atoms = molecule("H2O")
        atoms.set_velocities(np.full((3, 3), 1e-3 / units.fs))
        atoms.calc = Calculator(force_field(scale=1e-9))
        run_dynamics(atoms, 10, timestep=1.0, velocities=velocities)
        return atoms

    assert np.allclose(start("keep").positions - molecule("H2O").positions, 1e-2, atol=1e-4)
    assert not np.allclose(start("thermal").positions - molecule("H2O").positions, 1e-2, atol=1e-3)
    atoms = molecule("H2O")
    atoms.calc = Calculator(force_field())
    with pytest.raises(InputError, match="has no velocities"):
        run_dynamics(atoms, 1, velocities="keep")
    with pytest.raises(InputError, match="unknown way to begin 'zero'"):
        run_dynamics(atoms, 1, velocities="zero")


@pytest.mark.parametrize(
    ("ensemble", "kelvin", "equilibrate", "words"),
    [
        ("nve", 855.0, 0, "the start was not relaxed"),
        ("nve", 150.0, 0, "end near 150 K"),
        ("nve", 340.0, 50, "a longer equilibration"),
        ("nve", 1923.0, 50, "the start was not relaxed"),
        ("nvt", 640.0, 0, "the start was not relaxed"),
        ("npt", 640.0, 10, "--equilibrate"),
        ("nvt", 200.0, 0, "the run is short for the thermostat"),
    ],
)
def test_another_temperature_than_asked_for_is_said(ensemble: str, kelvin: float, equilibrate: int, words: str) -> None:
    record = Dynamics.__new__(Dynamics)
    object.__setattr__(record, "temperature", [kelvin])
    (note,) = unlike(record, 300.0, equilibrate, ensemble)
    assert note.startswith(f"the mean temperature is {kelvin:.0f} K, where 300 K were asked for")
    assert words in note
    assert unlike(record, kelvin, equilibrate, ensemble) == []
    unasked = " ".join(unlike(record, 300.0, equilibrate, ensemble, asked=False))
    assert "asked for" not in unasked
    assert ("the bath has 300 K" in unasked) == (ensemble != "nve" or equilibrate > 0)
    assert (unlike(record, kelvin / 1.2, equilibrate, ensemble) == []) == (ensemble != "nve")


@pytest.mark.parametrize(("ensemble", "equilibrate"), [("nve", 0), ("nve", 50), ("nvt", 0), ("npt", 10)])
def test_heat_where_rest_was_asked_for_is_said(ensemble: str, equilibrate: int) -> None:
    record = Dynamics.__new__(Dynamics)
    object.__setattr__(record, "temperature", [37.0])
    (note,) = unlike(record, 0.0, equilibrate, ensemble)
    assert note.startswith("the mean temperature is 37 K, where 0 K were asked for")
    assert "the start was not relaxed" in note
    object.__setattr__(record, "temperature", [0.3])
    assert unlike(record, 0.0, equilibrate, ensemble) == []


def test_nothing_that_moves_has_no_temperature(force_field) -> None:
    for atoms in (molecule("H2O"), molecule("H2O")[:1]):
        atoms.set_constraint(FixAtoms(range(len(atoms))))
        atoms.calc = Calculator(force_field())
        start = atoms.positions.copy()
        record = run_dynamics(atoms, 3, every=1)
        assert np.array_equal(atoms.positions, start)
        assert set(record.temperature) == {0.0}
        assert temperature_of(atoms) == 0
        assert relax(atoms)
    alone = molecule("H2O")[:1]
    alone.calc = Calculator(force_field())
    run_dynamics(alone, 3, equilibrate=2)  # brought to rest, and nothing is left of its temperature
    assert np.isfinite(alone.positions).all()
