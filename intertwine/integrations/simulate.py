"""Molecular dynamics with ASE, and what is recorded of it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms, units
from ase.constraints import (
    FixAtoms,
    FixBondLengths,
    FixCartesian,
    FixCom,
    FixedLine,
    FixedPlane,
    FixInternals,
    FixLinearTriatomic,
)
from ase.io import Trajectory

from intertwine.integrations.packing import pack
from intertwine.integrations.writing import growing
from intertwine.numerics import GeometryError, InputError, choose

BLOW_UP_EV_PER_ATOM = 100.0  # kinetic energy per atom (eV) at which a trajectory is no longer physics
#: Constraints that move with the structure as a whole.
RIDING = (FixBondLengths, FixInternals, FixLinearTriatomic, FixCom)
#: Constraints that cut off components of forces, and nothing else.
STRAIGHT = (FixAtoms, FixCartesian, FixedLine, FixedPlane)


@dataclass
class Dynamics:
    """What happened in a run of molecular dynamics; one entry per recorded step.

    Attributes:
        time: ps.
        total: total energy, eV.
        potential: potential energy, eV.
        temperature: kinetic temperature, K.
        conserved: for "nve", time (ps) and energy (eV) that the integrator conserves (:class:`ShadowEnergy`), of every
            step.
        atoms: number of atoms.
    """

    atoms: int
    time: list[float] = field(default_factory=list)
    total: list[float] = field(default_factory=list)
    potential: list[float] = field(default_factory=list)
    temperature: list[float] = field(default_factory=list)
    conserved: list[tuple[float, float]] = field(default_factory=list)

    def add(self, atoms: Atoms, step: int, timestep: float) -> None:
        """Record the present state.

        Raises:
            GeometryError: it is no longer physics.
        """
        kinetic, potential = atoms.get_kinetic_energy(), atoms.get_potential_energy()
        if not np.isfinite(kinetic + potential) or kinetic > BLOW_UP_EV_PER_ATOM * self.atoms:
            raise GeometryError(
                f"the trajectory blew up at step {step}: kinetic energy {kinetic:.3g} eV",
                where="dynamics",
                remedy=(
                    "start from a relaxed structure (intertwine relax), "
                    "use a smaller time step, or train on hotter data."
                ),
            )
        self.time.append(step * timestep * 1e-3)
        self.total.append(kinetic + potential)
        self.potential.append(potential)
        self.temperature.append(temperature_of(atoms))

    @property
    def drift(self) -> float:
        """Slope of the conserved energy by least squares, eV per atom per ns; of the total energy with a bath."""
        return _slope(self.conserved, self.atoms) if len(self.conserved) > 1 else self.total_drift

    @property
    def total_drift(self) -> float:
        """Slope of the total energy by least squares, eV per atom per ns; in a short run mostly the phase of its
        fluctuation.
        """
        return _slope(list(zip(self.time, self.total, strict=True)), self.atoms)

    @property
    def fluctuation(self) -> float:
        """Standard deviation of the total energy about its trend, meV per atom."""
        if len(self.time) < 3:
            return 0.0
        energy = (np.asarray(self.total) - self.total[0]) / self.atoms
        trend = np.polyfit(self.time, energy, 1)
        return float(np.std(energy - np.polyval(trend, self.time)) * 1e3)


def _slope(points: list[tuple[float, float]], atoms: int) -> float:
    """Least-squares slope of energies (eV) at times (ps), in eV per atom per ns."""
    if len(points) < 2:
        return 0.0
    time, energy = np.asarray(points).T
    change = (energy - energy[0]) / atoms  # an offset of thousands of eV would cost digits
    return float(np.polyfit(time * 1e-3, change, 1)[0])


class ShadowEnergy:
    r"""What velocity Verlet conserves to fourth order in the time step, where the total energy fluctuates in second
    order:

    .. math:: \tilde H = T + U + \Delta t^2 \big(\tfrac1{12} v^T U'' v - \tfrac1{24} F^T M^{-1} F\big)

    Hairer, Lubich and Wanner, Acta Numerica 12, 399 (2003), section 4.2. With :math:`v^T U'' v = -v \cdot dF/dt` by
    central differences of the forces of three successive steps.
    """

    def __init__(self, atoms: Atoms, timestep: float) -> None:
        self.atoms, self.timestep = atoms, timestep * units.fs
        self.history: list[tuple[float, np.ndarray, np.ndarray]] = []

    def __call__(self) -> float | None:
        """To be called after every step: the shadow energy (eV) of the step before, None at first."""
        forces = self.atoms.get_forces()
        self.history = [*self.history[-2:], (self.atoms.get_total_energy(), self.atoms.get_velocities(), forces)]
        if len(self.history) < 3:
            return None
        (_, _, before), (energy, velocities, now), (_, _, after) = self.history
        curvature = -(velocities * (after - before)).sum() / (2 * self.timestep)
        inertia = (now**2 / self.atoms.get_masses()[:, None]).sum()
        return float(energy + self.timestep**2 * (curvature / 12 - inertia / 24))


def run_dynamics(
    atoms: Atoms,
    steps: int,
    *,
    temperature: float = 300.0,
    timestep: float = 0.25,
    ensemble: str = "nve",
    friction: float = 0.01,
    equilibrate: int = 0,
    velocities: str = "thermal",
    seed: int = 0,
    every: int = 10,
    trajectory: Path | None = None,
    progress: Callable[[int], None] | None = None,
    say: Callable[[str], None] | None = None,
) -> Dynamics:
    """Molecular dynamics from the given positions, by default with Maxwell-Boltzmann velocities.

    "nve": velocity Verlet, which conserves energy: its drift measures the force field. "nvt": Langevin dynamics. From a
    relaxed structure half of the kinetic energy soon becomes potential energy; a few hundred femtoseconds of
    equilibration bring the temperature back.

    Constraints hold, and masses are those of the structure. Its centre of mass is brought to rest before what is
    recorded, unless constraints tie atoms to places: then momentum is not conserved.

    Args:
        atoms: structure with a calculator; moved in place.
        steps: number of steps.
        temperature: K; of the starting velocities, and of the bath.
        timestep: fs.
        ensemble: "nve" or "nvt".
        friction: of the bath, 1/fs.
        equilibrate: steps of Langevin dynamics (friction 0.02/fs) before the first recorded one.
        velocities: "thermal", drawn at the temperature, or "keep", those of the structure as they are.
        seed: of the velocities and of the bath.
        every: record every so many steps.
        trajectory: file to write recorded frames to (ASE's .traj); a former one is there until this one is complete.
        progress: called with the number of steps done, those of the equilibration included.
        say: told where the frames are if the dynamics is interrupted.

    Raises:
        InputError: an argument out of range, a mass that is not positive, or no (finite) velocities to keep.
        GeometryError: the trajectory blew up; says at which step, and where its frames are.
        CheckpointError: the trajectory can't be written.
    """
    _check(steps, timestep, every, temperature, ensemble)
    rng = np.random.default_rng(seed)
    _start(atoms, temperature, velocities, rng)
    with growing(trajectory, say) if trajectory is not None else nullcontext() as part:
        if equilibrate > 0:
            bath = _integrator(atoms, "nvt", timestep, temperature, 0.02, rng)
            bath.attach(lambda: progress(bath.nsteps) if progress is not None else None, interval=every)
            _go(bath, equilibrate, "equilibration")
            _rest(atoms)
        integrator = _integrator(atoms, ensemble, timestep, temperature, friction, rng)
        record = Dynamics(len(atoms))
        writer = Trajectory(part, "w") if part is not None else None

        def observe() -> None:
            record.add(atoms, integrator.nsteps, timestep)
            if writer is not None:
                writer.write(pack(atoms, "traj"))
            if progress is not None:
                progress(equilibrate + integrator.nsteps)

        integrator.attach(observe, interval=every)
        if ensemble == "nve" and all(isinstance(constraint, STRAIGHT) for constraint in atoms.constraints):
            integrator.attach(_shadow(atoms, timestep, integrator, record))
        try:
            _go(integrator, steps, "dynamics")
        finally:
            if writer is not None:
                writer.close()
    return record


def _check(steps: int, timestep: float, every: int, temperature: float, ensemble: str) -> None:
    for name, value in (("steps", steps), ("timestep", timestep), ("every", every)):
        if not value > 0:
            raise InputError(f"{name} is {value}", where=name, remedy="give a positive number.")
    if not temperature >= 0:
        raise InputError(f"a temperature of {temperature} K", where="temperature", remedy="give 0 or more.")
    choose(ensemble, ("nve", "nvt"), kind="ensemble", where="ensemble")


def temperature_of(atoms: Atoms) -> float:
    """Kinetic temperature (K), of the degrees of freedom that constraints leave; 0 where they leave none."""
    return atoms.get_temperature() if atoms.get_number_of_degrees_of_freedom() > 0 else 0.0


def free(atoms: Atoms) -> bool:
    """Whether nothing ties the structure to a place, so that its momentum is conserved."""
    return all(isinstance(constraint, RIDING) for constraint in atoms.constraints)


def _start(atoms: Atoms, temperature: float, velocities: str, rng: np.random.Generator) -> None:
    """Velocities to begin with."""
    from ase.md.velocitydistribution import thermalize_momenta

    masses = atoms.get_masses()
    bad = np.flatnonzero(~((masses > 0) & np.isfinite(masses)))
    if len(bad):
        raise InputError(
            f"atom {bad[0]} has a mass of {masses[bad[0]]:g}",
            where="masses",
            remedy="give all atoms a mass, in atomic units.",
        )
    if velocities == "keep" and atoms.has("momenta") and not np.isfinite(atoms.get_momenta()).all():
        raise InputError(
            "the velocities are not finite", where="velocities", remedy="repair them, or draw new ones: thermal."
        )

    if choose(velocities, ("thermal", "keep"), kind="way to begin", where="velocities") == "thermal":
        thermalize_momenta(atoms, temperature_K=temperature, rng=rng)
        _rest(atoms)
    elif not atoms.has("momenta"):
        raise InputError(
            "the structure has no velocities", where="velocities", remedy="draw them: thermal; or give ASE's momenta."
        )
    else:
        atoms.set_momenta(atoms.get_momenta())  # what is fixed does not move


def _rest(atoms: Atoms) -> None:
    """Bring the centre of mass to rest at the same temperature."""
    from ase.md.velocitydistribution import Stationary

    if free(atoms):
        Stationary(atoms, preserve_temperature=len(atoms) > 1 and temperature_of(atoms) > 0)


def _shadow(atoms: Atoms, timestep: float, integrator: Any, record: Dynamics) -> Callable[[], None]:
    shadow = ShadowEnergy(atoms, timestep)

    def watch() -> None:
        energy = shadow()
        if energy is not None:
            record.conserved.append(((integrator.nsteps - 1) * timestep * 1e-3, energy))

    return watch


def _go(integrator: Any, steps: int, what: str) -> None:
    """Run, with the step in what goes wrong."""
    try:
        integrator.run(steps)
    except GeometryError as error:
        if error.where == "dynamics":
            raise
        where = f"step {integrator.nsteps} of the {what}" + (f", {error.where}" if error.where else "")
        raise GeometryError(error.what, where=where, remedy=error.remedy) from error


def _integrator(
    atoms: Atoms, ensemble: str, timestep: float, temperature: float, friction: float, rng: np.random.Generator
):
    from ase.md.langevin import Langevin
    from ase.md.verlet import VelocityVerlet

    if ensemble == "nve":
        return VelocityVerlet(atoms, timestep * units.fs)
    return Langevin(
        atoms, timestep * units.fs, temperature_K=temperature, friction=friction / units.fs, fixcm=False, rng=rng
    )
