"""No line is above 120 columns: of code, and of pages outside their tables, links, formulas and blocks of code."""

from __future__ import annotations

import re
from pathlib import Path

from by_path import each_of

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
PRINTED = re.compile(r"<!-- printed by .*?<!-- to here -->", re.DOTALL)
LINK = re.compile(r"\]\([^)\s]*\)|<?https?://\S+")


def wide_lines(text: str) -> list[int]:
    """Numbers of the lines of a program that are too long."""
    return [number for number, line in enumerate(text.splitlines(), 1) if len(line) > WIDTH]


def wide_lines_of_page(text: str) -> list[int]:
    """The same of a page in Markdown: rows of tables, blocks of code, displayed formulas and what a script has printed
    are left out, targets of links not counted.
    """
    wide, fence = [], ""
    for number, line in enumerate(PRINTED.sub(lambda match: "\n" * match[0].count("\n"), text).splitlines(), 1):
        mark = re.match(r"\s*(```+|~~~+|\$\$)", line)
        if mark and (not fence or mark[1].startswith(fence)):
            whole = mark[1] == "$$" and line.count("$$") > 1  # a formula in one line
            fence = "" if fence or whole else mark[1]
        elif fence == "$$" and line.rstrip().endswith("$$"):
            fence = ""
        elif not fence and not line.lstrip().startswith("|") and len(LINK.sub("", line)) > WIDTH:
            wide.append(number)
    return wide


@each_of(CODE)
def test_lines_of_code_are_short(file: Path) -> None:
    assert not wide_lines(file.read_text())


@each_of(PAGES)
def test_lines_of_pages_are_short(page: Path) -> None:
    assert not wide_lines_of_page(page.read_text())


def test_the_check_itself_sees_long_lines() -> None:
    long = "x" * 60 + " " + "y" * 60
    assert wide_lines(f"a = 1\n# {long}\n") == [2]
    assert wide_lines_of_page(f"{long}\n\n```sh\n{long}\n```\n{long}\n") == [1, 6]
    assert wide_lines_of_page(f"- {long}\n~~~\n```\n{long}\n~~~\n# {long}") == [1, 6]


def test_the_check_itself_leaves_tables_links_blocks_and_formulas_out() -> None:
    link, block = f"[a](https://a.org/{'b' * 200}) and {'c' * 90}", f"  ```\n{'e' * 200}\n  ```"
    assert not wide_lines_of_page(f"{link}\n| {'d' * 200} |\n{block}\n{'f' * 120}\n")
    formulas = f"$$x = {'1 + ' * 50}$$\n$$\n{'2 + ' * 50}\n$$\n$$y\n{'3 + ' * 50}$$\n"
    printed = f"<!-- printed by a.py -->\n{'g' * 200}\n<!-- to here -->\n"
    assert wide_lines_of_page(f"{formulas}{printed}{'h' * 121}\n") == [10]
