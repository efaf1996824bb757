"""The exponential moving average of the weights, which generalises better than the last of them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn


def averaged(module: nn.Module) -> dict[str, Tensor]:
    """What is averaged, by name: parameters that are trained, then the running statistics of batches (buffers called
    ``running_...``). Weights that are averaged have the averaged statistics, to first order, and not the last ones.
    """
    trained = {name: p for name, p in module.named_parameters() if p.requires_grad}
    statistics = {
        name: b
        for name, b in module.named_buffers()
        if name.rpartition(".")[2].startswith("running_") and b.is_floating_point()
    }
    return trained | statistics


class Average:
    r"""Polyak averaging with a warm start.

    .. math::
        \bar\theta_t = \bar\theta_{t-1} + (1 - d_t)(\theta_t - \bar\theta_{t-1}), \qquad
        d_t = \min\Big(d, \frac{1 + t}{10 + t}\Big)

    so that the initial weights are forgotten within the first steps.

    Args:
        module: of which :func:`averaged` says what is averaged.
        decay: d, in [0, 1); 0 makes the average the weights themselves and costs nothing.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay, self.steps = decay, 0
        self.live = list(averaged(module).values())
        self.mean: list[Tensor] = [p.detach().clone() for p in self.live] if decay > 0 else []

    @torch.no_grad()
    def update(self) -> None:
        """Take in the weights after a step of the optimizer."""
        self.steps += 1
        if self.mean:
            decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
            torch._foreach_lerp_(self.mean, [p.detach() for p in self.live], 1.0 - decay)

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """The module has the averaged weights inside the ``with`` block."""
        self._exchange()
        try:
            yield
        finally:
            self._exchange()

    def _exchange(self) -> None:
        for k in range(len(self.mean)):
            self.live[k].data, self.mean[k] = self.mean[k], self.live[k].data

    def state(self) -> dict[str, Any]:
        return {"steps": self.steps, "mean": self.mean}

    def restore(self, state: dict[str, Any]) -> None:
        """Take over a state that has been checked, after the weights; without averages in it they start there."""
        self.steps = state["steps"]
        for mean, value in zip(self.mean, state["mean"] or [p.detach() for p in self.live], strict=False):
            mean.copy_(value)
