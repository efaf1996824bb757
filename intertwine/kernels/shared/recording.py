"""Derivatives of torch's operators, also where ``torch.func`` differentiates what is being compiled or exported.

``torch.library.register_autograd`` refuses the transforms of ``torch.func``: its Function has none of what they ask of
one. But an operator is asked for one level of derivatives at a time, as torch's own are: the Function notes one step,
and the operator is called below it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch._C._functorch import get_single_level_autograd_function_allowed, set_single_level_autograd_function_allowed
from torch.library import Library


def register_derivative(
    library: Library,
    name: str,
    derivative: Callable[..., Any],
    setup: Callable[..., None],
    listed: bool = False,
) -> None:
    """Tell autograd what an operator's derivative is; arguments are as in ``torch.library.register_autograd``.

    Args:
        library: with which the operator was defined, in the namespace ``intertwine``.
        name: of the operator.
        derivative: of the context and the cotangents of the results; gives those of the arguments.
        setup: keeps what is needed in the context, from the context, the arguments and the result.
        listed: whether the first argument and the result are lists of tensors, whose items then come first in both
            functions.
    """
    operator = getattr(torch.ops.intertwine, name).default

    def call(keys: Any, arguments: Sequence[Any]) -> Any:
        below = keys & torch._C._after_autograd_keyset
        with torch._C._AutoDispatchBelowAutograd():
            return operator.redispatch(below, *arguments)

    def forward(ctx: Any, keys: Any, count: int, *flat: Any) -> Any:
        # a Function's forward is without; but the levels below this one may have a derivative to note as well
        with torch.enable_grad():
            output = call(keys, (list(flat[:count]), *flat[count:]) if listed else flat)
        output = tuple(output) if listed else output
        setup(ctx, flat, output)
        return output

    def backward(ctx: Any, *cotangents: Tensor | None) -> Any:
        slopes = derivative(_Shifted(ctx), *cotangents)
        return None, None, *(slopes if isinstance(slopes, tuple) else (slopes,))

    function = type(
        f"Recorded_{name}",
        (torch.autograd.Function,),
        {"forward": staticmethod(forward), "backward": staticmethod(backward)},
    )

    def autograd(keys: Any, *arguments: Any) -> Any:
        count = len(arguments[0]) if listed else 0
        flat = (*arguments[0], *arguments[1:]) if listed else arguments
        if not (
            torch.is_grad_enabled() and any(isinstance(tensor, Tensor) and tensor.requires_grad for tensor in flat)
        ):
            return call(keys, arguments)
        allowed = get_single_level_autograd_function_allowed()
        set_single_level_autograd_function_allowed(True)
        # not Function.apply, which would pass the step on to all levels of torch.func: the operator's dispatcher has
        # done that
        try:
            output = super(torch.autograd.Function, function).apply(keys, count, *flat)  # type: ignore[misc]
        finally:
            set_single_level_autograd_function_allowed(allowed)
        return list(output) if listed else output

    library.impl(name, autograd, "Autograd", with_keyset=True)


class _Shifted:
    """A context as the derivative knows it: without the two arguments that :func:`register_derivative` puts before its
    own.
    """

    def __init__(self, ctx: Any) -> None:
        self.ctx = ctx

    @property
    def needs_input_grad(self) -> tuple[bool, ...]:
        return self.ctx.needs_input_grad[2:]

    @property
    def next_functions(self) -> Any:
        return self.ctx.next_functions

    def __getattr__(self, name: str) -> Any:
        return getattr(self.ctx, name)
