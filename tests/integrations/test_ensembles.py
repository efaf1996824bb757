"""Thermostats and barostats: what they sample, what they conserve, and how dynamics begin."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from ase import units
from ase.build import bulk, fcc111, molecule
from ase.calculators.emt import EMT
from ase.constraints import FixAtoms, FixBondLength, FixCom
from switches import does_not_apply
from systems import argon, copper, ethanol

from intertwine.integrations import Calculator, run_dynamics
from intertwine.integrations.beginning import begin, go
from intertwine.integrations.ensembles import (
    Ensemble,
    bussi,
    degrees_of_freedom,
    internal_kinetic_energy,
    langevin,
    temperature_of,
)
from intertwine.numerics import GeometryError, InputError

BATHS = {
    "langevin": {"ensemble": "nvt"},
    "bussi": {"ensemble": "nvt", "thermostat": "bussi", "thermostat_time": 50.0},
    "nose-hoover": {"ensemble": "nvt", "thermostat": "nose-hoover", "thermostat_time": 50.0},
    "isotropic": {"ensemble": "npt", "thermostat_time": 50.0, "barostat_time": 200.0},
    "flexible": {"ensemble": "npt", "barostat": "flexible", "thermostat_time": 50.0, "barostat_time": 200.0},
}


def slab():
    atoms = fcc111("Cu", (2, 2, 3), vacuum=6.0)
    atoms.set_constraint(FixAtoms(range(4)))
    atoms.calc = EMT()
    return atoms


@pytest.mark.parametrize("bath", BATHS)
@pytest.mark.parametrize("system", ["copper", "argon", "network"])
def test_energy_and_that_of_the_bath_are_conserved(bath: str, system: str, force_field) -> None:
    """The total energy is exchanged with the bath; with what the bath has taken it changes by the integrator's error,
    which falls as the square of the time step.
    """
    if system == "network" and BATHS[bath]["ensemble"] == "npt":
        does_not_apply("a molecule has no pressure")
    temperature, fine = {"copper": (300.0, 2.0), "argon": (30.0, 4.0), "network": (300.0, 0.25)}[system]
    spreads = []
    for timestep, steps in ((2 * fine, 30), (fine, 60)):
        atoms = {
            "copper": lambda: copper((2, 1, 1)),
            "argon": lambda: argon((2, 1, 1)),
            "network": lambda: ethanol(lambda: Calculator(force_field(scale=0.05))),
        }[system]()
        record = run_dynamics(atoms, steps, timestep=timestep, temperature=temperature, every=2, **BATHS[bath])
        conserved = np.array([energy for _, energy in record.conserved])
        spreads.append(np.ptp(conserved))
        assert len(conserved) == steps + 1
        assert record.effective == pytest.approx(conserved[::2], abs=1e-9)
        assert spreads[-1] < 0.1 * np.ptp(record.total)
    assert spreads[1] < 0.5 * spreads[0]


@pytest.mark.parametrize("thermostat", [langevin, bussi])
@pytest.mark.parametrize("system", ["water", "slab", "copper", "bond"])
def test_thermostats_sample_the_canonical_kinetic_energy(thermostat, system: str) -> None:
    """Of n degrees of freedom, the mean is n kT / 2 and the variance n (kT)^2 / 2, whatever the start was."""
    atoms = {"water": molecule("H2O"), "slab": slab(), "copper": copper((1, 1, 1)), "bond": molecule("H2O")}[system]
    if system == "bond":
        atoms.set_constraint([FixBondLength(0, 1), FixCom()])
    rng = np.random.default_rng(0)
    begin(atoms, 3000.0, "thermal", rng)
    samples = []
    for _ in range(1500):
        thermostat(atoms, 0.2, 300.0, rng)
        samples.append(internal_kinetic_energy(atoms))
    count, kt = degrees_of_freedom(atoms), units.kB * 300
    assert count == {"water": 6, "slab": 24, "copper": 9, "bond": 5}[system]
    mean, variance = 0.5 * count * kt, 0.5 * count * kt**2
    assert np.mean(samples[50:]) == pytest.approx(mean, abs=5 * np.sqrt(1.5 * variance / 1450))
    assert np.var(samples[50:]) == pytest.approx(variance, rel=0.3)


@pytest.mark.parametrize("system", ["water", "slab", "copper"])
def test_temperatures_are_of_internal_motion(system: str) -> None:
    """Drawn velocities have the temperature on average, and the motion of a free structure as a whole has no part."""
    atoms = {"water": molecule("H2O"), "slab": slab(), "copper": copper((1, 1, 1))}[system]
    rng, drawn = np.random.default_rng(1), []
    for _ in range(600):
        begin(atoms, 300.0, "thermal", rng)
        drawn.append(temperature_of(atoms))
    assert np.mean(drawn) == pytest.approx(300, abs=5 * 300 * np.sqrt(2 / degrees_of_freedom(atoms) / 600))
    if system != "slab":
        assert np.abs(atoms.get_momenta().sum(0)).max() < 1e-9
        atoms.set_velocities(atoms.get_velocities() + 0.3)
        assert temperature_of(atoms) == pytest.approx(drawn[-1])


def test_bussi_conserves_momentum_and_langevin_need_not() -> None:
    for system in (copper((1, 1, 1)), molecule("H2O"), argon((1, 1, 1))):
        rng = np.random.default_rng(0)
        begin(system, 300.0, "thermal", rng)
        system.set_velocities(system.get_velocities() + 0.01)
        before = system.get_momenta().sum(0)
        bussi(system, 0.5, 300.0, rng)
        assert np.allclose(system.get_momenta().sum(0), before)
        langevin(system, 0.5, 300.0, rng)
        assert not np.allclose(system.get_momenta().sum(0), before)


@pytest.mark.parametrize("system", [copper, argon])
def test_pressure_moves_the_cell(system) -> None:
    volumes = {}
    hot = 300.0 if system is copper else 20.0
    pressures = (-2.0, 0.0, 10.0) if system is copper else (-0.05, 0.0, 0.5)
    for pressure in pressures:
        for barostat in ("isotropic", "flexible"):
            atoms = system((2, 1, 1))
            start = atoms.cell.array.copy()
            options = {"temperature": hot, "pressure": pressure, "barostat": barostat, "barostat_time": 500.0}
            record = run_dynamics(atoms, 60, timestep=4.0, ensemble="npt", thermostat_time=100.0, **options)
            volumes[barostat, pressure] = np.mean(record.volume)
            assert record.volume[-1] == pytest.approx(atoms.get_volume())
            ratio = atoms.cell.array[np.abs(start) > 1] / start[np.abs(start) > 1]
            assert (np.ptp(ratio) < 1e-9) == (barostat == "isotropic")
    for barostat in ("isotropic", "flexible"):
        low, middle, high = (volumes[barostat, pressure] for pressure in pressures)
        assert high < middle < low


@pytest.mark.parametrize("system", ["copper", "argon", "slab"])
def test_nve_runs_at_the_temperature_or_says_why_not(system: str) -> None:
    """From a minimum without equilibration half of the kinetic energy is lost, and a note says so; after equilibration
    the energy is that of the temperature.
    """
    temperature, timestep = {"copper": (300.0, 5.0), "argon": (20.0, 10.0), "slab": (300.0, 5.0)}[system]
    make = {"copper": copper, "argon": argon, "slab": slab}[system]
    means, said = {}, []
    for equilibrate in (0, 120):
        record = run_dynamics(
            make(), 60, temperature=temperature, timestep=timestep, equilibrate=equilibrate, every=3, say=said.append
        )
        means[equilibrate] = np.mean(record.temperature[5:]) / temperature
        if equilibrate == 0:
            assert 0.3 < means[0] < 0.75
            assert "equipartition" in said[0]
            assert f"{np.mean(record.temperature):.0f} K" in said[0]
            assert "--equilibrate" in said[0]
    assert 0.75 < means[120] < 1.3


def test_a_bath_is_not_told_of_equipartition() -> None:
    """Ten femtoseconds from a minimum are short for a bath, and that is said where it shows."""
    for bath in ("langevin", "bussi", "nose-hoover"):
        said: list[str] = []
        record = run_dynamics(copper((1, 1, 1)), 5, timestep=2.0, every=1, say=said.append, **BATHS[bath])
        far = abs(np.mean(record.temperature) / 300.0 - 1) > 0.25
        assert sum("short for the thermostat" in line for line in said) == far
        assert sum("too short for a drift" in line for line in said) == 1
        assert len(said) == far + 1
        assert not any("equipartition" in line for line in said)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"name": "nve", "thermostat": "bussi"}, "nve uses no thermostat"),
        ({"name": "nve", "friction": 0.1}, "nve uses no friction"),
        ({"name": "nve", "pressure": 0.0}, "nve uses no pressure"),
        ({"name": "nvt", "barostat": "flexible"}, "nvt uses no barostat"),
        ({"name": "nvt", "thermostat": "bussi", "friction": 0.1}, "the thermostat bussi uses no friction"),
        ({"name": "nvt", "thermostat_time": 10.0}, "uses no thermostat time"),
        ({"name": "npt", "thermostat": "langevin"}, "npt with the thermostat langevin"),
        ({"name": "npt", "barostat": "berendsen"}, "unknown barostat"),
        ({"name": "nvt", "thermostat": "andersen"}, "unknown thermostat"),
        ({"name": "nvt", "friction": -1.0}, "friction is -1"),
        ({"name": "nvt", "thermostat": "bussi", "thermostat_time": 0.0}, "thermostat_time is 0"),
        ({"name": "npt", "pressure": float("nan")}, "a pressure of nan"),
        ({"name": "npt", "temperature": float("inf")}, "a temperature of inf"),
    ],
)
def test_what_an_ensemble_does_not_use_is_refused(options: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        Ensemble(**options)


def test_defaults_are_filled_in() -> None:
    assert Ensemble("nve").settings == {"name": "nve", "temperature": 300.0, "timestep": 0.25}
    assert Ensemble("nvt").settings.items() >= {"thermostat": "langevin", "friction": 0.01}.items()
    npt = Ensemble("npt", pressure=1.0).settings
    assert (npt["thermostat"], npt["barostat"], npt["barostat_time"]) == ("nose-hoover", "isotropic", 1000.0)


@pytest.mark.parametrize("name", ["molecule", "slab", "fixed", "still", "bonds"])
def test_structures_that_do_not_suit_an_ensemble(name: str) -> None:
    options = {"ensemble": "npt"}
    if name == "molecule":
        atoms, words = molecule("H2O"), "not periodic in three directions"
        atoms.calc = EMT()
    elif name == "slab":
        atoms, words = slab(), "can't hold FixAtoms"
    elif name == "fixed":
        atoms, words = copper((1, 1, 1)), "can't hold FixAtoms"
        atoms.set_constraint(FixAtoms([0]))
    elif name == "still":
        atoms, words = copper((1, 1, 1)), "nothing moves"
        atoms.set_momenta(np.zeros((4, 3)))
        options = {"ensemble": "nvt", "thermostat": "bussi", "velocities": "keep"}
    else:
        atoms, words = copper((1, 1, 1)), "can't hold FixBondLengths"
        atoms.set_constraint(FixBondLength(0, 1))
        options = {"ensemble": "nvt", "thermostat": "nose-hoover"}
    with pytest.raises(InputError, match=words):
        run_dynamics(atoms, 3, **options)


@pytest.mark.parametrize("pressure", [-300.0, -500.0, -1000.0])
def test_a_cell_that_bursts_is_said(pressure: float) -> None:
    with pytest.raises(GeometryError, match="blew up at step"):
        run_dynamics(
            copper((1, 1, 1)), 400, timestep=4.0, ensemble="npt", pressure=pressure, barostat_time=50.0, every=1
        )


@pytest.mark.parametrize("what", ["dynamics", "equilibration"])
@pytest.mark.parametrize("where", ["positions", "cell"])
@pytest.mark.parametrize(
    "error", [GeometryError("position of node 0 is not finite"), ValueError("nan"), IndexError("x")]
)
def test_what_is_not_finite_has_blown_up(what: str, where: str, error: Exception) -> None:
    """Whoever says first that positions are no numbers: the cause is the time step or the bath, not the structure."""
    atoms = bulk("Cu", cubic=True)

    def run(steps: int) -> None:
        if where == "cell":
            atoms.cell[0, 0] = np.inf
        else:
            atoms.positions[0, 0] = np.nan
        np.float64(1e308) ** 2  # of which numpy would warn
        raise error

    with pytest.raises(GeometryError, match=r"(?s)blew up at step 3: .*than 25 fs \(\d+ fs is usual\)") as said:
        go(SimpleNamespace(run=run, nsteps=3, dt=25 * units.fs, atoms=atoms), 10, what)
    assert said.value.where == "dynamics"
    assert "remove or repair" not in str(said.value)
