"""Three approaches to symmetry, and three more: test error over the number of training structures, at equal weights and
equal steps.

    python benchmarks/papers/why_equivariance.py                   # all cells, about 25 minutes of one core
    python benchmarks/papers/why_equivariance.py --sets digits     # one of the two sets
    python benchmarks/papers/why_equivariance.py --page            # only writes tables and picture of docs/ again

Every cell (a set, a size, an approach, a seed) is a line of a file below benchmarks/results, or --folder, so that what
was killed goes on. ethanol: the embedded frames, each under a rotation that seed 0 and its number decide; up to 200 to
train on, 200 others to test; energies and forces are learned, forces as the derivative of the energy. digits: the
embedded images of 8 x 8 pixels, turned by angles in 0 to 360 degrees (linear interpolation); up to 1,200 to train on,
500 to test.

The approaches are those of benchmarks/papers/approaches.py. Of ethanol, "nothing", "augmentation" and all frames are
one transformer on coordinates, "invariant features" is SchNet (distances) and "equivariant network" PaiNN. Of digits
they are one CNN (with batch norms, whose statistics in training are of all copies), SchNet on pixels as points within
2.1 pixels, and a regular CNN of 8 orientations. Networks are as wide as brings them nearest to 10,000 weights; the
network that picks the canonical frame has more of its own, which the table counts.

A step is one batch of 5 molecules, or of 32 images: frames and means see several copies of each, so their steps cost
more (milliseconds of one core in the table, training alone). 300 steps of Adam for all, at one rate, which a cosine
brings from 0.005 to zero: no rate is tuned for any of them, and none is trained to its end. Nothing is selected on the
test set.
"""

from __future__ import annotations

import argparse
import sys
import time
from functools import cache
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import torch
from approaches import APPROACHES, Approach, turned_digits, turned_molecules
from classes import chosen, error, fitted, nearest_width, read, resumed, spread, weights
from measure import DOCS, RESULTS, insert, machine, markdown

from intertwine import plots
from intertwine.data import GraphStore, Loader, open_dataset
from intertwine.data.turning import turned_store
from intertwine.nn import Backbone
from intertwine.tasks import Classification, ForceField, Task
from intertwine.training.scoring import score

WEIGHTS, RATE = 10_000, 5e-3
SEEDS = (0, 1, 2)
SIZES = {"ethanol": (25, 50, 100, 200), "digits": (50, 150, 400, 1_200)}
STEPS = {"ethanol": 300, "digits": 300}
BATCH = {"ethanol": 5, "digits": 32}
TESTED = 200
MEASURED = {"ethanol": "RMSE of forces (meV/A)", "digits": "wrong answers (%)"}


@cache
def data(name: str) -> tuple[GraphStore, GraphStore]:
    """Training and test set, turned."""
    turned = turned_store(open_dataset(name, progress=False), "any", 0)
    if name == "digits":
        return turned.subset(turned.splits.train), turned.subset(turned.splits.test)
    order = np.random.default_rng(0).permutation(len(turned))
    return turned.subset(order[TESTED:]), turned.subset(order[:TESTED])


@cache
def width_of(name: str, approach: str) -> int:
    """The width of a network without what is around it."""
    bare = APPROACHES[name][approach]._replace(around=None)
    return nearest_width(bare.build, WEIGHTS)


def task_of(name: str, network: Backbone, training: GraphStore) -> Task:
    return ForceField(network) if name == "ethanol" else Classification(network, training.classes["label"])


def tested(name: str, task: Task, test: GraphStore) -> float:
    """The figure of the table."""
    if isinstance(task, Classification):
        return error(task, test)
    store = test.connected(task.cutoff) if task.backbone.EDGES else test
    return score(task, Loader(store, 50))["forces_rmse"]


def run(cell: dict[str, Any]) -> dict[str, Any]:
    """Train and test one cell."""
    name, approach = cell["set"], APPROACHES[cell["set"]][cell["approach"]]
    training, test = data(name)
    training = training.subset(range(cell["size"]))
    torch.manual_seed(cell["seed"])
    task = task_of(name, _network(name, cell["approach"], approach), training)
    change = {"ethanol": turned_molecules, "digits": turned_digits}[name]
    options = {"change": change} if approach.augmented else {}
    start = time.process_time()
    task = fitted(task, training, STEPS[name], RATE, cell["seed"], BATCH[name], **options)
    cost = (time.process_time() - start) / STEPS[name]
    value = tested(name, task, test)
    return {"error": round(value, 4), "weights": weights(task), "steps": STEPS[name], "ms": round(1e3 * cost, 2)}


