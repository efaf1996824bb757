"""Which kernels run: those of the processor or the graphics card, held against their definition on first use; or
that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from intertwine.kernels.convolution import definition, native
from intertwine.kernels.convolution.forms import VALUE, Forms, gradient, read, second
from intertwine.kernels.convolution.plan import Channelwise
from intertwine.kernels.shared import choice, doors
from intertwine.kernels.shared.trust import Trial, numbers, trusted
from intertwine.numerics import InputError, modes

#: Coefficients: to compile more takes longer than most would wait (6,460 of degrees up to 6: 2 s).
_MOST_COEFFICIENTS = 30_000
_MOST_Y_COMPONENTS = 4_000  # components of y that are read: each has a sum on the stack


def backend(plan: Channelwise, device: torch.device, dtype: torch.dtype) -> str:
    """ "cpu", "gpu" or "reference" for a plan, a device and a precision; $INTERTWINE_KERNELS forces one.

    Raises:
        InputError: the forced backend is unknown, or can't do it.
    """
    name = choice.native(device)
    small = plan.coefficients <= _MOST_COEFFICIENTS and len(plan.components) <= _MOST_Y_COMPONENTS
    if not small:
        _refused(plan)
    able = name is not None and small and native.supports(name, dtype)
    return choice.chosen(device, able, str(dtype))


@lru_cache(maxsize=256)
def _refused(plan: Channelwise) -> None:
    """Say once that a plan is too large."""
    size = f"is too long to be compiled: {plan.coefficients} coefficients, {len(plan.components)} components of y"
    choice.announce(f"kernel of the product of {len(plan.terms)} paths", size)


def run(
    kind: str,
    plan: Channelwise,
    forms: Forms,
    tensors: Mapping[str, Tensor | None],
    ends: tuple[native.Index, native.Index],
    nodes: int,
) -> Any:
    """What :mod:`intertwine.kernels.convolution.forms` says, by the kernel that is chosen: z (nodes, dim_z) of
    "gather"; dx (nodes, dim_x), dy and dw of "scatter", by name.

    Args:
        kind: of the kernel; plan, forms: what to compute; tensors: by name, contiguous; nodes: rows of z, or of dx.
        ends: source and destination of each edge; None: edge e goes from node e to node e.

    Raises:
        InputError: an index is out of range.
    """
    like = next(tensor for tensor in tensors.values() if tensor is not None)
    chosen = backend(plan, like.device, like.dtype)
    key = (kind, chosen, plan, forms, like.device, like.dtype)
    if chosen != "reference" and trusted(key, lambda: trial(*key), like.dtype, like.device):
        return getattr(native, kind)(chosen, plan, forms, tensors, ends, nodes)
    edges, senders, device = native.sizes(tensors)
    for name, tensor in tensors.items():
        if tensor is not None:
            doors.require(tensor, name, tensor.shape, tensor.dtype, tensor.device)
    native.check_range(ends[0], senders if kind == "gather" else nodes, edges, "source")
    receivers = nodes if kind == "gather" else len(tensors["g"])  # type: ignore[arg-type]
    native.check_range(ends[1], receivers, edges, "destination")
    source, destination = (torch.arange(edges, device=device) if end is None else end for end in ends)
    with modes.without_autocast(device):  # in the precision of the arguments, as a kernel does it
        return getattr(definition, kind)(plan, forms, tensors, source, destination, nodes)


def trial(kind: str, backend: str, plan: Channelwise, forms: Forms, device: torch.device, dtype: torch.dtype) -> Trial:
    """A kernel, "gather" or "scatter" of a backend, beside its definition, on a small awkward graph: it has repeated
    edges, edges from a node to itself and a node without edges.
    """
    source, destination = (
        torch.tensor(nodes, device="cpu") for nodes in ([0, 1, 1, 2, 0, 2, 1, 1, 0], [2, 0, 0, 2, 0, 0, 2, 0, 0])
    )
    shapes = plan.shapes(4, 3, len(source))
    names, nodes = sorted(read(forms, kind, weighted=True) | {"x", "y"}), 4 if kind == "scatter" else 3

    def launch(*tensors: Tensor) -> Sequence[Tensor]:
        ends = source.to(device), destination.to(device)
        return _listed(getattr(native, kind)(backend, plan, forms, dict(zip(names, tensors)), ends, nodes))

    def define(plan: Channelwise, *tensors: Tensor) -> Sequence[Tensor]:
        return _listed(getattr(definition, kind)(plan, forms, dict(zip(names, tensors)), source, destination, nodes))

    title = f"'{kind}' of {_described(plan)} by {backend}"
    return Trial(title, plan, launch, define, numbers(*(shapes[name] for name in names), dtype=dtype))


def _listed(results: Tensor | Mapping[str, Tensor]) -> Sequence[Tensor]:
    return [results] if isinstance(results, Tensor) else [results[name] for name in sorted(results)]


def _described(plan: Channelwise) -> str:
    """A plan in a few words."""
    channels = sorted({term.x.mul for term in plan.terms})
    return (
        f"the product of {len(plan.terms)} paths, {plan.dim_x} x {plan.dim_y} -> {plan.dim_z} numbers, "
        f"{channels} channels"
    )


# --------------------------------------------------------------------------------------- what operators compute


def _taken(
    plan: Channelwise, ends: Sequence[Tensor | None], nodes: int, **tensors: Tensor | None
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
    nodes = edges if ends[1] is None else nodes
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


def convolve(
    plan: str, x: Tensor, y: Tensor, w: Tensor | None, source: Tensor | None, destination: Tensor | None, nodes: int
) -> Tensor:
    """z; without a destination it has one row for each edge."""
    decoded, ends = Channelwise.decode(plan), (source, destination)
    tensors, _, nodes = _taken(decoded, ends, nodes, x=x, y=y, w=w)
    return run("gather", decoded, VALUE, tensors, ends, nodes)


def backward(
    plan: str, needs: str, g: Tensor, x: Tensor, y: Tensor, w: Tensor | None, *ends: Any
) -> tuple[Tensor, Tensor, Tensor]:
    """Derivatives of <g, z> to x, y and w; those that are not needed are empty."""
    decoded = Channelwise.decode(plan)
    tensors, senders, _ = _taken(decoded, ends, doors.rows(g, "g", decoded.dim_z), g=g, x=x, y=y, w=w)
    outputs = run("scatter", decoded, gradient(needs), tensors, ends, senders)
    dx, dy, dw = (outputs.get(name, x.new_empty(0)) for name in ("dx", "dy", "dw"))
    return dx, dy, dw


def second_order(
    plan: str, needs: str, g: Tensor, x: Tensor, y: Tensor, w: Tensor | None, a: Any, b: Any, c: Any, *ends: Any
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Derivatives of <a, dx> + <b, dy> + <c, dw> to g, x, y and w; those that are not needed are empty."""
    decoded = Channelwise.decode(plan)
    tensors, senders, nodes = _taken(
        decoded, ends, doors.rows(g, "g", decoded.dim_z), x=x, y=y, w=w, a=a, b=b, c=c, g=g
    )
    forms = second([name for name in "abc" if tensors[name] is not None], needs)
    slopes = forms.dx or forms.dy or forms.dw
    outputs = run("scatter", decoded, forms, tensors, ends, senders) if slopes else {}
    del tensors["g"]
    dg = run("gather", decoded, forms, tensors, ends, nodes) if forms.z else x.new_empty(0)
    dx, dy, dw = (outputs.get(name, x.new_empty(0)) for name in ("dx", "dy", "dw"))
    return dg, dx, dy, dw
