"""What the scripts beside this one share: tables as text, and results as JSON. The clock itself is
:mod:`intertwine.bench`.

from measure import interleaved, machine
times = interleaved({"ours": f, "e3nn": g})  # medians, ms
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from intertwine import bench
from intertwine.bench import machine

__all__ = ["DOCS", "RESULTS", "insert", "interleaved", "machine", "markdown", "table", "write"]

RESULTS = Path(__file__).resolve().parent / "results"
DOCS = RESULTS.parents[1] / "docs"


def interleaved(functions: Mapping[str, Callable[[], Any]], repeats: int = 21, **options: Any) -> dict[str, float]:
    """Median times in ms of calls in a row, :func:`intertwine.bench.interleaved`."""
    return bench.interleaved(functions, repeats, **options).steady


def table(rows: list[dict[str, Any]]) -> str:
    """Rows of a benchmark as text; the columns are the keys in order of appearance, times and ratios with three
    digits.
    """
    keys = list(dict.fromkeys(key for row in rows for key in row))
    cells = [keys, *([_cell(row.get(key)) for key in keys] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells)]
    numeric = [any(isinstance(row.get(key), int | float) for row in rows) for key in keys]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if right else cell.ljust(width) for cell, width, right in zip(line, widths, numeric)
        ).rstrip()
        for line in cells
    )


def markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows as a table for a page; the columns are the keys in order of appearance."""
    keys = list(dict.fromkeys(key for row in rows for key in row))
    lines = [keys, ["---", *["--:"] * (len(keys) - 1)], *([_cell(row.get(key)) for key in keys] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def insert(page: Path, script: str, text: str) -> None:
    """Put a text between ``<!-- printed by benchmarks/SCRIPT -->`` and the next ``<!-- to here -->`` of a page.

    Raises:
        ValueError: the page has no such marks.
    """
    marks = re.compile(rf"(<!-- printed by benchmarks/{re.escape(script)} -->\n).*?(<!-- to here -->)", re.DOTALL)
    content, count = marks.subn(lambda match: f"{match[1]}\n{text}\n\n{match[2]}", page.read_text())
    if count != 1:
        raise ValueError(f"{page} has {count} places for what {script} prints")
    page.write_text(content)


def write(name: str, content: Mapping[str, Any]) -> Path:
    """One JSON under benchmarks/results/, with the machine that it was measured on."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps({"machine": machine(), **content}, indent=1) + "\n")
    return path


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return (
        f"{value:.3g}"
        if isinstance(value, float) and abs(value) < 1000
        else f"{value:.0f}"
        if isinstance(value, float)
        else str(value)
    )
