"""Derivatives of a function as part of a program: by autograd where it runs, by ``torch.func`` where it is compiled or
exported.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


def value_and_gradients(
    function: Callable[..., Tensor], inputs: Sequence[Tensor], create_graph: bool
) -> tuple[Tensor, tuple[Tensor, ...]]:
    r""":math:`y = f(x_1, x_2, \dots)` and :math:`\partial (\sum_k y_k) / \partial x_n`, also under ``torch.no_grad``.

    Args:
        function: f, of tensors.
        inputs: x, constants for whatever is differentiated later.
        create_graph: whether the gradients are differentiable in what else f depends on; if not, neither need y be.

    Returns:
        y, and a gradient for each input: zeros where y does not depend on it.
    """
    if torch.compiler.is_dynamo_compiling():  # a compiler has no engine that it could ask; it differentiates by itself
        every = tuple(range(len(inputs)))
        gradients, y = torch.func.grad(lambda *x: _summed(function(*x)), argnums=every, has_aux=True)(*inputs)
        return y, gradients
    with torch.enable_grad():
        leaves = [x.detach().requires_grad_(True) for x in inputs]
        y = function(*leaves)
        return y, torch.autograd.grad(y.sum(), leaves, create_graph=create_graph, materialize_grads=True)


def _summed(y: Tensor) -> tuple[Tensor, Tensor]:
    return y.sum(), y
