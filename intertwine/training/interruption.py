"""Somebody asks a training to stop: after the step at hand, or at once."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from intertwine.numerics import Stopped, handling


class Interrupted(Exception):  # noqa: N818 - not an error
    """Somebody asked to stop. Not a KeyboardInterrupt, which Lightning would turn into an exit."""


class Interruption:
    """Whether somebody asked to stop, and by which signal.

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
    """Signals to end, Ctrl-C among them, ask to stop after the step at hand; a second one stops at once. Outside the
    main thread nothing changes."""
    asked = Interruption()
    with handling(None if ignore else asked.ask) as asked.install:
        yield asked
