"""Molecular dynamics with ASE: from the start, or from where a former run was interrupted."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.io import Trajectory

from intertwine.data.suspicion.domain import REMEDY
from intertwine.integrations.beginning import begin, equilibrated, go
from intertwine.integrations.ensembles import STRAIGHT, Ensemble, temperature_of
from intertwine.integrations.observed import FEWEST, Dynamics, Log, watch_bath, watch_shadow
from intertwine.integrations.packing import pack
from intertwine.integrations.resuming import BEGUN, POTENTIAL, Former, Frames, former_of, logged, potential_of, stamped
from intertwine.integrations.writing import growing
from intertwine.numerics import InputError
from intertwine.numerics.showing import counted

#: Share of the temperature asked for by which the mean may differ without a remark: of an NVE run; with a thermostat,
#: where a short run of few atoms is off by chance.
AWAY, AWAY_BY_CHANCE = 0.1, 0.25
STILL_K = 0.1  # K, of a run at 0 K without a remark
STRAINED = "the start was not relaxed, and what it was strained by became heat; relax it first (intertwine relax)"
HOT = 1.5  # times the temperature asked for: of such a run not its equilibration was short, its start was strained
SAFE_FS = 0.5  # a time step that no bond to hydrogen, of some 10 fs a period, is too fast for
#: Below so many ps, or so many time constants of the bath, a slope of energies is mostly the phase of vibrations.
SHORTEST_PS, TIME_CONSTANTS = 1.0, 5


def run_dynamics(
    atoms: Atoms,
    steps: int,
    *,
    temperature: float | None = None,
    timestep: float = 0.25,
    ensemble: str = "nve",
    thermostat: str | None = None,
    friction: float | None = None,
    thermostat_time: float | None = None,
    barostat: str | None = None,
    pressure: float | None = None,
    barostat_time: float | None = None,
    equilibrate: int = 0,
    velocities: str = "thermal",
    seed: int = 0,
    every: int = 10,
    trajectory: Path | None = None,
    log: Path | None = None,
    resume: Path | None = None,
    progress: Callable[[int, str], None] | None = None,
    say: Callable[[str], None] | None = None,
) -> Dynamics:
    """Molecular dynamics from the given positions, by default with Maxwell-Boltzmann velocities.

    "nve": velocity Verlet, which conserves energy: its drift measures the force field. By equipartition, half of the
    kinetic energy of a relaxed structure soon becomes potential energy: started at 300 K, it runs at about 150 K. After
    some hundred femtoseconds of equilibration it runs at the temperature asked for.

    "nvt": with a thermostat: "langevin" (friction and noise on each atom; its default), "bussi" (stochastic velocity
    rescaling) or "nose-hoover" (a chain of three). "npt": with the barostat of Martyna, Tobias and Klein, for
    structures periodic in three directions without constraints. All sample the canonical ensemble, and conserve the sum
    of the energy and of what the bath has taken.

    Constraints hold, and masses are those of the structure. Its centre of mass is brought to rest before what is
    recorded, unless constraints tie atoms to places: then momentum is not conserved. It has no part in temperatures.

    Args:
        atoms: structure with a calculator; moved in place.
        steps: number of steps, those before a resumption included.
        temperature: K; of the starting velocities, and of the bath; default 300.
        timestep: fs.
        ensemble: "nve", "nvt" or "npt".
        thermostat: of "nvt": "langevin" (default), "bussi" or "nose-hoover".
        friction: of "langevin", 1/fs; default 0.01.
        thermostat_time: time constant of the other thermostats, fs; default 100.
        barostat: of "npt": "isotropic" (the cell keeps its shape; default) or "flexible".
        pressure: of "npt", GPa; default 0.
        barostat_time: time constant of the barostat, fs; default 1000.
        equilibrate: steps of Langevin dynamics (friction 0.02/fs) before the first recorded one. For "nve" the
            velocities are then scaled to the mean energy of that temperature.
        velocities: "thermal", drawn at the temperature, or "keep", those of the structure as they are.
        seed: of the velocities and of the bath.
        every: record every so many steps.
        trajectory: file to write recorded frames to (ASE's .traj); a former one is there until this one is complete.
        log: file to write :data:`~intertwine.integrations.observed.COLUMNS` of the recorded steps to (.csv).
        resume: trajectory of an interrupted run: go on from its last frame, and begin the new files with the old
            frames and rows; rows that no log holds are made from the frames. Nose-Hoover chains and barostats begin
            at rest. Weights and precision must be those that the trajectory was written with.
        progress: called with the number of steps done, those of the equilibration included, and the temperature in
            words.
        say: told what is worth a remark, and where the frames are if the dynamics is interrupted.

    Raises:
        InputError: an argument out of range or without a use, a structure that does not suit the ensemble, a mass that
            is not positive, no (finite) velocities to keep, a trajectory of other settings or another potential to
            resume, or a log with rows of other dynamics in the place of that of the resumed one.
        GeometryError: the trajectory blew up; says at which step, and where its frames are.
        CheckpointError: the trajectory can't be written.
    """
    begun: dict[str, Any] = {"velocities": velocities, "equilibrate": equilibrate, "asked": temperature}
    temperature = 300.0 if temperature is None else temperature
    kind = Ensemble(
        ensemble, temperature, timestep, thermostat, friction, thermostat_time, barostat, pressure, barostat_time
    )
    for name, value in (("steps", steps), ("every", every)):
        if not value > 0:
            raise InputError(f"{name} is {value}", where=name, remedy="give a positive number.")
    settings = kind.settings | {"every": every, POTENTIAL: potential_of(atoms.calc)}
    into = None if log is None else Path(log)
    former = former_of(resume, atoms, steps, settings, into, say) if resume is not None else Former()
    rng = np.random.default_rng([seed, former.step] if former.step else seed)
    begin(atoms, temperature, "keep" if resume is not None else velocities, rng)
    kind.suits(atoms)
    run = _Run(atoms, kind, every, former, 0 if resume is not None else equilibrate, progress)
    with ExitStack() as stack:
        parts = settings | {"steps": steps, BEGUN: begun if resume is None else former.begun}
        files = _files(stack, trajectory, log, former, parts, say)
        if run.equilibrate > 0:
            equilibrated(atoms, kind, run.equilibrate, rng, every, run.tell)
        run.go(kind.integrator(atoms, rng), steps, *files)
    if say is not None:
        begun = begun if resume is None else former.begun
        asked = begun.get("velocities") != "keep" or begun.get("asked") is not None
        before = begun.get("equilibrate") or 0
        remarks = outside(run.record, temperature, timestep, ensemble, asked) or unlike(
            run.record, temperature, before, ensemble, asked
        )
        for note in (*remarks, *brief(run.record, kind, steps)):
            say(note)
    if say is not None and ensemble == "nve" and former.step and len(run.record.conserved) >= FEWEST:
        say(
            f"the drift of the conserved energy is that after step {former.step}: neither log nor trajectory holds the "
            "shadow energies of the steps before; that of the total energy is of all steps"
        )
    return run.record


class _Run:
    """One run: what is done at every recorded step.

    Args:
        atoms: the structure.
        kind: what is constant.
        every: time steps between those that are recorded.
        former: the part before a resumption.
        equilibrate: time steps before the first recorded one.
        progress: as that of :func:`run_dynamics`.
    """

    def __init__(
        self, atoms: Atoms, kind: Ensemble, every: int, former: Former, equilibrate: int, progress: Any
    ) -> None:
        self.atoms, self.kind, self.every, self.former = atoms, kind, every, former
        self.equilibrate, self.progress = max(equilibrate, 0), progress
        self.record = Dynamics(len(atoms), left=former.left)
        for row in former.rows:
            self.record.take(row)
            if kind.name != "nve":  # whose conserved energy is not the total energy of its rows
                self.record.conserved.append((row[1], row[6]))

    def tell(self, done: int) -> None:
        """Say how many time steps are done."""
        if self.progress is not None:
            self.progress(done, f"{temperature_of(self.atoms):.0f} K")

    def go(self, integrator: Any, steps: int, frames: Any, table: Log | None) -> None:
        """Run up to so many time steps; frames go to the writer of a trajectory, rows to the log."""
        atoms, timestep, record = self.atoms, self.kind.timestep, self.record
        integrator.nsteps = self.former.step
        energy = atoms.get_total_energy if self.kind.name == "nve" else integrator.get_conserved_energy
        offset = 0.0 if self.former.conserved is None else self.former.conserved + self.former.jump - energy()

        def observe() -> None:
            if self.former.path is not None and integrator.nsteps == self.former.step:
                return  # the last frame of the former part
            row = record.add(atoms, integrator.nsteps, timestep, energy() + offset)
            if frames is not None:
                frames.write(pack(stamped(atoms, row, record.left), "traj"))
            if table is not None:
                table.write(row)
            self.tell(self.equilibrate + integrator.nsteps)

        integrator.attach(observe, interval=self.every)
        if self.kind.name != "nve":
            integrator.attach(watch_bath(lambda: energy() + offset, timestep, integrator, record))
        elif all(isinstance(constraint, STRAIGHT) for constraint in atoms.constraints):
            integrator.attach(watch_shadow(atoms, timestep, integrator, record))
        go(integrator, steps - self.former.step, "dynamics")


def _files(
    stack: ExitStack, trajectory: Path | None, log: Path | None, former: Former, settings: dict[str, Any], say: Any
) -> tuple[Any, Log | None]:
    """Writers of the trajectory and of the log, which begin with what the former part wrote."""
    told = None if say is None else lambda kept: say(f"{kept} `intertwine md` with --resume goes on from there.")
    frames = table = written = None
    if log is not None:
        written = stack.enter_context(growing(Path(log)))
        table = Log(stack.enter_context(written.open("w", encoding="utf-8")), former.rows)
    if trajectory is not None:
        settings = settings | logged(Path(trajectory), None if log is None else Path(log), written, former.path)
        part = stack.enter_context(growing(Path(trajectory), told))
        former.copy(part)
        writer = stack.enter_context(Trajectory(part, "a" if former.path is not None else "w"))
        frames = Frames(writer, settings)
    return frames, table


def outside(
    record: Dynamics, temperature: float, timestep: float, ensemble: str = "nvt", asked: bool = True
) -> list[str]:
    """A remark if a run left what its calculator was trained on, where its means and its drift are of a structure that
    the model knows nothing of; with its mean temperature, which tells whether it fell apart.

    Args:
        record: of the run.
        temperature: asked for, or of the bath, K.
        timestep: fs.
        ensemble: "nve", or one with a thermostat.
        asked: whether the temperature was asked for; in nve one that was not has no part, and the first is compared.
    """
    if record.left is None:
        return []
    step, time, departures = record.left
    since = "all recorded structures are" if step == 0 else f"from step {step} ({time:.4g} ps) on the structures are"
    ways = "; ".join(departures)
    mean = record.mean_temperature
    wanted = f"{temperature:g} K were asked for" if asked else f"the bath has {temperature:g} K"
    if not asked and ensemble == "nve":
        temperature = record.temperature[0] if record.temperature else 0.0
        wanted = f"it was {temperature:,.0f} K at the start"
    hot = f" The mean temperature is {mean:,.0f} K, where {wanted}." if mean > HOT * temperature > 0 else ""
    remedy = REMEDY
    if hot and timestep > SAFE_FS:
        remedy = REMEDY.replace("smaller steps", f"a smaller time step than {timestep:g} fs (--timestep)")
    what = f"{since} far outside of what the run was trained on ({ways}), so means and drift say nothing."
    return [f"{what}{hot} {remedy}"]


def unlike(record: Dynamics, temperature: float, equilibrate: int, ensemble: str, asked: bool = True) -> list[str]:
    """A remark if a run is not at the temperature (K) that was asked for: equipartition, a strained start, or chance.

    Args:
        record: of the run.
        temperature: asked for, K.
        equilibrate: steps of equilibration before it.
        ensemble: "nve", or one with a thermostat.
        asked: whether it was asked for: of velocities that are kept, one that is a default is that of the bath alone.
    """
    if not asked and ensemble == "nve" and not equilibrate > 0:
        return []
    wanted = f"{temperature:g} K were asked for" if asked else f"the bath has {temperature:g} K"
    mean = record.mean_temperature
    if not temperature > 0 and asked:
        return _from_rest(mean, ensemble)
    if not temperature > 0 or abs(mean / temperature - 1) <= (AWAY if ensemble == "nve" else AWAY_BY_CHANCE):
        return []
    if ensemble != "nve":
        why = "the run is short for the thermostat" + (f", or {STRAINED}" if mean > temperature else "")
        return [
            f"the mean temperature is {mean:.0f} K, where {wanted}: {why}, equilibrate longer "
            "(--equilibrate), or leave out the first steps"
        ]
    if mean > temperature and (not equilibrate > 0 or mean > HOT * temperature):
        why = f"{STRAINED}, or equilibrate{' longer' if equilibrate > 0 else ''}"
    elif equilibrate > 0:
        why = "a longer equilibration finds the mean energy of that temperature better"
    else:
        why = (
            "kinetic and potential energy share alike (equipartition), so velocities of "
            f"{temperature:g} K on a relaxed structure end near {temperature / 2:g} K; equilibrate first"
        )
    return [
        f"the mean temperature is {mean:.0f} K, where {wanted}. nve keeps the energy, not the "
        f"temperature: {why} (--equilibrate), or choose a thermostat (--ensemble nvt)"
    ]


def _from_rest(mean: float, ensemble: str) -> list[str]:
    """A remark if a run at 0 K is warm (its mean temperature, K)."""
    if mean < STILL_K:
        return []
    if ensemble == "nve":
        why = f"0 K is a start at rest, and {STRAINED}; nve keeps the energy, not the temperature"
    else:
        why = (
            f"a bath of 0 K takes heat away, and has not done so yet: equilibrate longer (--equilibrate), or {STRAINED}"
        )
    return [f"the mean temperature is {mean:.3g} K, where 0 K were asked for: {why}"]


def brief(record: Dynamics, kind: Ensemble, steps: int) -> list[str]:
    """A remark if a run is too short for its drift, and with a bath for its means.

    Args:
        record: of the run.
        kind: what was constant.
        steps: number of time steps.
    """
    notes, count = [], len(record.time)
    if count < FEWEST:
        notes.append(
            f"{counted(count, 'recorded steps')}: no drift and no fluctuation, which need {FEWEST}; record more often "
            "(--every), or run longer (--steps)"
        )
    bath = max((kind.settings.get(name) or 0.0 for name in ("thermostat_time", "barostat_time")), default=0.0)
    friction = kind.settings.get("friction")
    bath = max(bath, 1 / friction if friction else 0.0) * 1e-3
    span, needed = steps * kind.timestep * 1e-3, max(SHORTEST_PS, TIME_CONSTANTS * bath)
    if span >= needed * (1 - 1e-9):
        return notes
    means = " and for means with a bath" if bath else ""
    return [
        *notes,
        f"{span:.3g} ps are too short for a drift{means}: a slope per ns of so short a run is mostly the phase of "
        f"vibrations; run {needed:.3g} ps or more (--steps {round(needed * 1e3 / kind.timestep)})",
    ]
