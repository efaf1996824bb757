"""Wraps the prose of Markdown pages at 120 columns; tables, code, formulas, headings and what scripts print stay.

    python docs/tools/wrap.py [FILE ...]

With no file: README.md, CONTRIBUTING.md, CHANGELOG.md and docs/**/*.md. A link or a piece of code is never broken.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

WIDTH = 120
ROOT = Path(__file__).resolve().parents[2]
MARK = re.compile(r"[-+*>=]+$|#+$|\d+[.)]$|\||<|!\[|\$\$|:::")
ITEM = re.compile(r"^(\s*)([-*]|\d+\.) ")


def pages() -> list[Path]:
    return [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")] + sorted(
        ROOT.glob("docs/**/*.md")
    )


def blocks(text: str) -> Iterator[tuple[bool, list[str]]]:
    """Groups of lines, and whether they are one paragraph or item of prose."""
    prose: list[str] = []
    fence = printed = formula = False
    for line in text.split("\n"):
        start = line.lstrip()
        marks = start.startswith(("```", "<!--")) or start == "$$"
        fixed = (
            marks
            or fence
            or printed
            or formula
            or not start
            or re.match(r"    |\s*(\||#|!\[|:::|<|\$\$)", line) is not None
        )
        if (fixed or ITEM.match(line)) and prose:
            yield True, prose
            prose = []
        if fixed:
            yield False, [line]
        else:
            prose.append(line)
        if start.startswith("```"):
            fence = not fence
        elif not fence and start == "$$":
            formula = not formula
        elif start.startswith("<!-- printed by"):
            printed = True
        elif start.startswith("<!-- to here"):
            printed = False
    if prose:
        yield True, prose


def wrapped(lines: list[str]) -> list[str]:
    """A paragraph or an item in lines of at most WIDTH columns."""
    item = ITEM.match(lines[0])
    indent = len(lines[0]) - len(lines[0].lstrip())
    hanging = " " * (len(item[0]) if item else indent)
    result, current = [], " " * indent
    for word in joined(" ".join(line.strip() for line in lines).split(" ")):
        if len(current) + len(word) + bool(current.strip()) > WIDTH and current.strip():
            result.append(current)
            current = hanging
        current += word if not current.strip() else f" {word}"
    return [*result, current]


def joined(words: list[str]) -> list[str]:
    """Words; those of one link, one piece of code or one formula are one, and one that would mean something else at the
    start of a line is part of the word before it.
    """
    found: list[str] = []
    for word in words:
        if found and (not whole(found[-1]) or MARK.match(word)):
            found[-1] += f" {word}"
        else:
            found.append(word)
    return found


def whole(text: str) -> bool:
    """Whether no link, code or formula is open at the end of a piece of text."""
    bare = re.sub(r"`[^`]*`", "", text)
    bare = re.sub(r"\$[^$]*\$", "", bare)
    link = re.search(r"\[[^\]]*$|\]\([^)]*$", bare)
    return "`" not in bare and "$" not in bare and link is None


def wrap(text: str) -> str:
    return "\n".join(line for prose, lines in blocks(text) for line in (wrapped(lines) if prose else lines))


if __name__ == "__main__":
    for page in [Path(name) for name in sys.argv[1:]] or pages():
        page.write_text(wrap(page.read_text()))
