"""The learning rate over a run, and when to end it."""

from __future__ import annotations

import math
from typing import Any

from intertwine.tasks.pace import WARMUP_PART
from intertwine.training.options import TrainingOptions

FLAT_PART = 0.75  # of a run, before "flat" comes down
ANNEALED_PART = 0.3  # last part of a time budget, over which the rate comes down to its floor


class Improvement:
    """Counts validations without improvement.

    Args:
        threshold: relative improvement that counts: a score is better below ``best * (1 - threshold)``.
    """

    def __init__(self, threshold: float = 0.0) -> None:
        self.threshold, self.best, self.stalled = threshold, math.inf, 0

    def better(self, score: float | int) -> bool:
        """Take in a score, lower is better; whether it beats the best so far. NaN never does."""
        if score < self.best - self.threshold * abs(self.best) if math.isfinite(self.best) else score < math.inf:
            self.best, self.stalled = score, 0
            return True
        self.stalled += 1
        return False

    def state(self) -> dict[str, Any]:
        return {"best": self.best, "stalled": self.stalled}

    def restore(self, state: dict[str, Any]) -> None:
        self.best, self.stalled = state["best"], state["stalled"]


class Schedule:
    r"""Learning rate :math:`\eta(t)` with t in [0, 1] the part of the run that is done.

    "constant" :math:`\eta_0`; "linear" :math:`\eta_0 (1 - t)`; "cosine" :math:`\eta_0 (1 + \cos \pi t)/2`; "flat"
    :math:`\eta_0` up to t = 3/4, then :math:`\eta_0 (1 + \cos \pi (4 t - 3))/2`; "plateau" :math:`\eta_0 f^k` after k
    stalls of the validation score. All rise linearly over ``warmup`` steps and have a floor.
    Under a time budget t is the larger of the parts of epochs and of time, "plateau" and "constant" come down
    linearly over its last 30 %, and the rise ends with its first tenth at the latest.

    Args:
        options: of training.
        steps: steps of the optimizer in the whole run.
    """

    def __init__(self, options: TrainingOptions, steps: int) -> None:
        self.options, self.steps = options, max(1, steps)
        self.scale = 1.0
        self.progress = Improvement(options.threshold)

    def rate(self, step: int, seconds: float | int) -> float:
        """The rate of step number ``step`` (from 0), ``seconds`` after the start."""
        o = self.options
        spent = min(1.0, seconds / (60 * o.minutes)) if o.minutes else 0.0
        done = min(1.0, max(step / self.steps, spent))
        if o.schedule == "cosine":
            shape = 0.5 * (1 + math.cos(math.pi * done))
        elif o.schedule == "flat":
            shape = 0.5 * (1 + math.cos(math.pi * max(0.0, done - FLAT_PART) / (1 - FLAT_PART)))
        elif o.schedule == "linear":
            shape = 1 - done
        else:
            shape = (self.scale if o.schedule == "plateau" else 1.0) * min(1.0, (1 - spent) / ANNEALED_PART)
        warm = min(1.0, max((step + 1) / o.warmup, spent / WARMUP_PART)) if o.warmup else 1.0
        return warm * max(min(o.minimum_rate, o.learning_rate), o.learning_rate * shape)

    def validated(self, score: float | int) -> None:
        """Take in a validation score; "plateau" lowers the rate after more than ``plateau_patience`` without gain."""
        if not self.progress.better(score) and self.progress.stalled > self.options.plateau_patience:
            self.scale *= self.options.factor
            self.progress.stalled = 0

    def state(self) -> dict[str, Any]:
        return {"scale": self.scale, "progress": self.progress.state()}

    def restore(self, state: dict[str, Any]) -> None:
        self.scale = state["scale"]
        self.progress.restore(state["progress"])
