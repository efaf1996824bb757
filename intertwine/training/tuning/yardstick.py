r"""What settings are compared by: one figure of the errors on the validation set, in which no weight of the loss is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import exp, isfinite, log
from typing import Any

from intertwine.data.loader import Loader
from intertwine.data.store import GraphStore
from intertwine.numerics import DataError
from intertwine.tasks import Task
from intertwine.training.scoring import score

SMALLEST_RATIO = 1e-6  # an error that is smaller beside the baseline's counts as this
LOSS = "loss"


@dataclass(frozen=True)
class Yardstick:
    r"""The figure that a search minimises,

    .. math:: F = \Big(\prod_{t=1}^{T} \frac{\mathrm{MAE}_t}{b_t}\Big)^{1/T}

    the geometric mean over the targets t that the loss has, of the mean absolute error on the validation set, over that
    of the baseline, :math:`b_t` (1 where there is none). Which of two settings has the smaller F does not depend on
    b or on units: :math:`F/F_0` is the geometric mean of the ratios of their errors.

    Args:
        units: of the error of each target.
        baselines: error of the baseline of each target, in that unit; those of targets without one are left out.
        loss: the figure is the validation loss, for tasks whose targets are not those of the loss.
    """

    units: Mapping[str, str]
    baselines: Mapping[str, float] = field(default_factory=dict)
    loss: bool = False

    def errors(self, row: Mapping[str, Any]) -> dict[str, float]:
        """The error of each target in a row of a training's history, in its unit; NaN where it has none."""
        names = {LOSS: "validation_loss"} if self.loss else {name: f"validation_{name}_mae" for name in self.units}
        return {name: float(row.get(column, float("nan"))) for name, column in names.items()}

    def figure(self, row: Mapping[str, Any]) -> float:
        """F of a row (no unit); NaN if one of its errors is not finite."""
        errors = self.errors(row)
        if not all(isfinite(error) for error in errors.values()):
            return float("nan")
        if self.loss:
            return errors[LOSS]
        ratios = [error / self.baselines.get(name, 1.0) for name, error in errors.items()]
        return exp(sum(log(max(ratio, SMALLEST_RATIO)) for ratio in ratios) / len(ratios))

    def facts(self) -> dict[str, Any]:
        """Plain values."""
        return {"units": dict(self.units), "baselines": dict(self.baselines), "loss": self.loss}


def uses_loss(task: Task) -> bool:
    """Whether the validation loss is all that can be compared: no target of the loss has an error of its own."""
    return not any(task.weights.get(name, 0.0) > 0 for name in task.metrics)


def yardstick_of(task: Task, validation: GraphStore, batch_size: int) -> Yardstick:
    """The yardstick of a task whose statistics are fitted.

    Args:
        task: untrained or trained; it predicts each structure once.
        validation: the validation set, with edges.
        batch_size: structures at a time.

    Raises:
        DataError: the validation set has none of the labels.
    """
    if uses_loss(task):
        return Yardstick({LOSS: ""}, loss=True)
    scores = score(task, Loader(validation, batch_size), baselines=True)
    # of a network that is not trained yet an error may be infinite; NaN is that of no label
    learnt = [t for t in task.metrics if task.weights.get(t, 0.0) > 0 and scores[f"{t}_mae"] == scores[f"{t}_mae"]]
    if not learnt:
        what = f"the validation set has none of the labels {', '.join(task.metrics)}"
        raise DataError(what, where=validation.name or "data", remedy="give labelled data, or another --validation.")
    baselines = {t: scores.get(f"{t}_baseline_mae", 0.0) for t in learnt}
    return Yardstick(
        {t: task.metrics[t].unit for t in learnt},
        {t: value for t, value in baselines.items() if isfinite(value) and value > 0},
    )
