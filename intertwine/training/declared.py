"""What a checkpoint must hold, by what its task declares: everything that is read from one is checked here before it is
used.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from intertwine.numerics import CheckpointError, check_tensors
from intertwine.tasks import Task
from intertwine.training.averaging import averaged

_REMEDY = "use the other checkpoint of the run (best or last), or resume or repeat the training."
_MOMENTS = ("exp_avg", "exp_avg_sq")
_ROW = ("epoch", "step", "seconds", "learning_rate", "train_loss")


def check_run(state: Any, where: str) -> None:
    """Raise a :class:`CheckpointError` unless this is a run's checkpoint: configuration, weights, species and epoch."""
    if not isinstance(state, Mapping) or not {"config", "weights", "species", "epoch"} <= state.keys():
        raise CheckpointError(
            "is not the checkpoint of a run", where=where, remedy="give a run folder, or its best.safetensors."
        )
    _Reader(state, where).count("epoch")
    if not isinstance(state["species"], list | tuple) or not all(
        type(z) is int and 0 <= z <= 118 for z in state["species"]
    ):
        raise CheckpointError("species are not atomic numbers", where=where, remedy=_REMEDY)


def check_weights(state: Mapping[str, Any], task: Task, where: str) -> list[Tensor]:
    """The average of the weights, one tensor for all that is averaged and none if there is no average, after checking
    it and the weights.

    Args:
        state: of a checkpoint.
        task: as the configuration builds it, in the precision of the training.
        where: the file.

    Raises:
        CheckpointError: names the tensor that is missing, unknown, not finite, or of another shape or precision.
    """
    check_tensors(state["weights"], task.state_dict(), where=where)
    if "average" not in state:
        return []
    average = _Reader(state, where).table("average")
    average.count("steps")
    mean, trained = average["mean"], {name: x.detach() for name, x in averaged(task).items()}
    if not isinstance(mean, list | tuple):
        raise CheckpointError("average: not a list of tensors", where=where, remedy=_REMEDY)
    if not mean:
        return []
    if len(mean) != len(trained):
        what = f"average: {len(mean)} tensors for {len(trained)} parameters, the last of them {list(trained)[-1]}"
        raise CheckpointError(what, where=where, remedy=_REMEDY)
    check_tensors(dict(zip(trained, mean, strict=True)), trained, where=where, what="average")
    return list(mean)


def check_baselines(state: Mapping[str, Any], where: str) -> dict[str, Tensor]:
    """The coefficients of the baselines by target; none in a checkpoint of a version that had no baselines.

    Raises:
        CheckpointError: they are not finite matrices.
    """
    if "baselines" not in state:
        return {}
    result = {}
    for name, value in _Reader(state, where).table("baselines").entries.items():
        if not (isinstance(value, Tensor) and value.ndim == 2 and bool(value.isfinite().all())):
            raise CheckpointError(f"baselines: {name} is not a finite matrix", where=where, remedy=_REMEDY)
        result[str(name)] = value.to(torch.float64)
    return result


def check_state(state: Any, task: Task, where: str) -> None:
    """Raise a :class:`CheckpointError` unless a run can go on from this state, to the last bit.

    Args:
        state: of ``last.safetensors``.
        task: as the configuration builds it.
        where: the file.
    """
    check_run(state, where)
    mean = check_weights(state, task, where)
    read = _Reader(state, where)
    epochs, steps = read.count("epoch"), read.count("steps")
    read.number("seconds")
    _check_rows(read["rows"], epochs, steps, where)
    _check_optimizer(read.table("optimizer"), state, task, mean, where)
    for name in ("best", "stopping"):
        _check_improvement(read.table(name))
    if "clipping" in state:
        clipping = read.table("clipping")
        clipping.count("steps")
        if clipping["mean"] is not None:
            clipping.number("mean")
    schedule = read.table("schedule")
    schedule.number("scale")
    _check_improvement(schedule.table("progress"))
    check_tensors({"random": read["random"]}, {"random": torch.get_rng_state()}, where=where, what="random numbers")
    try:
        torch.Generator().set_state(state["random"])
    except RuntimeError as error:
        raise CheckpointError(
            f"random numbers: random is no state of a generator: {error}", where=where, remedy=_REMEDY
        ) from error


def _trained(task: Task) -> dict[str, Tensor]:
    return {name: p.detach() for name, p in task.named_parameters() if p.requires_grad}


