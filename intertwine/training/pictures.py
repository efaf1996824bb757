"""The pictures of a run folder: learning curve, parity of every target, error by species, the task's own, and one that
shows all of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from intertwine import plots
from intertwine.certify import Certificate
from intertwine.data import GraphStore
from intertwine.numerics import IntertwineError
from intertwine.numerics.showing import figure
from intertwine.tasks import Task
from intertwine.tasks.comparison import by_species, compared, silent_species
from intertwine.training.evaluation import predict
from intertwine.training.folder import Run
from intertwine.training.scored import strangers

MOST_DRAWN_STRUCTURES = 1000  # structures of the test set, at most


def draw(
    folder: Path,
    run: Run,
    rows: list[dict[str, float | int]],
    test: GraphStore,
    certificate: Certificate | None = None,
    errors: Mapping[str, Mapping[str, Any]] | None = None,
) -> list[str]:
    """Draw what there is to see; a picture that can't be drawn never costs the run its result.

    Args:
        folder: where the pictures go, as PNG.
        run: the trained task.
        rows: history of the training.
        test: the test set; may be empty.
        certificate: of the run, if it was certified.
        errors: on the test set, as :func:`intertwine.training.evaluate` returns them; their baselines are named.

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
    if over_time := errors_over_time(run.task, rows):
        attempt("errors_over_time.png", plots.learning_curves, over_time, x="minutes")
    lines = certificate.lines if certificate is not None else None
    if certificate is not None:
        attempt("certificate.png", plots.certificate, lines, title=certificate.subject)
    if not len(test):
        return drawn
    everything = [test[k] for k in range(min(MOST_DRAWN_STRUCTURES, len(test)))]
    unseen = set(strangers(test, run.species))
    known = [graph for k, graph in enumerate(everything) if k not in unseen] or everything
    others = [graph for k, graph in enumerate(everything) if k in unseen and len(known) < len(everything)]
    graphs, predictions = known, predict(run, known, strict=False)
    baselines = {
        name: f"{blind['name']}: MAE {figure(blind['mae'])}, RMSE {figure(blind['rmse'])}"
        + (f"\n(spoilt by {blind['spoilt']})" if blind.get("spoilt") else "")
        for name, e in (errors or {}).items()
        if (blind := e.get("baseline")) and "mae" in blind
    }
    both = compared(run.task.outputs, graphs, predictions)
    for name, (predicted, true, unit) in both.items():
        words = baselines.get(name, "")
        attempt(f"parity_{name}.png", plots.parity, predicted, true, unit, name=name, baseline=words)
    for file, picture in run.task.pictures(graphs, predictions).items():
        attempt(file, picture)
    species = by_species(graphs, both)
    if species and others:
        strange = compared(run.task.outputs, others, predict(run, others, strict=False))
        species |= {s: v for s, v in by_species(others, strange).items() if s not in species}
    notes = silent_species(species, everything, run.species) if species else {}
    if species:
        attempt("error_by_species.png", plots.error_by_species, species, "eV/A", notes=notes)
    by_symbol = (species, "eV/A") if species else None
    attempt(
        "overview.png", plots.overview, history=history, parities=both, baselines=baselines, species=by_symbol,
        notes=notes, lines=lines, title=folder.name,
    )  # fmt: skip
    return drawn


def errors_over_time(
    task: Task, rows: Sequence[Mapping[str, float | int]]
) -> dict[str, tuple[str, dict[str, tuple[list[float], list[float]]]]]:
    """Validation errors over the minutes of training: title -> (unit, "MAE" and "RMSE" -> curve), of targets that are
    outputs, or title -> (unit, target -> curve) of others, such as rates.
    """
    panels = {}
    for target, metric in task.metrics.items():
        output = task.output_of(target) in task.outputs and target in task.outputs
        kinds = {"MAE": f"validation_{target}_mae", "RMSE": f"validation_{target}_rmse"}
        if not output:
            kinds = {target.replace("_", " "): kinds["MAE"]}
        curves_of = {
            kind: (
                [row["seconds"] / 60 for row in rows if name in row],
                [float(row[name]) for row in rows if name in row],
            )
            for kind, name in kinds.items()
        }
        if any(value == value for _, values in curves_of.values() for value in values):
            panels[f"validation error of {target}" if output else f"validation {target.replace('_', ' ')}"] = (
                metric.unit,
                curves_of,
            )
    return panels


def curves(rows: list[dict[str, float | int]]) -> dict[str, list[float]]:
    """Training and validation loss by epoch; NaN where an epoch was not validated."""
    names = ["epoch", "train_loss", *(["validation_loss"] if any("validation_loss" in row for row in rows) else [])]
    return {name: [float(row.get(name, float("nan"))) for row in rows] for name in names}
