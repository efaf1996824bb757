"""Errors of a task over a data set."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from jaxtyping import Float
from torch import Tensor

from intertwine.geometry import Graph
from intertwine.tasks import Task


def score(
    task: Task,
    batches: Iterable[Graph],
    *,
    reduce: Callable[[Tensor], Tensor] | None = None,
    baselines: bool = False,
) -> dict[str, float]:
    r"""Mean absolute and root-mean-square error of every target, over all components of all its entries, and the
    weighted loss.

    .. math:: \mathrm{MAE} = \frac1n \sum |r|, \qquad \mathrm{RMSE} = \sqrt{\frac1n \sum r^2}

    Args:
        task: set to evaluation mode meanwhile.
        batches: graphs with labels.
        reduce: sums a float64 tensor over processes; None where there is one.
        baselines: score the task's baselines too, on the same entries.

    Returns:
        ``loss`` (no unit), and ``<target>_mae``, ``<target>_rmse`` in the unit of ``task.metrics``; NaN where there is
        no label. Of several targets that are trained on also ``<target>_share`` of the loss, 0 to 1. With baselines
        also ``<target>_baseline_mae`` and ``<target>_baseline_rmse`` of those that there are.
    """
    targets = list(task.metrics)
    # |r|, r^2, entries, loss, entries of the loss; |r|, r^2, entries of the baseline
    sums = torch.zeros(len(targets), 8, dtype=torch.float64)
    training = task.training
    task.eval()
    try:
        for batch in batches:
            batch = batch.to(next(task.parameters()).device)
            prediction = task(batch)
            for name, r in task.residuals(prediction, batch).items():
                sums[targets.index(name), :3] += _sums(r)
            blind = task.baseline_predictions(batch, prediction) if baselines else {}
            for name, r in task.residuals(prediction | blind, batch).items() if blind else ():
                if task.output_of(name) in blind:
                    sums[targets.index(name), 5:] += _sums(r)
            for name, (loss, count) in task.losses(prediction, batch).items():
                sums[targets.index(name), 3:5] += torch.tensor([float(loss), count], dtype=torch.float64)
    finally:
        task.train(training)
    if reduce is not None:
        sums = reduce(sums)
    result, parts = {"loss": 0.0}, {}
    for name, (absolute, square, count, loss, entries, *blind_sums) in zip(targets, sums.tolist(), strict=True):
        factor = task.metrics[name].factor
        result[f"{name}_mae"] = factor * absolute / count if count else float("nan")
        result[f"{name}_rmse"] = factor * (square / count) ** 0.5 if count else float("nan")
        if entries:
            parts[name] = task.weights.get(name, 0.0) * loss / entries
            result["loss"] += parts[name]
        if blind_sums[2]:
            result[f"{name}_baseline_mae"] = factor * blind_sums[0] / blind_sums[2]
            result[f"{name}_baseline_rmse"] = factor * (blind_sums[1] / blind_sums[2]) ** 0.5
    if len(parts) > 1 and 0 < result["loss"] < float("inf"):
        result |= {f"{name}_share": part / result["loss"] for name, part in parts.items()}
    return result


def _sums(r: Tensor) -> Float[Tensor, " 3"]:
    """Sums of the absolute values and of the squares, and the number of entries."""
    r = r.detach().to(torch.float64)
    return torch.stack([r.abs().sum(), r.square().sum(), r.new_tensor(r.numel())]).cpu()
