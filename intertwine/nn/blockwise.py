"""A multilayer perceptron on many rows, block by block, that keeps nothing but its input for the way back."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor
from torch.autograd import Function

from intertwine.nn.mlp import MLP
from intertwine.numerics import safe

ROWS = 2048  # of a block: with 32 units a layer is 256 KiB, which stays in the cache
LEAST = 40_000  # rows from which on making hidden layers twice costs no more than fetching them from memory


def blockwise(network: MLP, x: Float[Tensor, "*batch inputs"]) -> Float[Tensor, "*batch outputs"]:
    """``network(x)``, for few units and many rows: hidden layers are made for a block of rows at a time, and made again
    for the gradient.

    Memory beyond input and output is that of a block, and hidden layers never leave the cache. Where the gradient is to
    be differentiated once more (forces in training), and where operations are recorded, it is the network as it is.
    On other devices than a processor too: there, launching blocks costs more than it saves.

    Args:
        network: with the activation SiLU.
        x: (..., inputs).
    """
    if not safe.inspectable(x) or safe.autocasting(x) or network.activation is not F.silu:
        return network(x)
    rows = x.shape[:-1].numel()
    if rows < LEAST:
        return network(x)
    parameters = [p for layer in network.layers for p in (layer.weight, layer.bias)]
    y: Tensor = _Blockwise.apply(network.last, x.reshape(rows, -1), *parameters)  # type: ignore[no-untyped-call]
    return y.view(*x.shape[:-1], y.shape[1])


def _run(x: Tensor, parameters: tuple[Tensor, ...], last: bool) -> tuple[list[Tensor], Tensor]:
    """The inputs of all activations, and the output."""
    before: list[Tensor] = []
    for k in range(0, len(parameters), 2):
        x = torch.addmm(parameters[k + 1], x, parameters[k].T)
        if last or k + 2 < len(parameters):
            before.append(x)
            x = F.silu(x)
    return before, x


class _Blockwise(Function):
    @staticmethod
    def forward(ctx: Any, last: bool, x: Tensor, *parameters: Tensor) -> Tensor:
        ctx.last = last
        ctx.save_for_backward(x, *parameters)
        y = x.new_empty(len(x), len(parameters[-1]))
        for k in range(0, len(x), ROWS):
            y[k : k + ROWS] = _run(x[k : k + ROWS], parameters, last)[1]
        return y

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        x, *parameters = ctx.saved_tensors
        wanted = ctx.needs_input_grad[1:]
        if torch.is_grad_enabled():  # a derivative of this gradient is wanted: operations that autograd records
            inputs = [x, *parameters]
            y = _run(x, tuple(parameters), ctx.last)[1]
            asked = [k for k, want in enumerate(wanted) if want]
            made = torch.autograd.grad(y, [inputs[k] for k in asked], g, create_graph=True)
            results: list[Tensor | None] = [None] * len(inputs)
            for k, value in zip(asked, made, strict=True):
                results[k] = value
            return None, *results
        g = g.contiguous()
        gx = torch.empty_like(x) if wanted[0] else None
        totals = [torch.zeros_like(p) for p in parameters]
        for k in range(0, len(x), ROWS):
            part = _gradient(x[k : k + ROWS], g[k : k + ROWS], parameters, ctx.last, totals, wanted[0])
            if gx is not None and part is not None:
                gx[k : k + ROWS] = part
        return None, gx, *totals


def _gradient(
    x: Tensor, g: Tensor, parameters: list[Tensor], last: bool, totals: list[Tensor], wanted: bool
) -> Tensor | None:
    """Adds a block's gradients of the parameters to ``totals``; returns that of its rows, if wanted."""
    before, _ = _run(x, tuple(parameters), last)
    for k in reversed(range(len(parameters) // 2)):
        if k < len(before):
            g = torch.ops.aten.silu_backward(g, before[k])
        below = x if k == 0 else F.silu(before[k - 1])
        totals[2 * k].addmm_(g.T, below)
        totals[2 * k + 1] += g.sum(0)
        if k or wanted:
            g = g @ parameters[2 * k]
    return g if wanted else None
