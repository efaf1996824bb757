"""A document of :func:`intertwine.bench.kernels.measure` as tables, for a terminal or a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from intertwine.bench.contest import OURS, PASSES

_PEERS = ("e3nn", "e3nn compiled", "cuequivariance", "sphericart", "mace-torch")
_AGAINST = ("e3nn", "mace-torch")  # whom a row is compared with: the first that is there


@dataclass(frozen=True)
class Grid:
    """A table: title, headings, cells, and what they mean."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""

    def markdown(self) -> str:
        """The table for a page, without title and caption."""
        lines = [self.columns, ["---"] + ["--:"] * (len(self.columns) - 1), *self.rows]
        return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def grids(document: Mapping[str, Any]) -> list[Grid]:
    """The tables of a document, those with rows."""
    rows = document["rows"]
    tables = [
        _times([row for row in rows if "ms" in row and row["part"] != "edges"], document),
        _first_use([row for row in rows if row["part"] == "first-use"]),
        _edges([row for row in rows if row["part"] == "edges"]),
        _memory([row for row in rows if row["part"] == "memory"]),
    ]
    return [grid for grid in tables if grid.rows]


def heading(document: Mapping[str, Any]) -> str:
    """The machine, what is missing, and a note where the document has one, in a few lines."""
    on = document["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in on["versions"].items())
    lines = [
        (
            f"{on['processor']}, {on['threads']} of {on['usable_cores']} cores, {on['capability']}, load "
            f"{on['load'] or 0.0:.1f}; float32"
        ),
        versions,
    ]
    lines += [f"not measured: {name} ({how})" for name, how in document["missing"].items()]
    lines += [document["note"]] if "note" in document else []
    return "\n".join(lines)


def _times(rows: Sequence[Mapping[str, Any]], document: Mapping[str, Any]) -> Grid:
    present = [name for name in _PEERS if any(name in row["ms"] for row in rows)]
    columns = ["", "pass", OURS, *present, "faster", "cold", "memory", "theirs", "of copy"]
    cells = []
    for row in rows:
        peer = next((name for name in _AGAINST if name in row["ms"]), None)
        memory = row.get("memory", {})
        cells.append(
            [
                row["case"],
                row["pass"],
                *(_ms(row["ms"].get(name)) for name in (OURS, *present)),
                *(f"{row[kind][peer] / row[kind][OURS]:.1f}x" if peer else "" for kind in ("ms", "cold")),
                _mega(memory.get(OURS)),
                _mega(memory.get(peer)) if peer else "",
                f"{row['bandwidth']:.2f}" if "bandwidth" in row else "",
            ]
        )
    caption = (
        f"Medians of {document['repeats']} interleaved samples, ms; a sample is a call, or calls for 20 ms in a row. "
        "faster: than e3nn, or mace-torch; cold: the same of the one call before those, after all others have filled "
        "the caches. memory, theirs: MB that torch held beyond inputs and results at the peak. of copy: bytes that "
        "have to be read and written once, in our time, "
        f"over the {document['copy_bandwidth'] / 1e9:.1f} GB/s of a copy (read and written) here."
    )
    return Grid("Kernels and their peers", columns, cells, caption)


def _first_use(rows: Sequence[Mapping[str, Any]]) -> Grid:
    steps = ("construction", *PASSES)
    cells = [[row["case"], *(f"{row['s'][name]:.3f}" for name in steps), f"{row['extra']:.3f}"] for row in rows]
    caption = (
        "First calls of a plan in a fresh process, in order, s. in all: "
        "construction, and what they take beyond second calls."
    )
    return Grid("First use", ["", *steps, "in all"], cells, caption)


def _edges(rows: Sequence[Mapping[str, Any]]) -> Grid:
    present = [name for name in _PEERS if any(name in row["ms"] for row in rows)]
    cells = []
    for row in rows:
        ours = row["ms"].get(OURS)
        each = f"{1e6 * ours / row['case']:.0f}" if ours else ""
        share = f"{row['bandwidth']:.2f}" if ours else ""
        cells.append(
            [
                f"{row['case']:,}",
                str(row["graphs"]),
                row["pass"],
                _ms(ours),
                each,
                *(_ms(row["ms"].get(name)) for name in present),
                share,
            ]
        )
    caption = (
        "As size A, 20 edges for each node, those of a graph in random order; ms. In one graph of a million edges rows "
        "that are read lie anywhere in gigabytes. Peers to 100,000 edges, since they hold ten times as much beside."
    )
    return Grid(
        "Time against edges", ["edges", "graphs", "pass", OURS, "ns an edge", *present, "of copy"], cells, caption
    )


def _memory(rows: Sequence[Mapping[str, Any]]) -> Grid:
    cells = []
    for row in rows:
        inputs, results, grown = (row["bytes_of"][name] for name in ("inputs", "results", "grown"))
        beyond = 100 * (grown - results) / (inputs + results)
        cells.append([row["case"], row["pass"], _mega(inputs), _mega(results), _mega(grown), f"{beyond:.1f} %"])
    caption = (
        "MB. grown: by how much the memory of the process grew at most. "
        "beyond: grown without the results, over inputs and results."
    )
    return Grid("Memory of the process", ["", "pass", "inputs", "results", "grown", "beyond"], cells, caption)


def _ms(value: int | float | None) -> str:
    if value is None:
        return ""
    return (
        f"{value:.3f}"
        if value < 0.1
        else f"{value:.2f}"
        if value < 10
        else f"{value:.1f}"
        if value < 100
        else f"{value:,.0f}"
    )


def _mega(value: int | float | None) -> str:
    return "" if value is None else f"{value / 1e6:.2f}" if value < 1e7 else f"{value / 1e6:,.0f}"
