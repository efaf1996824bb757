r"""The fused convolution as operators of torch: what tracing, compilation and export see.

.. math:: z_n = \sum_{e:\, s_e \to n} T(x_{s_e}, y_e, w_e)

with T the product of a plan. Three operators: the convolution, its three derivatives, and the derivatives of those, which a loss on forces
needs. :mod:`intertwine.kernels.derivatives` says how they are differentiated. Each operator is told its plan as a text, so an exported
program needs nothing else.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.library import Library

from intertwine.kernels import backends
from intertwine.kernels.channelwise import Channelwise
from intertwine.kernels.forms import VALUE, gradient, second

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
    return {name: None if tensor is None else tensor.contiguous() for name, tensor in given.items()}


def convolve(plan: str, x: Tensor, y: Tensor, w: Tensor | None, source: Tensor | None, destination: Tensor | None, nodes: int) -> Tensor:
    """z."""
    return backends.gather(Channelwise.decode(plan), VALUE, _tensors(x=x, y=y, w=w), (source, destination), nodes)


def backward(
    plan: str, needs: str, g: Tensor, x: Tensor, y: Tensor, w: Tensor | None, source: Tensor | None, destination: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Derivatives of <g, z> to x, y and w; those that are not needed are empty."""
    tensors = _tensors(g=g, x=x, y=y, w=w)
    found = backends.scatter(Channelwise.decode(plan), gradient(needs), tensors, (source, destination), x.shape[0])
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
    forms = second([name for name in "abc" if tensors[name] is not None], needs)
    found = backends.scatter(decoded, forms, tensors | _tensors(g=g), ends, x.shape[0])
    dg = backends.gather(decoded, forms, tensors, ends, g.shape[0]) if forms.z else x.new_empty(0)
    dx, dy, dw = (found.get(name, x.new_empty(0)) for name in ("dx", "dy", "dw"))
    return dg, dx, dy, dw


for _device in ("CPU", "CUDA"):
    library.impl("convolve", convolve, _device)
    library.impl("convolve_backward", backward, _device)
    library.impl("convolve_second", second_order, _device)


# ------------------------------------------------------------------------------------------------- shapes, for tracing and export


@torch.library.register_fake("intertwine::convolve", lib=library)
def _(plan: str, x: Tensor, y: Tensor, w: Tensor | None, source: Tensor | None, destination: Tensor | None, nodes: int) -> Tensor:
    return x.new_empty(nodes, Channelwise.decode(plan).dim_z)


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
