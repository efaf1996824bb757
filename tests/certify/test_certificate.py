"""The report: verdicts, words, and the file."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from certify.subjects import Pairs, molecules
from rich.console import Console

from intertwine.certify import Certificate, Line, certify
from intertwine.numerics import DataError

GOOD = Line("reflections", "reflection", "energy", "float64", 1e-14, 1e-12, "passed", "graph 0")
BAD = Line("random rotations", "rotation", "forces", "float32", 0.83, 2e-5, "failed", "graph 3, 180 degrees about z")
SKIPPED = Line("supercell", "", "", "float32", None, None, "skipped", "no periodic structure")


def test_verdicts() -> None:
    assert Certificate("f", "E(3)", 1, (GOOD, SKIPPED)).passed
    assert not Certificate("f", "E(3)", 1, (GOOD, BAD)).passed
    assert not Certificate("f", "E(3)", 1, (SKIPPED,)).passed  # nothing was measured
    assert Certificate("f", "E(3)", 1, (GOOD, BAD)).broken == ("rotation",)


def test_summary_says_what_broke_by_how_much_and_where() -> None:
    text = Certificate("f", "E(3)", 1, (GOOD, BAD)).summary()
    assert text.startswith("FAILED")
    assert "rotation: forces changes by 83 % of its size (graph 3, 180 degrees about z)" in text


def test_table_has_every_line() -> None:
    text = io.StringIO()
    table = Certificate("f", "E(3)", 1, (GOOD, BAD, SKIPPED)).table()
    Console(file=text, width=200).print(table)
    assert table.row_count == 3
    assert all(line.worst in text.getvalue() for line in (GOOD, BAD, SKIPPED))


def test_file_round_trip(tmp_path: Path) -> None:
    certificate = certify(Pairs(), molecules()[:2], quick=True)
    path = certificate.save(tmp_path / "run" / "certificate.json")
    assert Certificate.load(path) == certificate
    assert json.loads(path.read_text())["passed"] is True
    assert [p.name for p in path.parent.iterdir()] == ["certificate.json"]


def test_infinite_errors_are_valid_json(tmp_path: Path) -> None:
    line = Line("coincident atoms", "", "energy", "float64", float("inf"), 0.0, "failed", "NaN")
    loaded = Certificate.load(Certificate("f", "E(3)", 1, (line,)).save(tmp_path / "c.json"))
    assert loaded.lines[0].error is None
    assert not loaded.passed


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"schema": 99}'])
def test_broken_files_are_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "certificate.json"
    path.write_text(text)
    with pytest.raises(DataError, match=r"certificate\.json"):
        Certificate.load(path)


def test_same_seed_same_certificate() -> None:
    assert certify(Pairs(), molecules()[:2], quick=True) == certify(Pairs(), molecules()[:2], quick=True)
