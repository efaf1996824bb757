"""The tables and verdicts of the benchmarks say what was measured; the clock is tested in tests/bench. No time is
judged here.
"""

from __future__ import annotations

import json
import types
from importlib import import_module
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"


@pytest.fixture
def measure(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return import_module("measure")


@pytest.fixture
def algebra(measure: types.ModuleType) -> types.ModuleType:
    return import_module("algebra")


def test_results_name_the_machine(measure: types.ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(measure, "RESULTS", tmp_path / "results")
    written = json.loads(measure.write("x", {"parts": {}}).read_text())
    assert written["machine"]["versions"]["torch"]
    assert written["machine"]["threads"] >= 1
    assert written["parts"] == {}


def test_table_has_all_columns(measure: types.ModuleType) -> None:
    lines = measure.table(
        [{"what": "a", "ours": 1.23456}, {"what": "long name", "size": 100000, "ours": 12345.6}]
    ).splitlines()
    assert [line.split() for line in lines] == [
        ["what", "ours", "size"],
        ["a", "1.23"],
        ["long", "name", "12346", "100000"],
    ]
    ends = {line.index(last) + len(last) for line, last in zip(lines, ["ours", "1.23", "12346"])}
    assert len(ends) == 1  # aligned on the right


def test_ratio_is_the_peers_time_over_ours(algebra: types.ModuleType) -> None:
    assert algebra.compared({"case": "y", "ours_ms": 2.0, "e3nn_ms": 6.0})["ratio"] == 3.0
    assert algebra.compared({"case": "y", "ours_ms": 2.0, "e3nn_ms": None}) == {
        "case": "y",
        "ours_ms": 2.0,
        "e3nn_ms": None,
    }
    rows = [algebra.compared({"case": "y", "ours_ms": ours, "e3nn_ms": 2.0}) for ours in (1.0, 2.0, 3.0)] + [
        {"case": "z", "ours_ms": 1.0}
    ]
    rows.append({"case": "y, construction", "ours_ms": 1.0, "e3nn_ms": 9.0, "ratio": 9.0})
    assert algebra.verdict(rows) == "beside e3nn: 3 rows, 1 slower, 1 at least twice as fast"


def test_the_page_of_kernels_has_the_tables_of_the_results(measure: types.ModuleType) -> None:
    kernels = import_module("kernels")
    text, document = (measure.DOCS / "kernels.md").read_text(), json.loads(kernels.FILE.read_text())
    assert kernels.page(document) in text, "run python benchmarks/kernels.py --page"
    assert kernels.page({**document, "rows": []}) != kernels.page(document)


def test_the_page_of_results_has_the_table_of_another_molecule(
    measure: types.ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """50 frames of it: the weights of the demo beat random ones, for each seed."""
    monkeypatch.syspath_prepend(str(BENCHMARKS / "papers"))
    script = import_module("malonaldehyde")
    text, document = (measure.DOCS / "results.md").read_text(), json.loads(script.FILE.read_text())
    assert script.page(document) in text, "run python benchmarks/papers/malonaldehyde.py --page"
    forces = {(row["begins"], row["seed"]): row["forces meV/A"] for row in document["rows"]}
    assert {seed for _, seed in forces} == {0, 1, 2}
    assert all(forces["from ethanol", seed] < forces["from scratch", seed] for seed in (0, 1, 2))
