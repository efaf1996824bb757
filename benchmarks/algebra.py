"""The algebra of O(3) beside its peers, in one run: one table, and benchmarks/results/algebra.json.

    python benchmarks/algebra.py                            # everything; some minutes
    python benchmarks/algebra.py harmonics products         # parts of it, written to algebra_harmonics_products.json
    python benchmarks/algebra.py --threads 1

Each part is a module beside this one whose ``rows()`` are dictionaries: the ``case``, and a time for each library,
``ours_ms``, ``e3nn_ms``, ... Samples of the libraries alternate, so that a change of the machine's speed meets all of
them; times are medians. ``ratio`` is e3nn's time over ours: above 1, ours is faster.
"""

from __future__ import annotations

import argparse
from importlib import import_module
from typing import Any

from measure import machine, table, write

PARTS = ("harmonics", "products", "linear", "building")
OURS, PEER = "ours_ms", "e3nn_ms"


def compared(row: dict[str, Any]) -> dict[str, Any]:
    """A row with its ratio, where it has both times."""
    return row if "ratio" in row or not (row.get(OURS) and row.get(PEER)) else {**row, "ratio": row[PEER] / row[OURS]}


def verdict(rows: list[dict[str, Any]]) -> str:
    """How many rows are slower than e3nn, and how many at least twice as fast; constructions don't count."""
    ratios = [row["ratio"] for row in rows if row.get("ratio") and not row["case"].endswith("construction")]
    slower, twice = sum(ratio < 1 for ratio in ratios), sum(ratio >= 2 for ratio in ratios)
    return f"beside e3nn: {len(ratios)} rows, {slower} slower, {twice} at least twice as fast"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)}; all by default")
    parser.add_argument("--threads", type=int, help="threads of torch")
    arguments = parser.parse_args()
    if unknown := set(arguments.parts) - set(PARTS):
        parser.error(f"no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    if arguments.threads:
        import torch

        torch.set_num_threads(arguments.threads)
    parts = {name: [compared(row) for row in import_module(name).rows()] for name in arguments.parts or PARTS}
    print(", ".join(f"{key} {value}" for key, value in machine().items() if key not in ("versions", "date")))
    for name, rows in parts.items():
        print(f"\n{name}: ms\n{table(rows)}\n{verdict(rows)}")
    print(f"\nall but building {verdict([row for name, rows in parts.items() if name != 'building' for row in rows])}")
    path = write("_".join(["algebra", *arguments.parts]), {"parts": parts})
    print(f"\nwrote {path}")


if __name__ == "__main__":
    main()
