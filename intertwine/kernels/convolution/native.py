"""The compiled kernels of a device, called with plain edge lists."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from types import ModuleType

import torch
from torch import Tensor

from intertwine.kernels.convolution.forms import Forms
from intertwine.kernels.convolution.plan import Channelwise
from intertwine.kernels.shared import doors
from intertwine.kernels.shared.processes import preparing
from intertwine.numerics import InputError

Index = Tensor | None  # None: edge e goes from node e to node e


def supports(backend: str, dtype: torch.dtype) -> bool:
    """Whether a backend, "cpu" or "gpu", has kernels in a precision."""
    return _module(backend).supports(dtype)


def gather(
    backend: str,
    plan: Channelwise,
    forms: Forms,
    tensors: Mapping[str, Tensor | None],
    ends: tuple[Index, Index],
    nodes: int,
) -> Tensor:
    """z (nodes, dim_z) of the forms; ``ends`` are source and destination of each edge.

    Raises:
        InputError: an index is out of range.
    """
    edges, rows, device = sizes(tensors)
    source, destination = ends
    check_range(source, rows, edges, "source")
    order, offsets = _sorted(backend, destination, nodes, edges, device, "destination")
    return _module(backend).gather(plan, forms, tensors, order, offsets, _whole(source, destination, order), nodes)


def scatter(
    backend: str,
    plan: Channelwise,
    forms: Forms,
    tensors: Mapping[str, Tensor | None],
    ends: tuple[Index, Index],
    nodes: int,
) -> dict[str, Tensor]:
    """dx (nodes, dim_x), dy and dw (edges, ...) of the forms.

    Raises:
        InputError: an index is out of range.
    """
    edges, _, device = sizes(tensors)
    source, destination = ends
    check_range(destination, len(tensors["g"]), edges, "destination")  # type: ignore[arg-type]
    order, offsets = _sorted(backend, source, nodes, edges, device, "source")
    return _module(backend).scatter(plan, forms, tensors, order, offsets, _whole(destination, source, order), nodes)


@lru_cache(maxsize=2)
def _module(backend: str) -> ModuleType:
    with preparing:
        if backend == "gpu":
            from intertwine.kernels.convolution import gpu

            return gpu
        from intertwine.kernels.convolution import cpu

        return cpu


def sizes(tensors: Mapping[str, Tensor | None]) -> tuple[int, int, torch.device]:
    """Number of edges, number of rows of x, and the device."""
    by_name = {name: tensor for name, tensor in tensors.items() if tensor is not None}
    edges = by_name["y"] if "y" in by_name else by_name["b"]
    rows = by_name["x"] if "x" in by_name else by_name.get("a", edges)
    return len(edges), len(rows), edges.device


def _sorted(
    backend: str, index: Index, nodes: int, edges: int, device: torch.device, where: str
) -> tuple[Tensor, Tensor]:
    """The edges sorted by one end, and where those of each node begin."""
    if index is None:
        check_range(index, nodes, edges, where)
        places = torch.arange(edges + 1, device=device)
        return places[:edges], places
    if backend == "cpu":
        from intertwine.kernels.convolution.cpu_order import sort_edges

        return sort_edges(index, nodes, where)
    check_range(index, nodes, edges, where)
    ordered, order = torch.sort(index, stable=True)
    # counting would wait for the device
    return order, torch.searchsorted(ordered, torch.arange(nodes + 1, device=device))


def _whole(index: Index, other: Index, order: Tensor) -> Tensor:
    """An end of every edge; ``order`` sorts them by the other one, and counts from 0 where there is none."""
    if index is not None:
        return index.contiguous()
    return order if other is None else torch.arange(len(order), device=order.device)


def check_range(index: Index, nodes: int, edges: int, where: str) -> None:
    """Compiled kernels read what an index says: it must be right.

    Raises:
        InputError: on the CPU; on other devices torch's assertion, which needs no synchronisation.
    """
    if index is not None:
        remedy = "count the nodes from 0; give nodes= for another number of destinations than sources."
        doors.indices(index, where, nodes, remedy=remedy)
    elif nodes != edges:
        raise InputError(
            f"{nodes} rows for {edges} edges", where=where, remedy="give the node of every edge, or one row for each."
        )
