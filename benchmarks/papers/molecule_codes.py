"""What autoencoder.py --molecules runs: invariant codes of molecules, what is made of them and what is read off them.

Cells are an autoencoder, a number of training molecules and a seed. The molecules are drawn at random of QM9 (the extra
``qm9``), and each is turned at random; where it is not installed, those of a file (--file). 1,000 others are tested.
RMSD is after alignment, within each species (:func:`intertwine.geometry.matched`). A probe is linear, on codes of the
training molecules; beside it stand the same probe on the numbers of atoms of each species, and on codes of random
weights. Autoencoders, of the same code, decoder and steps:

- SE(3) x S_n: PaiNN, and the molecule in the frame and the order that it finds;
- plain: a PointNet, and the molecule in the order that it finds, as it lies (the group T(3) x S_n).
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import torch
from classes import chosen, fitted, weights
from measure import markdown
from torch import Tensor

from intertwine.data import GraphStore, open_dataset
from intertwine.data.turning import turned_store
from intertwine.geometry import Graph, act, collate, permute
from intertwine.groups import Isometry
from intertwine.models import MODELS
from intertwine.numerics import InputError
from intertwine.tasks import PointAutoencoder
from intertwine.tasks.code_probes import encoded, linear_probe, nearest, neighbour_means

STEPS = {10_000: 12_000, 3_000: 6_000, 1_000: 3_000}  # of each number of training molecules
TEST, RATE, BATCH, CLIP = 1_000, 1e-3, 64, 5.0
KINDS: dict[str, tuple[str, dict[str, Any], str]] = {
    "SE(3) x S_n": ("painn", {"width": 32, "layers": 2, "cutoff": 3.0}, "SE(3) x S_n"),
    "plain": ("pointnet", {"scale": 2.0}, "T(3) x S_n"),
}
PROPERTIES = {"alpha": "polarizability (Bohr^3)", "gap": "gap (meV)"}
FACTORS = {"alpha": 1.0, "gap": 1e3}
COLUMNS = {
    "rmsd": "median RMSD (A)", "order": "order right (%)", "elements": "species right (%)", "atoms": "size right (%)",
    "open": "open (%)", "change": "code, moved (float64)", "single": "code, moved (float32)",
    "found": "found again (%)",
}  # fmt: skip


@cache
def data(file: str | None, first: int | None) -> tuple[GraphStore, str]:
    """All molecules, and what they are called."""
    if file is not None:
        return open_dataset(file, limit=first, progress=False), Path(file).name
    try:
        return open_dataset("qm9", limit=first, progress=False), "QM9" if first is None else f"first {first} of QM9"
    except InputError as error:
        raise SystemExit(f"not run: {error}\nOr give a file of molecules: --file molecules.sdf.gz") from error


def cells(seeds: int, file: str | None, first: int | None) -> list[dict[str, Any]]:
    """What can be run with these molecules; what can't is said."""
    store, name = data(file, first)
    tested = min(TEST, len(store) // 5)
    sizes = [size for size in STEPS if size + tested <= len(store)] or [len(store) - tested]
    for size in STEPS:
        if size not in sizes:
            print(f"not run: {size} training molecules, of {len(store)} in {name}")
    cells = [{"molecules": name, "size": size, "seed": seed} for seed in range(seeds) for size in sizes]
    return [
        {"autoencoder": kind, **cell}
        for cell in cells
        for kind in KINDS
        if kind != "plain" or cell["size"] == max(sizes)  # what is compared with, where there are most
    ]


def run(cell: dict[str, Any], factor: float, file: str | None, first: int | None) -> dict[str, Any]:
    """Train and score one cell."""
    store, _ = data(file, first)
    drawn = torch.randperm(len(store), generator=torch.Generator().manual_seed(cell["seed"])).tolist()
    tested = min(TEST, len(store) // 5)
    train, test = (
        turned_store(store.subset(part), "any", 0) for part in (drawn[tested : tested + cell["size"]], drawn[:tested])
    )
    most = int(store.counts().max())
    model, arguments, group = KINDS[cell["autoencoder"]]
    steps = max(1, round(factor * STEPS.get(cell["size"], max(STEPS.values()))))

    def make() -> PointAutoencoder:
        torch.manual_seed(cell["seed"])
        return PointAutoencoder(MODELS[model](species=store.species(), **arguments), most=most, group=group)

    task = fitted(make(), train, steps, RATE, cell["seed"], BATCH, clip=CLIP)
    blank = make().eval()
    blank.spread.copy_(task.spread)
    graphs = [[part[k] for k in range(len(part))] for part in (train, test)]
    return {
        "weights": weights(task), "steps": steps,
        **reconstruction(task, graphs[1]), **retrieval(task, graphs[1]), **probes(task, blank, train, test, graphs),
    }  # fmt: skip


def reconstruction(task: PointAutoencoder, graphs: list[Graph]) -> dict[str, float]:
    """Scores of molecules that were not trained on."""
    parts: dict[str, list[Tensor]] = {}
    for k in range(0, len(graphs), 100):
        batch = collate(graphs[k : k + 100])
        made = task(batch)
        for name, values in {**task.residuals(made, batch), "open": made["open"]}.items():
            parts.setdefault(name, []).append(values)
    found = {name: torch.cat(values) for name, values in parts.items()}
    shares = {name: 100 * (1 - float(found[name].mean())) for name in ("order", "elements", "atoms")}
    return {"rmsd": float(found["rmsd"].median()), "open": 100 * float(found["open"].mean()), **shares}


def retrieval(task: PointAutoencoder, graphs: list[Graph]) -> dict[str, float]:
    """How much the code of turned, shifted and permuted molecules changes, and whether they are found by it."""
    generator = torch.Generator().manual_seed(0)
    moved = [
        permute(
            torch.randperm(graph.num_nodes, generator=generator),
            act(Isometry.random(3, generator=generator, shift=3.0), graph),
        )
        for graph in graphs
    ]
    still, other = encoded(task, graphs), encoded(task, moved)
    with torch.no_grad():
        single = [
            torch.cat([task(collate(part[k : k + 100]))["code"] for k in range(0, len(part), 100)])
            for part in (graphs, moved)
        ]
    right = nearest(still, other)[:, 0] == torch.arange(len(graphs))
    change = float((other - still).abs().max() / still.square().mean().sqrt())
    rounded = float((single[1] - single[0]).abs().max() / single[0].square().mean().sqrt())
    return {"change": change, "single": rounded, "found": 100 * float(right.double().mean())}


def probes(
    task: PointAutoencoder, blank: PointAutoencoder, train: GraphStore, test: GraphStore, graphs: list[list[Graph]]
) -> dict[str, float]:
    """Mean absolute errors of properties that the data have, from codes and beside them."""
    kinds = task.backbone.arguments["species"]
    inputs = {
        "code": [encoded(task, part) for part in graphs],
        "random weights": [encoded(blank, part) for part in graphs],
        "composition": [torch.stack([(g.z[:, None] == torch.tensor(kinds)).sum(0) for g in part]).double()
                        for part in graphs],
    }  # fmt: skip
    made = {}
    for name, factor in FACTORS.items():
        if name not in train.fields:
            continue
        y, truth = (part.field(name).reshape(-1).to(torch.float64) for part in (train, test))
        for what, (codes, asked) in inputs.items():
            answer = linear_probe(codes, y, asked)
            made[f"{name}, {what}"] = factor * float((answer - truth).abs().mean())
        answer = neighbour_means(inputs["code"][0].double(), y, inputs["code"][1].double())
        made[f"{name}, neighbours"] = factor * float((answer - truth).abs().mean())
        made[f"{name}, mean"] = factor * float((y.mean() - truth).abs().mean())
    return made


def tables(rows: list[dict[str, Any]]) -> str:
    """Reconstructions, and probes, by number of training molecules; means over seeds."""
    groups = list(dict.fromkeys((row["autoencoder"], row["molecules"], row["size"]) for row in rows))
    first, second = [], []
    for kind, molecules, size in sorted(groups, key=lambda group: (list(KINDS).index(group[0]), group[2])):
        cell = {"autoencoder": kind, "molecules": molecules, "size": size}
        means = {key: chosen(rows, key, **cell) for key in COLUMNS}
        name = {"autoencoder": kind, "molecules": molecules, "trained on": size}
        line = name | {"steps": chosen(rows, "steps", **cell)[0]}
        line |= {words: f"{sum(means[key]) / len(means[key]):.3g}" for key, words in COLUMNS.items() if means[key]}
        minutes = sum(chosen(rows, "seconds", **cell)) / 60 / len(means["rmsd"])
        first.append(line | {"minutes of a core": f"{minutes:.0f}", "seeds": len(means["rmsd"])})
        for label, words in PROPERTIES.items():
            values = {
                what: chosen(rows, f"{label}, {what}", **cell)
                for what in ("code", "neighbours", "random weights", "composition", "mean")
            }
            if values["code"]:
                errors = {f"MAE, {what}": f"{sum(each) / len(each):.3g}" for what, each in values.items()}
                second.append({"property": words, **name, **errors})
    second.sort(key=lambda line: line["property"])
    return "\n\n".join(markdown(lines) for lines in (first, second) if lines)
