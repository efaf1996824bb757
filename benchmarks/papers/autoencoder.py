"""Invariant codes of digits: the error of turned images, the code, the angle, and k nearest neighbours, beside a plain
autoencoder.

    python benchmarks/papers/autoencoder.py             # all cells of both sets, about two hours of one core
    python benchmarks/papers/autoencoder.py --sets digits --seeds 1 # a few minutes
    python benchmarks/papers/autoencoder.py --page      # only writes the tables of docs/results.md again
    python benchmarks/papers/autoencoder.py --molecules # codes of QM9's molecules instead; molecule_codes.py says how
    python benchmarks/papers/autoencoder.py --molecules --file molecules.sdf.gz --factor 0.01   # a trial

Every cell (an autoencoder, a seed) is a line of a file below benchmarks/results, or --folder, so that what was killed
goes on. Sets: the digits of the package, 8 x 8 pixels, 1,200 to train on and 500 to test, and the file of MNIST
(../shared/data/images), 14 x 14 pixels, 8,000 and 2,000; digit_images.py has them. Turned ones are resampled linearly,
each by the angle that seed 0 and its number decide; errors of turned images are against the resampled ones.
Autoencoders, all with a code of 32 numbers and the same decoder, and as many steps of the same rates:

- SO(2): a steerable CNN, upright images, turned at random in training (the task's default);
- SO(2), not turned: the same, which never sees a turned image;
- C_4: a p4 CNN, upright images;
- plain, upright: a CNN whose code turns change, upright images;
- plain, turned: the same, trained on the turned images.

k-NN: 5 neighbours among the codes of the training images, each number of the code over its deviation; "upright" are
upright images among upright ones, "turned" turned images among turned ones, "unseen" turned images among upright ones.
The angle is the found one less the true one, modulo the largest C_n with n = 2, 3, 4 that changes the image by less
than half the deviation of its pixels.
"""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import molecule_codes
import torch
from classes import chosen, fitted, read, resumed, spread, weights
from digit_images import TESTED, TRAINED, digits
from measure import DOCS, RESULTS, insert, machine, markdown

from intertwine.data import GraphStore
from intertwine.geometry import Graph
from intertwine.models import MODELS
from intertwine.tasks import Autoencoder
from intertwine.tasks.code_scores import codes_of, nearest_neighbours, turned_scores

SEEDS = (0, 1, 2)
STEPS, RATE, BATCH, SIDE = 1_000, 3e-3, 32, 14
ANGLES = (15.0, 30.0, 45.0, 60.0, 75.0, 137.0, 222.0, 301.0)  # degrees, that leave the grid
SCORED = 200  # test images that are turned by all angles


class Kind(NamedTuple):
    """A row: the name of the model, arguments of model and task, and whether it is trained on turned images."""

    model: str
    model_arguments: dict[str, Any]
    task_arguments: dict[str, Any]
    turned: bool = False


SMALL: dict[str, Any] = {"level": "node", "strides": (), "layers": 3}
KINDS = {
    "SO(2)": Kind("steerable_cnn", {**SMALL, "width": 8}, {"group": "SO(2)"}),
    "SO(2), not turned": Kind("steerable_cnn", {**SMALL, "width": 8}, {"group": "SO(2)", "turning": False}),
    "C_4": Kind("p4cnn", {**SMALL, "width": 8}, {"group": "C_4"}),
    "plain, upright": Kind("cnn", {**SMALL, "width": 32}, {"group": "none"}),
    "plain, turned": Kind("cnn", {**SMALL, "width": 32}, {"group": "none"}, turned=True),
}
COLUMNS = {
    "upright": "RMSE upright", "right angles": "RMSE 90°", "angles": "RMSE other angles",
    "relative upright": "over deviation, upright", "relative angles": "over deviation, other angles",
    "change": "code, 90°",
    "angle": "angle (°)", "angle off the grid": "angle, other (°)", "nn_upright": "k-NN upright",
    "nn_turned": "k-NN turned", "nn_unseen": "k-NN unseen",
}  # fmt: skip


