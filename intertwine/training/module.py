"""The Lightning module around a task: the loss of the global batch, the optimizer, and all that a resumed run must get
back.
"""

from __future__ import annotations

import time
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor

from intertwine.geometry import Graph
from intertwine.numerics import DataError
from intertwine.tasks import Task
from intertwine.training.averaging import Average
from intertwine.training.clipping import Clipping
from intertwine.training.options import TrainingOptions
from intertwine.training.schedule import Improvement, Schedule

OPTIMIZERS = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}


class TrainingModule(LightningModule):
    r"""Trains a task.

    .. math:: L = \sum_k w_k\, \frac{\sum_{p} \ell_{k,p}}{\sum_p n_{k,p}}

    and the backbone's penalty if it has one, over targets k and processes p, with :math:`\ell` the summed loss and n
    the number of entries of a batch: P processes minimise what one with P times the batch does, also where batches
    differ in numbers of atoms.

    Args:
        task: with its statistics fitted.
        options: of training.
        batches: batches in an epoch.
    """

    def __init__(self, task: Task, options: TrainingOptions, batches: int) -> None:
        super().__init__()
        self.task, self.options = task, options
        self.targets = [name for name, weight in task.weights.items() if weight > 0]
        self.schedule = Schedule(options, batches * options.epochs)
        self.clipping = Clipping(options)
        self.best, self.stopping = Improvement(), Improvement(options.threshold)
        self.steps, self.epoch = 0, 0
        self.before, self.started, self.seconds = 0.0, time.monotonic(), 0.0
        self.rows: list[dict[str, float | int]] = []
        self.resumed: dict[str, Any] | None = None
        self.average = Average(task, 0.0)  # until training starts
        self.loss_sum: Tensor | None = None
        self.loss_count = 0

    def training_step(self, batch: Graph, index: int) -> Tensor:
        """The loss of this process, scaled so that the mean over processes is that of the global batch."""
        losses = self.task.losses(self.task(batch), batch)
        if not losses:
            raise DataError(
                f"a batch has none of the labels {', '.join(self.targets)}",
                where="training set",
                remedy="give data with labels.",
            )
        counts = [float(losses[name][1]) if name in losses else 0.0 for name in self.targets]
        if self.processes > 1:
            clock = self._clock() if self.global_rank == 0 else 0.0
            *counts, self.seconds = self.summed(
                torch.tensor([*counts, clock], dtype=torch.float64, device=self.device)
            ).tolist()
        else:
            self.seconds = self._clock()
        weights = {
            name: self.task.weights[name] * self.processes / count
            for name, count in zip(self.targets, counts, strict=True)
            if count
        }
        loss = torch.stack([weights[name] * losses[name][0] for name in losses if name in weights]).sum()
        penalty = self.task.backbone.penalty(batch)
        return loss if penalty is None else loss + penalty.to(loss.dtype)

    def backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        """Gradients of the weights alone, where forces are derivatives: without those of the positions that they are
        taken at, which nobody reads, a step takes a tenth less. Several processes must reach every weight, by torch's
        own ways.
        """
        if self.processes == 1 and "forces" in self.task.outputs:
            kwargs["inputs"] = [p for p in self.task.parameters() if p.requires_grad]
        super().backward(loss, *args, **kwargs)

    def on_train_start(self) -> None:
        self.average = Average(self.task, self.options.average)
        if self.resumed is not None:
            self.restore(self.resumed)
            self.resumed = None
        self.started = time.monotonic()

    def on_train_epoch_start(self) -> None:
        self.loss_sum, self.loss_count = None, 0

    def optimizer_step(self, epoch: int, batch_index: int, optimizer: Any, closure: Any = None) -> None:
        """Compute the gradient, clip it, and step at the rate of the schedule."""

        def clipped() -> Tensor:
            loss = closure()
            self.clipping(self.average.live)
            for group in optimizer.param_groups:
                group["lr"] = self.schedule.rate(self.steps, self.seconds)
            return loss

        optimizer.step(closure=clipped)

    def on_train_batch_end(self, outputs: Any, batch: Graph, index: int) -> None:
        self.average.update()
        self.steps += 1
        loss = outputs["loss"].detach()
        self.loss_sum = loss.to(torch.float64) if self.loss_sum is None else self.loss_sum + loss
        self.loss_count += 1

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam or AdamW, in the fused implementation: half the time of the others on a CPU (0.8 against 1.7 ms for
        600,000 weights).
        """
        kind, o = OPTIMIZERS[self.options.optimizer], self.options
        return kind(
            [p for p in self.task.parameters() if p.requires_grad],
            lr=o.learning_rate,
            weight_decay=o.weight_decay,
            fused=True,
        )

    def mean_loss(self) -> float:
        """Mean training loss of the epoch so far, over all processes."""
        if self.loss_sum is None:
            return float("nan")
        return float(self.summed(self.loss_sum.reshape(1).clone()) / (self.loss_count * self.processes))

    @property
    def processes(self) -> int:
        return self.trainer.world_size

    def summed(self, values: Tensor) -> Tensor:
        """The sum of a tensor over processes, the same on each."""
        if self.processes > 1:
            device = values.device
            values = values.to(self.device)
            torch.distributed.all_reduce(values)
            return values.to(device)
        return values

    def _clock(self) -> float:
        return self.before + time.monotonic() - self.started

    def tick(self) -> None:
        """Read the clock of the first process; in every process, and at the same place."""
        clock = self._clock() if self.global_rank == 0 else 0.0
        self.seconds = float(self.summed(torch.tensor([clock], dtype=torch.float64)))

    def out_of_time(self) -> bool:
        """Whether the time budget is spent; the same on all processes."""
        return self.options.minutes is not None and self.seconds >= 60 * self.options.minutes

    def exhausted(self) -> bool:
        """Whether validation has stalled for longer than the patience."""
        return 0 < self.options.patience <= self.stopping.stalled

    def state(self) -> dict[str, Any]:
        """Everything that decides how training goes on after this epoch."""
        return {
            "weights": self.task.state_dict(),
            "average": self.average.state(),
            "optimizer": self.trainer.optimizers[0].state_dict(),
            "schedule": self.schedule.state(),
            "clipping": self.clipping.state(),
            "best": self.best.state(),
            "stopping": self.stopping.state(),
            "epoch": self.epoch,
            "steps": self.steps,
            "seconds": self.seconds,
            "rows": self.rows,
            "random": torch.get_rng_state(),
        }

    def announce(self, state: dict[str, Any]) -> None:
        """Take over the counters of a saved state now, and its tensors when training starts."""
        self.resumed = state
        self.epoch = state["epoch"]
        self.steps = state["steps"]
        self.before = state["seconds"]
        self.rows = list(state["rows"])
        self.seconds = self.before
        if "clipping" in state:  # not in a checkpoint of a version that had only constant bounds
            self.clipping.restore(state["clipping"])
        for name in ("schedule", "best", "stopping"):
            getattr(self, name).restore(state[name])

    def restore(self, state: dict[str, Any]) -> None:
        """Put the tensors of a saved state in place."""
        self.task.load_state_dict(state["weights"])
        self.average.restore(state["average"])
        self.trainer.optimizers[0].load_state_dict(state["optimizer"])
        torch.set_rng_state(state["random"])
