"""What a search has found so far, on the disk after every trial: ``search.json``, written whole."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any

from intertwine.numerics import CheckpointError, InputError
from intertwine.training.folder import read_json, write_json
from intertwine.training.tuning.yardstick import Yardstick

FORMAT, FILE = "intertwine search 1", "search.json"
DONE, STOPPED, FAILED = "done", "stopped early", "failed"


@dataclass(frozen=True)
class Trial:
    """A short training.

    Args:
        values: the settings that were searched, by their full names.
        state: "done", "stopped early" (worse than the median of the others at the same time) or "failed".
        seconds: that it took, with all that is around the training.
        figure: what it is compared by (no unit); None if it failed.
        errors: of each target on the validation set, in its unit.
        reason: why it failed.
        steps: of the optimizer.
        curve: (seconds of training, figure) after each validation.
    """

    values: dict[str, Any]
    state: str
    seconds: float
    figure: float | None = None
    errors: dict[str, float] = field(default_factory=dict)
    reason: str = ""
    steps: int = 0
    curve: list[list[float]] = field(default_factory=list)

    def epochs(self) -> int:
        """Validations that it came to, of epochs that may have been cut short."""
        return len(self.curve)


@dataclass
class Record:
    """The record of a search.

    Args:
        about: what it searches, and on what: a search goes on only if this is the same.
        trials: those that have ended; the first has the default settings.
        seconds: that were spent, those of trials that were killed too.
        running: the settings of the trial at work; a search that goes on begins with them.
        yardstick: what trials are compared by; None before the first.
    """

    about: dict[str, Any]
    trials: list[Trial] = field(default_factory=list)
    seconds: float = 0.0
    running: dict[str, Any] | None = None
    yardstick: Yardstick | None = None

    @property
    def best(self) -> Trial | None:
        """The trial of the smallest figure, of those that were not stopped; the earlier one of two; None if all
        failed.
        """
        done = [trial for trial in self.trials if trial.state == DONE and trial.figure is not None]
        return min(done, key=lambda trial: trial.figure or 0.0, default=None)

    @property
    def defaults(self) -> Trial | None:
        """The trial of the default settings; None before it has ended, or if it failed."""
        first = self.trials[0] if self.trials else None
        return first if first is not None and first.figure is not None else None

    def save(self, folder: Path) -> None:
        """Write it, atomically.

        Raises:
            CheckpointError: it can't be written.
        """
        content = {"format": FORMAT, **asdict(self)}
        write_json(folder / FILE, content | {"yardstick": self.yardstick and self.yardstick.facts()})

    @classmethod
    def load(cls, folder: Path) -> Record | None:
        """The record in a folder; None if there is none.

        Raises:
            CheckpointError: it is no record of a search.
        """
        if not (folder / FILE).is_file():
            return None
        content = read_json(folder / FILE)
        try:
            assert content["format"] == FORMAT
            yardstick = Yardstick(**content["yardstick"]) if content["yardstick"] else None
            trials = [Trial(**trial) for trial in content["trials"]]
            return cls(content["about"], trials, content["seconds"], content["running"], yardstick)
        except (AssertionError, KeyError, TypeError) as error:
            remedy = "delete it, or name another folder with --run."
            raise CheckpointError("is no record of a search", where=str(folder / FILE), remedy=remedy) from error

    def check_same(self, about: Mapping[str, Any], folder: Path) -> None:
        """Raise an :class:`InputError` that names what differs, unless it is the record of this search."""
        before, now = flat(self.about), flat(about)
        names = [name for name in {**before, **now} if before.get(name) != now.get(name)]
        if names:
            said = "; ".join(f"{name}: {before.get(name, 'none')} then, {now.get(name, 'none')} now" for name in names)
            remedy = "give the same again to go on, or another folder with --run."
            raise InputError(f"the search in it was begun otherwise ({said})", where=str(folder), remedy=remedy)


def plain(content: Mapping[str, Any]) -> dict[str, Any]:
    """As JSON has it."""
    return json.loads(json.dumps(content))


def flat(content: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Tables within tables by their full names.

    >>> flat({"a": {"b": 1}, "c": 2})
    {'a.b': 1, 'c': 2}
    """
    result: dict[str, Any] = {}
    for name, value in content.items():
        result |= flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {prefix + name: value}
    return result


def at(curve: list[list[float]], seconds: float | int) -> float | None:
    """The last figure of a curve up to a time; None if it has none, or ends before.

    >>> at([[1.0, 0.5], [3.0, 0.4]], 2.0)
    0.5
    """
    before = [figure for time, figure in curve if time <= seconds]
    return before[-1] if before and curve[-1][0] >= seconds and isfinite(before[-1]) else None
