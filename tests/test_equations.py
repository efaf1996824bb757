"""The index of the lectures' equations: complete, true, and each page that it names asserts what it says."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import pytest
import torch
from by_path import module_at
from switches import as_users_run_it

ROOT = Path(__file__).resolve().parents[1]
LECTURES = ROOT / "docs" / "lectures"
SEEDS = ROOT.parent / "shared" / "seeds"


TOOLS = ROOT / "docs" / "tools"
equations, notebook = (module_at(TOOLS / f"{name}.py") for name in ("equations", "notebook"))
ASSERTED = ("symmetry", "geometric", "conditional")  # pages that tests/test_lectures.py does not run
ENTRIES = equations.entries()


def shown(page: str) -> dict:
    return json.loads((LECTURES / f"{page}.ipynb").read_text())


def digests() -> dict[str, str]:
    """Of every displayed equation in the lectures' text, spaces and fonts apart."""
    found = {}
    for file in sorted(SEEDS.glob("*.txt")):
        for block in re.findall(r"\$\$(.*?)\$\$", file.read_text(), re.DOTALL):
            fonts = r"\\(mathbf|mathrm|text|hat|widehat|vec|left|right|underbrace|qquad|quad|big|Big|,|;|!)|[\s{}]"
            plain = re.sub(fonts, "", block)
            found[f"{file.name[:3]}-{hashlib.sha1(plain.encode()).hexdigest()[:8]}"] = " ".join(block.split())
    return found


def test_every_displayed_equation_is_in_the_index_once() -> None:
    if not SEEDS.exists():
        pytest.skip(f"no data at {SEEDS}")
    listed = [block for entry in ENTRIES for block in entry["blocks"]]
    assert len(listed) == len(set(listed))
    wanted = digests()
    assert {block: wanted[block] for block in set(wanted) - set(listed)} == {}
    assert set(listed) == set(wanted)


def test_the_page_is_what_the_entries_say() -> None:
    assert (LECTURES / "equations.md").read_text() == equations.page()


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: f"{entry['page']}-{entry['object'].split('.')[-1]}")
def test_each_entry_is_on_its_page(entry: dict) -> None:
    """Its class imports, its file is there, and the page names it in code or text."""
    assert equations.resolved(entry["object"]) is not None
    if path := equations.file_of(entry["object"]):
        assert (ROOT / path).is_file()
    name = entry["object"].split(".")[-1]
    text = "\n".join("".join(cell["source"]) for cell in shown(entry["page"])["cells"])
    assert re.search(rf"\b{name}\b", text), f"{name} is not on the page {entry['page']}"


@pytest.mark.parametrize("page", sorted({entry["page"] for entry in ENTRIES}))
def test_pages_assert_what_they_say(page: str) -> None:
    code = ["".join(cell["source"]) for cell in shown(page)["cells"] if cell["cell_type"] == "code"]
    assert sum("assert " in source for source in code) >= 0.7 * (len(code) - 1)  # the first imports, some draw


@pytest.mark.parametrize("page", ASSERTED)
def test_the_page_holds(page: str) -> None:
    """Its cells run, and what they print today is what the page shows, numbers apart."""
    stored = shown(page)
    today = json.loads(json.dumps(stored))
    kept = torch.get_default_dtype()
    try:
        with as_users_run_it():
            notebook.execute(today)
    finally:
        torch.set_default_dtype(kept)

    def kinds(pages: dict) -> list[list[str]]:
        return [
            [out["output_type"] for out in cell["outputs"]] for cell in pages["cells"] if cell["cell_type"] == "code"
        ]

    assert kinds(today) == kinds(stored)
