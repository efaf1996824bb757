"""Rotated digits: the test error of a plain CNN and of group and steerable CNNs of as many weights, over the number of
training images.

    python benchmarks/papers/rotated_digits.py                   # all cells, about 40 minutes of one core
    python benchmarks/papers/rotated_digits.py --sets digits     # the embedded digits alone, a third of it
    python benchmarks/papers/rotated_digits.py --side 28         # MNIST at its full size, about three hours
    python benchmarks/papers/rotated_digits.py --page            # only writes the tables of docs/results.md again

Every cell (a set, a number of images, a network, a seed) is a line of a file below benchmarks/results, or --folder, so
that what was killed goes on. Images are turned by angles uniform in 0 to 360 degrees, which seed 0 and their number
decide, by linear interpolation, training and test images alike. digits: the 1,797 images of the package, 8 x 8, 1,200
to train on and 500 to test. mnist: the 10,000 images of MNIST's test set (../shared/data/images), 8,000 to train on and
2,000 to test by a seeded split, turned at 28 x 28 and then averaged over 2 x 2 pixels to 14 x 14. This is not the
published rotated MNIST (12,000 to train on, 50,000 to test), and the errors are not comparable with published ones.

Networks are those of intertwine.models with five layers of 5 x 5, strides behind the first and third and a last layer
of 1 x 1 with 32 channels, as wide as brings them nearest to 25,000 weights; the points' networks (LieConv, B-splines)
see pixels as nodes with neighbours within 2.1 pixels, and have batch normalisation as the others do. Adam, batches
of 32, 300 / 600 / 1,000 steps for 100 / 1,000 / all images, rates that a cosine brings from 0.005 to zero, no
augmentation, nothing selected on the test set: the effort is the same for all.
"""

from __future__ import annotations

import argparse
import sys
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
from classes import chosen, error, nearest_width, read, resumed, spread, train, weights
from digit_images import TESTED, TRAINED, digits
from measure import DOCS, RESULTS, insert, machine, markdown

from intertwine.models import MODELS
from intertwine.nn import Backbone

WEIGHTS, RATE = 25_000, 5e-3
SEEDS = (0, 1, 2)
STEPS = {100: 300, 1000: 600}
MOST_STEPS = 1_000


class Network(NamedTuple):
    """A row: the name of the model, its arguments, and whether it sees pixels as points."""

    model: str
    arguments: dict[str, Any]
    points: bool = False


# as many channels in all layers, so that widths can be chosen finely, and 32 features for the head
EVEN = {"widening": 1, "features": 32}
NETWORKS = {
    "plain CNN": Network("cnn", EVEN),
    "p4": Network("p4cnn", EVEN),
    "p4m": Network("p4mcnn", EVEN),
    "SE(2), 8": Network("se2cnn", {**EVEN, "orientations": 8}),
    "SE(2), 16": Network("se2cnn", {**EVEN, "orientations": 16}),
    "steerable": Network("steerable_cnn", EVEN),
}
SEEN = {"dimension": 2, "species": (), "node_inputs": {"x": 1}, "vectors": 0}
POINTS = {"layers": 3, "norm": "batch", "cutoff": 2.1, **SEEN}
NETWORKS_OF_POINTS = {
    "LieConv, T(2)": Network("lieconv", {**POINTS, "group": "T(2)"}, True),
    "LieConv, SO(2)": Network("lieconv", {**POINTS, "group": "SO(2)"}, True),
    "LieConv, SE(2)": Network("lieconv", {**POINTS, "group": "SE(2)", "lifts": 1}, True),
    "B-splines, SE(2)": Network("bspline_lieconv", {**POINTS, "group": "SE(2)", "lifts": 1}, True),
}
SIZE_OF_POINTS = 1_000


def build(network: Network, width: int) -> Backbone:
    return MODELS[network.model](width=width, **network.arguments)


@cache
def width_of(name: str) -> int:
    """The width that brings a network nearest to the number of weights that all have."""
    return nearest_width(partial(build, (NETWORKS | NETWORKS_OF_POINTS)[name]), WEIGHTS)


