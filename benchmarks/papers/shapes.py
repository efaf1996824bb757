"""Ten shapes as clouds of points: networks that are trained on upright ones, and tested on upright and on turned ones.

    python benchmarks/papers/shapes.py                 # all cells, about 80 minutes of one core
    python benchmarks/papers/shapes.py --turned z      # trained on clouds that are turned about z
    python benchmarks/papers/shapes.py --only PointNet painn
    python benchmarks/papers/shapes.py --page          # only writes the table of docs/results.md again

Every cell (a network, a seed, how the training clouds are turned) is a line of a file below benchmarks/results, or
--folder, so that what was killed goes on. The set is that of `intertwine train shapes` with 96 noisy points in place of
256, so that networks with edges can be trained here: 1,000 clouds to train on and 500 to test, of ten classes, two
pairs of which differ only in proportion, and one only in handedness. "upright" is the test set as it is, "turned" each
test cloud under a random rotation of SO(3), which seed 0 and its number decide. "handed pair" is the error among the
turned helices alone, where 50 % is a guess, and "others" that of the eight other classes. A network of O(3) can't tell
a shape from its mirror image, so that its error is at least 10 % in all; one of SO(3) can.

Networks with edges have neighbours within 6.5 units, about 10. As the field of view of a few layers is smaller than the
clouds, nodes know their place: the vector o from the centroid, eight Gaussians of its length, and the anisotropic part
of the cloud's second moments times o. The largest value over the nodes (PointNet) or their mean goes through a
perceptron with one hidden layer. Adam, batches of 16, rates that a cosine brings to zero; 1,200 steps, of PointNet,
whose steps cost a tenth or less, 2,400. Nothing is selected on the test set.
"""

from __future__ import annotations

import argparse
import copy
import sys
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
from classes import error, read, resumed, spread, train, weights
from measure import DOCS, RESULTS, insert, machine, markdown

from intertwine.data import GraphStore
from intertwine.data.shapes import RADIUS, SHAPES, shapes
from intertwine.data.turning import turned_store
from intertwine.models import MODELS

SEEDS = (0, 1, 2)
STEPS, BATCH = 1200, 16
CLOUD, CUTOFF = 96, 6.5
PLACES, REACH = 8, 2.1  # Gaussians of the distance from the centroid, and the centre of the last, in units of RADIUS
HANDED = [k for k, name in enumerate(SHAPES) if "helix" in name]


class Network(NamedTuple):
    """A row: the model, its arguments, and what of the training is its own."""

    model: str
    arguments: dict[str, Any]
    readout: str = "mean"
    rate: float = 3e-3
    steps: int = STEPS


NEAR = {"species": (), "cutoff": CUTOFF, "node_inputs": {"place": PLACES}}
SEEN = {**NEAR, "vector_inputs": ("offset", "spread")}
NETWORKS = {
    "PointNet": Network(
        "pointnet", {"species": (), "width": 32, "pooled": 128, "hidden": 64, "scale": 10.0}, "max", 2e-3,
        2 * STEPS,
    ),
    "painn": Network("painn", {**SEEN, "width": 32, "layers": 2}),
    "tensor_field": Network("tensor_field", {**SEEN, "width": 16, "layers": 2, "lmax": 2}),
    "eqgat": Network("eqgat", {**SEEN, "width": 32, "vectors": 16, "layers": 2}),
    "local_frames": Network("local_frames", {**SEEN, "width": 32, "layers": 2}),
    "lieconv, SE(3)": Network("lieconv", {**SEEN, "width": 32, "layers": 2, "group": "SE(3)", "lifts": 2}),
    "octahedral group CNN": Network(
        "regular_group_cnn", {**SEEN, "width": 12, "layers": 2, "group": "octahedral", "vectors": 0}
    ),
    "icosahedral group CNN": Network(
        "regular_group_cnn", {**SEEN, "width": 8, "layers": 2, "group": "icosahedral", "vectors": 0}
    ),
    "ponita": Network("ponita", {**SEEN, "width": 16, "layers": 2, "vectors": 0}),
}  # fmt: skip


@cache
def data(turned: str) -> tuple[GraphStore, GraphStore, GraphStore]:
    """Training set, upright test set, turned test set."""
    store = shapes(points=CLOUD)
    parts = store.splits
    upright, training = located(store), located(turned_store(store, turned, 0, parts.train))
    rotated = located(turned_store(store, "any", 0, parts.test))
    return training.subset(parts.train), upright.subset(parts.test), rotated.subset(parts.test)


