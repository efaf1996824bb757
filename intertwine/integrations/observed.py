"""What is recorded of dynamics: the state of every so many steps, the energy that is conserved, and a log file."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
from ase import Atoms, units

from intertwine.integrations.ensembles import pressure_of, temperature_of
from intertwine.numerics import GeometryError

BLOW_UP_EV_PER_ATOM = 100.0  # kinetic energy per atom (eV) at which a trajectory is no longer physics
USUAL_STEPS = {True: 0.5, False: 1.0}  # fs, with hydrogen and without
BLOW_UP_VOLUME = 10.0  # so much larger than at first, a cell holds no longer what it held
FEWEST = 3  # recorded steps of which a drift and a fluctuation are told: every two lie on a line
#: Columns of a log file. The energy with the bath is what is conserved where there is one. Velocity Verlet has none: it
#: is the total energy there. The shadow energy, which is conserved, is known a step later and is in no log. Logs of
#: former versions called the column conserved.
COLUMNS = (
    "step",
    "time (ps)",
    "temperature (K)",
    "potential energy (eV)",
    "kinetic energy (eV)",
    "total energy (eV)",
    "energy with the bath (eV)",
    "pressure (GPa)",
    "volume (A^3)",
)
FORMER = tuple("conserved energy (eV)" if name == "energy with the bath (eV)" else name for name in COLUMNS)


def check_physics(
    atoms: Atoms, step: int, timestep: float, *, first: float | None = None, what: str = "trajectory"
) -> None:
    """Raise a :class:`GeometryError` if a structure in motion is no longer physics: energies that are not finite, a
    kinetic energy above :data:`BLOW_UP_EV_PER_ATOM`, a cell of :data:`BLOW_UP_VOLUME` times its ``first`` volume (A^3).

    Args:
        atoms: the structure.
        step: number of the time step.
        timestep: fs.
        first: volume at first; None where there is none.
        what: is said to have blown up.
    """
    kinetic, potential = float(atoms.get_kinetic_energy()), float(atoms.get_potential_energy())
    volume = volume_of(atoms)
    burst = first is not None and volume > BLOW_UP_VOLUME * first
    if np.isfinite(kinetic + potential) and kinetic <= BLOW_UP_EV_PER_ATOM * len(atoms) and not burst:
        return
    hot = f" ({temperature_of(atoms):.3g} K)" if np.isfinite(kinetic) else ""
    size = f"volume {volume:.3g} A^3" if burst else f"kinetic energy {kinetic:.3g} eV{hot}"
    remedy = (
        f"start from a relaxed structure (intertwine relax), use {smaller_step(atoms, timestep)}, or, if the model is "
        "poor there, train longer or on hotter data."
    )
    raise GeometryError(f"the {what} blew up at step {step}: {size}", where="dynamics", remedy=remedy)


def smaller_step(atoms: Atoms, timestep: float) -> str:
    """What to take in place of a time step (fs) with which a trajectory blew up, in words."""
    usual = USUAL_STEPS[bool((atoms.numbers == 1).any())]
    return "a smaller time step" + (f" than {timestep:g} fs ({usual:g} fs is usual)" if timestep > usual else "")


@dataclass
class Dynamics:
    """What happened in a run of molecular dynamics; one entry per recorded step.

    Attributes:
        time: ps.
        total: total energy, eV.
        potential: potential energy, eV.
        temperature: kinetic temperature, K.
        pressure: GPa; nan where there is none.
        volume: A^3; nan in a structure that does not repeat in three directions.
        effective: total energy and that of the bath, eV: constant but for errors of the integrator and the forces.
        conserved: time (ps) and energy (eV) that the integrator conserves, of every step; for "nve" the shadow energy
            (:class:`ShadowEnergy`).
        atoms: number of atoms.
        left: step, time (ps) and ways (:attr:`~intertwine.integrations.Calculator.departures`) of the first recorded
            structure that is far outside of what the calculator was trained on; None if there is none.
    """

    atoms: int
    time: list[float] = field(default_factory=list)
    total: list[float] = field(default_factory=list)
    potential: list[float] = field(default_factory=list)
    temperature: list[float] = field(default_factory=list)
    pressure: list[float] = field(default_factory=list)
    volume: list[float] = field(default_factory=list)
    effective: list[float] = field(default_factory=list)
    conserved: list[tuple[float, float]] = field(default_factory=list)
    left: tuple[int, float, list[str]] | None = None

    @property
    def mean_temperature(self) -> float:
        """K; 0 where nothing is recorded."""
        return float(np.mean(self.temperature)) if self.temperature else 0.0

    def add(self, atoms: Atoms, step: int, timestep: float, effective: float | None = None) -> list[float]:
        """Record the present state; returns it as a row of :data:`COLUMNS`.

        Args:
            atoms: the structure.
            step: number of the time step.
            timestep: fs.
            effective: total energy with that of the bath, eV; None where there is no bath.

        Raises:
            GeometryError: it is no longer physics.
        """
        check_physics(atoms, step, timestep, first=self.volume[0] if self.volume else None)
        row = row_of(atoms, step, step * timestep * 1e-3, effective)
        self.take(row)
        if self.left is None and (departures := getattr(atoms.calc, "departures", None)):
            self.left = (step, row[1], list(departures))
        return row

    def take(self, row: list[float]) -> None:
        """Record a row of :data:`COLUMNS`."""
        columns = (self.time, self.temperature, self.potential, None, self.total, self.effective, self.pressure)
        for column, value in zip((*columns, self.volume), row[1:], strict=True):
            if column is not None:
                column.append(value)

    @property
    def caveat(self) -> str:
        """That mean and drift mean nothing, of a run that left what the calculator was trained on; empty of others."""
        if self.left is None:
            return ""
        step, time, _ = self.left
        return f"far outside of the training data from step {step} ({time:.4g} ps): mean and drift mean nothing"

    @property
    def drift(self) -> float:
        """Slope of the conserved energy by least squares, eV per atom per ns; nan of fewer than :data:`FEWEST` recorded
        steps.
        """
        if len(self.time) < FEWEST:
            return math.nan
        return _slope(self.conserved, self.atoms) if len(self.conserved) >= FEWEST else self.total_drift

    @property
    def total_drift(self) -> float:
        """Slope of the total energy by least squares, eV per atom per ns; in a short run mostly the phase of its
        fluctuation. With a bath, which exchanges energy, it says nothing of the force field. nan of fewer than
        :data:`FEWEST` recorded steps.
        """
        return _slope(list(zip(self.time, self.total, strict=True)), self.atoms)

    @property
    def fluctuation(self) -> float:
        """Standard deviation of the total energy about its trend, meV per atom; nan of fewer than :data:`FEWEST`
        recorded steps.
        """
        if len(self.time) < FEWEST:
            return math.nan
        energy = (np.asarray(self.total) - self.total[0]) / self.atoms
        trend = np.polyfit(self.time, energy, 1)
        return float(np.std(energy - np.polyval(trend, self.time)) * 1e3)


def _slope(points: list[tuple[float, float]], atoms: int) -> float:
    """Least-squares slope of energies (eV) at times (ps), in eV per atom per ns; nan of fewer than :data:`FEWEST`."""
    if len(points) < FEWEST:
        return math.nan
    time, energy = np.asarray(points).T
    change = (energy - energy[0]) / atoms  # an offset of thousands of eV would cost digits
    return float(np.polyfit(time * 1e-3, change, 1)[0])


def row_of(atoms: Atoms, step: int, time: float, effective: float | None = None) -> list[float]:
    """The present state of a structure as a row of :data:`COLUMNS`.

    Args:
        atoms: the structure.
        step: number of the time step.
        time: ps.
        effective: total energy with that of the bath, eV; None where there is no bath.
    """
    kinetic, potential = float(atoms.get_kinetic_energy()), float(atoms.get_potential_energy())
    total = kinetic + potential
    effective = total if effective is None else float(effective)
    energies = [potential, kinetic, total, effective]
    return [float(step), time, temperature_of(atoms), *energies, pressure_of(atoms), volume_of(atoms)]


def volume_of(atoms: Atoms) -> float:
    """Volume of the cell, A^3; nan where it does not repeat in three directions: the box of a file says nothing."""
    return float(abs(atoms.cell.volume)) if atoms.pbc.all() and atoms.cell.rank == 3 else math.nan


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


class Log:
    """A table of the recorded steps in a file (.csv) with the columns :data:`COLUMNS`; every row can be read at once.

    What there is none of, as a pressure without a cell, is left empty.

    Args:
        file: to write to, as text.
        rows: of a former part of the same dynamics.
    """

    def __init__(self, file: IO[str], rows: list[list[float]] | None = None) -> None:
        self.file, self.writer = file, csv.writer(file, lineterminator="\n")
        self.writer.writerow(COLUMNS)
        for row in rows or []:
            self.write(row)

    def write(self, row: list[float]) -> None:
        """Append a row of :data:`COLUMNS`."""
        step, *values = row
        self.writer.writerow([int(step), *("" if math.isnan(value) else repr(float(value)) for value in values)])
        self.file.flush()


def read_log(path: Path) -> list[list[float]]:
    """The rows of a log file, without one that was not written to its end; none if there is no such file."""
    if not path.is_file():
        return []
    lines = list(csv.reader(path.read_text(encoding="utf-8", errors="replace").rpartition("\n")[0].splitlines()))
    if not lines or tuple(lines[0]) not in (COLUMNS, FORMER):
        return []
    try:
        return [[float(cell or "nan") for cell in line] for line in lines[1:] if len(line) == len(COLUMNS)]
    except ValueError:
        return []


def watch_shadow(atoms: Atoms, timestep: float, integrator: Any, record: Dynamics) -> Callable[[], None]:
    """To be called after every step of velocity Verlet: adds its shadow energy to what is conserved."""
    shadow = ShadowEnergy(atoms, timestep)

    def watch() -> None:
        energy = shadow()
        if energy is not None:
            record.conserved.append(((integrator.nsteps - 1) * timestep * 1e-3, energy))

    return watch


def watch_bath(energy: Callable[[], float], timestep: float, integrator: Any, record: Dynamics) -> Callable[[], None]:
    """To be called after every step with a bath: adds the energy that is conserved together with it."""
    return lambda: record.conserved.append((integrator.nsteps * timestep * 1e-3, energy()))
