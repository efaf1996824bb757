"""What rotated_digits.py, shapes.py and why_equivariance.py share: one cell of a table, trained and tested, kept as one
line of a file.

A cell is a network, a training set and a seed. It is trained by the library's own task and loader, for a fixed number
of steps at rates that a cosine brings to zero, and what it is after the last step is tested: nothing is selected on the
test set, and there is no validation. Batches, order and weights follow from the seed.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch

from intertwine.data import GraphStore, Loader
from intertwine.geometry import Graph
from intertwine.nn import Backbone
from intertwine.numerics import InputError
from intertwine.tasks import Classification, Task
from intertwine.training.scoring import score

BATCH, TEST_BATCH = 32, 100
CLIP = 10.0  # largest norm of a gradient
Trained = TypeVar("Trained", bound=Task)


def train(
    make: Callable[[], Backbone], data: GraphStore, *, steps: int, rate: float, seed: int, batch: int = BATCH,
    **options: Any,
) -> Classification:  # fmt: skip
    """A classification of the data, trained for so many steps.

    Args:
        make: the network, whose weights torch's generator draws.
        data: to train on.
        steps: of Adam.
        rate: the largest; it rises over the first twentieth of the steps, and falls by a cosine.
        seed: of weights and order.
        batch: entries in a batch.
        **options: of the task.
    """
    torch.manual_seed(seed)
    return fitted(Classification(make(), data.classes["label"], **options), data, steps, rate, seed, batch)


def fitted(
    task: Trained, data: GraphStore, steps: int, rate: float, seed: int, batch: int = BATCH,
    change: Callable[[Graph], Graph] = lambda graphs: graphs, clip: float = CLIP,
) -> Trained:  # fmt: skip
    """A task, trained for so many steps; arguments as of :func:`train`, what augments a batch, and the largest norm of
    a gradient."""
    store = data.connected(task.cutoff) if task.backbone.EDGES else data
    task.gather(data[k] for k in range(len(data)))
    loader = Loader(store, min(batch, len(store)), seed=seed)
    optimizer, step = torch.optim.Adam(task.parameters(), rate), 0
    task.train()
    while step < steps:
        for graphs in loader:
            if step == steps:
                break
            share = step / steps
            for group in optimizer.param_groups:
                group["lr"] = rate * min(1.0, 20 * (share + 1 / steps)) * 0.5 * (1 + math.cos(math.pi * share))
            graphs = change(graphs)
            losses = task.losses(task(graphs), graphs)
            optimizer.zero_grad()
            sum(task.weights[name] * loss / count for name, (loss, count) in losses.items()).backward()
            torch.nn.utils.clip_grad_norm_(task.parameters(), clip)
            optimizer.step()
            step += 1
        loader.epoch += 1
    return task.eval()


def error(task: Classification, data: GraphStore) -> float:
    """The share of wrong answers, %."""
    store = data.connected(task.cutoff) if task.backbone.EDGES else data
    with torch.inference_mode():
        return score(task, Loader(store, TEST_BATCH))["error_mae"]


def weights(task: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in task.parameters())


def nearest_width(make: Callable[[int], torch.nn.Module], wanted: int, most: int = 128) -> int:
    """The width that brings a network nearest to a number of weights; widths that it refuses are passed over."""
    best = 0, math.inf
    for width in range(1, most + 1):
        try:
            far = abs(weights(make(width)) - wanted)
        except InputError:
            continue
        if far > best[1]:
            break
        best = width, far
    return best[0]


def resumed(file: Path, cells: Sequence[dict[str, Any]], run: Callable[[dict[str, Any]], dict[str, Any]]) -> list[dict]:
    """The rows of all cells: those that the file has, and the rest, each written as soon as it is known.

    Args:
        file: one JSON a line; a row holds its cell.
        cells: what is asked for.
        run: gives the results of a cell.
    """
    rows = read(file)
    file.parent.mkdir(parents=True, exist_ok=True)
    for number, cell in enumerate(cells, 1):
        if any(cell.items() <= row.items() for row in rows):
            continue
        start = time.process_time()
        row = {**cell, **run(cell), "seconds": round(time.process_time() - start, 1)}
        rows.append(row)
        with file.open("a") as out:
            out.write(json.dumps(row) + "\n")
        print(f"{number}/{len(cells)}  " + "  ".join(f"{key} {value}" for key, value in row.items()), flush=True)
    return [row for row in rows if any(cell.items() <= row.items() for cell in cells)]


def read(file: Path) -> list[dict[str, Any]]:
    """The rows of a file; a last line that was cut short is left out."""
    rows = []
    for line in file.read_text().splitlines() if file.is_file() else []:
        try:
            rows.append(json.loads(line))
        except ValueError:
            continue
    return rows


def spread(values: Sequence[float]) -> str:
    """Mean and standard deviation over seeds."""
    mean = sum(values) / len(values)
    if len(values) < 2:
        return f"{mean:.2f}"
    deviation = math.sqrt(sum((value - mean) ** 2 for value in values) / (len(values) - 1))
    return f"{mean:.2f} ± {deviation:.2f}"


def chosen(rows: Sequence[Mapping[str, Any]], key: str, **cell: Any) -> list[float]:
    return [row[key] for row in rows if all(row.get(name) == value for name, value in cell.items()) and key in row]
