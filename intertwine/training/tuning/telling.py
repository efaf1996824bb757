"""What a search says: its best settings as a file for ``intertwine train``, a table, a picture, a document."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

from intertwine import plots
from intertwine.numerics import DataError, IntertwineError
from intertwine.numerics.showing import figure as digits
from intertwine.training.sections import Sections, merge, write_sections
from intertwine.training.tuning.knobs import Knob, as_sections
from intertwine.training.tuning.record import DONE, FAILED, STOPPED, Record, Trial

BEST, PICTURE = "best.toml", "trials.png"


@dataclass(frozen=True)
class Findings:
    """A search, as far as it is told.

    Args:
        folder: of the search.
        record: of the trials.
        knobs: what was searched.
        fixed: the sections of what was not.
        source: the data, as the user named them.
        model, task: their names.
    """

    folder: Path
    record: Record
    knobs: Sequence[Knob]
    fixed: Sections
    source: str
    model: str
    task: str


def write(search: Findings) -> None:
    """Write ``best.toml``, if a trial has ended, and the picture, which never costs the search its result.

    Raises:
        CheckpointError: the settings can't be written.
    """
    record = search.record
    if record.best is None:
        return
    write_sections(_without_empty(merge(search.fixed, as_sections(record.best.values))), search.folder / BEST)
    with contextlib.suppress(IntertwineError, OSError, ValueError):
        first = record.defaults
        reference = first.figure if first is not None and first.figure else 1.0
        kept = [trial for trial in record.trials if trial.figure is not None]
        plots.trials(
            [(trial.figure or 0.0) / reference for trial in kept],
            [trial.state == STOPPED for trial in kept],
            _ends(record),
            search.folder / PICTURE,
            y="validation error / that of the " + ("defaults" if first is not None else "baseline"),
        )


def _ends(record: Record) -> list[float]:
    """Minutes after which each trial that has a figure had ended."""
    ends, spent = [], 0.0
    for trial in record.trials:
        spent += trial.seconds
        if trial.figure is not None:
            ends.append(spent / 60)
    return ends


def _without_empty(sections: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Sections that hold something, as TOML has them."""
    return {
        name: {key: list(v) if isinstance(v, tuple) else "none" if v is None else v for key, v in content.items()}
        for name, content in sections.items()
        if content
    }


def best_of(record: Record) -> Trial:
    """The best trial.

    Raises:
        DataError: none has ended with finite errors; says why the first failed.
    """
    if (best := record.best) is not None:
        return best
    why = next((f": {trial.reason}" for trial in record.trials if trial.reason), "")
    raise DataError(
        f"no trial has ended with finite errors{why}",
        where="intertwine tune",
        remedy="give more --minutes, look for wild labels, or lower training.learning_rate.",
    )


def ratio(record: Record, trial: Trial) -> float | None:
    """The figure of a trial over that of the defaults; None where one has none."""
    first = record.defaults
    return trial.figure / first.figure if trial.figure is not None and first is not None and first.figure else None


def now(record: Record, figure: float) -> str:
    """The state of a search in few words, while a trial has this figure."""
    first, best = record.defaults, record.best
    words = f"trial {len(record.trials) + 1}"
    if first is not None and first.figure and isfinite(figure):
        words += f", {figure / first.figure:.3f} of the defaults"
    if first is not None and first.figure and best is not None and best.figure is not None:
        words += f", best {best.figure / first.figure:.3f}"
    return words


def table(search: Findings) -> tuple[list[str], list[list[str]]]:
    """Columns and rows: each trial, its settings that are not the defaults, errors on the validation set, the figure
    over that of the defaults, steps of the optimizer, seconds, and what became of it.
    """
    record = search.record
    units = record.yardstick.units if record.yardstick is not None else {}
    columns = ["trial", "settings", *(f"{name}, {unit}" if unit else name for name, unit in units.items())]
    rows = []
    for number, trial in enumerate(record.trials, 1):
        errors = [digits(trial.errors[name]) if name in trial.errors else "" for name in units]
        relative = ratio(record, trial)
        shown = f"{relative:.3f}" if relative is not None else "" if trial.figure is None else digits(trial.figure)
        fate = f"{trial.state}: {trial.reason}" if trial.state == FAILED else trial.state
        fate = "best" if trial is record.best else "" if trial.state == DONE else fate
        rows.append(
            [str(number), differing(search, trial), *errors, shown, f"{trial.steps}", f"{trial.seconds:.0f}", fate]
        )
    return [*columns, "of the defaults" if record.defaults else "of the baseline", "steps", "s", ""], rows


def differing(search: Findings, trial: Trial) -> str:
    """The settings of a trial that are not the defaults, as "learning_rate 0.004, width 64"."""
    changed = {knob.name: trial.values[knob.name] for knob in search.knobs if trial.values[knob.name] != knob.default}
    return ", ".join(f"{name.partition('.')[2]} {value:g}" for name, value in changed.items()) or "the defaults"


def command(search: Findings) -> str:
    """The command that trains with the best settings."""
    words = ["intertwine", "train", search.source, "--config", str(search.folder / BEST)]
    for module in search.fixed.allow:
        words += ["--allow", module]
    return shlex.join(words)


def document(search: Findings) -> dict[str, Any]:
    """Everything in plain values."""
    record, best = search.record, search.record.best
    files = {name: str(search.folder / name) for name in (BEST, PICTURE) if Path(search.folder / name).is_file()}
    return {
        "folder": str(search.folder),
        "model": search.model,
        "task": search.task,
        "searched": {knob.name: knob.facts() for knob in search.knobs},
        "seconds": record.seconds,
        "trial_minutes": record.about["trial_minutes"],
        "yardstick": record.yardstick.facts() if record.yardstick is not None else None,
        "trials": [
            {name: value for name, value in vars(trial).items() if name != "curve"}
            | {"of_the_defaults": ratio(record, trial)}
            for trial in record.trials
        ],
        "best": None if best is None else record.trials.index(best) + 1,
        "files": files,
        "next": None if best is None else command(search),
    }
