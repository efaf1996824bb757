"""The two kernels on the CPU: straight-line vector code for each plan, rows shared among torch's threads."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping
from functools import lru_cache

import torch
from jaxtyping import Int
from torch import Tensor

from intertwine.kernels.convolution.cpu_text import GATHER, SCATTER, gather_text, scatter_text
from intertwine.kernels.convolution.forms import Forms, missing
from intertwine.kernels.convolution.plan import Channelwise
from intertwine.kernels.llvm.compile import Function, compiled, register_bytes
from intertwine.kernels.llvm.threads import run, threads
from intertwine.kernels.shared import doors

_NS_WORTH_A_THREAD = 50_000  # ns of one thread that are worth another one

_ANNOUNCED_COEFFICIENTS = 3000  # coefficients times forms of a kernel whose compilation is announced: about a second

_WORDS = {"gather": GATHER, "scatter": SCATTER}
_INTEGERS = ("order", "offsets", "source", "destination")
_MADE = ("order", "offsets", "z", "dx", "dy", "dw")  # for this launch, by this file or by the sort of the edges

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
    """z of the forms: see :mod:`intertwine.kernels.convolution.forms`.

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
    _launch(function, "gather", words, plan.shapes(len(x), nodes, len(order)), nodes, plan, forms)
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
    slopes = {}
    if forms.dx:
        slopes["dx"] = g.new_empty(nodes, plan.dim_x)
    if forms.dy:
        slopes["dy"] = g.new_empty(edges, plan.dim_y)
    if forms.dw:  # the kernel writes every weight of every edge that has one
        slopes["dw"] = g.new_empty(edges, plan.dim_w) if _all_weights(plan) else g.new_zeros(edges, plan.dim_w)
    if slopes:
        words = {name: tensor for name, tensor in tensors.items() if tensor is not None} | slopes
        words |= {"order": order, "offsets": offsets, "destination": destination}
        function = _kernel("scatter", plan, _DTYPES[g.dtype], forms)
        _launch(function, "scatter", words, plan.shapes(nodes, len(g), edges), nodes, plan, forms)
    return slopes


def words_of(kind: str) -> tuple[str, ...]:
    """The words of the argument of "gather" or "scatter"."""
    return _WORDS[kind]


def function_of(kind: str, plan: Channelwise, dtype: str, forms: Forms) -> Function:
    """The compiled "gather" or "scatter" of a plan in "float32" or "float64", for callers that keep their own buffers:
    rows are nodes, and the words :func:`words_of`.
    """
    return _kernel(kind, plan, dtype, forms)


def _given(tensors: Mapping[str, Tensor | None], *names: str) -> Tensor:
    return next(tensor for name in names if (tensor := tensors.get(name)) is not None)


@lru_cache(maxsize=256)
def _all_weights(plan: Channelwise) -> bool:
    return sum(term.w.mul * term.w.dim for term in plan.terms if term.w is not None) == plan.dim_w


@lru_cache(maxsize=1024)
def _kernel(kind: str, plan: Channelwise, dtype: str, forms: Forms) -> Function:
    register = register_bytes()
    write: Callable[..., str] = {"gather": gather_text, "scatter": scatter_text}[kind]
    # twice the register: each number of M, loaded once, serves two products; three rows of g, x and dx at a time leave
    # room for one
    widest = max(1, register // {"float32": 4, "float64": 8}[dtype] * (2 if kind == "gather" else 1))
    described = "\n".join((kind, plan.encode(), dtype, repr(forms), str(widest)))
    name = f"a product of {len(plan.terms)} paths ({kind}, {dtype})"
    meeting = len(forms.z) + len(forms.dx) + len(forms.dy) + len(forms.dw)
    return compiled(
        name,
        described,
        lambda: write(plan, dtype, forms, widest),
        long=plan.coefficients * meeting > _ANNOUNCED_COEFFICIENTS,
    )


def _launch(
    function: Function,
    kind: str,
    words: Mapping[str, Tensor],
    shapes: Mapping[str, tuple[int, ...]],
    nodes: int,
    plan: Channelwise,
    forms: Forms,
) -> None:
    """Run a kernel on all rows, in parts of about as many edges each.

    Args:
        function, kind: the kernel, and which of :data:`_WORDS` it is.
        words: the tensors that it reads and writes; shapes: what it takes them for.
        nodes: rows that it does; plan, forms: what it computes.

    Raises:
        InputError: a tensor is not what the kernel takes it for, or missing.
    """
    missing(forms, kind, plan.dim_w > 0, words)
    real, pointers = _given(words, "z", "g").dtype, []
    for name in _WORDS[kind]:
        if name not in words:
            pointers.append(0)
            continue
        dtype, size = (torch.int64 if name in _INTEGERS else real), (nodes + 1,) if name == "offsets" else shapes[name]
        pointers.append((doors.own_address if name in _MADE else doors.address)(words[name], name, size, dtype))
    edges = shapes["order"][0]
    nanoseconds = 0.03 * len(forms.meetings(kind)) * edges * _operations(plan)
    parts = max(1, min(threads(), nodes, int(nanoseconds / _NS_WORTH_A_THREAD) + 1))
    bounds = [0]
    if parts > 1:
        starts = words["offsets"].numpy()
        work = edges + nodes
        for part in range(1, parts):
            bounds.append(bisect_left(range(nodes), work * part // parts, key=lambda n: int(starts[n]) + n))
    run(function, pointers, [*bounds, nodes])


@lru_cache(maxsize=256)
def _operations(plan: Channelwise) -> int:
    """Multiplications of one form for one edge."""
    return sum(term.x.mul * (len(term.entries) + len(term.y) * term.z.dim) for term in plan.terms)
