"""Which kernels run: those of the processor or the graphics card, checked on first use, or plain torch."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from intertwine.kernels.convolution import definition, native
from intertwine.kernels.convolution.check import trusted
from intertwine.kernels.convolution.forms import Forms
from intertwine.kernels.convolution.plan import Channelwise
from intertwine.kernels.shared import choice, doors
from intertwine.numerics import safe

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


def gather(
    plan: Channelwise,
    forms: Forms,
    tensors: Mapping[str, Tensor | None],
    ends: tuple[native.Index, native.Index],
    nodes: int,
) -> Tensor:
    """z (nodes, dim_z) of the forms by the kernel that is chosen; see :mod:`intertwine.kernels.convolution.forms`.

    Args:
        plan, forms: what to compute; tensors: by name, contiguous; nodes: rows of z.
        ends: source and destination of each edge; None: edge e goes from node e to node e.

    Raises:
        InputError: an index is out of range.
    """
    return _run("gather", plan, forms, tensors, ends, nodes)


def scatter(
    plan: Channelwise,
    forms: Forms,
    tensors: Mapping[str, Tensor | None],
    ends: tuple[native.Index, native.Index],
    nodes: int,
) -> dict[str, Tensor]:
    """dx (nodes, dim_x), dy and dw of the forms by the kernel that is chosen; arguments as in :func:`gather`, with g in
    the tensors.

    Raises:
        InputError: an index is out of range.
    """
    return _run("scatter", plan, forms, tensors, ends, nodes)


def _run(
    kind: str, plan: Channelwise, forms: Forms, tensors: Mapping[str, Tensor | None], ends: tuple, nodes: int
) -> Any:
    like = next(tensor for tensor in tensors.values() if tensor is not None)
    chosen = backend(plan, like.device, like.dtype)
    if chosen != "reference" and trusted(kind, chosen, plan, forms, like.device, like.dtype):
        return getattr(native, kind)(chosen, plan, forms, tensors, ends, nodes)
    edges, senders, device = native.sizes(tensors)
    for name, tensor in tensors.items():
        if tensor is not None:
            doors.require(tensor, name, tensor.shape, tensor.dtype, tensor.device)
    native.check_range(ends[0], senders if kind == "gather" else nodes, edges, "source")
    receivers = nodes if kind == "gather" else len(tensors["g"])  # type: ignore[arg-type]
    native.check_range(ends[1], receivers, edges, "destination")
    source, destination = (torch.arange(edges, device=device) if end is None else end for end in ends)
    with safe.without_autocast(device):  # in the precision of the arguments, as a kernel does it
        return getattr(definition, kind)(plan, forms, tensors, source, destination, nodes)
