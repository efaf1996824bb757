r"""Functions of few numbers, computed in NumPy with derivatives that are written by hand.

Of some hundred numbers an operation of torch and of its autograd takes microseconds whatever it computes; NumPy takes a
fraction of that. What is computed so has its first derivatives in NumPy too. Derivatives of derivatives, and those of
many cotangents at once, are those of the same equations in torch.
"""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from intertwine.numerics import safe

#: Rows up to which it is worth it; of more of them torch takes several cores.
FEW_ROWS = 10_000


@runtime_checkable
class ByHand(Protocol):
    """A function of some inputs that were read already, as it stands at them."""

    def values(self) -> tuple[np.ndarray, ...]:
        """The outputs."""
        ...

    def derivatives(self, *cotangents: np.ndarray) -> tuple[np.ndarray | None, ...]:
        """By each input, of the sum of outputs times ``cotangents``; None for an input that is a constant."""
        ...

    def formulas(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """The outputs in torch, through which it differentiates."""
        ...


def readable(*inputs: Tensor) -> bool:
    """Whether NumPy may take the numbers of all of them: :func:`intertwine.numerics.safe.readable`."""
    return all(safe.readable(x) for x in inputs)


def computed(function: ByHand, *inputs: Tensor) -> tuple[Tensor, ...]:
    """The outputs of a function at its inputs, with derivatives of every order.

    Args:
        function: what is computed, at these inputs.
        inputs: tensors that are :func:`readable`.
    """
    if torch.is_grad_enabled() and any(x.requires_grad for x in inputs):
        outputs: tuple[Tensor, ...] = _ByHand.apply(function, *inputs)
        return outputs
    return tuple(map(torch.from_numpy, function.values()))


class _ByHand(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, function: ByHand, *inputs: Tensor) -> tuple[Tensor, ...]:
        ctx.function = function
        ctx.save_for_backward(*inputs)
        return tuple(map(torch.from_numpy, function.values()))

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor) -> tuple[Tensor | None, ...]:
        recorded = torch.is_grad_enabled()
        if not recorded and readable(*cotangents):
            by_inputs = ctx.function.derivatives(*(y.detach().numpy() for y in cotangents))
            return None, *(None if y is None else torch.from_numpy(y) for y in by_inputs)
        inputs, needed = ctx.saved_tensors, ctx.needs_input_grad[1:]
        if not recorded:
            inputs = [x.detach().requires_grad_(need) for x, need in zip(inputs, needed, strict=True)]
        with torch.enable_grad():
            outputs = ctx.function.formulas(*inputs)
            differentiable = [(y, of_y) for y, of_y in zip(outputs, cotangents, strict=True) if y.requires_grad]
            by_needed = torch.autograd.grad(
                [y for y, _ in differentiable],
                [x for x, need in zip(inputs, needed, strict=True) if need],
                [of_y for _, of_y in differentiable],
                create_graph=recorded,
                allow_unused=True,
            )
        rest = iter(by_needed)
        return None, *(next(rest) if need else None for need in needed)
