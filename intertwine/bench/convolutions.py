r"""The convolution :math:`z_n = \sum_{e \to n} T(x_{s_e}, y_e, w_e)` by this library and its peers.

T is the product ``uvu`` of channels with harmonics by all paths of natural parity. Each library has its inputs in the
layout that it likes best; what they return is compared first.
"""

from __future__ import annotations

import os
import shutil
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from intertwine.bench.clock import installed
from intertwine.bench.contest import OURS, Contestant
from intertwine.nn.convolution import Convolution
from intertwine.numerics.once import once
from intertwine.o3 import Irreps, wigner_3j
from intertwine.o3.blocks import join_blocks, split_blocks


@dataclass(frozen=True)
class Size:
    """A convolution: edges, nodes, channels, largest degrees of x, y and z, and how many graphs the nodes and edges are
    divided into.
    """

    edges: int
    nodes: int
    channels: int
    degrees: tuple[int, int, int]
    graphs: int = 1

    @once
    def irreps(self) -> tuple[Irreps, Irreps, Irreps]:
        """Of x, y and z."""
        x, y, _ = self.degrees
        left = Irreps([(self.channels, (l, (-1) ** l)) for l in range(x + 1)])
        return left, Irreps.spherical_harmonics(y), Irreps([(self.channels, ir) for _, _, ir in self.paths])

    @once
    def paths(self) -> list[tuple[int, int, Any]]:
        """(block of x, block of y, irrep of z), in the order of the blocks of z."""
        x, y, z = self.degrees
        irreps = Irreps([(1, (l, (-1) ** l)) for l in range(max(x, y) + 1)])
        couplings = [(i, j, ir) for i in range(x + 1) for j in range(y + 1) for ir in irreps[i].ir * irreps[j].ir]
        return sorted(
            ((i, j, ir) for i, j, ir in couplings if ir.l <= z and ir.p == (-1) ** ir.l), key=lambda path: path[2].l
        )

    @property
    def bytes(self) -> dict[str, int]:
        """What has to be read and written once, in float32 and int64: forward, and forward and backward."""
        x, y, z = (irreps.dim for irreps in self.irreps)
        w = self.channels * len(self.paths)
        nodes, edges = self.nodes * (x + z) * 4, self.edges * ((y + w) * 4 + 16)
        return {
            "forward": nodes + edges,
            "forward + backward": 3 * (nodes + edges) - self.nodes * z * 4 - self.edges * 16,
        }

    def product(self, kind: Callable[..., Any], **options: Any) -> Any:
        """The product by a class with the arguments of e3nn's ``TensorProduct``."""
        left, right, out = (str(irreps) for irreps in self.irreps)
        paths = [(i, j, k, "uvu", True) for k, (i, j, _) in enumerate(self.paths)]
        return kind(left, right, out, paths, shared_weights=False, internal_weights=False, **options)


#: The sizes that the library is held to.
SIZES = {
    "A": Size(10_000, 500, 32, (2, 2, 2)),
    "B": Size(4_000, 200, 128, (1, 3, 3)),
    "C": Size(5_000, 250, 64, (3, 3, 3)),
    "tiny": Size(400, 21, 32, (2, 2, 2)),
}


@dataclass(frozen=True)
class Problem:
    """Random arguments of a size, layout ``ir_mul``: x, y, w, the cotangent of z, and the ends of the edges."""

    size: Size
    x: Tensor
    y: Tensor
    w: Tensor
    cotangent: Tensor
    source: Tensor
    destination: Tensor

    @classmethod
    def of(cls, size: Size) -> Problem:
        """The same every time."""
        generator = torch.Generator().manual_seed(0)
        left, right, out = size.irreps
        x, cotangent = (torch.randn(size.nodes, irreps.dim, generator=generator) for irreps in (left, out))
        y = torch.randn(size.edges, right.dim, generator=generator)
        w = torch.randn(size.edges, size.channels * len(size.paths), generator=generator)
        each = size.nodes // size.graphs
        # the first node of the graph that an edge is in
        first = torch.arange(size.edges) * size.graphs // max(size.edges, 1) * each
        source, destination = first + torch.randint(each, (2, size.edges), generator=generator)
        return cls(size, x, y, w, cotangent, source, destination)

    def contestant(self, function: Callable[..., Tensor], layout: str, **options: Any) -> Contestant:
        """A function of x, y and w in a layout."""
        left, _, out = self.size.irreps

        def turned(tensor: Tensor, irreps: Irreps, before: str, after: str) -> Tensor:
            return tensor if before == after else join_blocks(split_blocks(tensor, irreps, before), after)

        def adapt(place: int, tensor: Tensor) -> Tensor:
            return turned(tensor, out if place < 0 else left, layout, "ir_mul") if place < 1 else tensor

        x, cotangent = turned(self.x.detach(), left, "ir_mul", layout), turned(self.cotangent, out, "ir_mul", layout)
        leaves = tuple(leaf.requires_grad_() for leaf in (x, self.y, self.w))
        return Contestant(function, leaves, cotangent, adapt, **options)


