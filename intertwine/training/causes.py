"""Why the errors of a run may be large, as far as its data and its training tell."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import torch

from intertwine.data import GraphStore
from intertwine.data.suspicion import EQUAL_ENERGIES, ZERO_FORCES, Frames, Seen, kinds_in, marks, shared
from intertwine.data.suspicion.relabelled import ratios
from intertwine.geometry import Graph
from intertwine.numerics.showing import counted
from intertwine.tasks import Task
from intertwine.tasks.baselines import Baseline
from intertwine.tasks.verdict import Causes
from intertwine.training.folder import SEEN, Run
from intertwine.training.misreadings import misreadings
from intertwine.training.scored import scored_part

#: The labels, of which at least one is learned where a suspicion of a kind can make an error large; of others, any.
CONCERNS = {
    "energy": ("energy",), "forces": ("forces",), "energy unit": ("energy",), "force unit": ("forces",),
    "stress unit": ("stress",), ZERO_FORCES: ("forces",), EQUAL_ENERGIES: ("energy",),
    "work": ("energy", "forces"),
}  # fmt: skip
UNITS = ("energy unit", "force unit", "stress unit")  # kinds that are about all labels of a file
ALIKE = (ZERO_FORCES, EQUAL_ENERGIES)  # kinds that are about labels which are no labels
OUTLIERS = ("energy", "forces")  # kinds that are about single labels, whose name is that of the label
FITTED_TO_OUTLIERS = "fitted_to_outliers"  # of a report: labels of whose baselines the fit is changed by outliers
FELT = 0.05  # share by which the error of a baseline is another without the outliers, from which on its fit is changed


def causes_of(
    run: Run,
    store: GraphStore,
    report: Mapping[str, Any],
    errors: Mapping[str, Mapping[str, Any]] | None = None,
    *,
    own: bool = True,
    tested: bool = True,
) -> Causes:
    """What can have made the errors of a run large.

    Args:
        run: a trained run.
        store: what it is scored on, after :func:`~intertwine.data.suspicion.examine`.
        report: the run's, of which ``epochs``, ``steps``, ``suspicions`` of its training set and ``fitted_to_outliers``
            are read; may be empty.
        errors: of the run on the data, as :func:`~intertwine.training.evaluation.errors_of` returns them: labels in
            another unit, sign, order or size are looked for where they are large; None looks for none.
        tested: ``store`` is a test set, or other data; not the training set itself.
        own: the data are those of the run, not others.
    """
    known = report.get("suspicions")
    kept = known.get("train") if isinstance(known, Mapping) else None
    trained = [str(kind) for kind in kept] if isinstance(kept, list) else []
    where = ("test set" if tested else "training set") if own else "data"
    scored = kinds_in(scored_part(store, run.species))  # what is left out of the errors spoils none
    labels = {name: output.label or name for name, output in run.task.outputs.items()}
    fitted = report.get(FITTED_TO_OUTLIERS)
    reached = fitted if isinstance(fitted, list) else [label for label in trained if label in OUTLIERS]
    spoilt: dict[str, str] = {}
    for target, label in labels.items():
        places = [where] if label in OUTLIERS and label in scored else []
        if label in reached and _is_fitted(run.task, target) and "training set" not in places:
            places.append("training set")
        if any(label in CONCERNS[unit] and unit in scored and unit not in trained for unit in UNITS):
            spoilt[target] = f"the unit of the {where}, which seems to be another than that of the training set"
        elif alike := {kind for kind in ALIKE if label in CONCERNS[kind]} & {*scored, *trained}:
            spoilt[target] = f"{' and '.join(sorted(alike))}, in the {where if alike & set(scored) else 'training set'}"
        elif places:  # of another unit a sound label may look like one
            spoilt[target] = f"an outlying label in the {' and the '.join(places)}"
    # an outlying label that is only scored is a cause of the errors of its own target, which is spoilt
    grave = {kind for kind in (*set(scored).difference(OUTLIERS), *trained) if _concerns(kind, labels.values())}
    # where distances are wrong, predictions are of no structure of these
    looked = not {"length unit", "coincident atoms"} & set(scored)
    unexplained = {target: e for target, e in (errors or {}).items() if target not in spoilt}
    odd = misreadings(run, store, unexplained) if looked else {}
    all_of_them, some, other = copies_in(run, store)
    few = short_training(run.task, report)
    return Causes(bool(grave), spoilt, all_of_them, few, own, odd, some_copies=some, relabelled=other)


def reached_fits(task: Task, train: GraphStore, scored: GraphStore) -> list[str]:
    """The labels that have outliers in the training set by which the fit of their baseline is changed: fitted without
    them, its mean absolute error on what it is scored on is another by the share :data:`FELT`, or more.

    Args:
        task: after the fit.
        train: the training set, after :func:`~intertwine.data.suspicion.examine`.
        scored: what the baselines are scored on.
    """
    numbers, reached = train.numbers().tolist(), []
    for target, output in task.outputs.items():
        label = output.label or target
        bad = {k for kind, those in train.suspects if kind == label and label in OUTLIERS for k in those}
        out = [k for k, number in enumerate(numbers) if number in bad]
        if not out or not _is_fitted(task, target):
            continue
        baseline, without = task.baselines[target], task.make_baselines()[target]
        for k in sorted(set(range(len(train))) - set(out)):
            without.add(train[k])
        without.fit()
        graphs = [scored[k] for k in range(len(scored))]
        before, after = (_mean_error(each, label, graphs) for each in (baseline, without))
        if before is None or after is None or abs(before - after) > FELT * min(before, after):
            reached.append(label)
    return reached


def _is_fitted(task: Task, target: str) -> bool:
    """Whether a target's baseline has numbers from training labels; "zero" has none."""
    baseline = task.baselines.get(target)
    return baseline is not None and baseline.coefficients is not None