def side(name: str) -> int:
    """Pixels along an edge of the images of a set."""
    return 8 if name == "digits" else SIDE


def graphs(store: GraphStore) -> list[Graph]:
    return [store[k] for k in range(len(store))]


def neighbours(task: Autoencoder, train: GraphStore, test: GraphStore) -> float:
    """The share of test images (%) whose class is that of most of their neighbours."""
    sides = [(codes_of(task, graphs(part)), part.field("label").reshape(-1).to(torch.int64)) for part in (train, test)]
    (z, y), (z_test, y_test) = sides
    return 100 * float((nearest_neighbours(z, y, z_test) == y_test).to(torch.float64).mean())


def run(cell: dict[str, Any], factor: float) -> dict[str, Any]:
    """Train and score one cell."""
    kind = KINDS[cell["autoencoder"]]
    torch.manual_seed(cell["seed"])
    backbone = MODELS[kind.model](**kind.model_arguments)
    task = Autoencoder(backbone, size=side(cell["set"]), **kind.task_arguments)
    upright, turned = (digits(cell["set"], SIDE, turned=turned) for turned in (False, True))
    task = fitted(task, (turned if kind.turned else upright)[0], round(factor * STEPS), RATE, cell["seed"], BATCH)
    few = graphs(upright[1])[:SCORED]
    exact = turned_scores(task, few, [0.0, 90.0, 180.0, 270.0])
    other = turned_scores(task, few, ANGLES)
    plain = task.order == 1
    return {
        "weights": weights(task),
        "upright": float(exact.rmse[0]), "right angles": float(exact.rmse[1:].max()),
        "angles": float(other.rmse.square().mean().sqrt()), "change": float(exact.largest.max()),
        "relative upright": float((exact.rmse / exact.deviation)[0]),
        "relative angles": float((other.rmse / other.deviation).square().mean().sqrt()),
        "change of angles": float(other.change.square().mean().sqrt()),
        "angle": None if plain else float(exact.errors()[1:].median()),
        "angle off the grid": None if plain else float(other.errors().median()),
        "angle, not modulo": None if plain else float(other.apart.abs().median()),
        "symmetric": int((other.folds > 1).sum()), "open": int(other.open.sum()),
        "nn_upright": neighbours(task, *upright), "nn_turned": neighbours(task, *turned),
        "nn_unseen": neighbours(task, upright[0], turned[1]),
    }  # fmt: skip


def about(name: str, rows: list[dict[str, Any]]) -> str:
    """Table and figures aimed at of one set; "" where no cell of it was run."""
    rows = [row for row in rows if row["set"] == name]
    what = (
        f"{name}, {side(name)} x {side(name)} pixels; {TRAINED[name]:,} images to train on, {TESTED[name]:,} to test:"
    )
    return "\n\n".join([what, table(rows), *verdicts(rows)]) if rows else ""


def table(rows: list[dict[str, Any]]) -> str:
    lines = []
    for name in KINDS:
        line: dict[str, Any] = {"autoencoder": name}
        for key, words in COLUMNS.items():
            values = [value for value in chosen(rows, key, autoencoder=name) if value is not None]
            line[words] = told(key, values) if values else ""
        if any(line[words] for words in COLUMNS.values()):
            lines.append(line | {"seeds": len(chosen(rows, "upright", autoencoder=name))})
    return markdown(lines)


def told(key: str, values: list[float]) -> str:
    """Mean and deviation; of the change under right angles the largest; errors of pixels with four digits."""
    if key == "change":
        return f"{max(values):.1e}"
    if key in ("upright", "right angles", "angles", "relative upright", "relative angles"):
        return f"{sum(values) / len(values):.4f}"
    return spread(values)


