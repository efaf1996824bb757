"""The two kernels on the CPU: straight-line vector code for each plan, rows shared among torch's threads."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

import torch
from jaxtyping import Int
from torch import Tensor

from intertwine.kernels.channelwise import Channelwise
from intertwine.kernels.cpu.compile import Function, compiled, register_bytes
from intertwine.kernels.cpu.emit import GATHER, SCATTER, gather_text, scatter_text
from intertwine.kernels.cpu.threads import run, threads
from intertwine.kernels.forms import Forms

_SHARE = 50_000  # ns of one thread that are worth another one

_LONG = 3000  # coefficients times forms of a kernel whose compilation is announced: about a second

_DTYPES = {torch.float32: "float32", torch.float64: "float64"}


def supports(dtype: torch.dtype) -> bool:
    """Whether the kernels are written in this precision."""
    return dtype in _DTYPES


def gather(
    plan: Channelwise,
    forms: Forms,
    tensors: Mapping[str, Tensor | None],
    order: Int[Tensor, " edges"],
    offsets: Int[Tensor, " places"],
    source: Int[Tensor, " edges"],
    nodes: int,
) -> Tensor:
    """z of the forms: see :mod:`intertwine.kernels.forms`.

    Args:
        plan: what to compute.
        forms: which versions of the arguments meet; those of z.
        tensors: x, a (nodes_in, dim_x); y, b (edges, dim_y); w, c (edges, dim_w); contiguous.
        order, offsets: the edges sorted by destination.
        source: node of x of each edge.
        nodes: rows of z.
    """
    x = _given(tensors, "x", "a")
    z = x.new_empty(nodes, plan.dim_z)
    words = {name: tensor for name, tensor in tensors.items() if tensor is not None}
    words |= {"order": order, "offsets": offsets, "source": source, "z": z}
    function = _kernel("gather", plan, _DTYPES[x.dtype], forms)
    _launch(function, GATHER, words, offsets, nodes, plan, len(order), len(forms.z))
    return z


def scatter(
    plan: Channelwise,
    forms: Forms,
    tensors: Mapping[str, Tensor | None],
    order: Int[Tensor, " edges"],
    offsets: Int[Tensor, " places"],
    destination: Int[Tensor, " edges"],
    nodes: int,
) -> dict[str, Tensor]:
    """The derivatives dx, dy and dw that the forms ask for.

    Args:
        plan, forms, tensors: as in :func:`gather`, with g (nodes_out, dim_z).
        order, offsets: the edges sorted by source.
        destination: node of g of each edge.
        nodes: rows of x.
    """
    g = _given(tensors, "g")
    edges = len(order)
    made = {}
    if forms.dx:
        made["dx"] = g.new_empty(nodes, plan.dim_x)
    if forms.dy:
        made["dy"] = g.new_empty(edges, plan.dim_y)
    if forms.dw:  # the kernel writes every weight of every edge that has one
        made["dw"] = g.new_empty(edges, plan.dim_w) if _all_weights(plan) else g.new_zeros(edges, plan.dim_w)
    if made:
        words = {name: tensor for name, tensor in tensors.items() if tensor is not None} | made
        words |= {"order": order, "offsets": offsets, "destination": destination}
        function = _kernel("scatter", plan, _DTYPES[g.dtype], forms)
        pairs = len(forms.dx) + len(forms.dy) + len(forms.dw)
        _launch(function, SCATTER, words, offsets, nodes, plan, edges, pairs)
    return made


def _given(tensors: Mapping[str, Tensor | None], *names: str) -> Tensor:
    return next(tensor for name in names if (tensor := tensors.get(name)) is not None)


@lru_cache(maxsize=256)
def _all_weights(plan: Channelwise) -> bool:
    return sum(term.w.mul * term.w.dim for term in plan.terms if term.w is not None) == plan.dim_w


@lru_cache(maxsize=1024)
def _kernel(kind: str, plan: Channelwise, dtype: str, forms: Forms) -> Function:
    register = register_bytes()
    write: Callable[..., str] = {"gather": gather_text, "scatter": scatter_text}[kind]
    # twice the register: each number of M, loaded once, serves two products; three rows of g, x and dx at a time leave room for one
    widest = max(1, register // {"float32": 4, "float64": 8}[dtype] * (2 if kind == "gather" else 1))
    described = "\n".join((kind, plan.encode(), dtype, repr(forms), str(widest)))
    name = f"a product of {len(plan.terms)} paths ({kind}, {dtype})"
    meeting = len(forms.z) + len(forms.dx) + len(forms.dy) + len(forms.dw)
    return compiled(name, described, lambda: write(plan, dtype, forms, widest), long=plan.coefficients * meeting > _LONG)


def _launch(
    function: Function,
    names: Sequence[str],
    words: Mapping[str, Tensor],
    offsets: Tensor,
    nodes: int,
    plan: Channelwise,
    edges: int,
    forms: int,
) -> None:
    """Run a kernel on all rows, in parts of about as many edges each."""
    pointers = [words[name].data_ptr() if name in words else 0 for name in names]
    nanoseconds = 0.03 * forms * edges * _operations(plan)
    parts = max(1, min(threads(), nodes, int(nanoseconds / _SHARE) + 1))
    bounds = [0]
    if parts > 1:
        starts = offsets.numpy()
        whole = edges + nodes
        for part in range(1, parts):
            bounds.append(bisect_left(range(nodes), whole * part // parts, key=lambda n: int(starts[n]) + n))
    run(function, pointers, [*bounds, nodes])


@lru_cache(maxsize=256)
def _operations(plan: Channelwise) -> int:
    """Multiplications of one form for one edge."""
    return sum(term.x.mul * (len(term.entries) + len(term.y) * term.z.dim) for term in plan.terms)
