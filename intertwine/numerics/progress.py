"""A progress bar for what takes longer than a breath: a bar on a terminal, a line every ten seconds elsewhere."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator

SILENCE_S = 10.0  # s between lines


@contextlib.contextmanager
def progress_bar(
    what: str, total: int | None, enabled: bool = True, *, starting: int = 0
) -> Iterator[Callable[..., None]]:
    """A bar with the remaining time on the standard error stream; ``advance(n)`` moves it, and ``advance(n, state)``
    says the present state beside what is done.

    Where that is no terminal there is a line at the first advance after every ten seconds.

    Args:
        what: is done.
        total: number of steps, if it is known.
        enabled: False shows nothing.
        starting: steps at the beginning that take longer, as those of processes that start up do: the time that is left
            is estimated from those that follow, and nothing is said of it before.
    """
    if not enabled:
        yield lambda n, state="": None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
    if console.is_terminal:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=console, transient=True) as bar:
            task = bar.add_task(what, total=total)
            yield lambda n, state="": bar.update(task, advance=n, description=f"{what}: {state}" if state else what)
        return
    start = last = started = time.monotonic()
    done = before = 0  # before: steps done when all had started

    def advance(n: int, state: str = "") -> None:
        nonlocal last, done, started, before
        done += n
        now = time.monotonic()
        if before < starting:
            before, started = done, now
        if now - last >= SILENCE_S:
            last = now
            share = f"{done} of {total}, {100 * done / total:.0f} %" if total else f"{done}"
            rest = (now - started) * (total - done) / (done - before) if total and done > before else None
            left = "" if rest is None else f", about {rest:.0f} s left"
            with contextlib.suppress(OSError, ValueError):  # nobody listens
                state = f", {state}" if state else ""
                print(f"{what}: {share}, {now - start:.0f} s{left}{state}", file=sys.stderr, flush=True)

    yield advance
