"""No line is above 120 columns: of code, and of pages outside their tables, links and blocks of code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parents[1]
WIDTH = 120
EXCUSED = (HERE / "docs" / "lectures", HERE / "tests" / "cases")  # the code stands as it was shown
CODE = sorted(
    file
    for folder in ("intertwine", "tests", "benchmarks", "scripts", "docs")
    for kind in ("*.py", "*.sh")
    for file in (HERE / folder).rglob(kind)
    if not any(file.is_relative_to(excused) for excused in EXCUSED)
)
PAGES = [
    *(HERE / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted(page for page in (HERE / "docs").rglob("*.md") if not page.is_relative_to(EXCUSED[0])),
]
LINK = re.compile(r"\]\([^)\s]*\)|<?https?://\S+")


def wide_lines(text: str) -> list[int]:
    """Numbers of the lines of a program that are too long."""
    return [number for number, line in enumerate(text.splitlines(), 1) if len(line) > WIDTH]


def wide_lines_of_page(text: str) -> list[int]:
    """The same of a page in Markdown: rows of tables and blocks of code are left out, targets of links not counted."""
    wide, fence = [], ""
    for number, line in enumerate(text.splitlines(), 1):
        mark = re.match(r"\s*(```+|~~~+)", line)
        if mark and (not fence or mark[1].startswith(fence)):
            fence = "" if fence else mark[1]
        elif not fence and not line.lstrip().startswith("|") and len(LINK.sub("", line)) > WIDTH:
            wide.append(number)
    return wide


@pytest.mark.parametrize("file", CODE, ids=[str(file.relative_to(HERE)) for file in CODE])
def test_lines_of_code_are_short(file: Path) -> None:
    assert not wide_lines(file.read_text())


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(HERE)) for page in PAGES])
def test_lines_of_pages_are_short(page: Path) -> None:
    assert not wide_lines_of_page(page.read_text())


def test_the_check_itself_sees_long_lines() -> None:
    long = "x" * 60 + " " + "y" * 60
    assert wide_lines(f"a = 1\n# {long}\n") == [2]
    assert wide_lines_of_page(f"{long}\n\n```sh\n{long}\n```\n{long}\n") == [1, 6]
    assert wide_lines_of_page(f"- {long}\n~~~\n```\n{long}\n~~~\n# {long}") == [1, 6]


def test_the_check_itself_leaves_tables_links_and_blocks_out() -> None:
    link, block = f"[a](https://a.org/{'b' * 200}) and {'c' * 90}", f"  ```\n{'e' * 200}\n  ```"
    assert not wide_lines_of_page(f"{link}\n| {'d' * 200} |\n{block}\n{'f' * 120}\n")
