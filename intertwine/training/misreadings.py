"""Labels that are in another unit, sign, order or size than the predictions of a run, by its predictions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from intertwine.data import GraphStore
from intertwine.data.suspicion.misread import Labelled, misread
from intertwine.geometry import Graph, six
from intertwine.training.folder import Run
from intertwine.training.scored import known_part, without_isolated

LOOKED_AT = 60  # structures, evenly spread
LARGE = 0.5  # error over that of the baseline, from which on it is looked for a reason


def misreadings(run: Run, store: GraphStore, errors: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """What explains the errors of targets that are large, by target: the labels are in another unit, of the opposite
    sign, in another order, per atom or times the volume (:func:`~intertwine.data.suspicion.misread.misread`).

    Args:
        run: a trained run.
        store: what it was scored on.
        errors: by target, as :func:`intertwine.training.evaluation.errors_of` returns them.
    """
    from intertwine.training.evaluation import predict

    wanted = {
        target: output
        for target, output in run.task.outputs.items()
        if _large(errors.get(target)) and not output.affine and output.level in ("node", "graph")
    }
    store = without_isolated(known_part(store, run.species))
    if not wanted or not len(store):
        return {}
    picked = np.unique(np.linspace(0, len(store) - 1, min(len(store), LOOKED_AT)).astype(int)).tolist()
    graphs = [store[k] for k in picked]
    predictions = predict(run, graphs, strict=False)
    result: dict[str, str] = {}
    energies = ""
    for target, output in sorted(wanted.items(), key=lambda item: item[1].unit != "eV"):  # whose unit tells of others
        data = _labelled(target, output.label or target, graphs, predictions)
        vector = data is not None and data.truth.shape[1] > 1
        if data is None:
            continue
        words, unit = misread(data, output.unit, extensive=output.extensive, vector=vector, energies=energies)
        energies = unit if output.unit == "eV" and words else energies
        result |= {target: words} if words else {}
    return result


def _large(errors: Mapping[str, Any] | None) -> bool:
    if not errors:
        return False
    ratio = errors.get("ratio", {}).get("rmse")
    return ratio is None or ratio > LARGE


def _labelled(
    target: str, label: str, graphs: list[Graph], predictions: list[dict[str, np.ndarray]]
) -> Labelled | None:
    """Predictions and labels of the structures that have both; None where their forms differ."""
    rows: list[tuple[np.ndarray, np.ndarray, int, float]] = []
    for graph, prediction in zip(graphs, predictions, strict=True):
        truth = graph.get(label)
        if truth is None or target not in prediction or not bool(torch.isfinite(truth).any()):
            continue
        known, said = truth.to(torch.float64).numpy(), np.asarray(prediction[target], dtype=np.float64)
        known = six(known) if target == "stress" else known
        if known.size != said.size:
            return None
        each = len(graph.pos) if known.shape[:1] == (len(graph.pos),) and known.ndim > 1 else 1
        cell = graph.get("cell")
        volume = float(torch.linalg.det(cell[0]).abs()) if cell is not None and cell.shape[-1] == 3 else np.nan
        rows.append((said.reshape(each, -1), known.reshape(each, -1), len(graph.pos), volume))
    if not rows or len({row[1].shape[1] for row in rows}) > 1:
        return None
    counts = [len(row[0]) for row in rows]
    return Labelled(
        np.concatenate([row[0] for row in rows]), np.concatenate([row[1] for row in rows]),
        np.repeat([float(row[2]) for row in rows], counts), np.repeat([row[3] for row in rows], counts), len(rows),
    )  # fmt: skip
