"""What a run says of itself: of its data before training, and its report after."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from intertwine.data import GraphStore
from intertwine.data.resolution import Decision, table
from intertwine.data.suspicion import kinds_in
from intertwine.numerics.checkpoint import load_checkpoint
from intertwine.numerics.showing import counted
from intertwine.tasks import Task
from intertwine.tasks.verdict import baseline_line, beaten, before_weights, remedy_for, with_spoilt
from intertwine.training.causes import FITTED_TO_OUTLIERS, causes_of, chosen_by_outliers, reached_fits
from intertwine.training.certification import conclude
from intertwine.training.config import Config
from intertwine.training.evaluation import errors_of, inputs_of
from intertwine.training.folder import CHECKPOINTS, REPORT, with_weights, write_json
from intertwine.training.options import DataOptions, TrainingOptions
from intertwine.training.processes import accelerator
from intertwine.training.progress import Progress, duration
from intertwine.training.scored import symbols
from intertwine.training.sets import Sets

AFTERWARDS = "usually 10 s to 2 minutes"  # of a small and a large default model, on one core
TRAINING_STRUCTURES = 1000  # of the training set, at most, that a run without a test set is scored on
TOLERATED_S = 1.0  # s, by which a training may be longer than its budget without a word
FEW_STRUCTURES = 5  # structures, below which an error is an anecdote


def stem(data: DataOptions) -> str:
    """The data set's name, without folders, endings and the signs of a pattern; that of the folder, where nothing else
    is left.
    """
    source = Path(data.source.rpartition(":")[2])
    names = (re.sub(r"[*?\[\]!]", "", each.split(".")[0]).strip("-_") for each in (source.name, source.parent.name))
    return next(filter(None, names), "data")


def report(folder: Path, config: Config, sets: Sets, task: Task, say: Callable[[str], None]) -> dict[str, Any]:
    """Test and certify the best weights; write ``report.json``, the certificate and pictures."""
    from intertwine.training.pictures import draw

    last = load_checkpoint(folder / CHECKPOINTS["last"])
    which = "best" if (folder / CHECKPOINTS["best"]).is_file() else "last"
    file = folder / CHECKPOINTS[which]
    trained = with_weights(config, task.to("cpu"), load_checkpoint(file) if which == "best" else last, file, which)
    rows = last["rows"]
    best = next((row for row in rows if row["epoch"] == trained.epoch), rows[-1])
    suspicions = {"train": kinds_in(sets.train), "validation": kinds_in(sets.validation), "test": kinds_in(sets.test)}
    about: dict[str, Any] = {"epochs": last["epoch"], "steps": last["steps"], "suspicions": suspicions}
    scored = sets.test if len(sets.test) else _some(sets.train)
    about[FITTED_TO_OUTLIERS] = reached_fits(trained.task, sets.train, scored)
    plain = errors_of(trained, scored)
    causes = causes_of(trained, scored, about, plain, tested=len(sets.test) > 0)
    errors = with_spoilt(plain, causes)
    remedy = remedy_for(causes)
    chosen = chosen_by_outliers(task, suspicions["validation"])
    left = task.left_behind(errors, before_weights(causes))
    verdict = [*causes.lines, *chosen, *beaten(errors, left, remedy)]
    test = errors if len(sets.test) else {}
    results: dict[str, Any] = {
        "run": str(folder), "data": config.data.source, "model": config.model.name, "task": config.task.name,
        "parameters": sum(p.numel() for p in task.parameters()),
        "structures": {"train": len(sets.train), "validation": len(sets.validation), "test": len(sets.test)},
        **about, "seconds": last["seconds"], "best_epoch": trained.epoch,
        "start": config.sections().get("start"),
        "validation": {
            name.removeprefix("validation_"): value for name, value in best.items() if name.startswith("validation_")
        },
        "test": test, **({} if test else {"train": errors}),
        "statistics": _statistics(task, sets), "notes": list(sets.source.notes),
        "warnings": [*sets.source.warnings, *task.cautions(), *verdict],
        "labels": [decision._asdict() for decision in sets.source.decisions],
        "written": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }  # fmt: skip
    write_json(folder / REPORT, results)  # before what may take a while or go wrong
    minutes = config.training.minutes
    whole = -(-len(sets.train) // (config.training.batch_size * config.training.processes)) * last["epoch"]
    beyond = "" if minutes is None else _beyond(rows, last["seconds"], minutes)
    _conclude(say, results, task, verdict, beyond, " (the last in part)" if last["steps"] < whole else "")
    certificate = conclude(trained, sets.test, say) if config.training.certify else None
    if certificate is not None:
        results["certificate"] = {"passed": certificate.passed, "summary": certificate.summary()}
    results["pictures"] = draw(folder, trained, rows, sets.test, certificate, test)
    write_json(folder / REPORT, results)
    return results


def afterwards(folder: Path, results: Mapping[str, Any], task: Task) -> str:
    """What to look at in the folder of a run, of what was drawn, and the commands that it is good for: without a test
    set there is nothing for ``evaluate``.
    """
    drawn = [name for name in ("overview.png", "learning_curve.png") if name in results["pictures"]]
    uses = [command for command in task.uses if results["test"] or command != "evaluate"]
    return "".join(f"look at {folder / name}; " for name in drawn[:1]) + f"intertwine {', '.join(uses)} {folder}"


def _statistics(task: Task, sets: Sets) -> dict[str, Any]:
    """What a task was fitted to; of reference energies that the compositions do not tell apart it is said."""
    open_ones = sets.seen.not_told_apart() if sets.seen is not None else []
    told = task.describe()
    if not open_ones:
        return told
    words = f"{symbols(open_ones)} not told apart by the compositions, only sums"
    return {f"{name}, {words}" if name.startswith("reference energies") else name: v for name, v in told.items()}


def _some(store: GraphStore) -> GraphStore:
    """At most so many entries of a training set, evenly spread."""
    return store.subset(
        np.unique(np.linspace(0, len(store) - 1, min(len(store), TRAINING_STRUCTURES)).astype(int)).tolist()
    )


def _around(config: Config, task: Task) -> str:
    """How the model is symmetrized from outside, in words."""
    method = config.symmetrize.method
    return "" if method == "none" else f" symmetrized ({method}: {task.backbone.card.symmetry})"


def shown(task: Task, fields: Collection[str]) -> dict[str, str]:
    """Unit of each error that a line of the training shows; a label that the data lack has none."""
    absent = {name for name, output in task.outputs.items() if (output.label or name) not in fields}
    return {name: metric.unit for name, metric in task.metrics.items() if name not in absent}


def introduce(
    progress: Progress, config: Config, sets: Sets, task: Task, folder: Path, state: dict[str, Any] | None
) -> None:
    for note in sets.source.notes:
        progress.say(f"note: {note}")
    for line in [*sets.source.warnings, *([] if state else task.cautions())]:
        progress.say(f"warning: {line}")
    for k, line in enumerate(table(_for(task, sets.source.decisions))):
        progress.say(f"{'' if k else 'labels':8} {line}")
    train, validation, test = (len(part) for part in (sets.train, sets.validation, sets.test))
    sizes = f"{counted(train, 'structures')} to train on, {validation:,} to validate, {test:,} to test"
    progress.say(f"data     {stem(config.data)}: {sizes}")
    for part, kept in (("validation", sets.validation), ("test", sets.test)):
        if len(kept) < FEW_STRUCTURES:
            progress.say(f"warning: {counted(len(kept), 'structures')} in the {part} set: too few for a reliable error")
    weights = sum(p.numel() for p in task.parameters())
    progress.say(
        f"model    {config.model.name}{_around(config, task)}, {weights:,} weights, {config.training.precision}; "
        f"task {config.task.name}"
    )
    progress.say(f"run      {folder}" + (f", resumed after epoch {state['epoch']}" if state else ""))
    if config.training.processes > 1:
        progress.say(f"shared   {_shares(config.training)}")
    if config.training.minutes is not None:
        progress.say(f"budget   {_budget(config, state)}")


def _for(task: Task, decisions: Iterable[Decision]) -> list[Decision]:
    """The labels of a file, of which those that the task neither learns nor reads say so."""
    used = {output.label or name for name, output in task.outputs.items()} | set(inputs_of(task))
    used |= {"virial"} if "stress" in used else set()
    return [each if each.label in used else each._replace(why="read, not learned") for each in decisions]


def _shares(options: TrainingOptions) -> str:
    """The processes of a run, and the batch that they make together."""
    where = "on the CPU" if accelerator(options.accelerator) == "cpu" else "with a GPU each"
    machines = f" on {options.nodes} machines" if options.nodes > 1 else ""
    each, both = counted(options.batch_size, "structures"), options.processes * options.batch_size
    return f"by {options.processes} processes {where}{machines}: {each} a step in each, {both:,} in all"


def _budget(config: Config, state: dict[str, Any] | None) -> str:
    """What a time budget is for, and what is not in it."""
    minutes, spent = config.training.minutes or 0.0, state["seconds"] if state else 0.0
    left = f", {duration(max(0.0, 60 * minutes - spent))} of it left" if state else ""
    after = f"test, certificate and pictures, {AFTERWARDS} more"
    if config.training.certify:
        after += " (without certificate: --no-certify)"
    else:
        after = "test and pictures"
    return f"{duration(60 * minutes)} of training{left}; then {after}"


def _beyond(rows: Sequence[Mapping[str, Any]], seconds: float, minutes: float) -> str:
    """What is said of a training that took longer than its budget: by its last epoch, or because the budget was larger
    when it was trained.

    Args:
        rows: its history, an epoch each.
        seconds: of the training.
        minutes: the budget.
    """
    seconds -= 60 * minutes
    if seconds <= TOLERATED_S:
        return ""
    if len(rows) > 1 and rows[-2]["seconds"] > 60 * minutes:
        return f" ({duration(seconds)} beyond the budget, which was larger when it was trained)"
    return f" ({duration(seconds)} beyond the budget: the step is finished at its end, and the epoch is validated)"


def percentage(share: float) -> str:
    """A share (0 to 1) with one decimal; one that is nearly nothing or nearly all is called that."""
    return "< 0.1 %" if 0 < share < 1e-3 else "> 99.9 %" if 0.999 < share < 1 else f"{100 * share:.1f} %"


def _conclude(
    say: Callable[[str], None], report: dict[str, Any], task: Task, verdict: list[str], beyond: str, cut: str
) -> None:
    time_taken = duration(report["seconds"])
    epochs, steps = counted(report["epochs"], "epochs"), counted(report["steps"], "steps")
    say(f"trained  {epochs}{cut}, {steps}, {time_taken}{beyond}; best after epoch {report['best_epoch']}")
    word, scored = ("test", report["test"]) if report["test"] else ("train", report["train"])
    if word == "train":
        say("test     no test set: on its own training data the errors are")
    if shares := {name: report["validation"].get(f"{name}_share") for name in task.metrics}:
        known = [f"{name} {percentage(share)}" for name, share in shares.items() if share is not None]
        if known:
            say(f"loss     of the validation set: {', '.join(known)}")
    for target, errors in scored.items():
        say(f"{word:8} {target}: {task.line(target, errors)}")
    if baselines := [f"{target}, {words}" for target, e in scored.items() if (words := baseline_line(e))]:
        say(f"baseline {'; '.join(baselines)}")
    for words in verdict:  # of the data they were said before
        say(f"warning: {words}")