def _network(name: str, key: str, approach: Approach) -> Backbone:
    return approach.build(width_of(name, key))


def cells(sets: list[str], seeds: int) -> list[dict[str, Any]]:
    """One seed of everything, then the next, so that a run that is stopped has all rows; what takes longest at last."""
    return [
        {"set": name, "size": size, "approach": approach, "seed": seed}
        for seed in SEEDS[:seeds]
        for last in (False, True)
        for name in sets
        for size in SIZES[name]
        for approach in APPROACHES[name]
        if (approach == "weighted frames") == last
    ]


def table(rows: list[dict[str, Any]], name: str) -> str:
    """Errors of a set, over the number of structures."""
    lines = []
    for approach in APPROACHES[name]:
        cell = {"set": name, "approach": approach}
        errors = {size: chosen(rows, "error", size=size, **cell) for size in SIZES[name]}
        if any(errors.values()):
            line: dict[str, Any] = {"approach": approach, "weights": chosen(rows, "weights", **cell)[0]}
            line |= {f"{size:,}": spread(values) if values else "" for size, values in errors.items()}
            times = sorted(chosen(rows, "ms", **cell))
            lines.append(line | {"ms a step": times[len(times) // 2], "seeds": max(map(len, errors.values()))})
    return markdown(lines)


def picture(rows: list[dict[str, Any]]) -> Any:
    """Mean error over the number of structures, with the range over seeds; one panel a set."""
    measured = [name for name in SIZES if any(row["set"] == name for row in rows)]
    figure = plots.figure(4.5 * len(measured), 3.6)
    for axes, name in zip(figure.subplots(1, len(measured), squeeze=False)[0], measured, strict=True):
        for k, approach in enumerate(APPROACHES[name]):
            values = [chosen(rows, "error", set=name, approach=approach, size=size) for size in SIZES[name]]
            seen = [(size, v) for size, v in zip(SIZES[name], values, strict=True) if v]
            sizes, means = [size for size, _ in seen], [sum(v) / len(v) for _, v in seen]
            color = f"C{list(APPROACHES['digits']).index(approach)}"
            axes.plot(sizes, means, "o-" if k < 4 else "s--", color=color, label=approach, markersize=3, linewidth=1.2)
            axes.fill_between(sizes, [min(v) for _, v in seen], [max(v) for _, v in seen], color=color, alpha=0.15)
        axes.set(xscale="log", yscale="log", xlabel="training structures", ylabel=MEASURED[name], title=name)
        axes.set_xticks(SIZES[name], [f"{size:,}" for size in SIZES[name]])
        axes.minorticks_off()
        axes.legend(fontsize=6.5, frameon=False)
    return figure


def ranking(rows: list[dict[str, Any]], name: str) -> str:
    """The approaches in the order of their mean error, at the smallest and the largest size."""
    words = []
    for size in (SIZES[name][0], SIZES[name][-1]):
        means = {}
        for approach in APPROACHES[name]:
            values = chosen(rows, "error", set=name, approach=approach, size=size)
            if values:
                means[approach] = sum(values) / len(values)
        order = sorted(means, key=means.__getitem__)
        if order:
            words.append(f"At {size:,}: " + " < ".join(f"{key} ({means[key]:.3g})" for key in order) + ".")
    return "\n".join(words)


def page(rows: list[dict[str, Any]]) -> str:
    parts = []
    for name in SIZES:
        if any(row["set"] == name for row in rows):
            title = f"{name}: {MEASURED[name]} on the test set, over the number of training structures:"
            parts += [title, table(rows, name), ranking(rows, name)]
    return "\n\n".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="*", default=list(SIZES), choices=list(SIZES), help="which sets")
    parser.add_argument("--seeds", type=int, default=len(SEEDS), help="how many of the seeds")
    parser.add_argument("--only", nargs="*", help="approaches")
    parser.add_argument("--folder", type=Path, default=RESULTS, help="where the results are kept")
    parser.add_argument("--page", action="store_true", help="write tables and picture into docs/, run nothing")
    options = parser.parse_args()
    torch.set_num_threads(1)
    file = options.folder / "why_equivariance.jsonl"
    if not options.page:
        wanted = [c for c in cells(options.sets, options.seeds) if not options.only or c["approach"] in options.only]
        resumed(file, wanted, run)
    rows = read(file)
    text = page(rows)
    print(f"{machine()}\n\n{text}")
    if options.page:
        insert(DOCS / "results.md", "papers/why_equivariance.py", text)
        picture(rows).savefig(DOCS / "images" / "why_equivariance.png", dpi=110)


if __name__ == "__main__":
    main()
