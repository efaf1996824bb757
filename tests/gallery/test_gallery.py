"""The examples of examples/: each runs, and asserts what it says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from by_path import module_at

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
NEEDS = {"phonons": "phonopy"}
FILES = sorted(file.stem for file in EXAMPLES.glob("*.py"))


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    kept = torch.get_num_threads()
    yield
    torch.set_num_threads(kept)


@pytest.mark.parametrize("name", FILES)
def test_an_example_holds(name: str) -> None:
    """Its statements are asserted in its ``main``, which returns the numbers that it prints."""
    if name in NEEDS:
        pytest.importorskip(NEEDS[name])
    numbers = module_at(EXAMPLES / f"{name}.py").main()
    assert numbers
    assert all(value == value for value in numbers.values())


@pytest.mark.parametrize("name", FILES)
def test_an_example_says_what_it_asserts(name: str) -> None:
    text = (EXAMPLES / f"{name}.py").read_text()
    assert f"python examples/{name}.py" in text
    assert "What is asserted" in text
    assert text.count("    assert ") >= 2
