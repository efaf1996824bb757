"""Which measurements there are, what is written of them, and the processes that they need."""

from __future__ import annotations

import json
from typing import Any

import pytest

from intertwine.bench import kernels
from intertwine.bench.child import in_child, scaled
from intertwine.bench.report import grids, heading
from intertwine.numerics import DataError, InputError

ROWS: list[dict[str, Any]] = [
    {
        "part": "A",
        "case": "A",
        "pass": "forward",
        "ms": {"ours": 2.0, "e3nn": 50.0},
        "cold": {"ours": 4.0, "e3nn": 60.0},
        "memory": {"ours": 1e4, "e3nn": 2e7},
        "bandwidth": 0.5,
    },
    {
        "part": "contraction",
        "case": "c",
        "pass": "forward",
        "ms": {"ours": 1.0, "mace-torch": 5.0},
        "cold": {"ours": 1.0, "mace-torch": 7.0},
        "memory": {"ours": 0, "mace-torch": 9},
    },
    {
        "part": "first-use",
        "case": "A, e3nn",
        "s": {"construction": 0.1, "forward": 0.2, "forward + backward": 0.3, "force training": 0.4},
        "extra": 0.7,
    },
    {
        "part": "edges",
        "case": 1000,
        "graphs": 1,
        "pass": "forward",
        "ms": {"ours": 0.25, "e3nn": 4.0},
        "bandwidth": 0.25,
    },
    {"part": "edges", "case": 1_000_000, "graphs": 100, "pass": "left out", "ms": {}, "needed": 1},
    {
        "part": "memory",
        "case": "10 edges",
        "pass": "forward",
        "bytes_of": {"inputs": 8_000_000, "results": 2_000_000, "grown": 2_500_000},
    },
]
DOCUMENT = {
    "machine": {
        "processor": "P",
        "threads": 2,
        "usable_cores": 2,
        "capability": "AVX2",
        "load": 0.1,
        "versions": {"torch": "2"},
    },
    "repeats": 3,
    "copy_bandwidth": 10e9,
    "missing": {"e3nn": "pip install e3nn"},
    "rows": ROWS,
}


def test_jobs_are_those_that_are_asked_for() -> None:
    assert {job.part for job in kernels.jobs()} == set(kernels.PARTS)
    assert [job.part for job in kernels.jobs(["edges", "tiny"])] == ["tiny", *["edges"] * 5]
    for arguments in ({"only": ["D"]}, {"compiled": ["D"]}, {"repeats": 0}):
        with pytest.raises(InputError):
            kernels.jobs(**arguments)


def test_the_document_says_which_peers_are_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "installed", lambda name: None)
    monkeypatch.setattr(kernels, "has_compiler", lambda: False)
    monkeypatch.setattr(kernels, "copy_bandwidth", lambda: 1e9)
    done: list[int] = []
    job = kernels.Job(
        "tiny", 1, lambda tick: [{"part": "tiny", "case": "t", "ms": {"ours": 2.0}, "bytes": 1e6} | {"t": tick()}]
    )
    document = kernels.measure([job, job], 1, done.append)
    assert list(document["missing"]) == [*kernels.PEERS, "a C++ compiler, for torch.compile"]
    assert document["rows"][0]["bandwidth"] == pytest.approx(0.5)  # 1 MB in 2 ms, at 1 GB/s
    assert done == [1, 2]


def test_tables_of_a_document() -> None:
    times, first, edges, memory = grids(DOCUMENT)
    assert times.columns == ["", "pass", "ours", "e3nn", "mace-torch", "faster", "cold", "memory", "theirs", "of copy"]
    assert times.rows[0] == ["A", "forward", "2.00", "50.0", "", "25.0x", "15.0x", "0.01", "20", "0.50"]
    assert times.rows[1][2:6] == ["1.00", "", "5.00", "5.0x"]
    assert first.rows == [["A, e3nn", "0.100", "0.200", "0.300", "0.400", "0.700"]]
    assert edges.rows[0] == ["1,000", "1", "forward", "0.25", "250", "4.00", "0.25"]
    assert edges.rows[1][:4] == ["1,000,000", "100", "left out", ""]
    assert memory.rows[0][2:] == ["8.00", "2.00", "2.50", "5.0 %"]
    assert "not measured: e3nn (pip install e3nn)" in heading(DOCUMENT)
    assert heading({**DOCUMENT, "note": "of another day"}).endswith("of another day")
    header, rule, line, *_ = memory.markdown().splitlines()
    assert header.count("|") == rule.count("|") == line.count("|") == 7


def test_too_many_edges_are_left_out_where_memory_is_short(monkeypatch: pytest.MonkeyPatch) -> None:
    assert kernels.available_memory() > 0
    monkeypatch.setattr(kernels, "available_memory", lambda: 10**6)
    ((row, *_),) = [job.run(lambda: None) for job in kernels.jobs(["edges"], 1)[-1:]]
    assert (row["case"], row["pass"], row["ms"]) == (1_000_000, "left out", {})
    json.dumps(row)
    assert kernels.jobs(["memory"])[0].run(lambda: None) == []


def test_memory_of_the_process() -> None:
    """An increase that is about the results: the kernel has no buffer of edges."""
    found = in_child("memory", "60000", "forward")
    if found is None:
        pytest.skip("the system does not say how much memory a process had")
    size = scaled(60_000)
    assert found["inputs"] == size.bytes["forward"] - found["results"]
    assert found["results"] == 4 * size.nodes * size.irreps[2].dim
    assert found["grown"] - found["results"] <= 0.1 * (found["inputs"] + found["results"])


def test_a_process_that_fails_says_why() -> None:
    with pytest.raises(DataError, match="KeyError"):
        in_child("first", "D", "ours")
