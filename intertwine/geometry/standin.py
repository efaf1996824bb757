"""Stand-in for geometry.frames until the branch `frames` is merged; to be deleted."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor

from intertwine.numerics import segment


@dataclass(frozen=True)
class Frames:
    rotation: Tensor
    centre: Tensor
    weight: Tensor


def pca(pos: Tensor, batch: Tensor, num_graphs: int, *, proper: bool = False, detached: bool = False) -> Frames:
    centre = segment.mean(pos, batch, num_graphs)
    x = pos - centre.index_select(0, batch)
    covariance = segment.sum(x.unsqueeze(2) * x.unsqueeze(1), batch, num_graphs)
    axes = _Axes.apply(covariance.detach() if detached else covariance)
    if proper:
        axes = axes * torch.linalg.det(axes).sign()[:, None, None]
    signs = [s for s in product((1, -1), repeat=3) if not proper or s[0] * s[1] * s[2] > 0]
    rotation = axes.unsqueeze(1) * axes.new_tensor(signs).unsqueeze(1)
    return Frames(rotation, centre, axes.new_full((num_graphs, len(signs)), 1 / len(signs)))


class _Axes(torch.autograd.Function):
    @staticmethod
    def forward(ctx, c):
        l, f = torch.linalg.eigh(c)
        ctx.save_for_backward(l, f)
        return f

    @staticmethod
    def backward(ctx, g):
        l, f = ctx.saved_tensors
        gap = l.unsqueeze(-2) - l.unsqueeze(-1)
        small = gap.abs() <= 1e-12 * l.abs().amax(-1)[:, None, None] + 1e-300
        inverse = torch.where(small, 0.0, 1 / torch.where(small, 1.0, gap))
        return f @ (inverse * (f.mT @ g)) @ f.mT
