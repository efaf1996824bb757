r"""A linear layer in plain torch, in operations that autograd and ``vmap`` know, and the words of the definition:

.. math:: F(x, W) = x W, \qquad B(x, g, W) = (g W^T,\; x^T g)

for each path of a :class:`~intertwine.kernels.linear.plan.Mixing`, times its factor.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from intertwine.kernels.linear.plan import Block, Mixing, Route


def forward(
    plan: Mixing, x: Float[Tensor, "z dim_in"], weight: Float[Tensor, " weights"], bias: Tensor | None = None
) -> Float[Tensor, "z dim_out"]:
    """F, plus the biases."""
    y = _product(plan, x, weight, transposed=False)
    if bias is None:
        return y
    biases = bias.split([block.mul for block, _ in plan.biases])
    return y + _joined(
        {block.start: part.expand(len(x), -1) for (block, _), part in zip(plan.biases, biases)}, torch.zeros_like(y)
    )


def backward(
    plan: Mixing,
    needs: Sequence[bool],
    x: Float[Tensor, "z dim_in"],
    g: Float[Tensor, "z dim_out"],
    weight: Float[Tensor, " weights"],
) -> tuple[Float[Tensor, "z dim_in"] | None, Float[Tensor, " weights"] | None]:
    """B, as needed."""
    for_x = _product(plan, g, weight, transposed=True) if needs[0] else None
    return for_x, _contracted(plan, x, g) if needs[1] else None


def _contracted(plan: Mixing, x: Tensor, g: Tensor) -> Tensor:
    """x^T g of every path."""
    sums = {
        start: (_rows(x, (a,), plan.layout).transpose(1, 2) @ _rows(g, (b,), plan.layout)).sum(0).flatten() * factor
        for (a, b, start), factor in zip(plan.paths, plan.factors)
    }
    return torch.cat([sums[start] for start in sorted(sums)])


def _product(plan: Mixing, x: Tensor, weight: Tensor, transposed: bool) -> Tensor:
    outputs: dict[int, Tensor] = {}
    for route in plan.routes:
        sides = (route.outputs, route.inputs) if transposed else (route.inputs, route.outputs)
        matrix = _matrix(weight, route)
        product = _rows(x, sides[0], plan.layout) @ (matrix.t() if transposed else matrix)
        for block, part in zip(sides[1], product.split([block.mul for block in sides[1]], -1)):
            turned = part.permute(1, 2, 0) if plan.layout == "mul_ir" else part.transpose(0, 1)
            flat = turned.reshape(x.shape[0], block.mul * block.dim)
            outputs[block.start] = outputs[block.start] + flat if block.start in outputs else flat
    return _joined(outputs, x.new_zeros(x.shape[0], plan.dim_in if transposed else plan.dim_out))


def _matrix(weight: Tensor, route: Route) -> Tensor:
    """All weights of a route, factors included, (channels in, channels out)."""
    rows = []
    for a, starts, factors in zip(route.inputs, route.starts, route.factors):
        parts = zip(route.outputs, starts, factors)
        rows.append(torch.cat([weight.narrow(0, at, a.mul * b.mul).view(a.mul, b.mul) * f for b, at, f in parts], 1))
    return torch.cat(rows, 0)


def _rows(x: Tensor, blocks: Sequence[Block], layout: str) -> Tensor:
    """Blocks side by side: (component, z, channels)."""
    results = []
    for block in blocks:
        part = x.narrow(1, block.start, block.mul * block.dim)
        if layout == "mul_ir":
            results.append(part.reshape(x.shape[0], block.mul, block.dim).permute(2, 0, 1))
        else:
            results.append(part.reshape(x.shape[0], block.dim, block.mul).transpose(0, 1))
    return torch.cat(results, -1)


def _joined(pieces: dict[int, Tensor], zeros: Tensor) -> Tensor:
    """Rows of zeros with pieces in their place, by where they start."""
    columns, position = [], 0
    for start in sorted(pieces):
        columns += [zeros[:, position:start], pieces[start]]
        position = start + pieces[start].shape[1]
    return torch.cat([*columns, zeros[:, position:]], 1)
