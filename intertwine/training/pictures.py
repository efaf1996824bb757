"""The pictures of a run folder: learning curve, parity of every target, error by species, and one that shows all of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from intertwine import plots
from intertwine.certify import Certificate
from intertwine.data import GraphStore
from intertwine.numerics import IntertwineError
from intertwine.training.evaluation import predict
from intertwine.training.folder import Run

DRAWN = 1000  # structures of the test set, at most


def draw(folder: Path, run: Run, rows: list[dict[str, float | int]], test: GraphStore, certificate: Certificate | None = None) -> list[str]:
    """Draw what there is to see; a picture that can't be drawn never costs the run its result.

    Args:
        folder: where the pictures go, as PNG.
        run: the trained task.
        rows: history of the training.
        test: the test set; may be empty.
        certificate: of the run, if it was certified.

    Returns:
        Names of the files, and what kept others from being drawn.
    """
    history = curves(rows)
    drawn: list[str] = []

    def attempt(file: str, function: Any, *arguments: Any, **options: Any) -> None:
        try:
            function(*arguments, path=folder / file, **options)
            drawn.append(file)
        except (IntertwineError, OSError, ValueError) as error:
            drawn.append(f"{file}: not drawn ({error})")

    attempt("learning_curve.png", plots.learning_curve, history)
    lines = certificate.lines if certificate is not None else None
    if certificate is not None:
        attempt("certificate.png", plots.certificate, lines, title=certificate.subject)
    if not len(test):
        return drawn
    shown = test.subset(range(min(DRAWN, len(test))))
    compared = comparison(run, shown)
    for name, (predicted, true, unit) in compared.items():
        attempt(f"parity_{name}.png", plots.parity, predicted, true, unit, name=name)
    species = by_species(shown, compared)
    if species:
        attempt("error_by_species.png", plots.error_by_species, species, "eV/A")
    errors = (species, "eV/A") if species else None
    attempt("overview.png", plots.overview, history=history, parities=compared, species=errors, lines=lines, title=folder.name)
    return drawn


def curves(rows: list[dict[str, float | int]]) -> dict[str, list[float]]:
    """Training and validation loss by epoch; NaN where an epoch was not validated."""
    names = ["epoch", "train_loss", *(["validation_loss"] if any("validation_loss" in row for row in rows) else [])]
    return {name: [float(row.get(name, float("nan"))) for row in rows] for name in names}


def comparison(run: Run, test: GraphStore) -> dict[str, tuple[np.ndarray, np.ndarray, str]]:
    """Predictions and labels of each target, as (predicted, true, unit): energies per atom, affine points as displacements. Structures
    without a label (NaN) are left out, and targets that none has."""
    predictions = predict(run, (test[k] for k in range(len(test))), strict=False)
    graphs = [test[k] for k in range(len(test))]
    result = {}
    for name, output in run.task.outputs.items():
        field = "target_pos" if name == "pos" else name
        if field not in test.fields or field not in graphs[0]:
            continue
        here = [k for k, graph in enumerate(graphs) if name in predictions[k] and not bool(graph[field].isnan().any())]
        if not here:
            continue
        p = [np.atleast_1d(predictions[k][name]) for k in here]
        t = [graphs[k][field].numpy().reshape(values.shape) for k, values in zip(here, p, strict=True)]
        unit = output.unit
        if name == "energy":
            p, t = ([values / graphs[k].num_nodes for values, k in zip(side, here, strict=True)] for side in (p, t))
            unit = "eV/atom"
        if output.affine:
            p, t = ([values - graphs[k].pos.numpy() for values, k in zip(side, here, strict=True)] for side in (p, t))
        result[name] = (np.concatenate(p), np.concatenate(t), unit)
    return result


def by_species(test: GraphStore, compared: dict[str, tuple[np.ndarray, np.ndarray, str]]) -> dict[str, np.ndarray]:
    """Residuals of the forces by chemical symbol."""
    if "forces" not in compared or "z" not in test.fields:
        return {}
    from ase.data import chemical_symbols

    residual = compared["forces"][0] - compared["forces"][1]
    z = test.field("z")[~test.field("forces").isnan().any(1)].numpy() if "forces" in test.fields else test.field("z").numpy()
    if len(z) != len(residual):  # a structure of which some atoms have no force is left out whole
        return {}
    return {chemical_symbols[k]: residual[z == k] for k in np.unique(z)}
