"""Dynamics that were interrupted go on from the last frame that they wrote."""

from __future__ import annotations

import functools
import json
import math
import os
import re
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.io import Trajectory

from intertwine.data.opening import shown
from intertwine.integrations.observed import COLUMNS, read_log, row_of
from intertwine.integrations.writing import is_device, same_file
from intertwine.numerics import InputError
from intertwine.numerics.showing import counted

ROUNDING = 1e-6  # share of an energy, and eV per atom, by which that of one structure differs from machine to machine
SETTINGS = "intertwine_md"  # in the description of a trajectory
# in the settings, from the trajectory: the log, its name until the run ends well, and those of the former parts
LOG, PART, LOGS = "log", "log_part", "logs"
# in them too: what calculated it, how it began, and the name of the file once it is complete
POTENTIAL, BEGUN, OWN = "potential", "begun", "trajectory"
STEP, TIME, CONSERVED = "md_step", "md_time_ps", "md_conserved_eV"  # in the info of its frames
LEFT = "md_outside_since"  # in it too, once a run has left its training data: the first such frame, as JSON


@dataclass(frozen=True)
class Former:
    """The part of a run before its resumption; nothing in a new run.

    Attributes:
        path: its trajectory.
        step: number of the time step of its last frame.
        conserved: the energy with the bath there, eV.
        rows: of its log.
        jump: potential energy of its last frame as it is calculated now, less what it was, eV.
        left: step, time (ps) and ways of its first frame far outside of the training data; None if there is none.
        begun: how it began: "velocities", steps of "equilibrate", and the temperature that was "asked" for; nothing
            where the trajectory does not say.
    """

    path: Path | None = None
    step: int = 0
    conserved: float | None = None
    rows: list[list[float]] = field(default_factory=list)
    jump: float = 0.0
    begun: dict[str, Any] = field(default_factory=dict)
    left: tuple[int, float, list[str]] | None = None

    def copy(self, part: Path) -> None:
        """Begin a new trajectory with the frames of this one."""
        if self.path is not None:
            shutil.copyfile(self.path, part)


def stamped(atoms: Atoms, row: list[float], left: tuple[int, float, list[str]] | None = None) -> Atoms:
    """The structure as a frame that says its step, its time (ps), its energy with the bath (eV), and since when the run
    is far outside of its training data.
    """
    frame = atoms.copy()
    frame.calc = atoms.calc
    frame.info |= {STEP: int(row[0]), TIME: row[1], CONSERVED: row[6]}
    frame.info |= {} if left is None else {LEFT: json.dumps(left)}
    return frame


def whole(path: Path) -> Path:
    """The name that an unfinished trajectory has once it is complete, ``a.traj`` for ``a.unfinished-2.traj``."""
    return path.with_name(re.sub(r"\.unfinished(-\d+)?$", "", path.stem) + path.suffix)


def settings_of(path: Path) -> dict[str, Any]:
    """Ensemble, temperature, time step, ... of a trajectory that :func:`run_dynamics` wrote, as its last part has them.

    The name of every log that one of its parts had is in ``logs``, those of the last part first.

    Raises:
        InputError: it is not such a trajectory.
    """
    try:
        status = Path(path).stat()
        count, parts = _parts(Path(path), (status.st_ino, status.st_size, status.st_mtime_ns))
    except Exception as error:  # ASE's reader raises errors of all kinds on files of other formats
        reason = f"{type(error).__name__}: {error}"[:200]
        raise _other(path, f"is no trajectory that can be read ({reason})") from error
    if not count or not parts:
        raise _other(path, "has no frames" if not count else "was not written by `intertwine md`")
    logs = [name for part in reversed(parts) for name in (part.get(LOG), part.get(PART), *part.get(LOGS, ())) if name]
    return parts[-1] | {LOGS: list(dict.fromkeys(logs))}


@functools.lru_cache(maxsize=4)
def _parts(path: Path, stamp: tuple[int, ...]) -> tuple[int, list[dict[str, Any]]]:
    """The number of frames, and the settings of each part, which the description of its first frame holds.

    Every frame is looked at, which is worth doing once."""
    with Trajectory(path) as frames:
        entries = [frames.backend[number].get("description") for number in range(len(frames))]
    return len(entries), [dict(entry[SETTINGS]) for entry in entries if entry and entry.get(SETTINGS)]


class Frames:
    """Writes frames to a trajectory, the settings of this part of it with the first of them.

    ASE's writer puts a description beside the first frame of a file, and none beside what is appended.

    Args:
        writer: of a file that is empty, or begins with the frames of the former part.
        settings: of this part.
    """

    def __init__(self, writer: Any, settings: dict[str, Any]) -> None:
        self.writer, self.settings = writer, settings

    def write(self, atoms: Atoms) -> None:
        """Append a frame."""
        if self.settings and len(self.writer):
            self.writer.backend.write(description={SETTINGS: self.settings})
        elif self.settings:
            self.writer.set_description({SETTINGS: self.settings})
        self.settings = {}
        self.writer.write(atoms)