def verdicts(rows: list[dict[str, Any]]) -> list[str]:
    """The figures that were aimed at, and whether they are met."""
    means = {
        (name, key): sum(values) / len(values)
        for name in KINDS
        for key in COLUMNS
        if (values := [value for value in chosen(rows, key, autoencoder=name) if value is not None])
    }
    ours, plain = "SO(2)", "plain, turned"
    if (ours, "upright") not in means:
        return []
    upright = means[ours, "upright"]
    changes = {key: 100 * (means[ours, key] / upright - 1) for key in ("right angles", "angles")}
    lines = [
        f"SO(2), errors of images turned by right angles are {changes['right angles']:+.2f} % of upright ones' (aim: "
        f"within 2 %), by other angles {changes['angles']:+.1f} % (aim: within 10 %).",
        f"SO(2), median error of the angle off the grid: {means[ours, 'angle off the grid']:.2f} degrees "
        "(aim: below 5).",
    ]
    if (ours, "relative angles") in means:
        relative = 100 * (means[ours, "relative angles"] / means[ours, "relative upright"] - 1)
        lines.append(
            f"SO(2), by other angles over the deviation of the pixels, which resampling lowers: {relative:+.1f} %."
        )
    if (plain, "nn_turned") in means:
        for key, words in (("nn_turned", "turned among turned"), ("nn_unseen", "turned among upright")):
            gap = means[ours, key] - max(means[name, key] for name in KINDS if "plain" in name and (name, key) in means)
            lines.append(f"k-NN, {words}: SO(2) is {gap:+.1f} points from the better plain one (aim: 20 above).")
    if ("plain, upright", "nn_upright") in means:
        gap = means[ours, "nn_upright"] - means["plain, upright", "nn_upright"]
        lines.append(f"k-NN, upright: SO(2) is {gap:+.1f} points from the plain one (aim: 5 below at most).")
    return lines


def of_molecules(options: argparse.Namespace) -> None:
    """Run what is missing of the cells of molecules, and print their tables."""
    file = options.folder / "molecule_codes.jsonl"
    about = {"file": options.file, "first": options.first}
    cells = [] if options.page else molecule_codes.cells(options.seeds, **about)
    rows = resumed(file, cells, partial(molecule_codes.run, factor=options.factor, **about)) if cells else read(file)
    text = molecule_codes.tables(rows)
    print(f"{machine()}\n\n{text}")
    if options.page:
        insert(DOCS / "results.md", "papers/molecule_codes.py", text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=len(SEEDS), help="how many of the seeds")
    parser.add_argument("--sets", nargs="*", default=list(TRAINED), choices=list(TRAINED), help="which sets")
    parser.add_argument("--only", nargs="*", help="autoencoders")
    parser.add_argument("--factor", type=float, default=1.0, help="times the number of steps; for a trial")
    parser.add_argument("--folder", type=Path, default=RESULTS, help="where the results are kept")
    parser.add_argument("--page", action="store_true", help="write the tables into docs/results.md, run nothing")
    parser.add_argument("--molecules", action="store_true", help="codes of molecules, not of digits")
    parser.add_argument("--file", help="with --molecules: a file of them in place of QM9")
    parser.add_argument("--first", type=int, help="with --molecules: only the first so many; for a trial")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.molecules:
        of_molecules(options)
        return
    file = options.folder / "autoencoder.jsonl"
    if not options.page:
        cells = [
            {"set": which, "autoencoder": name, "seed": seed}
            for seed in SEEDS[: options.seeds]
            for which in options.sets
            for name in KINDS
        ]
        resumed(
            file,
            [cell for cell in cells if not options.only or cell["autoencoder"] in options.only],
            partial(run, factor=options.factor),
        )
    rows = read(file)
    text = "\n\n".join(filter(None, (about(name, rows) for name in TRAINED)))
    print(f"{machine()}\n\n{text}")
    if options.page:
        insert(DOCS / "results.md", "papers/autoencoder.py", text)


if __name__ == "__main__":
    main()
