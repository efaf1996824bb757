"""Objects as a line of text, and as a table in a notebook."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

LARGEST_BY_DIGITS = 1e8
COLOURS = {"passed": "green", "failed": "red", "FAILED": "red"}  # of words in tables


def counted(n: int, things: str) -> str:
    """A number and what it counts, a plural in "s", of which one is the singular.

    >>> counted(1, "structures"), counted(12345, "structures")
    ('1 structure', '12,345 structures')
    """
    return f"{n:,} {things if n != 1 else things[:-1]}"


def figure(x: float) -> str:
    """A number in four digits, a large one by its digits and not by a power of ten.

    >>> figure(0.31234567), figure(26794.6), figure(3e9)
    ('0.3123', '26,795', '3e+09')
    """
    return f"{x:,.0f}" if 9999.5 <= abs(x) < LARGEST_BY_DIGITS else f"{x:.4g}"


def facts_as_text(name: str, facts: Mapping[str, Any]) -> str:
    """An object as ``Name(fact=value, ...)``; facts that are None are left out.

    >>> facts_as_text("Run", {"folder": "runs/a", "epoch": 3, "unit": None})
    "Run(folder='runs/a', epoch=3)"
    """
    return f"{name}({', '.join(f'{key}={value!r}' for key, value in facts.items() if value is not None)})"


def facts_as_html(name: str, facts: Mapping[str, Any]) -> str:
    """An object as a table of its facts; those that are None are left out."""
    return rows_as_html(name, (), [(key, value) for key, value in facts.items() if value is not None])


def rows_as_html(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A table of text. Everything is escaped: names come from files."""
    head = f"<tr>{''.join(f'<th>{escape(column)}</th>' for column in columns)}</tr>" if columns else ""
    body = "".join(f"<tr>{''.join(_cell(value) for value in row)}</tr>" for row in rows)
    return f"<table><caption><b>{escape(title)}</b></caption>{head}{body}</table>"


def _cell(value: Any) -> str:
    colour = COLOURS.get(str(value))
    style = f' style="color:{colour}"' if colour else ' style="text-align:left"'
    return f"<td{style}>{escape(str(value))}</td>"
