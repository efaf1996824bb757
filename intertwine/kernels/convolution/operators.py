r"""The fused convolution as operators of torch, differentiated and batched, to every order.

.. math:: z_n = \sum_{e:\, s_e \to n} T(x_{s_e}, y_e, w_e)

with T the product of a plan. With :math:`T(g; x, y, w) = \sum_e \langle g_{n_e}, T(x_{s_e}, y_e, w_e) \rangle` the
convolution is :math:`\partial T / \partial g`, and its backward the derivatives to x, y and w. T is linear in each
argument (in w: the paths that have weights), so the second derivative is a sum of the same two with one argument
replaced by a cotangent; it has an operator of its own because training on forces needs it. The derivatives of that one
are sums of the first two again. In forward mode the convolution and its backward have derivatives. Each operator is
told its plan as a text, so an exported program needs nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from intertwine.kernels.convolution import definition, kernel
from intertwine.kernels.convolution.forms import second
from intertwine.kernels.convolution.plan import Channelwise
from intertwine.kernels.shared.operator import Operator, Tensors


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
    return CONVOLVE(plan, x, y, w, source, destination, nodes)


def _backward(plan: str, needs: str, tensors: Tensors, ends: Tensors) -> dict[str, Tensor]:
    """Derivatives of T(g; x, y, w) to what is needed, of "x", "y" and "w"; ``tensors`` are g, x, y and w."""
    needs = needs if tensors[3] is not None else needs.replace("w", "")
    return _named("xyw", BACKWARD(plan, needs, *tensors, *ends), needs)


def _backward_of_backward(plan: str, needs: str, tensors: Tensors, tangents: Tensors, ends: Tensors) -> dict:
    """Derivatives of <a, dT/dx> + <b, dT/dy> + <c, dT/dw> to what is needed, of "g", "x", "y" and "w"; those that
    vanish are left out.

    Args:
        plan: as in :func:`convolve`; needs: letters.
        tensors: g, x, y, w; tangents: a, b, c, each None if it is zero.
        ends: source and destination of the edges.
    """
    letters = [name for name, tangent in zip("abc", tangents) if tangent is not None]
    forms = second(letters, needs if tensors[3] is not None else needs.replace("w", ""))
    needs = "".join(name for name, group in zip("gxyw", (forms.z, forms.dx, forms.dy, forms.dw)) if group)
    return _named("gxyw", SECOND(plan, needs, *tensors, *tangents, *ends), needs) if needs else {}


def _named(names: str, slopes: Sequence[Tensor], needs: str) -> dict[str, Tensor]:
    return {name: slope for name, slope in zip(names, slopes) if name in needs}


def _letters(names: str, needed: Sequence[bool]) -> str:
    return "".join(name for name, need in zip(names, needed) if need)


# ---------------------------------------------------------------------------------------------------------- derivatives


def _derivative(tensors: Tensors, rest: Sequence[Any], needed: Sequence[bool], cotangents: Tensors) -> Tensors:
    """Of the convolution: the first derivative."""
    (g,), needs, ends = cotangents, _letters("xyw", needed), tensors[3:]
    slopes = _backward(rest[0], needs, (g, *tensors[:3]), ends) if g is not None and needs else {}
    return [slopes.get(name) for name in "xyw"]


def _derivative_of_backward(
    tensors: Tensors, rest: Sequence[Any], needed: Sequence[bool], cotangents: Tensors
) -> Tensors:
    """Of its backward: the second derivative."""
    plan, needs = rest
    tangents = [tangent if name in needs else None for name, tangent in zip("xyw", cotangents)]
    slopes = _backward_of_backward(plan, _letters("gxyw", needed), tensors[:4], tangents, tensors[4:])
    return [slopes.get(name) for name in "gxyw"]


def _derivative_of_second(
    tensors: Tensors, rest: Sequence[Any], needed: Sequence[bool], cotangents: Tensors
) -> Tensors:
    """Of the second derivative, so of third order: sums of the two above with x, y or w replaced by its tangent."""
    (g, x, y, w, a, b, c), ends, (plan, asked) = tensors[:7], tensors[7:], rest
    slopes = {name: slope for name, slope in zip("gxyw", cotangents) if name in asked and slope is not None}
    letters, sums = _letters("gxywabc", needed), dict[str, Tensor]()

    def add(terms: dict[str, Tensor], names: dict[str, str]) -> None:
        for place, term in terms.items():
            name = names.get(place, place)
            if name in letters:
                sums[name] = sums[name] + term if name in sums else term

    for tangent, replaced, values in (("a", "x", (a, y, w)), ("b", "y", (x, b, w)), ("c", "w", (x, y, c))):
        if values["xyw".index(replaced)] is None:
            continue
        part, names = _weighted(plan) if replaced == "w" else plan, {replaced: tangent}
        needs = "".join(place for place in "gxyw" if names.get(place, place) in letters)
        if "g" in slopes and needs.replace("g", ""):
            add(_backward(part, needs.replace("g", ""), (slopes["g"], *values), ends), names)
        others = [None if place == replaced else slopes.get(place) for place in "xyw"]
        add(_backward_of_backward(part, needs, (g, *values), others, ends), names)
    return [sums.get(name) for name in "gxywabc"]


def _weighted(plan: str) -> str:
    """The part of a plan that is linear in w."""
    return Channelwise.decode(plan).weighted.encode()


def _push_convolve(tensors: Tensors, rest: Sequence[Any], tangents: Tensors) -> Tensor | None:
    """The convolution in forward mode: it is linear in x, in y and in w."""
    x, y, w, *ends = tensors
    (plan, nodes), (a, b, c) = rest, tangents[:3]
    parts = [(plan, a, (a, y, w)), (plan, b, (x, b, w)), (None if c is None else _weighted(plan), c, (x, y, c))]
    terms = [CONVOLVE(part, *values, *ends, nodes) for part, tangent, values in parts if tangent is not None]
    return sum(terms[1:], terms[0]) if terms else None


def _push_backward(tensors: Tensors, rest: Sequence[Any], tangents: Tensors) -> tuple[Tensor | None, ...]:
    """Its backward in forward mode."""
    (plan, needs), (g, *values), ends, h = rest, tensors[:4], tensors[4:], tangents[0]
    moved = {} if h is None else _backward(plan, needs, (h, *values), ends)
    for name, slope in _backward_of_backward(plan, needs, (g, *values), tangents[1:4], ends).items():
        moved[name] = moved[name] + slope if name in moved else slope
    return tuple(
        moved.get(name, torch.zeros_like(x) if name in needs else g.new_zeros(0)) for name, x in zip("xyw", values)
    )


# ------------------------------------------------------------------------------------------------------------- batching


def _joined(size: int, tensors: Tensors, senders: int, receivers: int) -> list[Tensor | None]:
    """All graphs of a batch as one graph: their rows one after the other, and numbers of nodes, in the last two,
    shifted by those before them.
    """
    joined = []
    for tensor, count in zip(tensors, [None] * (len(tensors) - 2) + [senders, receivers]):
        if tensor is not None and count is not None:
            outside = (tensor < 0) | (tensor >= count)  # a node that does not exist must not become one of the next
            shift = count * torch.arange(size, device=tensor.device)[:, None]
            tensor = (tensor + shift).masked_fill(outside, -1)
        joined.append(None if tensor is None else tensor.flatten(0, 1))
    return joined


def _batch_convolve(size: int, tensors: Tensors, rest: Sequence[Any]) -> Tensor:
    plan, nodes = rest
    return CONVOLVE(plan, *_joined(size, tensors, tensors[0].shape[1], nodes), size * nodes).unflatten(0, (size, nodes))


def _batch_derivatives(operator: Operator, size: int, tensors: Tensors, rest: Sequence[Any]) -> tuple[Tensor, ...]:
    slopes = operator(*rest, *_joined(size, tensors, tensors[1].shape[1], tensors[0].shape[1]))
    # what was not asked for stays empty
    return tuple(slope.unflatten(0, (size, -1)) if slope.ndim == 2 else slope.new_empty(size, 0) for slope in slopes)


# --------------------------------------------------------------------------------------- shapes, for tracing and export


def _shape_of_convolve(plan: str, x: Tensor, y: Tensor, w: Any, source: Any, destination: Any, nodes: int) -> Tensor:
    return x.new_empty(y.shape[0] if destination is None else nodes, Channelwise.decode(plan).dim_z)


def _shapes_of_second(plan: str, needs: str, g: Tensor, x: Tensor, y: Tensor, w: Any, *others: Any) -> tuple:
    shapes = zip("gxyw", (g, x, y, w))
    return tuple(x.new_empty(like.shape if name in needs and like is not None else (0,)) for name, like in shapes)


_ARGUMENTS, _ENDS = "Tensor x, Tensor y, Tensor? w", "Tensor? source, Tensor? destination"
CONVOLVE = Operator(
    "convolve",
    kernel.convolve,
    _derivative,
    definition=lambda plan, *arguments: definition.convolve(Channelwise.decode(plan), *arguments),
    push=_push_convolve,
    schema=f"(str plan, {_ARGUMENTS}, {_ENDS}, SymInt nodes) -> Tensor",
    shapes=_shape_of_convolve,
    batch=_batch_convolve,
)
BACKWARD: Operator = Operator(
    "convolve_backward",
    kernel.backward,
    _derivative_of_backward,
    push=_push_backward,
    schema=f"(str plan, str needs, Tensor g, {_ARGUMENTS}, {_ENDS}) -> (Tensor, Tensor, Tensor)",
    shapes=lambda *arguments: _shapes_of_second(*arguments)[1:],
    batch=lambda *batch: _batch_derivatives(BACKWARD, *batch),
)
SECOND: Operator = Operator(
    "convolve_second",
    kernel.second_order,
    _derivative_of_second,
    schema=f"(str plan, str needs, Tensor g, {_ARGUMENTS}, Tensor? a, Tensor? b, Tensor? c, {_ENDS})"
    " -> (Tensor, Tensor, Tensor, Tensor)",
    shapes=_shapes_of_second,
    batch=lambda *batch: _batch_derivatives(SECOND, *batch),
)
