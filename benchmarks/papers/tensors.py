"""Tensors of water molecules: dipole, polarizability and first hyperpolarizability, learned from 50 to 800 of them.

    python benchmarks/papers/tensors.py                      # three tensors, 800 molecules, 5 minutes each
    python benchmarks/papers/tensors.py --curve              # learning curves: what is missing of 50 to 400 molecules
    python benchmarks/papers/tensors.py --curve --sizes 50 100   # some of their sizes
    python benchmarks/papers/tensors.py --page               # only writes tables and picture of docs/results.md again

1,000 geometries of water, 200 of them tested on; of those that are learned from, a fifth, at most 50, choose the
weights. What a user types is `intertwine train water.xyz --target alpha`, with a shorter, cosine schedule. The error is
the root mean square over all components in percent of that of the best constant (the mean isotropic part, zero for what
has none), which is the standard deviation of the test set. Runs are ordinary run folders: finished ones are not
repeated, one that was killed goes on. The cells of curves have a number of steps, about that of the 800 molecules in
their five minutes, so that they do not depend on what else the machine does; each is in the results once it is done.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from measure import DOCS, RESULTS, insert, markdown, table, write

from intertwine import plots
from intertwine.training import train

ROOT = Path(__file__).resolve().parents[2]
RUNS = ROOT / "runs" / "tensors"
DATA = ROOT.parent / "shared" / "data" / "tensors" / "salted_water_monomers_1k.xyz.gz"
FILE, CURVE = RESULTS / "tensors.json", RESULTS / "tensor_curves.json"
PICTURE = DOCS / "images" / "tensor_curves.png"
TARGETS = {"mu": "dipole", "alpha": "polarizability", "beta": "first hyperpolarizability"}
SIZES, STEPS, BATCH = (50, 100, 200, 400), 2500, 10  # of the cells of curves, beside those of 800
VALIDATED, TESTED = 50, 200


def settings(target: str, size: int, minutes: float | None, seed: int, data: Path) -> dict[str, Any]:
    """The configuration of a run that learns from so many molecules; without minutes for a number of steps."""
    validated = min(VALIDATED, size // 5)
    length = {"epochs": round(STEPS * BATCH / (size - validated))} if minutes is None else {
        "minutes": minutes, "epochs": 2000,
    }  # fmt: skip
    return {
        "data": {
            "source": str(data), "target": target, "train": size - validated, "validation": validated,
            "test_size": TESTED, "seed": seed,
        },
        "task": {"name": "property", "loss": "l2"},
        "model": {"name": "nequip", "width": 16, "layers": 3},
        "training": {
            **length, "batch_size": BATCH, "learning_rate": 3e-3, "minimum_rate": 1e-6,
            "schedule": "cosine", "average": 0.995, "clip": 1.0, "evaluate_every": 5, "threads": 1, "seed": seed,
            "certify": False,
        },
    }  # fmt: skip


def measured(target: str, size: int, minutes: float | None, seed: int, data: Path) -> dict[str, Any]:
    """One row: the run is made, or gone on with, if its report is not there."""
    folder = RUNS / f"{target}-{size}-{f'{minutes:g}' if minutes is not None else f'{STEPS}steps'}-{seed}"
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


def in_percent(rows: Sequence[dict[str, Any]]) -> dict[str, dict[int, float]]:
    """The RMSE by tensor and number of molecules, the smallest first."""
    known: dict[str, dict[int, float]] = {name: {} for name in TARGETS.values()}
    for row in sorted(rows, key=lambda row: row["molecules"]):
        known[row["tensor"]][row["molecules"]] = row["RMSE %"]
    return {name: entries for name, entries in known.items() if entries}


def curve_page(curve: dict[str, Any], document: dict[str, Any]) -> str:
    """The table of the curves, with the rows of 800 molecules at its end."""
    known = in_percent([*curve["rows"], *document["rows"]])
    sizes = sorted({size for entries in known.values() for size in entries})
    rows = [{"molecules": size} | {f"{name} %": entries.get(size) for name, entries in known.items()} for size in sizes]
    least, most = (pick(row["steps"] for row in curve["rows"]) for pick in (min, max))
    return (
        "The error over the number of molecules:\n\n"
        "![Error of three tensors over the number of molecules](images/tensor_curves.png)\n\n"
        f"{markdown(rows)}\n\nRMSE in % of the standard deviation, on {TESTED} unseen molecules, seed {curve['seed']}; "
        f"of the molecules a fifth, at most {VALIDATED}, choose the weights; {least:,} to {most:,} steps, and those of "
        f"800 as above. {curve['machine']['date']}. `python benchmarks/papers/tensors.py --curve`"
    )


def picture(curve: dict[str, Any], document: dict[str, Any]) -> Any:
    """RMSE in percent over the number of molecules, both logarithmic."""
    figure, known = plots.figure(5.0, 3.6), in_percent([*curve["rows"], *document["rows"]])
    axes, sizes = figure.add_subplot(), sorted({size for entries in known.values() for size in entries})
    for k, (name, entries) in enumerate(known.items()):
        axes.plot(list(entries), list(entries.values()), "osD"[k] + "-", color=f"C{k}", label=name, markersize=4)
    axes.set(xscale="log", yscale="log", xlabel="molecules", ylabel="RMSE (% of the standard deviation)")
    axes.set_xticks(sizes, [str(size) for size in sizes])
    axes.tick_params(axis="x", which="minor", bottom=False)
    axes.grid(True, color="#dddddd", linewidth=0.6)
    axes.legend(fontsize=8, frameon=False)
    return figure


def curves(chosen: argparse.Namespace) -> None:
    """The cells of curves, the smallest first; the results are written after each."""
    former = json.loads(CURVE.read_text())["rows"] if CURVE.exists() else []
    done = {(row["tensor"], row["molecules"]): row for row in former}
    for size in chosen.sizes or SIZES:
        for target in chosen.targets:
            row = measured(target, size, None, chosen.seed, chosen.data)
            done[row["tensor"], row["molecules"]] = row
            print(table([row]), flush=True)
            write("tensor_curves", {"seed": chosen.seed, "rows": list(done.values())})


def publish() -> None:
    """Tables and picture of the page, from the results that are there."""
    document = json.loads(FILE.read_text())
    insert(DOCS / "results.md", "papers/tensors.py", page(document))
    print(page(document))
    if CURVE.exists():
        curve = json.loads(CURVE.read_text())
        insert(DOCS / "results.md", "papers/tensors.py --curve", curve_page(curve, document))
        plots.save(picture(curve, document), PICTURE)  # tensor_curves.png
        print(curve_page(curve, document))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--curve", action="store_true", help="learning curves, in steps instead of minutes")
    parser.add_argument("--sizes", type=int, nargs="+", default=None, help="numbers of molecules")
    parser.add_argument("--targets", nargs="+", default=list(TARGETS), choices=list(TARGETS))
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--page", action="store_true", help="only write what is on the page from the results")
    chosen = parser.parse_args()
    if chosen.curve and not chosen.page:
        curves(chosen)
    elif not chosen.page:
        rows = []
        for target in chosen.targets:
            for size in chosen.sizes or [800]:
                rows.append(measured(target, size, chosen.minutes, chosen.seed, chosen.data))
                print(table(rows[-1:]), flush=True)
        write("tensors", {"seed": chosen.seed, "rows": rows})
    publish()


if __name__ == "__main__":
    main()
