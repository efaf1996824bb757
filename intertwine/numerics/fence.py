"""Code of the user's, run so that whatever it does is a message about it, and no verdict of ours."""

from __future__ import annotations

import contextlib
import os
import sys
import sysconfig
import traceback
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

from intertwine.numerics.errors import InputError, IntertwineError, lack_of_memory
from intertwine.numerics.signals import Stopped

_LIBRARIES = tuple({str(Path(sysconfig.get_path(name)).resolve()) for name in ("stdlib", "purelib", "platlib")})
_OURS = str(Path(__file__).resolve().parents[1])


@contextlib.contextmanager
def fenced(what: str, spec: str, remedy: str, *, shared: bool = False) -> Iterator[None]:
    """Errors of the user's code become an :class:`InputError` inside the ``with`` block: also an exit, an interrupt
    that nobody asked for, and whatever else stops a program. Filters of warnings and streams that it sets end with the
    block.

    ``os._exit`` counts as an exit; a process that the code forks ends as it likes. What ends this one from below
    Python, a crash or a call of C, can't be held up.

    Args:
        what: went wrong.
        spec: the code's name.
        remedy: what to do.
        shared: whether code of ours runs in the block too, whose errors are let through.

    Raises:
        InputError: the code raised something; says what, and in which line.
        Stopped: a request to stop.
    """
    streams, process = (sys.stdout, sys.stderr), os.getpid()
    with warnings.catch_warnings(), _held_up(process):
        try:
            yield
        except (IntertwineError, Stopped):
            raise
        except BaseException as error:
            if os.getpid() != process:
                raise
            place = _line(error)
            if lack_of_memory(error) or (shared and isinstance(error, Exception) and place is None):
                raise
            said = f": {error}" if str(error) else ""
            raise InputError(f"{what}: {type(error).__name__}{said}{place or ''}", where=spec, remedy=remedy) from error
        finally:
            sys.stdout, sys.stderr = streams


@contextlib.contextmanager
def _held_up(process: int) -> Iterator[None]:
    """``os._exit`` raises SystemExit in this process, and ends those that it forks."""
    leave = os._exit

    def end(status: int) -> NoReturn:
        if os.getpid() != process:
            leave(status)
        raise SystemExit(status)

    os._exit = end
    try:
        yield
    finally:
        os._exit = leave


def _line(error: BaseException) -> str | None:
    """The innermost line of an error that is of neither us nor a library; None if it passed no such line."""
    if isinstance(error, SyntaxError) and error.filename:
        return f" ({Path(error.filename).name}, line {error.lineno})"
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        file = frame.filename
        if not file.startswith("<") and not str(Path(file).resolve()).startswith(
            (_OURS, *_LIBRARIES, sys.prefix + "/lib")
        ):
            return f" ({Path(file).name}, line {frame.lineno})"
    return None
