"""The two kernels on a graphics card: which launches, on which tiles, into which tensors."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from intertwine.kernels.convolution.forms import Forms, missing
from intertwine.kernels.convolution.gpu.schedule import GatherJob, ScatterJob, gather_jobs, scatter_jobs, versions
from intertwine.kernels.convolution.plan import Channelwise
from intertwine.kernels.shared import doors
from intertwine.kernels.shared.strip import Strip
from intertwine.numerics import InputError

_WARP_THREADS = 32
#: Programs of one warp that fill a large card; with fewer, several warps share the edges of a node.
_FILLING_PROGRAMS = 1024
_WIDE_CHANNEL_BYTES = 192  # bytes of one channel that a thread may keep if it does two channels

_SUMS = {torch.float32: torch.float32, torch.float64: torch.float64, torch.bfloat16: torch.float32}


def supports(dtype: torch.dtype) -> bool:
    """Whether the kernels can run in this precision here: Triton is needed."""
    return dtype in _SUMS and _installed()


def interprets() -> bool:
    """Whether Triton's interpreter runs the kernels, on the processor: $TRITON_INTERPRET was set before Triton was
    imported.
    """
    if not _installed():
        return False
    from intertwine.kernels.convolution.gpu import programs

    return bool(programs.INTERPRETED)


def require() -> None:
    """Make sure that Triton is there.

    Raises:
        InputError: it is not.
    """
    if not _installed():
        remedy = (
            "install it (`pip install triton`; on Linux it comes with torch's CUDA builds), "
            "or set INTERTWINE_KERNELS=reference."
        )
        raise InputError(
            "the kernels for graphics cards are written in Triton, which is not installed",
            where="kernels",
            remedy=remedy,
        )


def gather(
    plan: Channelwise,
    forms: Forms,
    tensors: Mapping[str, Tensor | None],
    order: Int[Tensor, " edges"],
    offsets: Int[Tensor, " places"],
    source: Int[Tensor, " edges"],
    nodes: int,
) -> Tensor:
    r""":math:`z_n = \sum_{e \to n} \sum_{\text{forms}} T(x_s, y_e, w_e)`: see
    :mod:`intertwine.kernels.convolution.forms`.

    Args:
        plan: what to compute.
        forms: which versions of the arguments meet; those of z.
        tensors: x, a (nodes_in, dim_x); y, b (edges, dim_y); w, c (edges, dim_w); contiguous, of one precision:
            float32, float64, or bfloat16, which is summed in float32.
        order, offsets: the edges sorted by destination; those of node n are ``order[offsets[n]:offsets[n + 1]]``.
        source: node of x of each edge.
        nodes: rows of z.

    Returns:
        z (nodes, dim_z); the same bits in every run.

    Raises:
        InputError: Triton is missing, or the tensors are not on a graphics card.
    """
    like = _given(tensors)
    read, size = versions(forms, "gather"), _SUMS[like.dtype].itemsize
    jobs = gather_jobs(plan, forms, size) if nodes and len(order) else ()
    z = (like.new_empty if jobs and _covered(plan).z else like.new_zeros)(nodes, plan.dim_z)
    if not jobs:
        return z
    ends = {"order": order, "offsets": offsets, "source": source}
    _doors(
        "gather",
        plan,
        forms,
        dict(tensors) | ends | {"z": z},
        plan.shapes(_rows_of_x(tensors), nodes, len(order)),
        nodes,
    )
    programs = _programs(like)
    pointers = (*_two(tensors, read.x, like), *_two(tensors, read.y, like), *_two(tensors, read.w, like))
    with _on(like):
        for job in jobs:
            tile = _tile(job, job.summed, nodes, len(order), size)
            programs.gather[(nodes, tile.blocks)](
                z, order, offsets, source, *pointers, job, _real(like), **tile.options
            )
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
    r"""The derivatives of :math:`\sum_e \langle g_n, T(x_s, y_e, w_e) \rangle` that the forms ask for.

    Args:
        plan, forms, tensors: as in :func:`gather`, with g (nodes_out, dim_z).
        order, offsets: the edges sorted by source.
        destination: node of g of each edge.
        nodes: rows of x.

    Returns:
        Those of dx (nodes, dim_x), dy (edges, dim_y) and dw (edges, dim_w) that the forms have; the same bits in every
        run.

    Raises:
        InputError: as in :func:`gather`.
    """
    g = _given(tensors, "g")
    edges, covered, size = len(order), _covered(plan), _SUMS[g.dtype].itemsize
    jobs = scatter_jobs(plan, forms, size) if nodes and edges else ()
    tiles = [_tile(job, 2 * job.features + len(job.ys), nodes, edges, size) for job in jobs]
    slopes: dict[str, Tensor] = {}
    if forms.dx:
        slopes["dx"] = (g.new_empty if covered.x and jobs else g.new_zeros)(nodes, plan.dim_x)
    if forms.dw:
        slopes["dw"] = (g.new_empty if covered.w and jobs else g.new_zeros)(edges, plan.dim_w)
    if forms.dy:  # a part for each block of channels
        parts = max(1, sum(tile.blocks for tile in tiles))
        written = jobs and all(len(job.ys) == plan.dim_y for job in jobs)
        dtype = g.dtype if parts == 1 else _SUMS[g.dtype]
        slopes["dy"] = (g.new_empty if written else g.new_zeros)((parts, edges, plan.dim_y), dtype=dtype)
    if slopes and jobs:
        ends = {"order": order, "offsets": offsets, "destination": destination}
        shapes = plan.shapes(nodes, len(g), edges) | {"dy": tuple(slopes["dy"].shape) if forms.dy else ()}
        _doors("scatter", plan, forms, dict(tensors) | ends | slopes, shapes, nodes)
        _scatter(plan, forms, tensors, (order, offsets, destination), g, slopes, jobs, tiles)
    if forms.dy:
        slopes["dy"] = slopes["dy"][0] if len(slopes["dy"]) == 1 else slopes["dy"].sum(0).to(g.dtype)
    return slopes


def _doors(
    kind: str,
    plan: Channelwise,
    forms: Forms,
    words: Mapping[str, Tensor | None],
    shapes: Mapping[str, tuple[int, ...]],
    nodes: int,
) -> None:
    """Look at every tensor whose pointer Triton will take, as :func:`intertwine.kernels.convolution.cpu._launch` does.

    Raises:
        InputError: one is not what the program takes it for, or missing.
    """
    by_name = {name: tensor for name, tensor in words.items() if tensor is not None}
    missing(forms, kind, plan.dim_w > 0, by_name)
    like = _given(by_name, "z", "g")
    for name, tensor in by_name.items():
        size = (nodes + 1,) if name == "offsets" else shapes[name]
        dtype = torch.int64 if name in ("order", "offsets", "source", "destination") else like.dtype
        if name == "dy":
            dtype = tensor.dtype  # partial sums may be wider
        doors.address(tensor, name, size, dtype, like.device)


def _rows_of_x(tensors: Mapping[str, Tensor | None]) -> int:
    return len(_given(tensors, "x", "a"))


def _scatter(
    plan: Channelwise,
    forms: Forms,
    tensors: Mapping[str, Tensor | None],
    index: tuple[Tensor, Tensor, Tensor],
    g: Tensor,
    slopes: Mapping[str, Tensor],
    jobs: Sequence[ScatterJob],
    tiles: Sequence[Tile],
) -> None:
    """The launches of :func:`scatter`."""
    programs, read, first = _programs(g), versions(forms, "scatter"), 0
    pointers = (*_two(tensors, read.x, g), *_two(tensors, read.y, g), *_two(tensors, read.w, g))
    with _on(g):
        for job, tile in zip(jobs, tiles):
            dy = slopes["dy"][first:] if forms.dy else g
            outputs = (slopes.get("dx", g), dy, slopes.get("dw", g))
            size = len(index[0]) * plan.dim_y
            programs.scatter[(len(index[1]) - 1, tile.blocks)](
                *outputs, *index, *pointers, g, size, job, _real(g), **tile.options
            )
            first += tile.blocks


@dataclass(frozen=True)
class Covered:
    """Whether the terms of a plan write every place of the rows of x, z and w."""

    x: bool
    z: bool
    w: bool


@lru_cache(maxsize=1024)
def _covered(plan: Channelwise) -> Covered:
    def covers(strips: set[Strip | None], size: int) -> bool:
        return sum(strip.mul * strip.dim for strip in strips if strip is not None) == size

    xs, zs, ws = ({getattr(term, name) for term in plan.terms} for name in ("x", "z", "w"))
    return Covered(covers(xs, plan.dim_x), covers(zs, plan.dim_z), covers(ws, plan.dim_w))


@dataclass(frozen=True)
class Tile:
    """How a launch is cut: ``blocks`` programs for each node, with ``lanes`` channels and ``edges`` edges at a time in
    ``warps`` warps.
    """

    blocks: int
    lanes: int
    edges: int
    warps: int

    @property
    def options(self) -> dict[str, Any]:
        """Arguments of the launch. Products and sums are fused: the next Triton doesn't unless it is told to."""
        return {"EDGES": self.edges, "LANES": self.lanes, "num_warps": self.warps, "enable_fp_fusion": True}