def run(cell: dict[str, Any], factor: float) -> dict[str, Any]:
    """Train and test one cell."""
    network = (NETWORKS | NETWORKS_OF_POINTS)[cell["network"]]
    training, test = digits(cell["set"], cell["side"], turned=True)
    torch.manual_seed(0)
    make = partial(build, network, width_of(cell["network"]))
    steps = round(factor * STEPS.get(cell["images"], MOST_STEPS))
    task = train(make, training.subset(range(cell["images"])), steps=steps, rate=RATE, seed=cell["seed"])
    return {"error": round(error(task, test), 3), "weights": weights(task), "steps": steps}


def cells(sets: list[str], side: int, seeds: int) -> list[dict[str, Any]]:
    """One seed of everything, then the next, so that a run that is stopped has all rows."""
    result = []
    for seed in SEEDS[:seeds]:
        for name in sets:
            length = 8 if name == "digits" else side
            sizes = (1_000, TRAINED[name], 100)
            cell = {"set": name, "side": length, "seed": seed}
            result += [{**cell, "images": n, "network": network} for n in sizes for network in NETWORKS]
            if name == "mnist":
                points = {**cell, "side": 14, "images": SIZE_OF_POINTS}
                result += [{**points, "network": network} for network in NETWORKS_OF_POINTS]
    return result


def table(rows: list[dict[str, Any]], name: str, side: int) -> str:
    """Errors of a set, over the number of images."""
    sizes, lines = (100, 1_000, TRAINED[name]), []
    for network in (*NETWORKS, *(NETWORKS_OF_POINTS if name == "mnist" and side == 14 else ())):
        cell = {"set": name, "side": side, "network": network}
        errors = {n: chosen(rows, "error", images=n, **cell) for n in sizes}
        if any(errors.values()):
            line: dict[str, Any] = {"network": network, "weights": chosen(rows, "weights", **cell)[0]}
            line |= {f"{n:,} images": spread(values) if values else "" for n, values in errors.items()}
            lines.append(line | {"seeds": max(map(len, errors.values()))})
    return markdown(lines)


def verdict(rows: list[dict[str, Any]], name: str, side: int) -> list[str]:
    """The best group CNN beside the plain one."""
    lines = []
    for images, share in ((TRAINED[name], "a half"), (1_000, "a third")):
        means = {}
        for network in NETWORKS:
            values = chosen(rows, "error", set=name, side=side, images=images, network=network)
            if values:
                means[network] = sum(values) / len(values)
        plain = means.pop("plain CNN", None)
        if plain and means:
            best = min(means, key=means.__getitem__)
            lines.append(
                f"{name}, {images:,} images: {best} has {100 * means[best] / plain:.0f} % of the plain CNN's error "
                f"({means[best]:.2f} % against {plain:.2f} %); the aim on MNIST is {share}."
            )
    return lines


def page(rows: list[dict[str, Any]]) -> str:
    parts = []
    for name, side in sorted({(row["set"], row["side"]) for row in rows}):
        what = f"{side} x {side} pixels; {TRAINED[name]:,} images to train on, {TESTED[name]:,} to test"
        if name == "mnist":
            what += " (not the published 12,000 / 50,000)"
        parts += [f"Test error (%) on rotated {name}, {what}:", table(rows, name, side), *verdict(rows, name, side)]
    return "\n\n".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="*", default=["digits", "mnist"], choices=list(TRAINED), help="which sets")
    parser.add_argument("--side", type=int, default=14, choices=(14, 28), help="pixels along an edge of MNIST")
    parser.add_argument("--seeds", type=int, default=len(SEEDS), help="how many of the seeds")
    parser.add_argument("--only", nargs="*", help="networks")
    parser.add_argument("--factor", type=float, default=1.0, help="times the number of steps; for a trial")
    parser.add_argument("--folder", type=Path, default=RESULTS, help="where the results are kept")
    parser.add_argument("--page", action="store_true", help="write the tables into docs/results.md, run nothing")
    options = parser.parse_args()
    torch.set_num_threads(1)
    file = options.folder / "rotated_digits.jsonl"
    if not options.page:
        wanted = cells(options.sets, options.side, options.seeds)
        wanted = [cell for cell in wanted if not options.only or cell["network"] in options.only]
        resumed(file, wanted, partial(run, factor=options.factor))
    rows = read(file)
    text = page(rows)
    print(f"{machine()}\n\n{text}")
    if options.page:
        insert(DOCS / "results.md", "papers/rotated_digits.py", text)


if __name__ == "__main__":
    main()
