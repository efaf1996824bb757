"""The one way to be an operator of torch: called on plain tensors, differentiated, recorded, batched, pushed forward.

Plain tensors get the function itself, and a node of autograd where somebody may ask for a derivative: torch's general
ways cost 0.2 ms a call, more than a small product. Whoever records, batches or transforms gets the operator of
``torch.library``, whose rules are the same functions. Where there is none, and in a trace, which is a file for others
who have none of our operators, plain torch is called: the definition.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.library import Library

from intertwine.numerics import modes, needed_now

Tensors = Sequence[Any]  # each a Tensor, or None in the place of one that is not there
_library = Library("intertwine", "FRAGMENT")


class Operator:
    """A function of tensors, and what torch has to know of it.

    All rules are told the tensors among the arguments (None for one that is not there), and the ``rest`` of the
    arguments, each in their order.

    Args:
        name: of the operator.
        compute: the function, on any device, outside of autograd.
        derivative: of tensors, rest, which arguments need a gradient, and the cotangents of the results (None for
            zero); gives the gradients of the tensors. None: autograd's of the definition, if tensors come first.
        definition: the function in plain torch, which every transform knows; needed where ``push`` or ``schema`` are
            not given.
        push: the tangents of the results, of tensors, rest, and the tangents of the tensors.
        schema: arguments and results in torch's words; None: there is no operator, others get the definition.
        shapes: of the arguments, empty results of the right shapes.
        batch: of a size, tensors whose first axis is the batch or that have none, and rest: the results, batch first.
        listed: how many arguments follow, if the first one is a list of tensors and so is the result. Rules and callers
            see its items as so many arguments.
    """

    def __init__(
        self,
        name: str,
        compute: Callable[..., Any],
        derivative: Callable[..., Tensors] | None,
        *,
        definition: Callable[..., Any] | None = None,
        push: Callable[..., Any] | None = None,
        schema: str | None = None,
        shapes: Callable[..., Any] | None = None,
        batch: Callable[..., Any] | None = None,
        listed: int = 0,
    ) -> None:
        self.name, self.compute, self.listed = name, compute, listed
        self.derivative = derivative or self._by_autograd
        self.definition, self.pushed = definition, push is not None
        self.packet: Any = None
        self._node = _function(name, 0, lambda *arguments: self._pack(compute, arguments), self, push)
        if schema is None:
            return
        _library.define(f"{name}{schema}", tags=torch.Tag.pt2_compliant_tag)
        _library.impl(name, compute, "CompositeExplicitAutograd")  # where there is no kernel, plain torch does it
        self.packet = getattr(torch.ops.intertwine, name)
        overload = self.packet.default
        step = _function(f"Recorded_{name}", 1, self._below(overload), self, push)

        def autograd(keys: Any, *arguments: Any) -> Any:
            flat = (*arguments[0], *arguments[1:]) if listed else arguments
            if not (_differentiable(flat) or modes.forward_mode()):
                return modes.below_autograd(overload, keys, arguments)
            results = modes.apply_once(step, keys, *flat)
            return list(results) if listed else results

        _library.impl(name, autograd, "Autograd", with_keyset=True)
        torch.library.register_fake(f"intertwine::{name}", shapes, lib=_library)
        torch.library.register_vmap(f"intertwine::{name}", self._vmap(batch), lib=_library)

    def __call__(self, *arguments: Any) -> Any:
        """The results, by the way that suits who is listening."""
        if modes.plain(*[x for x in arguments if isinstance(x, Tensor)]):
            return self.here(*arguments)
        if self.definition is not None and (
            self.packet is None or torch.jit.is_tracing() or (modes.forward_mode() and not self.pushed)
        ):
            return self.definition(*arguments)
        return self._pack(self.packet, arguments)

    def here(self, *arguments: Any) -> Any:
        """The results for plain tensors."""
        return self._node.apply(*arguments) if _differentiable(arguments) else self._pack(self.compute, arguments)

    def _by_autograd(self, tensors: Tensors, rest: Sequence[Any], _: Any, cotangents: Tensors) -> Tensors:
        """The derivative of the definition, differentiable in turn."""
        assert self.definition is not None
        keep = torch.is_grad_enabled()
        with torch.enable_grad():
            inputs = [x.view_as(x) if x.requires_grad else modes.leaf(x) for x in tensors]
            pairs = zip(self.definition(*inputs, *rest), cotangents)
            known = [(y, slope) for y, slope in pairs if y.requires_grad and slope is not None]
            if not known:
                return [None] * len(inputs)
            results, slopes = zip(*known)
            return torch.autograd.grad(results, inputs, slopes, create_graph=keep, materialize_grads=True)

    def _pack(self, function: Callable[..., Any], arguments: Sequence[Any]) -> Any:
        """A function of torch's arguments called with ours."""
        if not self.listed:
            return function(*arguments)
        return tuple(function(list(arguments[: -self.listed]), *arguments[-self.listed :]))

    def _below(self, overload: Any) -> Callable[..., Any]:
        def call(keys: Any, *arguments: Any) -> Any:
            with modes.noting():
                return self._pack(lambda *packed: modes.below_autograd(overload, keys, packed), arguments)

        return call

    def _vmap(self, batch: Callable[..., Any] | None) -> Callable[..., Any]:
        def rule(info: Any, dims: Sequence[Any], *arguments: Any) -> Any:
            assert batch is not None
            if self.listed:
                dims, arguments = (*dims[0], *dims[1:]), (*arguments[0], *arguments[1:])
            moved = [
                x.movedim(dim, 0)
                if dim is not None
                else x.expand(info.batch_size, *x.shape)
                if isinstance(x, Tensor)
                else x
                for x, dim in zip(arguments, dims)
            ]
            results = batch(info.batch_size, *_split(moved))
            if self.listed:
                return list(results), [0] * len(results)
            return (results, (0,) * len(results)) if isinstance(results, tuple) else (results, 0)

        return rule