def _check_optimizer(optimizer: _Reader, state: Mapping[str, Any], task: Task, mean: list[Tensor], where: str) -> None:
    """Moments of Adam for every parameter that was ever moved, and one group of options."""
    trained = _trained(task)
    groups, moments = optimizer["param_groups"], optimizer["state"]
    if not (
        isinstance(groups, list)
        and len(groups) == 1
        and isinstance(groups[0], Mapping)
        and isinstance(moments, Mapping)
    ):
        raise CheckpointError("optimizer: not the state of one group of parameters", where=where, remedy=_REMEDY)
    group = _Reader(groups[0], where, "optimizer: ")
    for name in ("lr", "eps", "weight_decay"):
        group.number(name)
    betas = group["betas"]
    if not (isinstance(betas, list | tuple) and len(betas) == 2 and all(_number(b) and 0 <= b < 1 for b in betas)):
        raise CheckpointError(f"optimizer: betas {betas!r}", where=where, remedy=_REMEDY)
    if group["params"] != list(range(len(trained))):
        raise CheckpointError(
            f"optimizer: params {str(group['params'])[:80]} for {len(trained)}", where=where, remedy=_REMEDY
        )
    if unknown := [k for k in moments if not (type(k) is int and 0 <= k < len(trained))]:
        raise CheckpointError(f"optimizer: moments of an unknown parameter {unknown[0]!r}", where=where, remedy=_REMEDY)
    for k, (name, parameter) in enumerate(trained.items()):
        if k in moments:
            declared = {"step": torch.zeros(()), **dict.fromkeys(_MOMENTS, parameter)}
            tensors = check_tensors(moments[k], declared, where=where, what=f"optimizer of {name}")
            if not 0 <= float(tensors["step"]) <= state["steps"] or bool((tensors["exp_avg_sq"] < 0).any()):
                wrong = (
                    "exp_avg_sq is negative"
                    if 0 <= float(tensors["step"]) <= state["steps"]
                    else f"step {float(tensors['step'])}"
                )
                raise CheckpointError(f"optimizer of {name}: {wrong}", where=where, remedy=_REMEDY)
        elif mean and not torch.equal(mean[k], state["weights"][name]):
            # a weight that no loss reaches has none, and never moved
            raise CheckpointError(f"optimizer of {name}: exp_avg is missing", where=where, remedy=_REMEDY)


def _check_rows(rows: Any, epochs: int, steps: int, where: str) -> None:
    """One row an epoch, of numbers; only scores of validation may be not finite."""
    if not isinstance(rows, list) or len(rows) != epochs:
        count = len(rows) if isinstance(rows, list) else "no"
        raise CheckpointError(f"rows: {count} of them for {epochs} epochs", where=where, remedy=_REMEDY)
    before = 0
    for k, row in enumerate(rows):
        what = f"rows: that of epoch {k + 1}"
        read = _Reader(row, where, f"{what}: ")
        for name in row if isinstance(row, Mapping) else ():
            if (
                type(name) is not str
                or not (name in _ROW or name.startswith("validation_"))
                or not _number(row[name], finite=name in _ROW)
            ):
                raise CheckpointError(f"{what}: {name} = {str(row[name])[:80]}", where=where, remedy=_REMEDY)
        step = read.count("step")
        if read.count("epoch") != k + 1 or not before <= step <= steps:
            raise CheckpointError(f"{what}: epoch {row['epoch']}, step {step}", where=where, remedy=_REMEDY)
        for name in ("seconds", "learning_rate"):
            read.number(name)
        read.number("train_loss", least=-math.inf)
        before = step


def _check_improvement(read: _Reader) -> None:
    read.number("best", least=-math.inf, finite=False)
    read.count("stalled")


def _number(value: Any, finite: bool = True) -> bool:
    return type(value) in (int, float) and (math.isfinite(value) or not finite)


class _Reader:
    """A table of a state, that says what in it is missing or wrong."""

    def __init__(self, table: Any, where: str, prefix: str = "") -> None:
        if not isinstance(table, Mapping):
            raise CheckpointError(f"{prefix}a {type(table).__name__}, not a table", where=where, remedy=_REMEDY)
        self.entries, self.where, self.prefix = table, where, prefix

    def __getitem__(self, name: str) -> Any:
        if name not in self.entries:
            raise CheckpointError(f"{self.prefix}{name} is missing", where=self.where, remedy=_REMEDY)
        return self.entries[name]

    def table(self, name: str) -> _Reader:
        return _Reader(self[name], self.where, f"{self.prefix}{name}: ")

    def count(self, name: str) -> int:
        return self._checked(name, lambda value: type(value) is int and value >= 0)

    def number(self, name: str, *, least: float = 0.0, finite: bool = True) -> float:
        return self._checked(name, lambda value: _number(value, finite) and value >= least)

    def _checked(self, name: str, right: Callable[[Any], bool]) -> Any:
        value = self[name]
        if not right(value):
            raise CheckpointError(f"{self.prefix}{name} is {str(value)[:80]}", where=self.where, remedy=_REMEDY)
        return value
