"""The pictures of autoencoders: what they make of their inputs, of turned images and angles, and the map of codes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from intertwine import plots
from intertwine.geometry import Graph, collate, rasters, turned_images
from intertwine.o3 import Irreps
from intertwine.tasks.code_scores import rotation_of, turned_scores

SHOWN, ANGLES_SHOWN = 4, (0.0, 40.0, 90.0)  # images, and the turns of each (degrees)
TURNED, STEP = 64, 15  # images that are turned; degrees from one angle to the next


def of_images(
    task: Any, graphs: Sequence[Graph], predictions: Sequence[Mapping[str, Any]]
) -> dict[str, Callable[..., Any]]:
    """What :meth:`intertwine.tasks.Task.pictures` returns."""
    codes = np.stack([prediction["code"] for prediction in predictions])
    labels = [graph.get("label") for graph in graphs]
    known = None if any(each is None for each in labels) else np.array([int(each) for each in labels])
    return {
        "reconstructions.png": partial(_reconstructions, task, graphs),
        "turned.png": partial(_turned, task, graphs),
        "codes.png": partial(plots.code_map, codes, known),
    }


def of_sets(graphs: Sequence[Graph], predictions: Sequence[Mapping[str, Any]]) -> dict[str, Callable[..., Any]]:
    """What :meth:`intertwine.tasks.Task.pictures` returns for molecules: a few of them with what is made of them, and
    codes, coloured by class, or by the number of heavy atoms."""
    codes = np.stack([prediction["code"] for prediction in predictions])
    return {
        "reconstructions.png": partial(_molecules, graphs, predictions),
        "codes.png": partial(plots.code_map, codes, np.array([_colour(graph) for graph in graphs])),
    }


def of_signals(
    irreps: Irreps, graphs: Sequence[Graph], predictions: Sequence[Mapping[str, Any]]
) -> dict[str, Callable[..., Any]]:
    """What :meth:`intertwine.tasks.Task.pictures` returns for signals on the sphere: a few of several classes with what
    is made of them, and codes, coloured by class.

    Args:
        irreps: of the signals.
    """
    codes = np.stack([prediction["code"] for prediction in predictions])
    labels = [graph.get("label") for graph in graphs]
    known = None if any(each is None for each in labels) else np.array([int(each) for each in labels])
    return {
        "reconstructions.png": partial(_signals, irreps, graphs, predictions),
        "codes.png": partial(plots.code_map, codes, known),
    }


def _signals(irreps: Irreps, graphs: Sequence[Graph], predictions: Sequence[Mapping[str, Any]], path: Path) -> Path:
    """Signals, their canonical forms and their reconstructions; the mean of the channels."""
    places = {id(graph): k for k, graph in enumerate(graphs)}
    rows: dict[str, list[np.ndarray]] = {"input": [], "canonical": [], "reconstruction": []}
    for graph in _various(graphs):
        made = predictions[places[id(graph)]]
        each = graph.signal.detach().cpu(), made["canonical"], made["reconstruction"]
        for name, values in zip(rows, each, strict=True):
            flat = torch.as_tensor(np.asarray(values)).to(torch.float64).reshape(-1)
            rows[name].append(torch.cat([irreps.part(flat, ir).mean(0) for _, ir in irreps]).numpy())
    return plots.signal_rows(rows, path, "signals on the sphere, their canonical forms, and their reconstructions")


def _molecules(graphs: Sequence[Graph], predictions: Sequence[Mapping[str, Any]], path: Path) -> Path:
    """Molecules, their canonical forms and their reconstructions, those first whose motion and order are not open."""
    best = sorted(range(len(graphs)), key=lambda k: float(np.ravel(predictions[k]["open"])[0]))[:SHOWN]
    rows: dict[str, list[tuple[Any, Any]]] = {"input": [], "canonical": [], "reconstruction": []}
    for graph, made in ((graphs[k], predictions[k]) for k in best):
        place = np.asarray(made["place"]).round().astype(np.int64).reshape(-1)
        z = np.zeros(graph.num_nodes, dtype=np.int64) if graph.get("z") is None else graph.z.cpu().numpy()
        ordered = z[np.argsort(place)]
        rows["input"].append((z, graph.pos.detach().cpu().numpy()))
        rows["canonical"].append((ordered, np.asarray(made["canonical"]).reshape(-1, 3)[: len(z)]))
        rows["reconstruction"].append((z, np.asarray(made["reconstruction"])))
    return plots.molecule_rows(rows, path, "molecules, their canonical forms, and their reconstructions")


def _colour(graph: Graph) -> int:
    if graph.get("label") is not None:
        return int(graph.label)
    return graph.num_nodes if graph.get("z") is None else int((graph.z > 1).sum())


def _reconstructions(task: Any, graphs: Sequence[Graph], path: Path) -> Path:
    """Inputs, canonical images and reconstructions of a few images of several classes, each at three angles."""
    rows: dict[str, list[np.ndarray]] = {"input": [], "canonical": [], "reconstruction": []}
    for graph in _various(graphs):
        image = rasters(graph, graph.x.flatten(1)).values
        for angle in ANGLES_SHOWN:
            values = turned_images(image, rotation_of(angle))
            at = graph.replaced(x=values[0].flatten(1).T[rasters(graph, graph.x.flatten(1)).places].to(graph.x))
            batch = collate([at]).to(next(task.parameters()).device)
            made = {name: value.cpu() for name, value in task(batch).items()}
            again = rasters(at, made["reconstruction"]).values
            for name, shown in (("input", values), ("canonical", made["canonical"]), ("reconstruction", again)):
                rows[name].append(shown[0].to(torch.float64).mean(0).numpy())
    degrees = ", ".join(f"{angle:g}" for angle in ANGLES_SHOWN)
    return plots.image_rows(rows, path, f"images turned by {degrees} degrees")


def _various(graphs: Sequence[Graph]) -> list[Graph]:
    """The first images of as many classes as are shown, or the first ones."""
    if graphs[0].get("label") is None:
        return list(graphs[:SHOWN])
    first: dict[int, Graph] = {}
    for graph in graphs:
        first.setdefault(int(graph.label), graph)
    kept = [first[k] for k in sorted(first)]
    return kept[2 : 2 + SHOWN] if len(kept) >= 2 + SHOWN else kept[:SHOWN]


def _turned(task: Any, graphs: Sequence[Graph], path: Path) -> Path:
    """The error and the angle that is found, over the angle."""
    angles = [float(angle) for angle in range(0, 361, STEP)]
    scores = turned_scores(task, graphs[:TURNED], angles)
    predicted = None if bool(scores.apart.isnan().all()) else (scores.angles[:, None] + scores.apart).numpy() % 360
    return plots.turned_codes(scores.angles.numpy(), scores.rmse.numpy(), predicted, scores.folds.numpy(), path)
