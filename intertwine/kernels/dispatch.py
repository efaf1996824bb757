r"""The fused convolution as operators of torch: what tracing, compilation and export see.

.. math:: z_n = \sum_{e:\, s_e \to n} T(x_{s_e}, y_e, w_e)

with T the product of a plan. Three operators: the convolution, its three derivatives, and the derivatives of those, which a loss on forces
needs. :mod:`intertwine.kernels.derivatives` says how they are differentiated. Each operator is told its plan as a text, so an exported
program needs nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.library import Library

from intertwine.kernels import backends
from intertwine.kernels.channelwise import Channelwise
from intertwine.kernels.forms import VALUE, gradient, second
from intertwine.kernels.native import in_memory
from intertwine.numerics import InputError

_ENDS = "Tensor? source, Tensor? destination"
library = Library("intertwine", "FRAGMENT")
library.define(f"convolve(str plan, Tensor x, Tensor y, Tensor? w, {_ENDS}, SymInt nodes) -> Tensor")
library.define(f"convolve_backward(str plan, str needs, Tensor g, Tensor x, Tensor y, Tensor? w, {_ENDS}) -> (Tensor, Tensor, Tensor)")
library.define(
    f"convolve_second(str plan, str needs, Tensor g, Tensor x, Tensor y, Tensor? w, Tensor? a, Tensor? b, Tensor? c, {_ENDS})"
    " -> (Tensor, Tensor, Tensor, Tensor)"
)


# ------------------------------------------------------------------------------------------------------------------- values


def _tensors(**given: Tensor | None) -> dict[str, Tensor | None]:
    return {name: None if tensor is None else in_memory(tensor) for name, tensor in given.items()}


def _require(plan: Channelwise, tensors: Mapping[str, Tensor | None], ends: tuple[Tensor | None, Tensor | None], nodes: int) -> None:
    """Kernels read where they are told to: this is the last place to notice that there is nothing.

    Raises:
        InputError: a tensor does not fit the plan or the others.
    """
    x, y = tensors["x"], tensors["y"]
    assert x is not None
    assert y is not None
    dims = {"xa": (len(x), plan.dim_x), "yb": (len(y), plan.dim_y), "wc": (len(y), plan.dim_w), "g": (nodes, plan.dim_z)}
    for names, shape in dims.items():
        for name in names:
            one = tensors.get(name)
            if one is not None and (one.shape != shape or one.dtype != x.dtype or one.device != x.device):
                found = f"{one.dtype} {tuple(one.shape)} on {one.device}"
                raise InputError(found, where=name, remedy=f"it must be {x.dtype} {shape} on {x.device}.")
    if tensors.get("w") is None and plan.dim_w:
        raise InputError("the weights are missing", where="w", remedy=f"give {x.dtype} {(len(y), plan.dim_w)}.")
    if nodes < 0:
        raise InputError(f"{nodes} nodes", where="nodes", remedy="give a number >= 0.")
    for name, index in zip(("source", "destination"), ends):
        rows = len(x) if name == "source" else nodes
        if index is None and rows != len(y):
            raise InputError(f"{rows} rows for {len(y)} edges", where=name, remedy="give the node of every edge, or one row for each.")
        if index is not None and (index.shape != (len(y),) or index.dtype != torch.int64 or index.device != x.device):
            found = f"{index.dtype} {tuple(index.shape)} on {index.device}"
            raise InputError(found, where=name, remedy=f"it must be torch.int64 {(len(y),)} on {x.device}.")


def _rows(y: Tensor, destination: Tensor | None, nodes: int) -> int:
    """How many z has."""
    return y.shape[0] if destination is None else nodes


def convolve(plan: str, x: Tensor, y: Tensor, w: Tensor | None, source: Tensor | None, destination: Tensor | None, nodes: int) -> Tensor:
    """z; without a destination it has one row for each edge."""
    nodes = _rows(y, destination, nodes)
    decoded, tensors = Channelwise.decode(plan), _tensors(x=x, y=y, w=w)
    _require(decoded, tensors, (source, destination), nodes)
    return backends.gather(decoded, VALUE, tensors, (source, destination), nodes)


def backward(
    plan: str, needs: str, g: Tensor, x: Tensor, y: Tensor, w: Tensor | None, source: Tensor | None, destination: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Derivatives of <g, z> to x, y and w; those that are not needed are empty."""
    decoded, tensors = Channelwise.decode(plan), _tensors(g=g, x=x, y=y, w=w)
    _require(decoded, tensors, (source, destination), g.shape[0])
    found = backends.scatter(decoded, gradient(needs), tensors, (source, destination), x.shape[0])
    dx, dy, dw = (found.get(name, x.new_empty(0)) for name in ("dx", "dy", "dw"))
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
    tensors = _tensors(x=x, y=y, w=w, a=a, b=b, c=c)
    _require(decoded, tensors | {"g": g}, ends, g.shape[0])
    forms = second([name for name in "abc" if tensors[name] is not None], needs)
    slopes = forms.dx or forms.dy or forms.dw
    found = backends.scatter(decoded, forms, tensors | _tensors(g=g), ends, x.shape[0]) if slopes else {}
    dg = backends.gather(decoded, forms, tensors, ends, g.shape[0]) if forms.z else x.new_empty(0)
    dx, dy, dw = (found.get(name, x.new_empty(0)) for name in ("dx", "dy", "dw"))
    return dg, dx, dy, dw


# on every device: where there is no kernel, plain torch does it
library.impl("convolve", convolve, "CompositeExplicitAutograd")
library.impl("convolve_backward", backward, "CompositeExplicitAutograd")
library.impl("convolve_second", second_order, "CompositeExplicitAutograd")


# ------------------------------------------------------------------------------------------------- shapes, for tracing and export


@torch.library.register_fake("intertwine::convolve", lib=library)
def _(plan: str, x: Tensor, y: Tensor, w: Tensor | None, source: Tensor | None, destination: Tensor | None, nodes: int) -> Tensor:
    return x.new_empty(_rows(y, destination, nodes), Channelwise.decode(plan).dim_z)


def _like(x: Tensor, shape: torch.Size, present: bool) -> Tensor:
    return x.new_empty(shape if present else (0,))


@torch.library.register_fake("intertwine::convolve_backward", lib=library)
def _(plan: str, needs: str, g: Tensor, x: Tensor, y: Tensor, w: Tensor | None, *ends: Tensor | None) -> tuple[Tensor, ...]:
    dw = _like(x, w.shape, "w" in needs) if w is not None else x.new_empty(0)
    return _like(x, x.shape, "x" in needs), _like(x, y.shape, "y" in needs), dw


@torch.library.register_fake("intertwine::convolve_second", lib=library)
def _(
    plan: str, needs: str, g: Tensor, x: Tensor, y: Tensor, w: Tensor | None, a: Any, b: Any, c: Any, *ends: Tensor | None
) -> tuple[Tensor, ...]:
    dw = _like(x, w.shape, "w" in needs) if w is not None else x.new_empty(0)
    return _like(x, g.shape, "g" in needs), _like(x, x.shape, "x" in needs), _like(x, y.shape, "y" in needs), dw
