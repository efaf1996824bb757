r"""A linear layer by the products of a BLAS, for samples that are too many for :mod:`intertwine.kernels.linear.cpu`.

A block in ``mul_ir`` is no matrix to a BLAS, since its channels lie ``2l+1`` numbers apart: it is copied before a
product and after it. Here that is done for some hundred samples at a time, so that the copies stay in the processor's
cache, and results are written where they belong. Autograd can't do that: this is code below it.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from intertwine.kernels.linear.plan import Block, Mixing, unfolded

#: Numbers of input or output that a thread handles at once; measured on 296 and 1,152 numbers a sample.
CACHED_NUMBERS = 300_000


def _pieces(x: Tensor, plan: Mixing) -> Sequence[slice | None]:
    """All samples (None), or some at a time; a sum over pieces would cost half precision digits that one product does
    not.
    """
    samples, step = x.shape[0], max(16, CACHED_NUMBERS * torch.get_num_threads() // max(plan.dim_in, plan.dim_out))
    if samples <= step or x.element_size() < 4:
        return [None]
    return [slice(start, start + step) for start in range(0, samples, step)]


def _gathered(x: Tensor, blocks: Sequence[Block], layout: str) -> Tensor:
    """Blocks side by side: (component, z, channels)."""
    return blocks[0].of(x, layout) if len(blocks) == 1 else torch.cat([block.of(x, layout) for block in blocks], -1)


def _flat(x: Tensor) -> Tensor:
    """(component, z, channels) as a matrix."""
    return x.reshape(-1, x.shape[2])


def _multiply(rows: Tensor, matrix: Tensor, targets: Sequence[Tensor], whole: bool) -> None:
    """The product of rows (component, z, channels), flat or not, with a matrix, into the blocks of the result, or added
    to them.
    """
    dim, z = targets[0].shape[:2]
    if whole and dim == 1 and len(targets) == 1:
        torch.mm(_flat(rows) if rows.ndim == 3 else rows, matrix, out=targets[0][0])
        return
    if rows.ndim == 3 and rows.stride(2) == 1:  # ir_mul: a matrix for each component as it lies
        many = matrix.expand(dim, *matrix.shape)
        if whole and len(targets) == 1:
            torch.bmm(rows, many, out=targets[0])
            return
        product = torch.bmm(rows, many)
    else:
        product = torch.mm(_flat(rows) if rows.ndim == 3 else rows, matrix).view(dim, z, matrix.shape[1])
    parts = product.split([target.shape[2] for target in targets], 2) if len(targets) > 1 else (product,)
    for target, part in zip(targets, parts):
        if whole:
            target.copy_(part)
        else:
            target.add_(part)


def forward(
    plan: Mixing, x: Float[Tensor, "z dim_in"], weight: Float[Tensor, " weights"]
) -> Float[Tensor, "z dim_out"]:
    """F(x, W)."""
    whole = plan.whole[1]
    result = x.new_empty(x.shape[0], plan.dim_out) if whole else x.new_zeros(x.shape[0], plan.dim_out)
    matrices = plan.matrices(weight)
    for piece in _pieces(x, plan):
        here, there = (x, result) if piece is None else (x[piece], result[piece])
        for lane, matrix in zip(plan.lanes, matrices):
            targets = [block.of(there, plan.layout) for block in lane.outputs]
            _multiply(_gathered(here, lane.inputs, plan.layout), matrix, targets, whole)
    return result


def backward(
    plan: Mixing,
    x: Float[Tensor, "z dim_in"],
    g: Float[Tensor, "z dim_out"],
    weight: Float[Tensor, " weights"],
    needs: Sequence[bool],
) -> tuple[Float[Tensor, "z dim_in"] | None, Float[Tensor, " weights"] | None]:
    """B(x, g, W), as needed."""
    whole = plan.whole[0]
    for_x = (x.new_empty(x.shape) if whole else x.new_zeros(x.shape)) if needs[0] else None
    matrices = [matrix.t() for matrix in plan.matrices(weight)] if needs[0] else []
    sums: list[Tensor] = []
    for piece in _pieces(x, plan):
        here, above, below = (
            (x, g, for_x) if piece is None else (x[piece], g[piece], None if for_x is None else for_x[piece])
        )
        for number, lane in enumerate(plan.lanes):
            rows = _gathered(above, lane.outputs, plan.layout)
            apart = plan.layout == "ir_mul" and len(rows) > 1  # a product for each component, without a copy
            rows = rows if apart else _flat(rows)
            if below is not None:
                targets = [block.of(below, plan.layout) for block in lane.inputs]
                _multiply(rows, matrices[number], targets, whole)
            if needs[1]:
                left = _gathered(here, lane.inputs, plan.layout)
                left = left.transpose(1, 2) if apart else _flat(left).t()
                if len(sums) == number:
                    sums.append(torch.bmm(left, rows).sum(0) if apart else torch.mm(left, rows))
                elif apart:
                    sums[number].addbmm_(left, rows)
                else:
                    sums[number].addmm_(left, rows)
    for_weight = x.new_empty(plan.weights) if needs[1] else None
    if for_weight is not None:
        for route, lane, matrix in zip(plan.routes, plan.lanes, sums):
            route.spread(unfolded(matrix, lane.fold), for_weight, plan.common)
        if plan.common is not None:
            for_weight.mul_(plan.common)
    return for_x, for_weight
