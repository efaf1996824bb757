"""Dynamics that were interrupted go on from the last frame that they wrote."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.io import Trajectory

from intertwine.integrations.observed import read_log
from intertwine.numerics import InputError

SETTINGS = "intertwine_md"  # in the description of a trajectory
STEP, TIME, CONSERVED = "md_step", "md_time_ps", "md_conserved_eV"  # in the info of its frames


@dataclass(frozen=True)
class Former:
    """The part of a run before its resumption; nothing in a new run.

    Attributes:
        path: its trajectory.
        step: number of the time step of its last frame.
        conserved: the conserved energy there, eV.
        rows: of its log.
    """

    path: Path | None = None
    step: int = 0
    conserved: float | None = None
    rows: list[list[float]] = field(default_factory=list)

    def copy(self, part: Path) -> None:
        """Begin a new trajectory with the frames of this one."""
        if self.path is not None:
            shutil.copyfile(self.path, part)


def stamped(atoms: Atoms, row: list[float]) -> Atoms:
    """The structure as a frame that says its step, its time (ps) and its conserved energy (eV)."""
    frame = atoms.copy()
    frame.calc = atoms.calc
    frame.info |= {STEP: int(row[0]), TIME: row[1], CONSERVED: row[6]}
    return frame


def whole(path: Path) -> Path:
    """The name that an unfinished trajectory has once it is complete, ``a.traj`` for ``a.unfinished-2.traj``."""
    return path.with_name(re.sub(r"\.unfinished(-\d+)?$", "", path.stem) + path.suffix)


def settings_of(path: Path) -> dict[str, Any]:
    """Ensemble, temperature, time step, ... of a trajectory that :func:`run_dynamics` wrote.

    Raises:
        InputError: it is not such a trajectory.
    """
    try:
        with Trajectory(path) as frames:
            settings, count = dict(getattr(frames, "description", None) or {}).get(SETTINGS), len(frames)
    except Exception as error:  # ASE's reader raises errors of all kinds on files of other formats
        reason = f"{type(error).__name__}: {error}"[:200]
        raise _other(path, f"is no trajectory that can be read ({reason})") from error
    if not count or not settings:
        raise _other(path, "has no frames" if not count else "was not written by `intertwine md`")
    return dict(settings)


def _other(path: Path, what: str) -> InputError:
    return InputError(
        what,
        where=str(path),
        remedy="name the .traj that the interrupted run left; other structures are started from without --resume.",
    )


def former_of(path: Path, atoms: Atoms, steps: int, settings: dict[str, Any]) -> Former:
    """What there is to go on from; the structure is set to the last frame.

    Args:
        path: the trajectory.
        atoms: the structure, of the same atoms.
        steps: number of time steps in all.
        settings: of the dynamics that go on, which must be those of the trajectory.

    Raises:
        InputError: not a trajectory of these settings and atoms, or nothing is left to do.
    """
    path = Path(path)
    before = settings_of(path)
    for name, value in settings.items():
        if before.get(name) != value:
            words = name.replace("_", " ")
            what = f"the {words} is {value}, and {before.get(name, 'none')} in the trajectory"
            raise InputError(what, where=str(path), remedy="resume with the settings that it was begun with.")
    with Trajectory(path) as frames:
        last = frames[-1]
    if not np.array_equal(last.numbers, atoms.numbers):
        raise InputError("the atoms are others", where=str(path), remedy="resume with the structure of that run.")
    if STEP not in last.info or not last.has("momenta"):
        raise _other(path, "does not say its steps and velocities")
    step = int(last.info[STEP])
    if step >= steps:
        raise InputError(
            f"all of the {steps} steps are done: the last frame is of step {step}",
            where=str(path),
            remedy=f"give more steps in all (--steps {2 * step}) to make it longer.",
        )
    atoms.set_cell(last.cell, apply_constraint=False)
    atoms.set_positions(last.positions, apply_constraint=False)
    atoms.set_momenta(last.get_momenta(), apply_constraint=False)
    rows = [row for row in read_log(path.with_suffix(".csv")) if row[0] <= step]
    return Former(path, step, float(last.info[CONSERVED]), rows)
