"""What every command shares: errors without tracebacks, exit codes, JSON, progress bars, tables.

Exit codes, the same for all commands:

====  ==========================================================================================================
0     it did what it was asked to
1     it did, and the answer is no: a test of `certify` failed, `relax` ended with forces left; `train` has
      done what it was asked to, and ends with 0, also if its certificate fails: the report says so
2     it could not: wrong input, options or files, no memory, no disk; the message says what, where and what to do
3     a bug in intertwine; the message names a report
129   stopped by SIGHUP: the terminal was closed
130   stopped by SIGINT: Ctrl-C
143   stopped by SIGTERM: `kill`, `timeout`, a batch system
====  ==========================================================================================================
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from rich.console import Console, ConsoleDimensions
from rich.markup import escape
from rich.table import Table

from intertwine.cli.streams import Aside, Channel, aside, channels
from intertwine.numerics import Caution, InputError, IntertwineError, Stopped, lack_of_memory, progress_bar, stoppable

FAILED, BAD_INPUT, BUG, INTERRUPTED = 1, 2, 3, 130
EXIT_CODES = (
    "Exit codes: 0 done; 1 the answer is no: certify: a test failed, relax: forces are left (train ends with 0 also if "
    "its certificate fails: see its report); 2 wrong input, unreadable file, no memory or disk; "
    "3 a bug in intertwine; 129, 130, 143 stopped by SIGHUP, Ctrl-C, SIGTERM."
)
_MEMORY = {
    "train": "use smaller batches (--batch-size), a smaller model (--preset small), or fewer structures (--limit).",
    "evaluate": "close other programs, or score fewer structures (--limit).",
    "predict": "close other programs, or predict fewer structures (--limit), or fewer at a time (--batch-size).",
    "certify": "close other programs, or give smaller structures (--molecules).",
    "bench": "close other programs, or measure less (--only).",
}


class Page(Console):
    """A console that is 160 columns wide where it is a file or a pipe, which has no width: a certificate in 80
    is hard to read. Asked for at every output, so that it does not matter when this module was first imported.
    """

    @property
    def size(self) -> ConsoleDimensions:
        size, asked = super().size, os.environ.get("COLUMNS", "")
        if asked.isdigit() and int(asked):
            return ConsoleDimensions(int(asked), size.height)
        return size if self.is_terminal else ConsoleDimensions(160, size.height)

    @size.setter
    def size(self, new: tuple[int, int]) -> None:
        Console.size.fset(self, new)  # type: ignore[attr-defined]


out = Page(highlight=False, emoji=False)  # a message may have :-1: in it
err = Console(stderr=True, highlight=False, emoji=False)


def guarded(command: Callable[..., None]) -> Callable[..., None]:
    """The command, with errors as messages: what is wrong, where, what to do; the traceback of a bug goes to a file.

    Under ``--json`` standard output is for the document alone. With INTERTWINE_DEBUG=1 in the environment errors are
    raised as they are.
    """

    @functools.wraps(command)
    def wrapper(*arguments: Any, **options: Any) -> None:
        def body() -> None:
            with stoppable(), spoken_warnings(), aside() if options.get("as_json") else contextlib.nullcontext():
                command(*arguments, **options)

        if os.environ.get("INTERTWINE_DEBUG") == "1":
            body()
        else:
            spoken(lambda: _explained(body, command.__name__))

    return wrapper


@contextlib.contextmanager
def spoken_warnings() -> Iterator[None]:
    """Python's warnings as one line each, without the place in the code that the user did not write."""

    def say(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
        whose = "" if issubclass(category, Caution) else f"{category.__name__}: "
        complain(f"{whose}{' '.join(str(message).split())}", "warning:")

    with warnings.catch_warnings():
        warnings.showwarning = say
        yield


def spoken(body: Callable[[], None]) -> None:
    """Run something that prints; exit code 2 if what it printed was lost, unless it ends with another code than 0.

    A reader that has had enough, as `head` has, changes nothing.
    """
    if isinstance(sys.stdout, Channel):  # we are in it already
        body()
        return
    code: Any = 0
    with channels() as (printed, _):
        try:
            body()
        except SystemExit as end:
            code = end.code
        lost = printed.lost()
        if lost is not None and not code:
            complain(
                f"standard output can't be written: {lost.strerror or lost}\n  Remedy: give it a file or a terminal "
                "with room."
            )
            code = BAD_INPUT
    if code:
        raise SystemExit(code)


def complain(message: str, kind: str = "error:") -> None:
    """A message on standard error."""
    with contextlib.suppress(OSError):
        err.print(kind, style="bold red", end=" ")
        err.print(message, markup=False, soft_wrap=True)


def _explained(body: Callable[[], None], name: str) -> None:
    """Run a command; its errors become messages and exit codes."""
    try:
        body()
    except KeyboardInterrupt as error:
        number = error if isinstance(error, Stopped) else Stopped()
        err.print("interrupted" if number.exit_code == INTERRUPTED else str(number), style="bold yellow")
        raise SystemExit(number.exit_code) from None
    except Exception as error:
        message = _known(error, name)
        if message is not None:
            complain(message)
            raise SystemExit(BAD_INPUT) from None
        complain(f"{type(error).__name__}: {error}", "internal error:")
        err.print(f"  This is a bug in intertwine. Please report it{_report(error)}", markup=False, soft_wrap=True)
        raise SystemExit(BUG) from None


def _known(error: Exception, command: str) -> str | None:
    """An error that is not a bug, as a message; None for a bug."""
    if isinstance(error, IntertwineError):
        return str(error)
    if (lacking := lack_of_memory(error)) is not None:
        return str(
            InputError(lacking, where=f"{command}{_place(error)}", remedy=_MEMORY.get(command, "close other programs."))
        )
    if isinstance(error, RecursionError):
        return str(
            InputError(
                "something is nested too deeply", where=_place(error)[2:], remedy="simplify the file or the option."
            )
        )
    if isinstance(error, ImportError) and error.name and error.name.split(".")[0] != "intertwine":
        package = error.name.split(".")[0]
        return str(
            InputError(
                f"a package can't be imported: {error}",
                where=package,
                remedy=f"pip install {package}, or reinstall it.",
            )
        )
    if isinstance(error, UnicodeError):
        return str(InputError(f"a name or a file is not text: {error}", remedy="rename the file, or save it as UTF-8."))
    if isinstance(error, OSError):
        return f"{type(error).__name__}: {error}"
    return None


def _place(error: BaseException) -> str:
    """The innermost file of ours that an error passed through, as ", in nn/irreps/gate.py"."""
    files = [frame.filename for frame in traceback.extract_tb(error.__traceback__)]
    root = str(Path(__file__).parents[1]) + os.sep
    ours = [file.removeprefix(root) for file in files if file.startswith(root) and not file.startswith(root + "cli")]
    return f", in {ours[-1]}" if ours else ""


def _report(error: Exception) -> str:
    """The traceback in a file, if one can be written."""
    with (
        contextlib.suppress(OSError),
        tempfile.NamedTemporaryFile(
            "w", prefix="intertwine-", suffix=".log", delete=False, encoding="utf-8", errors="backslashreplace"
        ) as file,
    ):
        file.write("".join(traceback.format_exception(error)))
        return f" with {file.name}"
    return "; the report could not be written."


def emit(value: Any) -> None:
    """One JSON document on standard output, for a program to read."""
    text = json.dumps(value, indent=2, default=_plain) + "\n"
    (sys.stdout.emit if isinstance(sys.stdout, Aside) else sys.stdout.write)(text)


def _plain(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else str(value)


def table(title: str, columns: list[str], rows: list[list[Any]], caption: str | None = None) -> None:
    """A table on standard output; brackets in it are text, not rich's markup."""
    grid = Table(
        title=escape(title),
        caption=None if caption is None else escape(caption),
        title_justify="left",
        caption_justify="left",
        title_style="bold",
        header_style="bold",
    )
    for column in columns:
        grid.add_column(escape(column), overflow="fold")
    for row in rows:
        grid.add_row(*[escape(str(cell)) for cell in row])
    out.print(grid)


@contextlib.contextmanager
def bar(total: int, text: str) -> Iterator[Callable[..., None]]:
    """A progress bar on standard error, or lines where that is no terminal; calls take the number done, and if there
    is one, the present state in words.
    """
    with progress_bar(text, total) as advance:
        before = 0

        def reach(done: int, state: str = "") -> None:
            nonlocal before
            advance(done - before, state)
            before = done

        yield reach


def pairs(values: list[str] | None, option: str) -> dict[str, str] | None:
    """``["energy=U0"]`` as ``{"energy": "U0"}``; None for no pairs."""
    result = {}
    for value in values or []:
        name, equals, text = value.partition("=")
        if not (name and equals and text):
            raise InputError(
                f"{value!r} is not name=value", where=option, remedy=f"write for example {option} energy=U0."
            )
        result[name.strip()] = text.strip()
    return result or None


def size(text: str | None, option: str) -> int | float | None:
    """A number of structures as an integer, a share as a float: ``1`` is one structure and ``1.0`` is all of them.

    Raises:
        InputError: it is no number.
    """
    if text is None:
        return None
    try:
        value = float(text)
        return int(value) if value.is_integer() and (value != 1 or text.strip().lstrip("+").isdigit()) else value
    except (ValueError, OverflowError) as error:
        remedy = f"write for example {option} 100 or {option} 0.8."
        raise InputError(f"{text!r} is not a number of structures or a share", where=option, remedy=remedy) from error


def existing(path: Path, what: str) -> Path:
    """The path, if there is something at it."""
    if not path.exists():
        raise InputError(f"there is no such {what}", where=str(path), remedy="check the path.")
    return path