def located(store: GraphStore) -> GraphStore:
    r"""The clouds with the place of each point: ``offset`` o, the vector from the centroid in units of the root mean
    square radius; ``spread``, :math:`3 (3 S / \operatorname{tr} S - 1)\, o` with :math:`S = \sum_i o_i o_i^\top`;
    and ``place``, Gaussians of :math:`|o|`.
    """
    pos = store.fields["pos"].unflatten(0, (-1, CLOUD))
    o = (pos - pos.mean(1, keepdim=True)) / RADIUS
    moments = o.mT @ o
    moments = moments * (3 / moments.diagonal(dim1=1, dim2=2).sum(1))[:, None, None]
    spread = (3 * (o @ moments - o)).flatten(0, 1)
    offset = o.flatten(0, 1)
    centres = torch.linspace(0, REACH, PLACES)
    width = REACH / (PLACES - 1)
    place = torch.exp(-((offset.norm(dim=1, keepdim=True) - centres) / width).square())
    view = copy.copy(store)
    view.fields = {**store.fields, "offset": offset, "spread": spread, "place": place}
    view.levels = {**store.levels, **dict.fromkeys(("offset", "spread", "place"), "node")}
    view.representations = {**store.representations, "offset": "1o", "spread": "1o"}
    return view


def of_classes(store: GraphStore, classes: list[int]) -> GraphStore:
    return store.subset(torch.isin(store.field("label"), torch.tensor(classes)).nonzero().flatten())


def run(cell: dict[str, Any], factor: float) -> dict[str, Any]:
    """Train and test one cell."""
    network = NETWORKS[cell["network"]]
    training, upright, turned = data(cell["turned"])
    make = partial(MODELS[network.model], **network.arguments)
    task = train(
        make, training, steps=round(factor * network.steps), rate=network.rate, seed=cell["seed"], batch=BATCH,
        readout=network.readout, hidden=64,
    )  # fmt: skip
    errors = {
        "upright": error(task, upright),
        "under SO(3)": error(task, turned),
        "handed pair": error(task, of_classes(turned, HANDED)),
        "others": error(task, of_classes(turned, [k for k in range(len(SHAPES)) if k not in HANDED])),
    }
    about = {"weights": weights(task), "symmetry": task.backbone.card.symmetry}
    return {name: round(value, 2) for name, value in errors.items()} | about


def table(rows: list[dict[str, Any]]) -> str:
    lines = []
    for turned in dict.fromkeys(row["turned"] for row in rows):
        for name, network in NETWORKS.items():
            mine = [row for row in rows if row["network"] == name and row["turned"] == turned]
            if mine:
                line: dict[str, Any] = {
                    "network": name,
                    "symmetry": mine[0].get("symmetry", MODELS[network.model].CARD.symmetry),
                    "weights": mine[0]["weights"],
                    "trained": {"none": "upright", "z": "turned about z"}.get(turned, turned),
                }
                for column in ("upright", "under SO(3)", "handed pair", "others"):
                    line[column] = spread([row[column] for row in mine])
                lines.append(line | {"seeds": len(mine)})
    return "Test error (%) on the shapes:\n\n" + markdown(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turned", default="none", choices=("none", "z"), help="how training clouds are turned")
    parser.add_argument("--only", nargs="*", help="networks")
    parser.add_argument("--seeds", type=int, default=len(SEEDS), help="how many of the seeds")
    parser.add_argument("--factor", type=float, default=1.0, help="times the number of steps; for a trial")
    parser.add_argument("--folder", type=Path, default=RESULTS, help="where the results are kept")
    parser.add_argument("--page", action="store_true", help="write the table into docs/results.md, run nothing")
    options = parser.parse_args()
    torch.set_num_threads(1)
    file = options.folder / "shapes.jsonl"
    if not options.page:
        cells = [
            {"network": name, "turned": options.turned, "seed": seed}
            for seed in SEEDS[: options.seeds]
            for name in NETWORKS
            if not options.only or name in options.only
        ]
        resumed(file, cells, partial(run, factor=options.factor))
    text = table(read(file))
    print(f"{machine()}\n\n{text}")
    if options.page:
        insert(DOCS / "results.md", "papers/shapes.py", text)


if __name__ == "__main__":
    main()
