"""Gradients that are far longer than usual are shortened before the optimizer sees them."""

from __future__ import annotations

from collections.abc import Iterable
from math import inf
from typing import Any

import torch
from torch import Tensor

from intertwine.training.options import TrainingOptions

DECAY = 0.99  # of the running norm, in each step


class Clipping:
    r"""Bounds the norm of the gradient by a constant, by a multiple of its running norm, or by the smaller of both:

    .. math::
        g_t \leftarrow g_t \min\Big(1, \frac{b_t}{\|g_t\|}\Big), \qquad b_t = \min(c, r\, n_{t-1}), \qquad
        n_t = n_{t-1} + (1 - d_t) \big(\min(\|g_t\|, b_t) - n_{t-1}\big), \qquad
        d_t = \min\Big(0.99, \frac{1 + t}{10 + t}\Big)

    The running norm n is of gradients as they were taken, after clipping: one that explodes does not raise the bound by
    more than a hundredth of the bound. The first step has no running norm, and :math:`n_0 = \min(\|g_0\|, c)`. A norm
    that is not finite leaves n as it is.

    Args:
        options: of training; c is ``clip`` and r is ``clip_relative``, 0 for none.
    """

    def __init__(self, options: TrainingOptions) -> None:
        self.largest, self.relative = options.clip, options.clip_relative
        self.steps = 0
        self.mean: Tensor | None = None  # a tensor, so that a GPU need not be waited for

    @torch.no_grad()
    def __call__(self, parameters: Iterable[Tensor]) -> None:
        """Shorten the gradients of some parameters, in place."""
        if self.relative <= 0:
            if self.largest > 0:
                torch.nn.utils.clip_grad_norm_(parameters, self.largest, foreach=True)
            return
        gradients = [p.grad for p in parameters if p.grad is not None]
        if not gradients:
            return
        # float64: what a checkpoint writes and reads is the same number
        norm = torch.nn.utils.get_total_norm(gradients, foreach=True).double()
        bound = torch.full_like(norm, self.largest if self.largest > 0 else inf)
        if self.mean is not None:
            bound = torch.minimum(bound, self.relative * self.mean.to(norm.device))
        factor = (bound / norm).clamp(max=1.0)  # 0/0 and inf/inf are NaN, and are told of where the loss is
        torch._foreach_mul_(gradients, torch.where(norm > 0, factor, 1.0).to(gradients[0].dtype))
        taken = torch.minimum(norm, bound)
        before = taken if self.mean is None else self.mean.to(norm.device)
        decay = min(DECAY, (1 + self.steps) / (10 + self.steps))
        after = torch.where(norm.isfinite(), before + (1.0 - decay) * (taken - before), before)
        self.mean, self.steps = after, self.steps + 1

    def state(self) -> dict[str, Any]:
        """What decides how later gradients are clipped."""
        return {"steps": self.steps, "mean": None if self.mean is None else float(self.mean)}

    def restore(self, state: dict[str, Any]) -> None:
        """Take over a state that has been checked."""
        self.steps = state["steps"]
        self.mean = None if state["mean"] is None else torch.tensor(state["mean"], dtype=torch.float64)
