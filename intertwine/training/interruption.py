"""Requests to stop a training: after the current step, or at once."""

from __future__ import annotations

import contextlib
import shlex
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

from intertwine.numerics import CheckpointError, Stopped, handling
from intertwine.numerics.checkpoint import load_checkpoint
from intertwine.training.folder import CERTIFICATE, CHECKPOINTS, CONFIG, REPORT, read_json


class Interrupted(Exception):  # noqa: N818 - not an error
    """Somebody asked to stop. Not a KeyboardInterrupt, which Lightning would turn into an exit."""


class Interruption:
    """Whether there was a request to stop, and by which signal.

    Attributes:
        number: of the signal; 0 for none.
        install: takes the signals again, after somebody else took them.
    """

    def __init__(self) -> None:
        self.number = 0
        self.install: Callable[[], None] = lambda: None

    def ask(self, number: int) -> None:
        """Take in a signal.

        Raises:
            Stopped: it is the second.
        """
        if self.number:
            raise Stopped(number)
        self.number = number


@contextlib.contextmanager
def interruption(*, ignore: bool = False) -> Iterator[Interruption]:
    """Signals to end, Ctrl-C among them, ask to stop after the current step; a second one stops at once. Outside the
    main thread nothing changes."""
    asked = Interruption()
    with handling(None if ignore else asked.ask) as asked.install:
        yield asked


def stopped_at(folder: Path) -> str:
    """What is said of a run that was stopped: what there is of it, and the command that makes the rest."""
    name = shlex.quote(str(folder))
    report = read_json(folder / REPORT)
    if report and "pictures" not in report and report.get("epochs") == _epochs(folder):
        rest = f"only the certificate and the pictures are lacking (intertwine certify {name})"
        if (folder / CERTIFICATE).is_file() or not _certifies(folder):
            rest = "only the pictures are lacking"
        return f"The training is complete, its errors are in {folder / REPORT}; {rest}"
    return f"{kept_in(folder)}\nstopped; go on with: intertwine train --resume {name}"


def _epochs(folder: Path) -> int | None:
    """The epochs of the last state on the disk; None if there is none."""
    try:
        return int(load_checkpoint(folder / CHECKPOINTS["last"])["epoch"])
    except CheckpointError:
        return None


def _certifies(folder: Path) -> bool:
    """Whether a run was to be certified, as its configuration says."""
    try:
        settings = tomllib.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return True
    return bool(settings.get("training", {}).get("certify", True))


def kept_in(folder: Path) -> str:
    """What of a run that ended early is on the disk."""
    try:
        return f"Everything up to epoch {load_checkpoint(folder / CHECKPOINTS['last'])['epoch']} is saved in {folder}"
    except CheckpointError:
        return f"No epoch was finished, so no weights are saved in {folder}"