def _tile(job: GatherJob | ScatterJob, summed: int, nodes: int, edges: int, size: int) -> Tile:
    """The tile for a job that keeps ``summed`` numbers of ``size`` bytes for each channel."""
    channels = 1 << (job.channels - 1).bit_length()
    lanes = min(channels, 2 * _WARP_THREADS if summed * size <= _WIDE_CHANNEL_BYTES else _WARP_THREADS)
    blocks = -(-job.channels // lanes)
    several = nodes * blocks < _FILLING_PROGRAMS and edges > 4 * nodes * max(1, _WARP_THREADS // lanes)
    warps = 4 if several else 1
    return Tile(blocks, lanes, warps * max(1, _WARP_THREADS // lanes), warps)


def _given(tensors: Mapping[str, Tensor | None], *names: str) -> Tensor:
    """A tensor with the precision and the device of all."""
    return next(tensor for name in names or tensors if (tensor := tensors.get(name)) is not None)


def _two(tensors: Mapping[str, Tensor | None], names: tuple[str, ...], other: Tensor) -> tuple[Tensor, Tensor]:
    """The versions of an argument that are read, and something that is not."""
    arguments = [tensor for name in names if (tensor := tensors.get(name)) is not None]
    return tuple((*arguments, other, other)[:2])  # type: ignore[return-value]


@lru_cache(maxsize=1)
def _installed() -> bool:
    return find_spec("triton") is not None


def _programs(tensor: Tensor) -> ModuleType:
    """The Triton programs, imported now."""
    require()
    from intertwine.kernels.convolution.gpu import programs

    if tensor.device.type == "cpu" and not programs.INTERPRETED:
        remedy = (
            "move the tensors to a graphics card; to run on the CPU, slowly, "
            "set TRITON_INTERPRET=1 before Triton is imported."
        )
        raise InputError("a kernel for graphics cards can't run on the CPU", where="kernels", remedy=remedy)
    return programs


def _real(tensor: Tensor) -> Any:
    """Triton's name of the precision of sums."""
    import triton.language as tl

    return {torch.float32: tl.float32, torch.float64: tl.float64}[_SUMS[tensor.dtype]]


@contextlib.contextmanager
def _on(tensor: Tensor) -> Iterator[None]:
    """Launches go to the card of the tensor."""
    with torch.cuda.device(tensor.device) if tensor.is_cuda else contextlib.nullcontext():
        yield
