"""Why the errors of a run may be large, as far as its data and its training tell."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from intertwine.data import GraphStore
from intertwine.data.suspicion import Frames, Seen, kinds_in, marks, shared
from intertwine.numerics.showing import counted
from intertwine.tasks import Task
from intertwine.tasks.verdict import Causes
from intertwine.training.folder import SEEN, Run

#: The labels, of which at least one is learned where a suspicion of a kind can make an error large; of others, any.
CONCERNS = {
    "energy": ("energy",), "forces": ("forces",), "energy unit": ("energy",), "force unit": ("forces",),
    "work": ("energy", "forces"),
}  # fmt: skip
OUTLIERS = ("energy", "forces")  # kinds that are about single labels, whose name is that of the label


def causes_of(
    run: Run, store: GraphStore, report: Mapping[str, Any], *, own: bool = True, tested: bool = True
) -> Causes:
    """What can have made the errors of a run large.

    Args:
        run: a trained run.
        store: what it is scored on, after :func:`~intertwine.data.suspicion.examine`.
        report: the run's, of which ``epochs``, ``steps`` and ``suspicions`` of its training set are read; may be empty.
        tested: ``store`` is a test set, or other data; not the training set itself.
        own: the data are those of the run, not others.
    """
    known = report.get("suspicions")
    kept = known.get("train") if isinstance(known, Mapping) else None
    trained = [str(kind) for kind in kept] if isinstance(kept, list) else []
    where = ("test set" if tested else "training set") if own else "data"
    by_place = {where: kinds_in(store)}
    by_place["training set"] = [*trained, *by_place.get("training set", [])]
    labels = {name: output.label or name for name, output in run.task.outputs.items()}
    spoilt: dict[str, str] = {}
    for where, kinds in by_place.items():
        outlying = {target for target, label in labels.items() if label in OUTLIERS and label in kinds}
        spoilt |= {target: f"{spoilt[target]} and the {where}" if target in spoilt else where for target in outlying}
    grave = {kind for kinds in by_place.values() for kind in kinds if _concerns(kind, labels.values())}
    return Causes(bool(grave), spoilt, all_copies(run, store), short_training(run.task, report), own)


def causes_in(task: Task, report: Mapping[str, Any]) -> Causes:
    """The same, of the run's own sets, as far as its report tells: its data are not opened."""
    known = report.get("suspicions")
    kept = [each for each in known.values() if isinstance(each, list)] if isinstance(known, Mapping) else []
    labels = [output.label or name for name, output in task.outputs.items()]
    grave = any(_concerns(str(kind), labels) for kinds in kept for kind in kinds)
    return Causes(grave, few=short_training(task, report))


def all_copies(run: Run, store: GraphStore) -> bool:
    """Whether every structure is a copy of one in the training set of a run."""
    seen, frames = Seen.load(run.folder / SEEN), Frames.of_store(store)
    return seen is not None and frames is not None and len(shared(marks(frames), seen.marks)) == len(frames)


def short_training(task: Task, report: Mapping[str, Any]) -> str:
    """How short a training was, in words, that had neither the epochs nor the steps that its task takes at least;
    empty if it was not, or the report does not tell.
    """
    epochs, steps = report.get("epochs"), report.get("steps")
    if not isinstance(epochs, int) or not isinstance(steps, int):
        return ""
    if epochs >= task.pace.least or steps >= task.pace.steps:
        return ""
    return f"{counted(epochs, 'epochs')} ({counted(steps, 'steps')}) so far, and {task.pace.least} epochs are the least"


def _concerns(kind: str, labels: Collection[str]) -> bool:
    return kind not in CONCERNS or any(label in labels for label in CONCERNS[kind])