def _differentiable(arguments: Sequence[Any]) -> bool:
    """Whether somebody may ask for a derivative."""
    if torch.is_grad_enabled():
        for x in arguments:
            if isinstance(x, Tensor) and x.requires_grad:
                return True
    return False


def _split(arguments: Sequence[Any]) -> tuple[list[Tensor | None], list[Any]]:
    """The tensors among arguments, or None in their place, and the rest."""
    tensors: list[Any] = []
    rest: list[Any] = []
    for x in arguments:
        (tensors if x is None or isinstance(x, Tensor) else rest).append(x)
    return tensors, rest


def _function(
    name: str, before: int, call: Callable[..., Any], operator: Operator, push: Callable[..., Any] | None
) -> type[torch.autograd.Function]:
    """A step of autograd; ``before``: how many arguments come before those of the operator."""

    places: dict[int, list[int]] = {}  # how many arguments -> which of them are tensors

    def forward(ctx: Any, *arguments: Any) -> Any:
        results, count = call(*arguments), len(arguments)
        tensors, ctx.rest = _split(arguments[before:])
        if count not in places:
            places[count] = [k for k, x in enumerate(arguments) if k >= before and (x is None or isinstance(x, Tensor))]
        ctx.places, ctx.count = places[count], count
        ctx.save_for_backward(*tensors)
        if push is not None:
            ctx.save_for_forward(*tensors)
        ctx.set_materialize_grads(False)
        return results

    def backward(ctx: Any, *cotangents: Tensor | None) -> Any:
        needed, slopes = needed_now(ctx), [None] * ctx.count
        wanted = [needed[place] for place in ctx.places]
        for place, slope in zip(ctx.places, operator.derivative(ctx.saved_tensors, ctx.rest, wanted, cotangents)):
            slopes[place] = slope
        return tuple(slopes)

    rules = {"forward": forward, "backward": backward}
    if push is not None:
        rules["jvp"] = lambda ctx, *tangents: push(ctx.saved_tensors, ctx.rest, [tangents[p] for p in ctx.places])
    return type(name, (torch.autograd.Function,), {key: staticmethod(rule) for key, rule in rules.items()})
