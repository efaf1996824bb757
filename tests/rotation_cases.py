"""Rotations that break formulas, and the means to compare with e3nn on the group itself."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

HALF_TURNS = torch.tensor([[0.0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]], dtype=torch.float64)


def quaternions(count: int, seed: int = 0) -> Tensor:
    """Haar-random unit quaternions (count, 4) in float64."""
    q = torch.randn(count, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return q / q.norm(dim=-1, keepdim=True)


def awkward_quaternions() -> Tensor:
    """200 unit quaternions: the identity, the poles (rotations about y, and those after a half turn about x), half
    turns about the axes and about random ones, cyclic permutations, and 1e-10 away from each."""
    identity = torch.tensor([[1.0, 0, 0, 0]], dtype=torch.float64)
    angles = torch.tensor([0.3, math.pi / 2, 2.0, math.pi, -math.pi / 2, -2.9], dtype=torch.float64)
    zero = torch.zeros_like(angles)
    north = torch.stack([(angles / 2).cos(), zero, (angles / 2).sin(), zero], dim=-1)
    south = torch.stack([zero, (angles / 2).cos(), zero, (angles / 2).sin()], dim=-1)
    random = quaternions(20, seed=1)
    random[:, 0] = 0
    cyclic = torch.tensor([[0.5, 0.5, 0.5, 0.5], [0.5, -0.5, -0.5, -0.5], [0.5, 0.5, -0.5, 0.5]], dtype=torch.float64)
    at = torch.cat([identity, north, south, HALF_TURNS, random, cyclic])
    at = torch.cat([at, at[: 50 - len(at)]]) if len(at) < 50 else at[:50]
    steps = 1e-10 * quaternions(150, seed=2)
    near = torch.cat([at, at, at]) + steps
    every = torch.cat([at, near])
    return every / every.norm(dim=-1, keepdim=True)


def exact_matrix(q: Tensor) -> Tensor:
    """The textbook formula, homogeneous in q: an independent path to the matrix."""
    w, v = q[..., 0, None, None], q[..., 1:]
    cross = torch.stack([torch.linalg.cross(v, e.expand_as(v), dim=-1) for e in torch.eye(3, dtype=q.dtype)], dim=-1)
    outer, square = v[..., :, None] * v[..., None, :], (v * v).sum(-1)[..., None, None]
    return (w * w - square) * torch.eye(3, dtype=q.dtype) + 2 * outer + 2 * w * cross


def derivatives(function: Callable[[Tensor], Tensor], x: Tensor, order: int = 3) -> list[Tensor]:
    """Gradient of a weighted sum of the outputs, gradient of a weighted sum of that, and so on."""
    x = x.detach().clone().requires_grad_()
    y, found = function(x), []
    for _ in range(order):
        weights = torch.linspace(0.5, 1.5, y.numel(), dtype=y.dtype).reshape(y.shape)
        y = (y * weights).sum() + 0 * x.sum()  # a constant function has derivatives too
        (y,) = torch.autograd.grad(y, x, create_graph=True, materialize_grads=True)
        found.append(y)
    return found


def joined(outputs: Tensor | tuple[Tensor, ...]) -> Tensor:
    """Outputs of a conversion side by side on one last axis."""
    if isinstance(outputs, Tensor):
        return outputs.flatten(-2) if outputs.shape[-2:] == (3, 3) else outputs
    return torch.cat(
        [x if x.shape[-1:] == (3,) and x.ndim == outputs[-1].ndim + 1 else x[..., None] for x in outputs], dim=-1
    )
