r"""Channels of equal irreps mixed by matrices, :math:`z_{w i} = \sum_u x_{u i} W_{u w}`: the eager path of a linear
layer on the CPU.

A block in ``mul_ir`` is no matrix to a BLAS, since its channels lie ``2l+1`` numbers apart: it is copied before a
product and after it. Here that is done for some hundred samples at a time, so that the copies stay in the processor's
cache, and results are written where they belong. Few samples take one call of a compiled kernel
(:mod:`intertwine.kernels.linear.kernel`). Autograd can't do that, so the derivatives are written out: two functions
that are closed under differentiation,

.. math::
    F(x, W) = x W, \qquad B(x, g, W) = (g W^T,\; x^T g), \qquad
    dF \to B(x, g, W), \qquad dB \to \big(B(a, g, V)_x,\; F(a, W) + F(x, V),\; B(a, g, V)_W\big)

for a cotangent g of F, and cotangents (a, V) of B; dB is for its arguments x, g, W.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd import Function

from intertwine.kernels.linear.kernel import FEW_NUMBERS, FEW_SUMMED_NUMBERS, small_mixing
from intertwine.kernels.linear.plan import Block, Mixing, Route, unfolded
from intertwine.kernels.shared import doors
from intertwine.numerics import needed_now, safe

#: Numbers of input or output that a thread handles at once; measured on 296 and 1,152 numbers a sample.
CACHED_NUMBERS = 300_000

_PLAIN = (Tensor, nn.Parameter)


def applicable(*tensors: Tensor) -> bool:
    """Whether this path may be taken: plain real tensors on the CPU, not compiled, traced, vectorised, cast or
    differentiated forwards.
    """
    if torch.compiler.is_compiling() or torch.jit.is_tracing() or torch.is_autocast_enabled("cpu"):
        return False
    dtype, wrapped = tensors[0].dtype, torch._C._functorch
    if not dtype.is_floating_point or torch.autograd.forward_ad._current_level >= 0:
        return False
    for x in tensors:
        if type(x) not in _PLAIN or x.dtype is not dtype or not x.is_cpu:
            return False
        if wrapped.is_functorch_wrapped_tensor(x) or wrapped.is_legacy_batchedtensor(x):
            return False
    return True


def mix(
    x: Float[Tensor, "z dim_in"],
    weight: Float[Tensor, " weights"],
    plan: Mixing,
    bias: Float[Tensor, " biases"] | None = None,
) -> Float[Tensor, "z dim_out"]:
    """F: outputs (z, dim_out) of features (z, dim_in), for tensors that are :func:`applicable`."""
    if torch.is_grad_enabled() and (
        x.requires_grad or weight.requires_grad or (bias is not None and bias.requires_grad)
    ):
        return _Mix.apply(x, weight, bias, plan)  # type: ignore[no-any-return]
    return _mixed(x, weight, bias, plan)


def _forward(x: Tensor, weight: Tensor, plan: Mixing) -> Tensor:
    """F within a derivative, where ``torch.func`` may have come in."""
    return mix(x, weight, plan) if applicable(x, weight) else _plain(x, weight, plan, transposed=False)


def backward(
    x: Float[Tensor, "z dim_in"],
    g: Float[Tensor, "z dim_out"],
    weight: Float[Tensor, " weights"],
    plan: Mixing,
    needs: Sequence[bool],
) -> tuple[Float[Tensor, "z dim_in"] | None, Float[Tensor, " weights"] | None]:
    """B: gradients of features (z, dim_in) and weights (weights) from cotangents g (z, dim_out), as needed."""
    if not applicable(x, g, weight):
        _agree(plan, x, g, weight)
        return _plain(g, weight, plan, transposed=True) if needs[0] else None, _plain_contracted(x, g, plan) if needs[
            1
        ] else None
    if torch.is_grad_enabled():
        return _Back.apply(x, g, weight, plan, needs)  # type: ignore[no-any-return]
    return _backward(x, g, weight, plan, needs)


class _Mix(Function):
    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, plan: Mixing
    ) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.plan = plan
        return _mixed(x, weight, bias, plan)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        x, weight = ctx.saved_tensors
        used = needed_now(ctx)
        for_x, for_weight = backward(x, g, weight, ctx.plan, used[:2])
        for_bias = (
            torch.cat([g.narrow(1, block.start, block.mul).sum(0) for block, _ in ctx.plan.biases]) if used[2] else None
        )
        return for_x, for_weight, for_bias, None


class _Back(Function):
    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any, x: Tensor, g: Tensor, weight: Tensor, plan: Mixing, needs: Sequence[bool]
    ) -> Any:
        ctx.save_for_backward(x, g, weight)
        ctx.plan = plan
        ctx.set_materialize_grads(False)
        return _backward(x, g, weight, plan, needs)

    @staticmethod
    def backward(ctx: Any, a: Tensor | None, v: Tensor | None) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        (x, g, weight), plan, needed = ctx.saved_tensors, ctx.plan, needed_now(ctx)
        _agree(plan, x, g, weight)
        used = (needed[0] and v is not None, needed[2] and a is not None)
        for_x, for_weight = None, None
        if any(used):
            for_x, for_weight = backward(x if a is None else a, g, weight if v is None else v, plan, used)
        for_g = _forward(a, weight, plan) if needed[1] and a is not None else None
        if needed[1] and v is not None:
            from_v = _forward(x, v, plan)
            for_g = from_v if for_g is None else for_g + from_v
        return for_x, for_g, for_weight, None, None


def _agree(plan: Mixing, *tensors: Tensor) -> None:
    """Features, cotangents and weights of a derivative, if they are ordinary: what was saved may have changed since.

    Raises:
        InputError: they do not fit the plan, or one another.
    """
    if all(map(safe.plain, tensors)) and not safe.autocasting(tensors[0]):
        _require(plan, *tensors)


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


def _mixed(x: Tensor, weight: Tensor, bias: Tensor | None, plan: Mixing) -> Tensor:
    x, weight, whole = x.detach(), weight.detach(), plan.whole[1]
    if (kernel := small_mixing(plan, x, FEW_NUMBERS)) is not None:
        result = kernel.forward(x, weight)
        _add_biases(result, bias, plan)
        return result
    _require(plan, x, None, weight)
    result = x.new_empty(x.shape[0], plan.dim_out) if whole else x.new_zeros(x.shape[0], plan.dim_out)
    matrices = plan.matrices(weight)
    for piece in _pieces(x, plan):
        here, there = (x, result) if piece is None else (x[piece], result[piece])
        for lane, matrix in zip(plan.lanes, matrices):
            targets = [block.of(there, plan.layout) for block in lane.outputs]
            _multiply(_gathered(here, lane.inputs, plan.layout), matrix, targets, whole)
        _add_biases(there, bias, plan)
    return result


def _require(plan: Mixing, x: Tensor, g: Tensor | None, weight: Tensor) -> None:
    """Blocks are cut out of features, cotangents and weights by their strides: those must be of the plan.

    Raises:
        InputError: they are not.
    """
    samples = doors.rows(x, "features", plan.dim_in)
    doors.require(x, "features", (samples, plan.dim_in), x.dtype, x.device)
    if g is not None:
        doors.require(g, "cotangents", (samples, plan.dim_out), x.dtype, x.device)
    doors.require(weight, "weight", (plan.weights,), x.dtype, x.device)


def _add_biases(rows: Tensor, bias: Tensor | None, plan: Mixing) -> None:
    if bias is not None:
        doors.require(bias, "bias", (sum(block.mul for block, _ in plan.biases),), rows.dtype, rows.device)
        for block, start in plan.biases:
            rows.narrow(1, block.start, block.mul).add_(bias.detach()[start : start + block.mul])


def _backward(
    x: Tensor, g: Tensor, weight: Tensor, plan: Mixing, needs: Sequence[bool]
) -> tuple[Tensor | None, Tensor | None]:
    x, g, weight, whole = x.detach(), g.detach(), weight.detach(), plan.whole[0]
    if (kernel := small_mixing(plan, x, FEW_SUMMED_NUMBERS if needs[1] else FEW_NUMBERS)) is not None:
        if needs[0] and len(x) != len(g):
            raise doors.refusal(g, "cotangents", (len(x), plan.dim_out), x.dtype, x.device)
        return kernel.for_x(g, weight) if needs[0] else None, kernel.for_weight(x, g) if needs[1] else None
    _require(plan, x, g, weight)
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


def _plain_blocks(x: Tensor, blocks: Sequence[Block], layout: str) -> Tensor:
    """:func:`_gathered` in operations that ``vmap`` knows."""
    results = []
    for block in blocks:
        part = x.narrow(1, block.start, block.mul * block.dim)
        if layout == "mul_ir":
            results.append(part.reshape(x.shape[0], block.mul, block.dim).permute(2, 0, 1))
        else:
            results.append(part.reshape(x.shape[0], block.dim, block.mul).transpose(0, 1))
    return torch.cat(results, -1)


def _plain_matrix(weight: Tensor, route: Route) -> Tensor:
    rows = []
    for a, starts, factors in zip(route.inputs, route.starts, route.factors):
        parts = [
            weight.narrow(0, start, a.mul * b.mul).view(a.mul, b.mul) * f
            for b, start, f in zip(route.outputs, starts, factors)
        ]
        rows.append(torch.cat(parts, 1))
    return torch.cat(rows, 0)


def _plain(x: Tensor, weight: Tensor, plan: Mixing, transposed: bool) -> Tensor:
    """F, or the first of B, in operations that autograd and ``vmap`` know."""
    outputs: dict[int, Tensor] = {}
    for route in plan.routes:
        sides = (route.outputs, route.inputs) if transposed else (route.inputs, route.outputs)
        matrix = _plain_matrix(weight, route)
        product = _plain_blocks(x, sides[0], plan.layout) @ (matrix.t() if transposed else matrix)
        for block, part in zip(sides[1], product.split([block.mul for block in sides[1]], -1)):
            turned = part.permute(1, 2, 0) if plan.layout == "mul_ir" else part.transpose(0, 1)
            flat = turned.reshape(x.shape[0], block.mul * block.dim)
            outputs[block.start] = outputs[block.start] + flat if block.start in outputs else flat
    pieces, position = [], 0
    for start in sorted(outputs):
        pieces += [x.new_zeros(x.shape[0], start - position), outputs[start]]
        position = start + outputs[start].shape[1]
    size = plan.dim_in if transposed else plan.dim_out
    return torch.cat([*pieces, x.new_zeros(x.shape[0], size - position)], 1)


def _plain_contracted(x: Tensor, g: Tensor, plan: Mixing) -> Tensor:
    """The second of B likewise."""
    outputs: dict[int, Tensor] = {}
    for route in plan.routes:
        for a, starts, factors in zip(route.inputs, route.starts, route.factors):
            for b, start, factor in zip(route.outputs, starts, factors):
                left, right = _plain_blocks(x, (a,), plan.layout), _plain_blocks(g, (b,), plan.layout)
                outputs[start] = (left.transpose(1, 2) @ right).sum(0).reshape(a.mul * b.mul) * factor
    return torch.cat([outputs[start] for start in sorted(outputs)])
