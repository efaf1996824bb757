"""Solid harmonics in plain torch: any device and precision, differentiable to every order, and what compiled kernels
are compared with.

The recursion is over Q itself, degree by degree, with all orders of a degree at once: other steps than those of
:mod:`intertwine.kernels.harmonics.plan`, and derivatives come from autograd.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from intertwine.kernels.harmonics.plan import Solid
from intertwine.numerics import safe


def values(x: Float[Tensor, "n 3"], solid: Solid) -> Float[Tensor, "n dim"]:
    """Y(x), in differentiable operations.

    Args:
        x: points, in any unit of length.
        solid: what to evaluate.
    """
    point = safe.normalize(x) if solid.normalize else x
    first, y, third = point.unbind(-1)
    square = (point * point).sum(-1, keepdim=True)
    one, y = torch.ones_like(square), y[:, None]
    c, s = [one], [torch.zeros_like(one)]
    for _ in range(solid.largest):  # (z + i x)^m
        c, s = (
            [*c, third[:, None] * c[-1] - first[:, None] * s[-1]],
            [*s, third[:, None] * s[-1] + first[:, None] * c[-1]],
        )
    polar = [one]  # Q_lm, m = 0 ... l
    for l in range(1, solid.largest + 1):
        body = y * polar[-1]
        if l > 1:
            before = torch.nn.functional.pad(polar[-2], (0, 1))
            body = body - (l - 1) / (2 * l - 1) * square * before
        factors = [l * (2 * l - 1) / (l * l - m * m) for m in range(l)]
        polar.append(torch.cat([body * body.new_tensor(factors), one * 2.0**-l], 1))
    blocks = [x[:, :0]]
    for l in solid.degrees:
        scaled = polar[l] * x.new_tensor([solid.scale(l, m) for m in range(l + 1)])
        right, left = scaled * torch.cat(c[: l + 1], 1), scaled[:, 1:] * torch.cat([x[:, :0], *s[1 : l + 1]], 1)
        blocks += [left.flip(1), right]
    return torch.cat(blocks, 1)


def gradient(x: Float[Tensor, "n 3"], g: Float[Tensor, "n dim"], solid: Solid) -> Float[Tensor, "n 3"]:
    """The gradient of the sum of g Y(x), a differentiable function of x and g where they ask for one.

    A derivative with respect to x does not count the ways in which g depends on it: autograd follows those itself.
    """
    if not solid.largest:
        return torch.zeros_like(x)
    keep = torch.is_grad_enabled()
    with torch.enable_grad():
        x, g = _node(x), g.view_as(g)
        (slope,) = torch.autograd.grad(values(x, solid), x, g, create_graph=keep, materialize_grads=True)
    return slope


def second(
    x: Float[Tensor, "n 3"], g: Float[Tensor, "n dim"], v: Float[Tensor, "n 3"], solid: Solid
) -> tuple[Float[Tensor, "n 3"], Float[Tensor, "n dim"]]:
    """Derivatives with respect to x and g of the inner product of v with :func:`gradient`."""
    if not solid.largest:
        return torch.zeros_like(x), torch.zeros_like(g)
    keep = torch.is_grad_enabled()
    with torch.enable_grad():
        x, g, v = _node(x), _node(g), v.view_as(v)
        dx, dg = torch.autograd.grad(gradient(x, g, solid), (x, g), v, create_graph=keep, materialize_grads=True)
    return dx, dg


def third(
    x: Float[Tensor, "n 3"],
    g: Float[Tensor, "n dim"],
    v: Float[Tensor, "n 3"],
    slopes: tuple[Float[Tensor, "n 3"], Float[Tensor, "n dim"]],
    solid: Solid,
) -> tuple[Float[Tensor, "n 3"], Float[Tensor, "n dim"], Float[Tensor, "n 3"]]:
    """Derivatives with respect to x, g and v of the inner product of ``slopes`` with :func:`second`."""
    if not solid.largest:
        return torch.zeros_like(x), torch.zeros_like(g), torch.zeros_like(v)
    keep = torch.is_grad_enabled()
    with torch.enable_grad():
        inputs = _node(x), _node(g), _node(v)
        # degree 1 has no Hessian
        pairs = [(output, slope) for output, slope in zip(second(*inputs, solid), slopes) if output.requires_grad]
        outputs, cotangents = zip(*pairs)
        dx, dg, dv = torch.autograd.grad(outputs, inputs, cotangents, create_graph=keep, materialize_grads=True)
    return dx, dg, dv


def _node(x: Tensor) -> Tensor:
    """x as a new node of the graph."""
    return x.view_as(x) if x.requires_grad else x.detach().requires_grad_()
