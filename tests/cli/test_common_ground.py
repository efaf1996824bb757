"""Runs whose test sets differ are compared on what these have in common, or it is said what differs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from intertwine.data import open_dataset
from intertwine.training import compare, evaluate, load_run
from intertwine.training.common_ground import unlike


@pytest.fixture
def divided(trained: Any, tmp_path: Path) -> Callable[..., Path]:
    """A copy of the run that says to have been tested on these structures."""

    def copy(name: str, test: list[int]) -> Path:
        shutil.copytree(trained[0], tmp_path / name)
        splits = tmp_path / name / "splits.json"
        rest = [k for k in range(20) if k not in test]
        parts = {"train": rest[2:], "validation": rest[:2], "test": test}
        splits.write_text(json.dumps(json.loads(splits.read_text()) | parts))
        return tmp_path / name

    return copy


@pytest.mark.parametrize(("one", "two"), [([0, 1, 2], [2, 1]), ([5, 7, 9], [9, 5, 6]), ([3], [2, 3, 4])])
def test_errors_are_those_of_the_structures_that_both_have(
    one: list[int], two: list[int], divided: Callable[..., Path], ethanol_file: Path, run_cli: Callable[..., Any]
) -> None:
    folders, common = [divided("one", one), divided("two", two)], sorted({*one} & {*two})
    content = compare(folders)
    expected = evaluate(load_run(folders[0]), open_dataset(str(ethanol_file), progress=False).subset(common))
    rows = [row for row in content["errors"] if row["set"] == "test"]
    assert len(rows) == 4
    for row in rows:
        assert row["values"] == pytest.approx([expected[row["target"]][row["error"]]] * 2, rel=1e-4)
        assert row["best"]
    assert content["common"] == len(common)
    assert "in common: the errors of so few say little" in content["warnings"][0]
    assert not any("test sets differ" in warning for warning in content["warnings"])
    if one == [3]:
        result = run_cli("compare", *folders)
        assert "note: the test sets differ: the errors of the test are on the 1 structure that" in result.stderr


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda folder: None, "no structure is in all of them"),
        (lambda folder: _rewritten(folder / "splits.json", fingerprint="0" * 64), "the data have changed"),
        (lambda folder: shutil.move(folder / "splits.json", folder / "s.json"), "not known which structures"),
    ],
)
def test_it_is_said_why_there_is_none(change: Callable[[Path], Any], words: str, divided: Callable[..., Path]) -> None:
    one, two = divided("one", [0, 1]), divided("two", [2, 3])
    change(two)
    content = compare([one, two])
    assert words in content["warnings"][0]
    assert content["common"] is None
    assert not any(row["best"] for row in content["errors"] if row["set"] == "test")


def _rewritten(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


LABEL = {"label": "energy", "key": "E", "unit": "eV"}
SOUND = {"source": "a.xyz", "test": None, "fingerprint": "1", "labels": [LABEL]}


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({}, ""),
        ({"source": "b.xyz"}, ""),  # the same content under another name
        ({"source": "b.xyz", "fingerprint": "2"}, "the data differ (a.xyz; b.xyz)"),
        ({"test": "t.xyz"}, "they are files that differ (split off; t.xyz)"),
        (
            {"labels": [LABEL | {"key": "U", "unit": ""}], "fingerprint": "2"},
            "the labels differ (energy from 'E' in eV; energy from 'U' in no unit)",
        ),
        ({"fingerprint": "2"}, "the data have changed between the runs"),
    ],
)
def test_what_differs_is_named(other: dict[str, Any], words: str) -> None:
    assert unlike([SOUND, SOUND | other]) == words
