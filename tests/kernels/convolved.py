"""A small convolution and its gradients, the work of the tests of threads and forks."""

from __future__ import annotations

import torch
from random_plans import case_of, depthwise
from torch import Tensor

from intertwine.kernels.convolution.fused import Fused

PLAN = depthwise("16x0e+16x1o", "0e+1o", 1)


def work(seed: int = 0) -> list[Tensor]:
    """A convolution and its gradients, too small for threads of torch's own, which do not survive a fork."""
    one = case_of(PLAN, seed, senders=30, nodes=31, edges=300, dtype=torch.float32)
    z = Fused(PLAN).convolve(one.x, one.y, one.w, *one.ends)
    return [z.detach(), *torch.autograd.grad(z.square().sum(), (one.x, one.y, one.w))]


def equal(found: list[Tensor], wanted: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(found, wanted, strict=True))