def ours(problem: Problem) -> Contestant:
    """:class:`intertwine.nn.Convolution`."""
    left, right, out = problem.size.irreps
    layer = Convolution(left, right, Irreps([(1, ir) for ir in sorted({ir for _, ir in out})]))
    ends, nodes = torch.stack([problem.source, problem.destination]), problem.size.nodes
    return problem.contestant(lambda x, y, w: layer(x, y, ends, w, nodes), "ir_mul")


def e3nn(problem: Problem, *, compiled: bool = False) -> Contestant:
    """e3nn: gather, ``TensorProduct``, ``index_add``; ``compiled`` by torch, which then has no second derivatives."""
    import e3nn.o3

    product = problem.size.product(e3nn.o3.TensorProduct)
    source, destination, shape = problem.source, problem.destination, problem.cotangent.shape

    def convolve(x: Tensor, y: Tensor, w: Tensor) -> Tensor:
        return x.new_zeros(shape).index_add_(0, destination, product(x[source], y, w))

    if not compiled:
        return problem.contestant(convolve, "mul_ir")
    return problem.contestant(
        torch.compile(convolve, dynamic=False), "mul_ir", passes=("forward", "forward + backward")
    )


def cuequivariance(problem: Problem) -> Contestant:
    """cuequivariance-torch without its CUDA kernels: ``ChannelWiseTensorProduct(method="naive")`` with its own gather
    and scatter.
    """
    import cuequivariance as cue
    import cuequivariance_torch as cuet

    class Rotations(cue.O3):  # e3nn's signs, as programs that load e3nn's weights do
        def __mul__(self, other: Any) -> list[Any]:
            return [Rotations(ir.l, ir.p) for ir in cue.O3.__mul__(self, other)]

        @classmethod
        def clebsch_gordan(cls, x: Any, y: Any, z: Any) -> Any:
            table = wigner_3j(x.l, y.l, z.l, dtype=torch.float64).numpy() * z.dim**0.5
            return table[None] if x.p * y.p == z.p else table[None][:0]

        @classmethod
        def iterator(cls) -> Any:
            return (cls(ir.l, ir.p) for ir in cue.O3.iterator())

    left, right, _ = (cue.Irreps(Rotations, str(irreps)) for irreps in problem.size.irreps)
    kept = [Rotations(l, (-1) ** l) for l in range(problem.size.degrees[2] + 1)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        product = cuet.ChannelWiseTensorProduct(
            left,
            right,
            kept,
            layout=cue.ir_mul,
            shared_weights=False,
            internal_weights=False,
            dtype=torch.float32,
            method="naive",
        )
    ends = {"indices_1": problem.source, "indices_out": problem.destination, "size_out": problem.size.nodes}
    return problem.contestant(lambda x, y, w: product(x, y, w, **ends), "ir_mul")


def peers(problem: Problem, *, compiled: bool) -> dict[str, Contestant]:
    """Ours and the peers that are installed; e3nn under ``torch.compile`` if asked, and a compiler is there."""
    contestants = {OURS: ours(problem)}
    if installed("e3nn"):
        contestants["e3nn"] = e3nn(problem)
        if compiled and has_compiler():
            contestants["e3nn compiled"] = e3nn(problem, compiled=True)
    if installed("cuequivariance-torch"):
        contestants["cuequivariance"] = cuequivariance(problem)
    return contestants


def has_compiler() -> bool:
    """Whether torch.compile finds the C++ compiler that it needs on a processor."""
    return any(shutil.which(name) for name in (os.environ.get("CXX") or "g++", "clang++"))