def potential_of(calculator: Any) -> dict[str, str]:
    """What calculates: the name of its run, the SHA-256 of the weights, the precision; of others than ours its name."""
    weights = getattr(calculator, "weights", None)
    if not isinstance(weights, str):
        return {"calculator": type(calculator).__name__}
    run = calculator.folder
    name = {} if run is None else {"run": Path(run).resolve().name}
    return name | {"weights": weights, "precision": str(calculator.task.dtype).removeprefix("torch.")}


def _same_potential(path: Path, now: dict[str, str], before: dict[str, str] | None, say: Any) -> None:
    """Raise an :class:`InputError` if another potential would go on with a trajectory; a run may have another name."""
    if before is None:
        if say is not None:
            say(f"{path} does not say by which run it was made, so that is not compared")
        return
    ours, theirs = ({key: value for key, value in each.items() if key != "run"} for each in (now, before))
    if ours == theirs:
        return
    if ours.get("weights") == theirs.get("weights") and "weights" in ours:
        raise InputError(
            f"the precision is {ours['precision']}, and {theirs['precision']} in the trajectory",
            where=str(path),
            remedy=f"resume with --precision {theirs['precision']}.",
        )
    raise InputError(
        f"was made by {_called(before)}, and {_called(now)} is another potential",
        where=str(path),
        remedy="resume with what it was made by, or begin a new run at its last frame (--velocities keep -o NEW.traj).",
    )


def _called(potential: dict[str, str]) -> str:
    if "weights" not in potential:
        return f"the calculator {potential.get('calculator')}"
    name = f"run {potential['run']}" if "run" in potential else "a model"
    return f"{name} (weights {potential['weights'][:12]})"


def _other(path: Path, what: str) -> InputError:
    return InputError(
        what,
        where=str(path),
        remedy="name the .traj that the interrupted run left; other structures are started from without --resume.",
    )


def former_of(
    path: Path,
    atoms: Atoms,
    steps: int,
    settings: dict[str, Any],
    log: Path | None = None,
    say: Callable[[str], None] | None = None,
) -> Former:
    """What there is to go on from; the structure is set to the last frame.

    Args:
        path: the trajectory.
        atoms: the structure, of the same atoms.
        steps: number of time steps in all.
        settings: of the dynamics that go on, which must be those of the trajectory.
        log: file that the log is written to.
        say: told which rows no log holds, and are made from the frames.

    Raises:
        InputError: not a trajectory of these settings, potential and atoms, nothing is left to do, or rows in ``log``
            would be lost.
    """
    path = Path(path)
    before = settings_of(path)
    for name, value in settings.items():
        if name != POTENTIAL and before.get(name) != value:
            words = name.replace("_", " ")
            what = f"the {words} is {value}, and {before.get(name, 'none')} in the trajectory"
            raise InputError(what, where=str(path), remedy="resume with the settings that it was begun with.")
    with Trajectory(path) as frames:
        last = frames[-1]
    if not np.array_equal(last.numbers, atoms.numbers):
        raise InputError("the atoms are others", where=str(path), remedy="resume with the structure of that run.")
    _same_potential(path, settings.get(POTENTIAL, {}), before.get(POTENTIAL), say)
    if STEP not in last.info or not last.has("momenta"):
        raise _other(path, "does not say its steps and velocities")
    step = int(last.info[STEP])
    if step >= steps:
        raise InputError(
            f"{counted(steps, 'steps')}, all of which are done: the last frame is of step {step}",
            where=str(path),
            remedy=f"give more steps in all (--steps {2 * step}) to make it longer.",
        )
    atoms.set_cell(last.cell, apply_constraint=False)
    atoms.set_positions(last.positions, apply_constraint=False)
    atoms.set_momenta(last.get_momenta(), apply_constraint=False)
    with Trajectory(path) as frames:
        rows = _rows(path, frames, atoms, range(0, step + 1, int(settings["every"])), (log, *logs_of(path)), say)
    if log is not None:
        _spares(log, path, step, rows)
    left: Any = tuple(json.loads(last.info[LEFT])) if LEFT in last.info else None
    conserved = float(last.info[CONSERVED])
    return Former(path, step, conserved, rows, _jump(last, atoms, say), before.get(BEGUN) or {}, left)