def _mean_error(baseline: Baseline, label: str, graphs: Iterable[Graph]) -> float | None:
    """Of a baseline on the graphs that have a label, mean absolute; None where it says nothing."""
    errors = []
    for graph in graphs:
        truth = graph.get(label)
        if truth is not None and bool(truth.isfinite().all()):
            said = baseline.predict(graph, truth.to(torch.float64))
            if said is None:
                return None
            errors.append(float((said - truth).abs().mean()))
    return sum(errors) / len(errors) if errors else None


def chosen_by_outliers(task: Task, suspicions: Collection[str]) -> list[str]:
    """What is said where the validation set, whose loss decides which epoch is kept and when the training ends, has an
    outlying label.

    Args:
        task: that was trained.
        suspicions: the kinds of what is suspicious in the validation set.
    """
    targets = [
        target
        for target, output in task.outputs.items()
        if (output.label or target) in suspicions and (output.label or target) in OUTLIERS and task.weights.get(target)
    ]
    return [
        f"{target}: an outlying label in the validation set decides which epoch is kept, and the validation errors are "
        "those of it: mend that first"
        for target in targets
    ]


def causes_in(task: Task, report: Mapping[str, Any]) -> Causes:
    """The same, of the run's own sets, as far as its report tells: its data are not opened."""
    known = report.get("suspicions")
    kept = [each for each in known.values() if isinstance(each, list)] if isinstance(known, Mapping) else []
    labels = [output.label or name for name, output in task.outputs.items()]
    grave = any(_concerns(str(kind), labels) for kinds in kept for kind in kinds)
    return Causes(grave, few=short_training(task, report))


def copies_in(run: Run, store: GraphStore) -> tuple[bool, bool, bool]:
    """Whether every structure is a copy of one in the training set of a run, whether some are, and whether most of
    those have other labels of the task.
    """
    seen, frames = Seen.load(run.folder / SEEN), Frames.of_store(store)
    if seen is None or frames is None:
        return False, False, False
    count = len(shared(marks(frames), seen.marks))
    labels = {output.label or name for name, output in run.task.outputs.items()}
    return (
        count == len(frames),
        count > 0,
        bool(labels & ratios(seen.marks, seen.labels, frames).keys()) if count else False,
    )


def short_training(task: Task, report: Mapping[str, Any]) -> str:
    """How short a training was, in words, that had neither the epochs nor the steps that its task takes at least;
    empty if it was not, or the report does not tell.
    """
    epochs, steps = report.get("epochs"), report.get("steps")
    if not isinstance(epochs, int) or not isinstance(steps, int):
        return ""
    if epochs >= task.pace.least or steps >= task.pace.steps:
        return ""
    usual = f"where {task.pace.least} to {task.pace.most} epochs are the default"
    return f"{counted(epochs, 'epochs')} ({counted(steps, 'steps')}) so far, {usual}"


def _concerns(kind: str, labels: Collection[str]) -> bool:
    return kind not in CONCERNS or any(label in labels for label in CONCERNS[kind])
