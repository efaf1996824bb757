"""Runs many command lines in one process, as a notebook or a server would: python fuzz_worker.py LINES.json
RESULTS.jsonl.

Each line has a bound of processor time and one of the clock; what breaks the first is endless, what breaks the second
waits for nothing.
"""

from __future__ import annotations

import faulthandler
import gc
import json
import resource
import signal
import sys
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

SECONDS, WALL = 60.0, 400.0
SHOWN = 20_000  # characters of an answer that are kept: a help page is 4,000, a table of every model 10,000
MEMORY = 16 * 2**30  # bytes of address space: a file that claims a billion atoms must not take the machine's


class Endless(BaseException):
    """A line took too long."""


def stop(number: int, frame: Any) -> None:
    raise Endless(signal.Signals(number).name)


def run(line: list[str]) -> dict[str, Any]:
    from intertwine.cli import app

    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    signal.setitimer(signal.ITIMER_REAL, WALL)
    try:
        result = CliRunner().invoke(app, line)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
    error = result.exception
    return {
        "line": line,
        "code": result.exit_code,
        "output": result.output[-SHOWN:],
        "raised": None if error is None or isinstance(error, SystemExit) else f"{type(error).__name__}: {error}"[:1000],
    }


def main() -> None:
    faulthandler.enable()
    gc.set_threshold(20_000, 20, 20)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    signal.signal(signal.SIGPROF, stop)
    signal.signal(signal.SIGALRM, stop)
    lines = json.loads(Path(sys.argv[1]).read_text())
    with open(sys.argv[2], "a") as results:
        for line in lines:
            try:
                answer = run(line)
            except Endless as error:
                answer = {"line": line, "code": None, "output": "", "raised": f"Endless: {error}"}
            results.write(json.dumps(answer) + "\n")
            results.flush()


if __name__ == "__main__":
    main()