def _jump(last: Atoms, atoms: Atoms, say: Callable[[str], None] | None) -> float:
    """Potential energy (eV) of the structure less that which its last frame holds; told where it is no rounding."""
    if last.calc is None or "energy" not in last.calc.results:
        return 0.0
    before = float(last.get_potential_energy())
    jump = float(atoms.get_potential_energy()) - before
    if say is not None and abs(jump) > ROUNDING * (abs(before) + len(atoms)):
        say(
            f"the potential energy of the last frame is {before + jump:.4f} eV now, and {before:.4f} eV in the "
            "trajectory: what calculates it has changed, and the conserved energy has a step there"
        )
    return jump


def logged(trajectory: Path, log: Path | None, part: Path | None, former: Path | None = None) -> dict[str, Any]:
    """Entries of the settings that say where the logs are: paths from the folder of the trajectory.

    Args:
        trajectory: the file.
        log: the log once the run is complete; None where there is none.
        part: the log until then.
        former: the trajectory that this one begins with; None in a new run.
    """
    if is_device(trajectory):
        return {}

    def from_there(file: Path) -> str:
        try:
            return os.path.relpath(file, trajectory.parent)
        except ValueError:  # on another drive
            return str(file.absolute())

    entries: dict[str, Any] = {OWN: whole(trajectory).name}
    own = {LOG: log, PART: part} if log is not None and not is_device(log) else {}
    before = [] if former is None else [from_there(former.parent / name) for name in settings_of(former)[LOGS]]
    entries |= {name: from_there(file) for name, file in own.items() if file is not None}
    return entries | ({LOGS: before} if before else {})


def logs_of(path: Path) -> list[Path]:
    """Where rows of a trajectory can be: in the logs that its parts had, the last one's first, and by its name."""
    named = [path.parent / name for name in settings_of(path)[LOGS]]
    return list(dict.fromkeys([*named, path.with_suffix(".csv"), whole(path).with_suffix(".csv")]))


def _rows(
    path: Path, frames: Any, atoms: Atoms, steps: range, logs: Iterable[Path | None], say: Callable[[str], None] | None
) -> list[list[float]]:
    """The rows of all recorded steps: those of the logs that are of this trajectory, others from its frames."""

    def agrees(row: list[float]) -> bool:
        index = int(row[0]) // steps.step
        info = frames[index].info if index < len(frames) else {}
        values = (info.get(STEP, -1), info.get(TIME, math.nan), info.get(CONSERVED, math.nan))
        return all(math.isclose(row[k], value, rel_tol=1e-9) for k, value in zip((0, 1, 6), values, strict=True))

    logs = list(logs)
    rows: dict[int, list[float]] = {}
    for log in dict.fromkeys(log for log in logs if log is not None and not is_device(log)):
        common = [row for row in read_log(log) if 0 <= row[0] <= steps[-1] and row[0] % steps.step == 0]
        if common and agrees(common[0]) and agrees(common[-1]):
            rows = {int(row[0]): row for row in common} | rows
    missing = [step for step in steps if step not in rows]
    made = {}
    for step in missing:
        frame = frames[step // steps.step] if step // steps.step < len(frames) else Atoms()
        if frame.info.get(STEP) == step and CONSERVED in frame.info and frame.calc is not None:
            made[step] = _row(frame, atoms)
    if missing and say is not None:
        lost = len(missing) - len(made)
        looked = ", ".join(dict.fromkeys(shown(log) for log in logs if log is not None)) or "no log"
        say(
            f"{len(missing)} of the {len(steps)} rows up to step {steps[-1]} are in no log ({looked}): {len(made)} are "
            f"made from the frames of {path}" + (f", {lost} are lost" if lost else "")
        )
    return [row for _, row in sorted((rows | made).items())]


def _row(frame: Atoms, atoms: Atoms) -> list[float]:
    """The row of a frame; masses and constraints are those of the structure."""
    state = atoms.copy()
    state.set_cell(frame.cell, apply_constraint=False)
    state.set_positions(frame.positions, apply_constraint=False)
    state.set_momenta(frame.get_momenta(), apply_constraint=False)
    state.calc = frame.calc
    return row_of(state, int(frame.info[STEP]), float(frame.info[TIME]), float(frame.info[CONSERVED]))


def _spares(log: Path, path: Path, step: int, rows: list[list[float]]) -> None:
    """Raise an :class:`InputError` if a file that the log would replace holds rows that are not in the new one.

    A log of another run, which the interrupted run was to replace, is replaced by what goes on."""
    if is_device(log) or not log.is_file():
        return
    kept = {tuple(map(repr, row)) for row in rows}
    held = read_log(log)
    shared = sum(tuple(map(repr, row)) in kept for row in held)
    text = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    if shared == len(held) and (held or not text or text == [",".join(COLUMNS)]):
        return
    if not shared and held and path != whole(path) and any(same_file(log, other) for other in logs_of(path)):
        return
    what = f"holds {len(held) - shared or len(text)} lines that are not of {path.name} up to step {step}"
    raise InputError(what, where=str(log), remedy="name another file for the log (--log), or move this one away.")
