"""The pictures of a classification: who is taken for whom, examples of its answers, and what turning does to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import cos, pi, sin
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from intertwine import plots
from intertwine.geometry import Graph, collate, is_raster, rasters, turned
from intertwine.groups import Isometry
from intertwine.tasks.task import Task

SHOWN, TURNED = 24, 64  # entries in the picture of examples; that are turned
STEP_DEGREES = 15  # from one angle to the next
MOST_TURNED_NODES = 200_000  # nodes times angles that are looked at
NODES_AT_ONCE = 20_000


def confusion(
    classes: Sequence[str], target: str, graphs: Sequence[Graph], predictions: Sequence[Mapping[str, Any]], path: Path
) -> Path:
    """Numbers of rows by true class and answer."""
    k = len(classes)
    counts = np.zeros((k, k), dtype=np.int64)
    for graph, prediction in zip(graphs, predictions, strict=True):
        answers = np.atleast_2d(prediction["logits"]).argmax(-1)
        np.add.at(counts, (graph[target].reshape(-1).numpy().astype(np.int64), answers), 1)
    return plots.confusion(counts, classes, path)


def examples(
    classes: Sequence[str], target: str, graphs: Sequence[Graph], predictions: Sequence[Mapping[str, Any]], path: Path
) -> Path:
    """Wrong answers first, the surest ahead, up to half of the picture; the rest are the first right ones."""
    told = []
    for k, (graph, prediction) in enumerate(zip(graphs, predictions, strict=True)):
        if (drawn := drawing(graph)) is None:
            continue
        true, share = int(graph[target]), prediction["probability"]
        answer = int(np.argmax(share))
        words = f"{classes[answer]} ({100 * float(share[answer]):.0f} %)"
        if answer != true:
            words += f"\nis {classes[true]}"
        told.append((answer == true, -float(share[answer]) if answer != true else k, drawn, words))
    wrong = sorted((each for each in told if not each[0]), key=lambda each: each[1])
    right = [each for each in told if each[0]]
    kept = wrong[: max(SHOWN // 2, SHOWN - len(right))]
    kept += right[: SHOWN - len(kept)]
    title = f"answers; {len(wrong)} of {len(told)} wrong" + (", the surest first" if wrong else "")
    return plots.examples([each[2] for each in kept], [(each[3], each[0]) for each in kept], path, title)


def drawing(graph: Graph) -> np.ndarray | None:
    """An entry as a picture: an image (rows, columns), voxels seen along z, points with the height that colours them;
    None of what has no shape of its own.
    """
    if is_raster(graph):
        image = rasters(graph, graph.x.flatten(1)).values[0].mean(0)
        return (image if image.ndim == 2 else image.amax(-1).T.flip(0)).numpy()
    if graph.num_nodes < 2 or graph.dimension not in (2, 3):
        return None
    pos = graph.pos.to(torch.float64)
    if graph.dimension == 2:
        return torch.cat([pos, torch.zeros_like(pos[:, :1])], dim=1).numpy()
    x, y, z = (pos - pos.mean(0)).unbind(1)  # from above and the side
    return torch.stack([0.87 * x - 0.5 * y, 0.82 * z + 0.29 * x + 0.5 * y, 0.58 * z - 0.41 * x - 0.7 * y], 1).numpy()


def turns(graph: Graph) -> bool:
    """Whether an entry can be turned, and a turn changes what a model sees: not of a single node without vectors."""
    moving = graph.num_nodes > 1 or bool(graph.get("representations"))
    if graph.get("cell") is not None or graph.dimension not in (2, 3) or not moving:
        return False
    if not is_raster(graph):
        return True
    sizes = rasters(graph, graph.x.flatten(1)).values.shape[2:]
    return len(set(sizes)) == 1


def rotations(angle: float | int, axes: Tensor) -> Tensor:
    """Rotations by an angle (degrees): of the plane where the axes have two components, else about them (B, 3)."""
    c, s = cos(angle * pi / 180), sin(angle * pi / 180)
    if angle % 90 == 0:
        c, s = round(c), round(s)
    if axes.shape[1] == 2:
        return torch.tensor([[c, -s], [s, c]], dtype=torch.float64).expand(len(axes), 2, 2)
    x, y, z = axes.unbind(1)
    zero = torch.zeros_like(x)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=1).view(-1, 3, 3)
    identity = torch.eye(3, dtype=torch.float64)
    return identity + s * cross + (1 - c) * cross @ cross


def error_by_angle(task: Task, target: str, graphs: Sequence[Graph], path: Path) -> Path:
    """Errors of up to 64 entries turned by 0 to 360 degrees: images and flat clouds in the plane, voxels about z, and
    what is in space about an axis of its own, drawn at random.
    """
    angles = range(0, 361, STEP_DEGREES)
    graphs = graphs[: max(1, min(TURNED, MOST_TURNED_NODES // (graphs[0].num_nodes * len(angles))))]
    generator = torch.Generator().manual_seed(0)
    grid, n = is_raster(graphs[0]), graphs[0].dimension
    axes = torch.stack([Isometry.random(n, generator=generator).rotation[:, 0] for _ in graphs])
    if grid and n == 3:
        axes = torch.tensor([[0.0, 0.0, 1.0]], dtype=torch.float64).expand(len(graphs), 3)
    errors = [_error(task, [turned(g, r) for g, r in zip(graphs, rotations(a, axes), strict=True)]) for a in angles]
    plane = "in the plane" if n == 2 else "about z" if grid else "about a random axis each"
    how = f"{len(graphs)} entries, {plane}" + (", resampled linearly" if grid else "")
    blind = task.baselines["logits"].coefficients
    truth = torch.cat([graph[target].reshape(-1) for graph in graphs])
    constant = None if blind is None else 100 * float((truth != int(blind.argmax())).to(torch.float64).mean())
    return plots.error_by_angle(list(angles), errors, path, baseline=constant, how=how)


def _error(task: Task, graphs: Sequence[Graph]) -> float:
    """The share of wrong answers, %."""
    device = next(task.parameters()).device
    size = max(1, NODES_AT_ONCE // graphs[0].num_nodes)
    wrong = []
    for start in range(0, len(graphs), size):
        batch = collate(graphs[start : start + size]).to(device)
        wrong.append(task.residuals(task(batch), batch)["error"])
    return 100 * float(torch.cat(wrong).to(torch.float64).mean())
