r"""The operators of the convolution differentiated and batched, to every order.

With :math:`T(g; x, y, w) = \sum_e \langle g_{n_e}, T(x_{s_e}, y_e, w_e) \rangle` the convolution is
:math:`\partial T / \partial g`, and its backward the derivatives to x, y and w. T is linear in each argument (in w: the
paths that have weights), so the backward's backward is a sum of the same two with one argument replaced by a cotangent;
it has an operator of its own because training on forces needs it. The derivatives of that one are sums of the first two
again. In forward mode the convolution and its backward have derivatives.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from intertwine.kernels.convolution import definition, operators
from intertwine.kernels.convolution.forms import second
from intertwine.kernels.convolution.plan import Channelwise
from intertwine.kernels.shared.recording import register_derivative
from intertwine.numerics import needed_now, safe


def convolve(
    plan: str,
    x: Float[Tensor, "senders dim_x"],
    y: Float[Tensor, "edges dim_y"],
    w: Float[Tensor, "edges weights"] | None,
    source: Int[Tensor, " edges"] | None,
    destination: Int[Tensor, " edges"] | None,
    nodes: Any,
) -> Float[Tensor, "nodes dim_z"]:
    """z, differentiable to every order in x, y and w.

    Args:
        plan: :meth:`Channelwise.encode` of the product.
        x: features of the nodes; y: attributes of the edges; w: weights of the edges, None if the plan has none.
        source: node that each edge comes from, destination: node that it goes to; both None: edge e goes from node e to
            node e.
        nodes: rows of z.

    Raises:
        InputError: an index is out of range.
    """
    if torch.jit.is_tracing():  # a trace is a file for others, who have none of our operators
        return definition.convolve(Channelwise.decode(plan), x, y, w, source, destination, nodes)
    return _apply(_Convolve, torch.ops.intertwine.convolve, plan, x, y, w, source, destination, nodes)


def backward(
    plan: str,
    needs: str,
    g: Tensor,
    x: Tensor,
    y: Tensor,
    w: Tensor | None,
    source: Tensor | None,
    destination: Tensor | None,
) -> dict[str, Tensor]:
    """Derivatives of T(g; x, y, w) to what is needed, of "x", "y" and "w"."""
    needs = needs if w is not None else needs.replace("w", "")
    slopes = _apply(_Backward, torch.ops.intertwine.convolve_backward, plan, needs, g, x, y, w, source, destination)
    return {name: slope for name, slope in zip("xyw", slopes) if name in needs}


def backward_of_backward(
    plan: str,
    needs: str,
    tensors: Sequence[Tensor | None],
    tangents: Sequence[Tensor | None],
    source: Tensor | None,
    destination: Tensor | None,
) -> dict[str, Tensor]:
    """Derivatives of <a, dT/dx> + <b, dT/dy> + <c, dT/dw> to what is needed, of "g", "x", "y" and "w"; those that
    vanish are left out.

    Args:
        plan: as in :func:`convolve`; needs: letters.
        tensors: g, x, y, w; tangents: a, b, c, each None if it is zero.
        source, destination: ends of the edges.
    """
    letters = [name for name, tangent in zip("abc", tangents) if tangent is not None]
    forms = second(letters, needs if tensors[3] is not None else needs.replace("w", ""))
    needs = "".join(name for name, group in zip("gxyw", (forms.z, forms.dx, forms.dy, forms.dw)) if group)
    if not needs:
        return {}
    slopes = _apply(
        _Second, torch.ops.intertwine.convolve_second, plan, needs, *tensors, *tangents, source, destination
    )
    return {name: slope for name, slope in zip("gxyw", slopes) if name in needs}


def _apply(function: type[_Operator], operator: Any, *arguments: Any) -> Any:
    """Call an operator in the way that suits who is listening.

    A tracer takes the operator itself. The transforms of ``torch.func`` need a Function that they can batch and
    differentiate in any order. Everybody else gets the quick one: torch's general ways cost 0.2 ms a call, more than a
    small product.
    """
    tensors = [argument for argument in arguments if isinstance(argument, Tensor)]
    if safe.traced(tensors[0]):
        return operator(*arguments)
    return (function.quick if all(map(safe.plain, tensors)) else function).apply(*arguments)


# ---------------------------------------------------------------------------------------------------------- derivatives


def _keep(ctx: Any, needs: str, inputs: Sequence[Any]) -> None:
    ctx.plan, ctx.needs = inputs[0], needs
    ctx.set_materialize_grads(False)
    tensors = [argument for argument in inputs if argument is None or isinstance(argument, Tensor)]
    ctx.save_for_backward(*tensors)
    ctx.save_for_forward(*tensors)


def _setup(ctx: Any, inputs: Sequence[Any], output: Any) -> None:
    _keep(ctx, "", inputs)
    ctx.nodes = output.shape[0]


def _setup_needs(ctx: Any, inputs: Sequence[Any], output: Any) -> None:
    _keep(ctx, inputs[1], inputs)


def _weighted(plan: str) -> str:
    """The part of a plan that is linear in w."""
    return Channelwise.decode(plan).weighted.encode()


def _letters(names: str, needed: Sequence[bool]) -> str:
    return "".join(name for name, need in zip(names, needed) if need)


def _derivative(ctx: Any, g: Tensor | None) -> tuple:
    """Of the convolution."""
    needs = _letters("xyw", needed_now(ctx)[1:4])
    slopes = backward(ctx.plan, needs, g, *ctx.saved_tensors) if g is not None and needs else {}
    return None, *(slopes.get(name) for name in "xyw"), None, None, None


def _derivative_backward(ctx: Any, *cotangents: Tensor | None) -> tuple:
    """Of its backward."""
    *tensors, source, destination = ctx.saved_tensors
    tangents = [tangent if name in ctx.needs else None for name, tangent in zip("xyw", cotangents)]
    needs = _letters("gxyw", needed_now(ctx)[2:6])
    slopes = backward_of_backward(ctx.plan, needs, tensors, tangents, source, destination)
    return None, None, *(slopes.get(name) for name in "gxyw"), None, None


def _push_convolve(ctx: Any, *tangents: Any) -> Tensor | None:
    """The convolution in forward mode: it is linear in x, in y and in w."""
    x, y, w, source, destination = ctx.saved_tensors
    total = None
    plans = ctx.plan, ctx.plan, ctx.plan if tangents[3] is None else _weighted(ctx.plan)
    for plan, tangent, values in zip(
        plans, tangents[1:4], ((tangents[1], y, w), (x, tangents[2], w), (x, y, tangents[3]))
    ):
        if tangent is not None:
            part = convolve(plan, *values, source, destination, ctx.nodes)
            total = part if total is None else total + part
    return total


def _push_backward(ctx: Any, *tangents: Any) -> tuple[Tensor | None, ...]:
    """Its backward in forward mode."""
    g, x, y, w, source, destination = ctx.saved_tensors
    moved = {} if tangents[2] is None else backward(ctx.plan, ctx.needs, tangents[2], x, y, w, source, destination)
    turned = backward_of_backward(ctx.plan, ctx.needs, (g, x, y, w), tangents[3:6], source, destination)
    for name, slope in turned.items():
        moved[name] = moved[name] + slope if name in moved else slope
    return tuple(
        moved.get(name, torch.zeros_like(tensor) if name in ctx.needs else x.new_zeros(0))
        for name, tensor in zip("xyw", (x, y, w))
    )


def _derivative_second(ctx: Any, *cotangents: Tensor | None) -> tuple:
    """The derivative of the second-order operator, so of third order: sums of the two operators above with x, y or w
    replaced by its tangent."""
    g, x, y, w, a, b, c, source, destination = ctx.saved_tensors
    slopes = {name: slope for name, slope in zip("gxyw", cotangents) if name in ctx.needs and slope is not None}
    letters = _letters("gxywabc", needed_now(ctx)[2:9])
    sums: dict[str, Tensor] = {}

    def add(terms: dict[str, Tensor], names: dict[str, str]) -> None:
        for place, term in terms.items():
            name = names.get(place, place)
            if name in letters:
                sums[name] = sums[name] + term if name in sums else term

    for tangent, replaced, values in (("a", "x", (a, y, w)), ("b", "y", (x, b, w)), ("c", "w", (x, y, c))):
        if values["xyw".index(replaced)] is None:
            continue
        plan = _weighted(ctx.plan) if replaced == "w" else ctx.plan
        names = {replaced: tangent}
        needs = "".join(place for place in "gxyw" if names.get(place, place) in letters)
        if "g" in slopes and needs.replace("g", ""):
            add(backward(plan, needs.replace("g", ""), slopes["g"], *values, source, destination), names)
        others = [None if place == replaced else slopes.get(place) for place in "xyw"]
        add(backward_of_backward(plan, needs, (g, *values), others, source, destination), names)
    return None, None, *(sums.get(name) for name in "gxywabc"), None, None


# ------------------------------------------------------------------------------------------------------------- batching


def _batched(
    size: int, dims: Sequence[int | None], tensors: Sequence[Tensor | None], nodes: Sequence[int | None]
) -> list[Tensor | None]:
    """All graphs of a batch as one graph: their rows one after the other, and numbers of nodes shifted by those before
    them.
    """
    joined: list[Tensor | None] = []
    for tensor, dim, count in zip(tensors, dims, nodes):
        if tensor is None:
            joined.append(None)
            continue
        batch = tensor.expand(size, *tensor.shape) if dim is None else tensor.movedim(dim, 0)
        if count is not None:
            outside = (batch < 0) | (batch >= count)  # a node that does not exist must not become one of the next graph
            batch = (batch + count * torch.arange(size, device=tensor.device)[:, None]).masked_fill(outside, -1)
        joined.append(batch.flatten(0, 1))
    return joined


def _rows(tensor: Tensor, dim: int | None) -> int:
    return tensor.shape[0] if dim is None else tensor.movedim(dim, 0).shape[1]


def _batch_convolve(info: Any, dims: Sequence[int | None], plan: str, *arguments: Any) -> tuple[Tensor, int]:
    *tensors, nodes = arguments
    size = info.batch_size
    joined = _batched(size, dims[1:6], tensors, (None, None, None, _rows(tensors[0], dims[1]), nodes))
    z = _apply(_Convolve, torch.ops.intertwine.convolve, plan, *joined, size * nodes)
    return z.unflatten(0, (size, nodes)), 0


def _batch_derivatives(
    function: type[_Operator], operator: Any, info: Any, dims: Sequence[int | None], arguments: Sequence[Any]
) -> tuple[tuple, tuple]:
    plan, needs, *tensors = arguments
    size, g, x = info.batch_size, tensors[0], tensors[1]
    nodes = [None] * (len(tensors) - 2) + [_rows(x, dims[3]), _rows(g, dims[2])]
    slopes = _apply(function, operator, plan, needs, *_batched(size, dims[2:], tensors, nodes))
    # what was not asked for stays empty
    return tuple(slope.unflatten(0, (size, -1)) if slope.ndim == 2 else slope.new_empty(size, 0) for slope in slopes), (
        0,
    ) * len(slopes)


def _batch_backward(info: Any, dims: Sequence[int | None], *arguments: Any) -> tuple[tuple, tuple]:
    return _batch_derivatives(_Backward, torch.ops.intertwine.convolve_backward, info, dims, arguments)


def _batch_second(info: Any, dims: Sequence[int | None], *arguments: Any) -> tuple[tuple, tuple]:
    return _batch_derivatives(_Second, torch.ops.intertwine.convolve_second, info, dims, arguments)


class _Operator(torch.autograd.Function):
    """An operator with its derivative and its batching rule, and a quick version of it that can't be batched."""

    quick: type[torch.autograd.Function]


