"""Maxima of samples on a grid, and of the function that was sampled."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def grid_maxima(values: Float[Tensor, "rows columns"]) -> Bool[Tensor, "rows columns"]:
    """Where a sample is a maximum of its row and of its column.

    A maximum along a line is larger than its neighbours on both sides; of a plateau it is the middle (the lower of
    two). Ends are none.

    >>> grid_maxima(torch.tensor([[0.0, 0.0, 0.0, 0.0], [0.0, 2.0, 1.0, 0.0], [0.0, 1.0, 0.0, 0.0]])).nonzero().tolist()
    [[1, 1]]
    """
    return _line_maxima(values) & _line_maxima(values.T).T


def _line_maxima(values: Tensor) -> Tensor:
    """Between a rise and the next change of the same row, which is a fall, there is one maximum, flat or not."""
    changes = values.diff(dim=1)
    row, column = changes.nonzero(as_tuple=True)
    rising = changes[row, column] > 0
    top = (row[:-1] == row[1:]) & rising[:-1] & ~rising[1:]
    middle = (column[:-1] + 1 + column[1:]) // 2
    maxima = torch.zeros_like(values, dtype=torch.bool)
    maxima[row[:-1][top], middle[top]] = True
    return maxima


def climb(
    f: Callable[[Tensor], Tensor], points: Float[Tensor, "starts 3"], steps: int = 16
) -> Float[Tensor, "starts 3"]:
    r"""Newton's method for maxima on the unit sphere, of a function that depends on the direction alone.

    With the tangential gradient g and Hessian H a step is :math:`|H|^{-1} g`: Newton's near a maximum, upward
    everywhere. It is shortened until it does not lead down.

    Args:
        f: maps vectors (starts, 3) to values (starts), each of its own vector.
        points: unit vectors to start from.
        steps: how many; near a maximum the number of digits doubles with each.

    Returns:
        unit vectors, each at a maximum; starts on one hill end at one point.

    Source: Absil, Mahony and Sepulchre, *Optimization Algorithms on Matrix Manifolds* (2008), sections 4.1 and 6.2.
    """
    points = points.detach()
    fractions = points.new_tensor([1.0, 0.25, 0.0625, 0.0])[:, None, None]
    for _ in range(steps if points.numel() else 0):
        value, step = _newton(f, points)
        tried = points + fractions * step
        tried = tried / tried.norm(dim=-1, keepdim=True)
        with torch.no_grad():
            heights = f(tried.flatten(0, 1)).view(len(fractions), -1)
        noise = 8 * torch.finfo(value.dtype).eps * value.abs().max()
        accepted = (heights >= value - noise).to(torch.uint8)
        accepted[-1] = 1
        points = tried.gather(0, accepted.argmax(0)[None, :, None].expand(1, -1, 3))[0]
    return points


def _newton(f: Callable[[Tensor], Tensor], points: Tensor) -> tuple[Tensor, Tensor]:
    """Values and steps; a step is at most a fifth of a radian."""
    with torch.inference_mode(False), torch.enable_grad():
        x = points.clone().requires_grad_()
        value = f(x)
        (gradient,) = torch.autograd.grad(value.sum(), x, create_graph=True)
        hessian = torch.stack(
            [torch.autograd.grad(g.sum(), x, retain_graph=True)[0] for g in gradient.unbind(-1)], dim=-2
        )
    gradient = gradient.detach()
    normal = points[:, :, None] * points[:, None, :]
    tangent = torch.eye(3, dtype=points.dtype, device=points.device) - normal
    curvature, directions = torch.linalg.eigh(tangent @ hessian @ tangent)
    slope = (directions.mT @ gradient[..., None]).squeeze(-1)
    smallest = torch.maximum(5 * slope.abs(), 1e-6 * curvature.abs().amax(-1, keepdim=True)).clamp(
        min=torch.finfo(points.dtype).tiny
    )
    return value.detach(), (directions @ (slope / torch.maximum(curvature.abs(), smallest))[..., None]).squeeze(-1)
