r"""The fused convolution as operators of torch: what tracing, compilation and export see.

.. math:: z_n = \sum_{e:\, s_e \to n} T(x_{s_e}, y_e, w_e)

with T the product of a plan. Three operators: the convolution, its three derivatives, and the derivatives of those,
which a loss on forces needs. :mod:`intertwine.kernels.convolution.derivatives` says how they are differentiated. Each
operator is told its plan as a text, so an exported program needs nothing else.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.library import Library

from intertwine.kernels.convolution import kernel
from intertwine.kernels.convolution.forms import VALUE, gradient, second
from intertwine.kernels.convolution.plan import Channelwise
from intertwine.kernels.shared import doors
from intertwine.numerics import InputError

_ENDS = "Tensor? source, Tensor? destination"
library = Library("intertwine", "FRAGMENT")
library.define(f"convolve(str plan, Tensor x, Tensor y, Tensor? w, {_ENDS}, SymInt nodes) -> Tensor")
library.define(
    f"convolve_backward(str plan, str needs, Tensor g, Tensor x, Tensor y, Tensor? w, {_ENDS})"
    " -> (Tensor, Tensor, Tensor)"
)
library.define(
    "convolve_second(str plan, str needs, Tensor g, Tensor x, Tensor y, Tensor? w, "
    f"Tensor? a, Tensor? b, Tensor? c, {_ENDS})"
    " -> (Tensor, Tensor, Tensor, Tensor)"
)


# --------------------------------------------------------------------------------------------------------------- values


def _taken(
    plan: Channelwise, ends: tuple[Tensor | None, Tensor | None], nodes: int, **tensors: Tensor | None
) -> tuple[dict[str, Tensor | None], int, int]:
    """The tensors one number after the other, if they fit; whether memory is behind them is asked where it is read.

    Args:
        plan: of the product; ends: source and destination of each edge; nodes: rows of z and g.
        tensors: by their names.

    Returns:
        Those tensors, the number of rows of x, and that of z.

    Raises:
        InputError: a tensor does not fit the plan or the others.
    """
    x, y = tensors["x"], tensors["y"]
    assert x is not None
    assert y is not None
    senders, edges = doors.rows(x, "x", plan.dim_x), doors.rows(y, "y", plan.dim_y)
    nodes = _rows(edges, ends[1], nodes)
    if nodes < 0:
        raise InputError(f"{nodes} nodes", where="nodes", remedy="give a number >= 0.")
    shapes, dtype, device = plan.shapes(senders, nodes, edges), x.dtype, x.device
    taken = {
        name: None if tensor is None else doors.laid(tensor, name, shapes[name], dtype, device)
        for name, tensor in tensors.items()
    }
    if tensors.get("w") is None and plan.dim_w:
        raise InputError("the weights are missing", where="w", remedy=f"give {dtype} {shapes['w']}.")
    for name, index in zip(("source", "destination"), ends):
        if index is not None:
            doors.require(index, name, (edges,), torch.int64, device)
    return taken, senders, nodes


def _rows(edges: int, destination: Tensor | None, nodes: int) -> int:
    """How many z has."""
    return edges if destination is None else nodes


def convolve(
    plan: str, x: Tensor, y: Tensor, w: Tensor | None, source: Tensor | None, destination: Tensor | None, nodes: int
) -> Tensor:
    """z; without a destination it has one row for each edge."""
    decoded, ends = Channelwise.decode(plan), (source, destination)
    tensors, _, nodes = _taken(decoded, ends, nodes, x=x, y=y, w=w)
    return kernel.gather(decoded, VALUE, tensors, ends, nodes)


def backward(
    plan: str,
    needs: str,
    g: Tensor,
    x: Tensor,
    y: Tensor,
    w: Tensor | None,
    source: Tensor | None,
    destination: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Derivatives of <g, z> to x, y and w; those that are not needed are empty."""
    decoded, ends = Channelwise.decode(plan), (source, destination)
    tensors, senders, _ = _taken(decoded, ends, doors.rows(g, "g", decoded.dim_z), g=g, x=x, y=y, w=w)
    outputs = kernel.scatter(decoded, gradient(needs), tensors, ends, senders)
    dx, dy, dw = (outputs.get(name, x.new_empty(0)) for name in ("dx", "dy", "dw"))
    return dx, dy, dw


def second_order(
    plan: str,
    needs: str,
    g: Tensor,
    x: Tensor,
    y: Tensor,
    w: Tensor | None,
    a: Tensor | None,
    b: Tensor | None,
    c: Tensor | None,
    source: Tensor | None,
    destination: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Derivatives of <a, dx> + <b, dy> + <c, dw> to g, x, y and w; those that are not needed are empty."""
    decoded, ends = Channelwise.decode(plan), (source, destination)
    tensors, senders, nodes = _taken(
        decoded, ends, doors.rows(g, "g", decoded.dim_z), x=x, y=y, w=w, a=a, b=b, c=c, g=g
    )
    forms = second([name for name in "abc" if tensors[name] is not None], needs)
    slopes = forms.dx or forms.dy or forms.dw
    outputs = kernel.scatter(decoded, forms, tensors, ends, senders) if slopes else {}
    del tensors["g"]
    dg = kernel.gather(decoded, forms, tensors, ends, nodes) if forms.z else x.new_empty(0)
    dx, dy, dw = (outputs.get(name, x.new_empty(0)) for name in ("dx", "dy", "dw"))
    return dg, dx, dy, dw


# on every device: where there is no kernel, plain torch does it
library.impl("convolve", convolve, "CompositeExplicitAutograd")
library.impl("convolve_backward", backward, "CompositeExplicitAutograd")
library.impl("convolve_second", second_order, "CompositeExplicitAutograd")


# --------------------------------------------------------------------------------------- shapes, for tracing and export


@torch.library.register_fake("intertwine::convolve", lib=library)
def _(
    plan: str, x: Tensor, y: Tensor, w: Tensor | None, source: Tensor | None, destination: Tensor | None, nodes: int
) -> Tensor:
    return x.new_empty(_rows(y.shape[0], destination, nodes), Channelwise.decode(plan).dim_z)


def _like(x: Tensor, shape: torch.Size, present: bool) -> Tensor:
    return x.new_empty(shape if present else (0,))


@torch.library.register_fake("intertwine::convolve_backward", lib=library)
def _(
    plan: str, needs: str, g: Tensor, x: Tensor, y: Tensor, w: Tensor | None, *ends: Tensor | None
) -> tuple[Tensor, ...]:
    dw = _like(x, w.shape, "w" in needs) if w is not None else x.new_empty(0)
    return _like(x, x.shape, "x" in needs), _like(x, y.shape, "y" in needs), dw


@torch.library.register_fake("intertwine::convolve_second", lib=library)
def _(
    plan: str,
    needs: str,
    g: Tensor,
    x: Tensor,
    y: Tensor,
    w: Tensor | None,
    a: Any,
    b: Any,
    c: Any,
    *ends: Tensor | None,
) -> tuple[Tensor, ...]:
    dw = _like(x, w.shape, "w" in needs) if w is not None else x.new_empty(0)
    return _like(x, g.shape, "g" in needs), _like(x, x.shape, "x" in needs), _like(x, y.shape, "y" in needs), dw