def _differentiable(
    name: str, compute: Any, setup: Any, derivative: Any, batch: Any, push: Any = None
) -> type[_Operator]:
    def forward(ctx: Any, *arguments: Any) -> Any:
        output = compute(*arguments)
        setup(ctx, arguments, output)
        return output

    quick = type(
        name, (torch.autograd.Function,), {"forward": staticmethod(forward), "backward": staticmethod(derivative)}
    )
    rules = {
        "forward": getattr(torch.ops.intertwine, name),
        "setup_context": setup,
        "backward": derivative,
        "vmap": batch,
    }
    rules |= {} if push is None else {"jvp": push}
    operator = type(
        name, (_Operator,), {"quick": quick} | {rule: staticmethod(function) for rule, function in rules.items()}
    )
    register_derivative(operators.library, name, derivative, setup)
    torch.library.register_vmap(f"intertwine::{name}", batch, lib=operators.library)
    return operator


_Convolve = _differentiable("convolve", operators.convolve, _setup, _derivative, _batch_convolve, _push_convolve)
_Backward = _differentiable(
    "convolve_backward", operators.backward, _setup_needs, _derivative_backward, _batch_backward, _push_backward
)
_Second = _differentiable("convolve_second", operators.second_order, _setup_needs, _derivative_second, _batch_second)
