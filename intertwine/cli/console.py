"""What every command shares: errors without tracebacks, exit codes, JSON, progress bars, tables."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from intertwine.numerics import InputError, IntertwineError

#: Exit codes: a script can tell a failed certificate (1) from bad input (2), a bug (3) and an interrupted run (130).
FAILED, BAD_INPUT, BUG, INTERRUPTED = 1, 2, 3, 130

#: A file or pipe has no width, and a table of a certificate in 80 columns is hard to read.
out = Console(highlight=False, width=None if sys.stdout.isatty() or "COLUMNS" in os.environ else 160)
err = Console(stderr=True, highlight=False)


def guarded(command: Callable[..., None]) -> Callable[..., None]:
    """The command, with errors as messages: what is wrong, where, what to do; the traceback of a bug goes to a file.

    With INTERTWINE_DEBUG=1 in the environment errors are raised as they are.
    """

    @functools.wraps(command)
    def wrapper(*arguments: Any, **options: Any) -> None:
        if os.environ.get("INTERTWINE_DEBUG") == "1":
            command(*arguments, **options)
            return
        try:
            command(*arguments, **options)
        except IntertwineError as error:
            err.print("error:", style="bold red", end=" ")
            err.print(str(error), markup=False, soft_wrap=True)
            raise SystemExit(BAD_INPUT) from None
        except KeyboardInterrupt:
            err.print("interrupted", style="bold yellow")
            raise SystemExit(INTERRUPTED) from None
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # `intertwine ... | head`: the reader has had enough
            raise SystemExit(0) from None
        except (MemoryError, OSError) as error:
            err.print("error:", style="bold red", end=" ")
            err.print(f"{type(error).__name__}: {error}", markup=False, soft_wrap=True)
            raise SystemExit(BAD_INPUT) from None
        except Exception as error:
            with tempfile.NamedTemporaryFile("w", prefix="intertwine-", suffix=".log", delete=False) as file:
                file.write(traceback.format_exc())
            err.print("internal error:", style="bold red", end=" ")
            err.print(f"{type(error).__name__}: {error}", markup=False, soft_wrap=True)
            err.print(f"  This is a bug in intertwine. Please report it with {file.name}", markup=False, soft_wrap=True)
            raise SystemExit(BUG) from None

    return wrapper


def emit(value: Any) -> None:
    """One JSON document on standard output, for a program to read."""
    sys.stdout.write(json.dumps(value, indent=2, default=_plain) + "\n")


def _plain(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else str(value)


def table(title: str, columns: list[str], rows: list[list[Any]], caption: str | None = None) -> None:
    """A table on standard output."""
    grid = Table(title=title, caption=caption, title_justify="left", caption_justify="left", title_style="bold", header_style="bold")
    for column in columns:
        grid.add_column(column, overflow="fold")
    for row in rows:
        grid.add_row(*[str(cell) for cell in row])
    out.print(grid)


@contextlib.contextmanager
def bar(total: int, text: str) -> Iterator[Callable[[int], None]]:
    """A progress bar with remaining time on standard error; calls take the number done. Silent where there is no terminal."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as progress:
        task = progress.add_task(text, total=total)
        yield lambda done: progress.update(task, completed=done)


def pairs(values: list[str] | None, option: str) -> dict[str, str] | None:
    """``["energy=U0"]`` as ``{"energy": "U0"}``; None for no pairs."""
    result = {}
    for value in values or []:
        name, equals, text = value.partition("=")
        if not (name and equals and text):
            raise InputError(f"{value!r} is not name=value", where=option, remedy=f"write for example {option} energy=U0.")
        result[name.strip()] = text.strip()
    return result or None


def existing(path: Path, what: str) -> Path:
    """The path, if there is something at it."""
    if not path.exists():
        raise InputError(f"there is no such {what}", where=str(path), remedy="check the path.")
    return path
