"""Why the errors of a run may be large, as far as its data and its training tell."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import torch

from intertwine.data import GraphStore
from intertwine.data.suspicion import EQUAL_ENERGIES, ZERO_FORCES, Frames, Seen, kinds_in, marks, shared
from intertwine.geometry import Graph
from intertwine.numerics.showing import counted
from intertwine.tasks import Task
from intertwine.tasks.baselines import Baseline
from intertwine.tasks.verdict import Causes
from intertwine.training.folder import SEEN, Run
from intertwine.training.misreadings import Judged, judge
from intertwine.training.scored import scored_part, without_isolated

#: The labels, of which at least one is learned where a suspicion of a kind can make an error large; of others, any.
CONCERNS = {
    "energy": ("energy",), "forces": ("forces",), "energy unit": ("energy",), "force unit": ("forces",),
    "stress unit": ("stress",), ZERO_FORCES: ("forces",), EQUAL_ENERGIES: ("energy",),
    "work": ("energy", "forces"), "contradiction": ("energy", "forces", "stress"),
}  # fmt: skip
UNITS = ("energy unit", "force unit", "stress unit")  # kinds that are about all labels of a file
ALIKE = (ZERO_FORCES, EQUAL_ENERGIES)  # kinds that are about labels which are no labels
OUTLIERS = ("energy", "forces")  # kinds that are about single labels, whose name is that of the label
FITTED_TO_OUTLIERS = "fitted_to_outliers"  # of a report: labels of whose baselines the fit is changed by outliers
LEAST = 3  # structures that the others are, from which on errors without those whose labels stand apart are told
COPIED_OTHERWISE = "labels that copies of training structures have otherwise there"
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
    units = unit_spoilt(run.task, scored, trained, where)
    listed = listed_in(run, store)
    odd = Judged()
    # where distances are wrong, predictions are of no structure of these
    if errors is not None and not {"length unit", "coincident atoms"} & set(scored):
        unexplained = {target: e for target, e in errors.items() if target not in units}
        others = listed if len(without_isolated(store)) - len(listed) >= LEAST else ()
        odd = judge(run, store, unexplained, report, others, other=not own or _second_file(run, tested))
    rest, without = errors_without(run, store, {*listed, *odd.apart}) if errors is not None else (store, {})
    scored = kinds_in(scored_part(rest, run.species))
    spoilt = dict.fromkeys(relabelled_in(run, rest), COPIED_OTHERWISE)
    spoilt |= spoilt_by(run.task, scored, trained, where, report.get(FITTED_TO_OUTLIERS)) | units
    labels = [output.label or name for name, output in run.task.outputs.items()]
    # an outlying label that is only scored is a cause of the errors of its own target, which is spoilt
    grave = {kind for kind in (*set(scored).difference(OUTLIERS), *trained) if _concerns(kind, labels)}
    all_of_them, some = copies_in(run, rest)
    return Causes(
        bool(grave), spoilt, all_of_them, short_training(run.task, report), own,
        {target: words for target, words in odd.misread.items() if spoilt.get(target) in (None, COPIED_OTHERWISE)},
        some_copies=some, without=without, left_out=len(store) - len(rest), lines=odd.lines,
    )  # fmt: skip


def _second_file(run: Run, tested: bool) -> bool:
    """Whether a run is scored on the second file that it was given, whose labels need not be those of the first."""
    return tested and run.config.data.test is not None


def errors_without(run: Run, store: GraphStore, out: Collection[int]) -> tuple[GraphStore, dict[str, dict[str, Any]]]:
    """The structures without those of some numbers, and the errors of a run on them; all of them and no errors, where
    too few are left or none is to be left out.
    """
    from intertwine.training.evaluation import errors_of

    kept = [k for k, number in enumerate(store.numbers().tolist()) if number not in out]
    if not out or len(kept) < LEAST:
        return store, {}
    rest = store.subset(kept)
    return (rest, errors_of(run, rest)) if len(without_isolated(rest)) >= LEAST else (store, {})


def unit_spoilt(task: Task, scored: Collection[str], trained: Collection[str], where: str) -> dict[str, str]:
    """Targets whose labels seem to be in another unit than those of the training set, or to be none, and why, by the
    kinds of what is suspicious in the two.
    """
    result = {}
    for target, output in task.outputs.items():
        label = output.label or target
        if any(label in CONCERNS[unit] and unit in scored and unit not in trained for unit in UNITS):
            result[target] = f"the unit of the {where}, which seems to be another than that of the training set"
        elif alike := {kind for kind in ALIKE if label in CONCERNS[kind]} & {*scored, *trained}:
            result[target] = f"{' and '.join(sorted(alike))}, in the {where if alike & set(scored) else 'training set'}"
    return result


def spoilt_by(task: Task, scored: Collection[str], trained: Collection[str], where: str, fitted: Any) -> dict[str, str]:
    """Targets whose baselines are spoilt by an outlying label, and by which one, in words.

    Args:
        task: that was trained.
        scored, trained: kinds of what is suspicious in what it is scored on, and in the training set.
        where: what it is scored on.
        fitted: labels with outliers by which the fits of baselines are changed; no list where nothing tells.
    """
    reached = fitted if isinstance(fitted, list) else [label for label in trained if label in OUTLIERS]
    result = {}
    for target, output in task.outputs.items():
        label = output.label or target
        places = [where] if label in OUTLIERS and label in scored else []
        if label in reached and _is_fitted(task, target) and "training set" not in places:
            places.append("training set")
        if places:  # of another unit a sound label may look like one
            result[target] = f"an outlying label in the {' and the '.join(places)}"
    return result


def listed_in(run: Run, store: GraphStore) -> set[int]:
    """The numbers of the structures whose labels are known to be wrong without predictions: outlying ones, and those of
    copies of training structures that have others there.
    """
    labels = {output.label or name for name, output in run.task.outputs.items()}
    listed = {k for kind, numbers in store.suspects if kind in OUTLIERS and kind in labels for k in numbers}
    seen, frames = Seen.load(run.folder / SEEN), Frames.of_store(store)
    others = seen.relabelled(frames) if seen is not None and frames is not None else []
    listed |= {int(store.numbers()[k]) for each in others if each.label in labels for k in each.frames}
    return listed & set(store.numbers().tolist())


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


def relabelled_in(run: Run, store: GraphStore) -> list[str]:
    """The targets whose labels copies of training structures have otherwise than there."""
    seen, frames = Seen.load(run.folder / SEEN), Frames.of_store(store)
    others = {each.label for each in seen.relabelled(frames)} if seen is not None and frames is not None else set()
    return [target for target, output in run.task.outputs.items() if (output.label or target) in others]


def copies_in(run: Run, store: GraphStore) -> tuple[bool, bool]:
    """Whether every structure is a copy of one in the training set of a run, and whether some are."""
    seen, frames = Seen.load(run.folder / SEEN), Frames.of_store(store)
    if seen is None or frames is None:
        return False, False
    count = len(shared(marks(frames), seen.marks))
    return count == len(frames), count > 0


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
