"""What each architecture can tell apart, and what it learns to: the three experiments of Joshi et al. 2023
(arXiv:2301.09308).

    python benchmarks/papers/expressivity.py --jobs 2             # all; goes on where it was stopped
    python benchmarks/papers/expressivity.py --models painn,mace --seeds 3
    python benchmarks/papers/expressivity.py --page               # only writes the table and the picture again

The two graphs of a pair are training set and test set. Cross-entropy, Adam at 1e-4, brought down on a plateau of the
accuracy; 100 epochs of two steps, in double precision, so that rounding can't tell graphs apart. Sum over nodes, one
species, default sizes but for the width and the number of layers. The theory (theory.py) is checked in the same run by
what random weights make of the pairs.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
from distinguish import CUTOFF_ANGSTROM, EPOCHS, LEARNING_RATE, SAME_RELATIVE_DIFFERENCE, build, learn, separation
from measure import DOCS, RESULTS, insert, write
from pairs import LENGTH_UNIT
from questions import Cell, Row, cells, rows
from tables import page, picture

from intertwine.cli.console import bar
from intertwine.models import MODELS

SCRIPT = "papers/expressivity.py"
FILE = RESULTS / "expressivity.json"


def measured(row: Row, cell: Cell, seeds: Sequence[int]) -> dict[str, Any]:
    """A cell of the table, in a process of one thread."""
    torch.set_num_threads(1)
    start, question = time.perf_counter(), cell.question()
    apart = separation(row.model, question, row.extra, cell.pair(0))
    runs = {
        str(seed): learn(
            row.model, question, row.extra, cell.pair(seed), seed, possible=apart > SAME_RELATIVE_DIFFERENCE
        )
        for seed in seeds
    }
    layers = None
    if cell.kind == "body":
        deeper = (question._replace(layers=n) for n in (1, 2, 3))
        layers = next(
            (
                variant.layers
                for variant in deeper
                if separation(row.model, variant, row.extra, cell.pair(0)) > SAME_RELATIVE_DIFFERENCE
            ),
            None,
        )
    weights = sum(p.numel() for p in build(row.model, question, row.extra).parameters())
    return {
        "separation": apart,
        "layers": layers,
        "weights": weights,
        "runs": runs,
        "seconds": time.perf_counter() - start,
    }


def missing(done: Mapping[str, Any], row: Row, cell: Cell, seeds: int) -> list[int]:
    runs = done.get(row.name, {}).get(str(cell), {}).get("runs", {})
    return [seed for seed in range(seeds) if str(seed) not in runs]


def keep(results: dict[str, Any], row: Row, cell: Cell, measurement: Mapping[str, Any]) -> None:
    """Add to the results, and write them."""
    place = results.setdefault(row.name, {}).setdefault(str(cell), {"runs": {}})
    place.update(
        {key: value for key, value in measurement.items() if key != "runs"}
        | {"runs": place["runs"] | measurement["runs"]}
    )
    protocol = {"rate": LEARNING_RATE, "epochs": EPOCHS, "cutoff": CUTOFF_ANGSTROM, "lengths divided by": LENGTH_UNIT}
    write("expressivity", {"protocol": protocol, "results": results})


def run(table: Sequence[Row], seeds: int, jobs: int, results: dict[str, Any]) -> list[str]:
    """Measure what is missing; returns what failed."""
    todo = [(row, cell, left) for row in table for cell in cells(row) if (left := missing(results, row, cell, seeds))]
    failed = []
    with bar(len(todo), "expressivity") as show, ProcessPoolExecutor(jobs, get_context("spawn")) as pool:
        futures = {pool.submit(measured, row, cell, left): (row, cell) for row, cell, left in todo}
        for done, future in enumerate(as_completed(futures), 1):
            row, cell = futures[future]
            try:
                keep(results, row, cell, future.result())
            except Exception as error:  # one architecture that can't must not stop the others
                failed.append(f"{row.name}, {cell}: {type(error).__name__}: {error}")
            show(done)
    return failed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default=",".join(MODELS), help="names, separated by commas")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--jobs", type=int, default=1, help="processes, of one thread each")
    parser.add_argument("--again", action="store_true", help="measure again what is there")
    parser.add_argument("--page", action="store_true", help="only write table and picture")
    arguments = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"  # of the processes
    names = arguments.models.split(",")
    if unknown := sorted(set(names) - set(MODELS)):
        parser.error(f"no model {', '.join(unknown)}; there are {', '.join(MODELS)}")
    results = json.loads(FILE.read_text())["results"] if FILE.exists() else {}
    if not arguments.page:
        if arguments.again:
            for row in rows(names):
                results.pop(row.name, None)
        for line in run(rows(names), arguments.seeds, arguments.jobs, results):
            print(f"failed: {line}")
    shown, document = [row for row in rows(list(MODELS)) if row.name in results], json.loads(FILE.read_text())
    text = page(document, shown)
    print(text)
    insert(DOCS / "results.md", SCRIPT, text)
    picture(document, shown).savefig(DOCS / "images" / "expressivity.png", dpi=150)


if __name__ == "__main__":
    main()
