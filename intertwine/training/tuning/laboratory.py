"""One trial: a short training whose validation errors are watched, and of which nothing is kept but these."""

from __future__ import annotations

import copy
import dataclasses
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from lightning.pytorch import Callback, Trainer

from intertwine.numerics import InputError, IntertwineError, lack_of_memory
from intertwine.training.config import Config
from intertwine.training.evaluation import fields_of
from intertwine.training.fitting import fit, has_unused, threads
from intertwine.training.module import TrainingModule
from intertwine.training.run import fitted, seeded
from intertwine.training.sections import Sections, merge
from intertwine.training.sets import Sets
from intertwine.training.settle import settle
from intertwine.training.start import begin, begun
from intertwine.training.tuning.knobs import as_sections
from intertwine.training.tuning.record import DONE, FAILED, STOPPED, Trial, at
from intertwine.training.tuning.yardstick import Yardstick, yardstick_of

FIRST_LOOK = 0.5  # part of a trial before which it is not stopped
FEWEST = 4  # trials that a median is of


@dataclasses.dataclass
class Laboratory:
    """What all trials share: the data, what is fixed, and neighbour lists that were computed already.

    Args:
        sets: the data.
        sections: settings that are fixed.
        minutes: of the training in each trial.
        yardstick: what is compared; None before the first trial, which makes it.
    """

    sets: Sets
    sections: Sections
    minutes: float
    yardstick: Yardstick | None = None
    prepared: dict[Any, Sets] = dataclasses.field(default_factory=dict)

    def config(self, values: dict[str, Any]) -> Config:
        """The configuration of a trial: what ``intertwine train`` would take, with the time of a trial.

        Raises:
            InputError: settings that the model or the task refuses.
        """
        sections = merge(self.sections, as_sections(values), allow=self.sections.allow)
        config = settle(self.sets, begun(self.sets, sections))
        short: dict[str, Any] = {"minutes": self.minutes, "certify": False, "loggers": ()}
        return dataclasses.replace(config, training=dataclasses.replace(config.training, **short))

    def run(
        self, values: dict[str, Any], folder: Path, others: Sequence[Trial], tell: Callable[[float, float], None]
    ) -> Trial:
        """Train with these settings.

        Args:
            values: the settings, by their full names.
            folder: of the search; nothing is written into it.
            others: trials before this one.
            tell: is called after each validation, with the part of the trial's time that is spent and the figure.

        Raises:
            InputError: the first trial's settings are refused.
            KeyboardInterrupt: somebody asked to stop.
        """
        start = time.monotonic()
        watch = Watch(60 * self.minutes, others, tell)
        reason = ""
        try:
            self._train(values, folder, watch)
        except (IntertwineError, RuntimeError, MemoryError) as error:
            if isinstance(error, InputError) and not others:
                raise
            if not isinstance(error, IntertwineError) and lack_of_memory(error) is None:
                raise
            reason = error.what if isinstance(error, IntertwineError) else str(lack_of_memory(error))
        seconds = time.monotonic() - start
        if not reason and not (watch.curve and watch.curve[-1][1] == watch.curve[-1][1]):
            reason = "its validation errors are not finite"
        if reason:
            return Trial(values, FAILED, seconds, reason=reason, curve=watch.curve)
        state = STOPPED if watch.stopped else DONE
        return Trial(values, state, seconds, watch.curve[-1][1], watch.errors, steps=watch.steps, curve=watch.curve)

    def _train(self, values: dict[str, Any], folder: Path, watch: Watch) -> None:
        config = self.config(values)
        with threads(config.training), seeded(config):
            task = fitted(config.build(), self.sets)
            fields = fields_of(task, self.sets.source.fields)
            key = (task.cutoff, task.backbone.EDGES, *fields)
            if key not in self.prepared:
                self.prepared[key] = _with_neighbours(self.sets.prepared(task, fields))
            prepared = self.prepared[key]
            has_unused(copy.deepcopy(task), prepared)  # kernels are compiled before the clock of the training begins
            begin(task, config, prepared.train)
            if self.yardstick is None:
                self.yardstick = yardstick_of(task, prepared.validation, 2 * config.training.batch_size)
            watch.yardstick = self.yardstick
            fit(task, config, prepared, folder, callbacks=[watch])


def _with_neighbours(sets: Sets) -> Sets:
    """With every neighbour list computed: the first trial would have less time to train than the others."""
    for part in (sets.train, sets.validation):
        for k in range(len(part)):
            part[k]
    return sets


class Watch(Callback):
    """Notes the figure of the weights that a training would keep after each epoch, those of the lowest validation loss,
    and ends a trial that is worse than the median of others at the same time (the median stopping rule, Golovin et al.
    2017, Google Vizier).

    Args:
        seconds: of the training in a trial.
        others: trials before.
        tell: as of :meth:`Laboratory.run`.
    """

    yardstick: Yardstick

    def __init__(self, seconds: float, others: Sequence[Trial], tell: Callable[[float, float], None]) -> None:
        self.seconds, self.tell = seconds, tell
        self.others = [trial.curve for trial in others if trial.state != FAILED]
        self.curve: list[list[float]] = []
        self.errors: dict[str, float] = {}
        self.lowest, self.figure, self.stopped, self.steps = float("inf"), float("nan"), False, 0

    def on_train_epoch_end(self, trainer: Trainer, module: TrainingModule) -> None:  # type: ignore[override]
        row, self.steps = module.rows[-1], module.steps
        if "validation_loss" not in row:
            return
        if row["validation_loss"] < self.lowest:
            self.lowest = row["validation_loss"]
            self.figure, self.errors = self.yardstick.figure(row), self.yardstick.errors(row)
        spent = float(row["seconds"])
        self.curve.append([spent, self.figure])
        self.tell(min(1.0, spent / self.seconds), self.figure)
        if not trainer.should_stop and self.behind(spent):
            self.stopped = trainer.should_stop = True

    def behind(self, seconds: float | int) -> bool:
        """Whether the figure is above the median of the others' at that time of their training."""
        then = [figure for curve in self.others if (figure := at(curve, seconds)) is not None]
        return seconds >= FIRST_LOOK * self.seconds and len(then) >= FEWEST and not self.figure <= median(then)
