"""How dynamics begin: velocities, the centre of mass at rest, equilibration."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from ase import Atoms, units

from intertwine.integrations.ensembles import Ensemble, degrees_of_freedom, free, internal_kinetic_energy
from intertwine.integrations.observed import check_physics, smaller_step
from intertwine.numerics import GeometryError, InputError, choose

FRICTION = 0.02  # of the equilibration, 1/fs


def begin(atoms: Atoms, temperature: float, velocities: str, rng: np.random.Generator) -> None:
    """Velocities to begin with: "thermal", drawn at the temperature (K), or "keep", those that there are.

    Raises:
        InputError: a mass that is not positive, or no finite velocities to keep.
    """
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
        spread = np.sqrt(masses * units.kB * temperature)[:, None]  # Maxwell-Boltzmann
        atoms.set_momenta(rng.standard_normal((len(atoms), 3)) * spread)
        rest(atoms)
    elif not atoms.has("momenta"):
        raise InputError(
            "the structure has no velocities", where="velocities", remedy="draw them: thermal; or give ASE's momenta."
        )
    else:
        atoms.set_momenta(atoms.get_momenta())  # what is fixed does not move


def rest(atoms: Atoms) -> None:
    """Bring the centre of mass of a free structure to rest; its motion has no part in the temperature."""
    from ase.md.velocitydistribution import Stationary

    if free(atoms):
        Stationary(atoms, preserve_temperature=False)


def equilibrated(
    atoms: Atoms,
    kind: Ensemble,
    steps: int,
    rng: np.random.Generator,
    every: int,
    progress: Callable[[int], None],
) -> None:
    """Langevin dynamics at the temperature of the ensemble, after which the centre of mass is at rest.

    Dynamics at constant energy would keep the energy that the last moment happens to have: its velocities are scaled,
    so that the total energy is the mean of the bath: the potential energy of the later half, and half of kT for each
    degree of freedom.

    Raises:
        GeometryError: it blew up.
    """
    bath = Ensemble("nvt", kind.temperature, kind.timestep, friction=FRICTION).integrator(atoms, rng)
    potential: list[float] = []
    bath.attach(lambda: potential.append(atoms.get_potential_energy()))
    bath.attach(lambda: check_physics(atoms, bath.nsteps, kind.timestep, what="equilibration"))
    bath.attach(lambda: progress(bath.nsteps), interval=every)
    go(bath, steps, "equilibration")
    rest(atoms)
    if kind.name == "nve":
        half = potential[len(potential) // 2 :]
        target = np.mean(half) - potential[-1] + 0.5 * degrees_of_freedom(atoms) * units.kB * kind.temperature
        kinetic = internal_kinetic_energy(atoms)
        if target > 0 and kinetic > 0:
            atoms.set_momenta(np.sqrt(target / kinetic) * atoms.get_momenta())


def go(integrator: Any, steps: int, what: str) -> None:
    """Run, with the step in what goes wrong."""
    try:
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # what blows up is said once
            integrator.run(steps)
    except GeometryError as error:
        if error.where == "dynamics":
            raise
        if not _finite(integrator.atoms):
            raise _blown_up(integrator, what) from error
        where = f"step {integrator.nsteps} of the {what}" + (f", {error.where}" if error.where else "")
        raise GeometryError(error.what, where=where, remedy=error.remedy) from error
    except (ValueError, ArithmeticError, IndexError) as error:  # what calculators make of infinite numbers
        if _finite(integrator.atoms):
            raise
        raise _blown_up(integrator, what) from error


def _finite(atoms: Atoms) -> bool:
    return bool(np.isfinite(atoms.positions).all() and np.isfinite(atoms.cell.array).all())


def _blown_up(integrator: Any, what: str) -> GeometryError:
    """What is said of positions or of a cell that are not numbers any more."""
    smaller = smaller_step(integrator.atoms, integrator.dt / units.fs)
    moving = "trajectory" if what == "dynamics" else what
    return GeometryError(
        f"the {moving} blew up at step {integrator.nsteps}: positions or cell are not finite",
        where="dynamics",
        remedy=f"start from a relaxed structure (intertwine relax), use {smaller}, or a slower bath (--barostat-time).",
    )
