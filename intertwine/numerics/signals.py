"""The signals that ask a process to end, as exceptions that let it put things in order."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

#: Ctrl-C; what `kill`, `timeout` and batch systems send; what a terminal that is closed sends.
ENDING = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


class Stopped(KeyboardInterrupt):
    """The process was asked to end, by a signal.

    Args:
        number: of the signal.
    """

    def __init__(self, number: int = signal.SIGINT) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.number = int(number)

    @property
    def exit_code(self) -> int:
        """What a shell reports of a process that ended so: 130, 143 or 129."""
        return 128 + self.number


@contextlib.contextmanager
def handling(handle: Callable[[int], None] | None) -> Iterator[Callable[[], None]]:
    """The signals of :data:`ENDING` call a function inside the ``with`` block, or are ignored where it is None.

    Gives a function that installs it again, for when somebody has put their own in its place. Those that the process
    was started to ignore, as `nohup` does, stay ignored. Outside the main thread nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    former = {number: signal.getsignal(number) for number in ENDING}
    taken = [
        number
        for number in ENDING
        if handle is not None and (former[number] is not signal.SIG_IGN or number == signal.SIGINT)
    ]

    def call(number: int, frame: Any) -> None:
        assert handle is not None
        handle(number)

    def install() -> None:
        for number in ENDING:
            signal.signal(number, call if number in taken else signal.SIG_IGN)

    try:
        install()
        yield install
    finally:
        for number in ENDING:
            signal.signal(number, former[number] if former[number] is not None else signal.SIG_DFL)


@contextlib.contextmanager
def stoppable() -> Iterator[None]:
    """Signals that ask the process to end raise :class:`Stopped` inside the ``with`` block; a second one ends it."""

    def stop(number: int) -> None:
        for other in ENDING:
            if signal.getsignal(other) is not signal.SIG_IGN:
                signal.signal(other, signal.SIG_DFL)
        raise Stopped(number)

    with handling(stop):
        yield
