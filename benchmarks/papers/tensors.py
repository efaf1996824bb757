"""Tensors of water molecules: dipole, polarizability and first hyperpolarizability, learned from 100 to 800 of them.

    python benchmarks/papers/tensors.py                      # three tensors, 800 molecules, 5 minutes each
    python benchmarks/papers/tensors.py --sizes 100 200 400 800   # learning curves
    python benchmarks/papers/tensors.py --page               # only writes the table of docs/results.md again

1,000 geometries of water, 200 of them tested on; of those that are learned from, 50 choose the weights. What a user
types is `intertwine train water.xyz --target alpha`, with a shorter, cosine schedule. The error is the root mean square
over all components in percent of that of the best constant (the mean isotropic part, zero for what has none), which is
the standard deviation of the test set. Runs are ordinary run folders: finished ones are not repeated, one that was
killed goes on.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from measure import DOCS, RESULTS, insert, markdown, table, write

from intertwine.training import train

ROOT = Path(__file__).resolve().parents[2]
RUNS = ROOT / "runs" / "tensors"
DATA = ROOT.parent / "shared" / "data" / "tensors" / "salted_water_monomers_1k.xyz.gz"
FILE = RESULTS / "tensors.json"
TARGETS = {"mu": "dipole", "alpha": "polarizability", "beta": "first hyperpolarizability"}
VALIDATED, TESTED = 50, 200


def settings(target: str, size: int, minutes: float, seed: int, data: Path) -> dict[str, Any]:
    """The configuration of a run that learns from so many molecules."""
    return {
        "data": {
            "source": str(data), "target": target, "train": size - VALIDATED, "validation": VALIDATED,
            "test_size": TESTED, "seed": seed,
        },
        "task": {"name": "property", "loss": "l2"},
        "model": {"name": "nequip", "width": 16, "layers": 3},
        "training": {
            "minutes": minutes, "epochs": 2000, "batch_size": 10, "learning_rate": 3e-3, "minimum_rate": 1e-6,
            "schedule": "cosine", "average": 0.995, "clip": 1.0, "evaluate_every": 5, "threads": 1, "seed": seed,
            "certify": False,
        },
    }  # fmt: skip


def measured(target: str, size: int, minutes: float, seed: int, data: Path) -> dict[str, Any]:
    """One row: the run is made, or gone on with, if its report is not there."""
    folder = RUNS / f"{target}-{size}-{minutes:g}-{seed}"
    if not (folder / "report.json").exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        train(settings(target, size, minutes, seed, data), run=folder, resume=folder.exists(), progress=False)
    report = json.loads((folder / "report.json").read_text())
    errors = report["test"][target]
    return {
        "tensor": TARGETS[target],
        "molecules": size,
        "RMSE": errors["rmse"],
        "standard deviation": errors["baseline"]["rmse"],
        "RMSE %": 100 * errors["ratio"]["rmse"],
        "MAE %": 100 * errors["ratio"]["mae"],
        "steps": report["steps"],
        "minutes": report["seconds"] / 60,
    }


def page(document: dict[str, Any]) -> str:
    return (
        f"{markdown(document['rows'])}\n\nAtomic units, as in the file; {TESTED} unseen molecules, seed "
        f"{document['seed']}; one thread. {document['machine']['date']}. `python benchmarks/papers/tensors.py`"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[800])
    parser.add_argument("--targets", nargs="+", default=list(TARGETS), choices=list(TARGETS))
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--page", action="store_true", help="only write the table from the results that are there")
    chosen = parser.parse_args()
    if not chosen.page:
        rows = []
        for target in chosen.targets:
            for size in chosen.sizes:
                rows.append(measured(target, size, chosen.minutes, chosen.seed, chosen.data))
                print(table(rows[-1:]), flush=True)
        write("tensors", {"seed": chosen.seed, "rows": rows})
    document = json.loads(FILE.read_text())
    insert(DOCS / "results.md", "papers/tensors.py", page(document))
    print(page(document))


if __name__ == "__main__":
    main()
