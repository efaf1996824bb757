"""Relaxation with ASE: the nearest structure on which no force acts, never above the start."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms, units
from ase.filters import FrechetCellFilter
from ase.io import Trajectory
from ase.optimize import FIRE, LBFGS

from intertwine.integrations.packing import pack
from intertwine.integrations.writing import growing
from intertwine.numerics import InputError

ROUNDING_EV_PER_ATOM = 1e-6  # differences of energies below this are none
PATIENCE = 5  # steps of L-BFGS in a row above the start, after which it is given up
#: SciPy's warning that the logarithm of the cell's deformation, by which ASE's filter moves the cell, is wrong by more
#: than 2e-13. Below 1e-7 that changes the path of the cell by as much, and not where the stress vanishes.
SMALL_ERROR = r"logm result may be inaccurate, approximate err = \S+e-(0[89]|[1-9]\d)"
STANDSTILL = 25  # steps of it in a row without a lower energy
#: Tried one after the other until there is a structure without forces that is not above the start. The second takes no
#: step uphill but perhaps its last; the third takes small ones.
METHODS: tuple[tuple[str, Any, dict[str, Any]], ...] = (
    ("L-BFGS", LBFGS, {}),
    ("FIRE", FIRE, {"downhill_check": True}),
    ("FIRE in small steps", FIRE, {"downhill_check": True, "dt": 0.02, "dtmax": 0.1, "maxstep": 0.02}),
)


@dataclass
class Relaxation:
    """How a relaxation ended; true if it converged on a structure of the kind that the calculator knows.

    Attributes:
        converged: whether the forces vanish, on a structure that is not above the start.
        steps: number of optimizer steps.
        start: energy at the start, eV; with an external pressure p the enthalpy, :math:`E + pV`.
        end: the same at the end.
        largest_force: that remains on an atom, as far as constraints leave it, eV/A.
        on_cell: the largest that acts on a cell which relaxes, a row of stress times volume per atom, eV; 0 where the
            cell is kept.
        methods: names of the optimizers that were used.
        kept: step of the structure that is kept; before the last one if the energy rose after it. The trajectory ends
            with that structure again.
        departures: in which ways the end is far outside of what the calculator was trained on, a few words each: it
            did not relax there, it fell; None where the calculator does not tell.
    """

    converged: bool = False
    steps: int = 0
    start: float = 0.0
    end: float = 0.0
    largest_force: float = 0.0
    on_cell: float = 0.0
    methods: list[str] = field(default_factory=list)
    departures: list[str] | None = None
    kept: int = 0

    def __bool__(self) -> bool:
        return self.converged and not self.departures

    @property
    def gained(self) -> float:
        """Energy (enthalpy) of the start less that of the end, eV: negative is a climb."""
        return self.start - self.end


def relax(
    atoms: Atoms,
    *,
    fmax: float = 0.01,
    steps: int = 500,
    cell: bool = False,
    pressure: float | None = None,
    trajectory: Path | None = None,
    progress: Callable[[int, float], None] | None = None,
    say: Callable[[str], None] | None = None,
) -> Relaxation:
    """Relax a structure in place; what is returned is true if every atom's force, as far as constraints leave it, fell
    below ``fmax``, the energy did not rise, and the end is not far outside of the calculator's training data.

    By L-BFGS, which is fast and, on a rough surface, may wander about or climb to a stationary point above the start.
    Then FIRE, which takes no step that leads up, goes on from the lowest structure that was seen. A relaxation that
    does not converge ends at the lowest structure, so that it never ends above the start.

    Args:
        atoms: structure with a calculator.
        fmax: largest force that may remain, eV/A; of a cell also stress times volume per atom, eV.
        steps: at most so many steps, of all optimizers together.
        cell: relax the cell too (structures periodic in three directions). Fixed atoms keep their fractional
            coordinates.
        pressure: with ``cell``, external pressure, GPa; default 0.
        trajectory: file to write every step to (ASE's .traj).
        progress: called with the step and the largest force (eV/A), or what acts on the cell (eV), if that is more.
        say: told when an optimizer is given up, and where the steps are if the relaxation is interrupted.

    Raises:
        InputError: an argument out of range, or a cell to relax in a structure that is not periodic in
            three directions.
        CheckpointError: the trajectory can't be written.
    """
    if not fmax > 0 or not steps > 0:
        raise InputError(f"fmax {fmax}, steps {steps}", where="relax", remedy="give positive numbers.")
    if cell and not atoms.pbc.all():
        what = "an open structure has no cell to relax"
        if atoms.pbc.any():
            what = (
                f"the structure repeats in {atoms.pbc.sum()} of three directions, and only a cell of three is relaxed"
            )
        raise InputError(what, where="cell", remedy="leave out --cell.")
    if pressure is not None and not (cell and np.isfinite(pressure)):
        what = f"a pressure of {pressure} GPa" + ("" if cell else " on a cell that is not relaxed")
        raise InputError(what, where="pressure", remedy="give a number, and relax the cell too (--cell).")
    with ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings())
        warnings.filterwarnings("ignore", SMALL_ERROR, RuntimeWarning)
        frames = None
        if trajectory is not None:
            part = stack.enter_context(growing(Path(trajectory), say))
            frames = stack.enter_context(Trajectory(part, "w"))
        descent = _Descent(atoms, cell, (pressure or 0.0) * units.GPa, frames, progress)
        for name, kind, options in METHODS:
            if descent.methods and say is not None:
                say(f"{descent.methods[-1]} no longer goes down; {name} goes on from the lowest structure")
            descent.go(name, kind, options, fmax, steps)
            if descent.arrived or descent.steps >= steps:
                break
        return descent.end(fmax)


class _Descent:
    """A structure on its way down, and the lowest place where it has been.

    Args:
        atoms: the structure.
        cell: whether the cell moves.
        pressure: on the cell, eV/A^3.
        frames: a writer of every step, or None.
        progress: as that of :func:`relax`.
    """

    def __init__(self, atoms: Atoms, cell: bool, pressure: float, frames: Any, progress: Any) -> None:
        self.atoms, self.cell, self.pressure, self.frames, self.progress = atoms, cell, pressure, frames, progress
        self.methods: list[str] = []
        self.steps, self.arrived = 0, False
        self.start = self.lowest = float(self.target().get_potential_energy())
        self.place, self.at = self._here(), 0
        self.rounding = max(ROUNDING_EV_PER_ATOM * len(atoms), _resolution(atoms, self.start))

    def target(self) -> Any:
        """What an optimizer moves: the atoms, or the atoms with their cell."""
        return FrechetCellFilter(self.atoms, scalar_pressure=self.pressure) if self.cell else self.atoms

    def go(self, name: str, kind: Any, options: dict[str, Any], fmax: float, steps: int) -> None:
        """Run an optimizer from the lowest place until forces vanish, steps are spent, or L-BFGS goes down no more."""
        self._return()
        self.methods.append(name)
        target, before = self.target(), self.steps
        logfile: Any = None  # ASE's annotation forgets that None is silence
        optimizer = kind(target, logfile=logfile, **options)
        above, still, rest = 0, 0, False
        for at_rest in optimizer.irun(fmax=fmax, steps=steps - before):
            energy = float(target.get_potential_energy())
            if optimizer.nsteps > 0 or before == 0:  # the place that it begins at is known
                self.steps = before + optimizer.nsteps
                self._tell(target)
            still += 1
            if energy < self.lowest:
                self.lowest, self.place, self.at, still = energy, self._here(), self.steps, 0
            above = above + 1 if energy > self.start + self.rounding else 0
            rest = bool(at_rest)
            if kind is LBFGS and (above > PATIENCE or still > STANDSTILL):
                break
        self.arrived = rest and above == 0

    def end(self, fmax: float) -> Relaxation:
        """How it ended; a structure that is not at rest is taken back to the lowest place."""
        kept = self.steps if self.arrived else self.at
        if not self.arrived and self._return() and self.frames is not None:
            self.atoms.get_potential_energy()
            self.frames.write(pack(self.atoms, "traj"))
        target = self.target()
        sizes, energy = _sizes(target), float(target.get_potential_energy())
        largest, on_cell = (float(part.max(initial=0.0)) for part in np.split(sizes, [len(self.atoms)]))
        left = getattr(self.atoms.calc, "departures", None)
        arrived = max(largest, on_cell) < fmax
        return Relaxation(arrived, self.steps, self.start, energy, largest, on_cell, self.methods, left, kept)

    def _here(self) -> tuple[np.ndarray, Any]:
        return self.atoms.positions.copy(), self.atoms.cell.copy()

    def _return(self) -> bool:
        """Go back to the lowest place; whether that is another one than here."""
        positions, cell = self.place
        if np.array_equal(positions, self.atoms.positions) and np.array_equal(cell, self.atoms.cell):
            return False
        self.atoms.set_cell(cell, apply_constraint=False)
        self.atoms.set_positions(positions, apply_constraint=False)
        return True

    def _tell(self, target: Any) -> None:
        if self.frames is not None:
            self.frames.write(pack(self.atoms, "traj"))
        if self.progress is not None:
            self.progress(self.steps, _largest(target))


def _sizes(target: Any) -> np.ndarray:
    """Of the force on each atom (eV/A), and on each vector of a cell that moves (eV)."""
    return np.linalg.norm(target.get_forces(), axis=1)


def _largest(target: Any) -> float:
    return float(_sizes(target).max(initial=0.0))


def _resolution(atoms: Atoms, energy: float) -> float:
    """Differences of total energies (eV) that a network in single precision can't resolve; 0 in double precision."""
    task = getattr(atoms.calc, "task", None)
    single = task is not None and any(parameter.element_size() < 8 for parameter in task.parameters())
    return 4 * float(np.spacing(np.float32(abs(energy)))) if single else 0.0
