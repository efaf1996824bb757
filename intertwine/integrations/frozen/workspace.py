"""Buffers of a step, and calls of compiled loops on them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from intertwine.kernels.convolution import cpu as convolution
from intertwine.kernels.convolution.forms import VALUE, Forms
from intertwine.kernels.convolution.plan import Channelwise
from intertwine.kernels.frozen import texts
from intertwine.kernels.frozen.sequence import Call, Calls
from intertwine.kernels.harmonics.kernel import POINTS_PER_VECTOR, Harmonics
from intertwine.kernels.shared import doors

NAMES = {torch.float32: "float32", torch.float64: "float64"}


class UnfitError(Exception):
    """A model, or a part of one, that has no frozen form; it is computed by torch then."""


class Workspace:
    """The buffers of a number of nodes and at most so many edges, all made once.

    Args:
        nodes: N; most: edges of the wide list; dtype: of the network.
    """

    def __init__(self, nodes: int, most: int, dtype: torch.dtype) -> None:
        self.nodes, self.most, self.dtype, self.edges = nodes, max(most, POINTS_PER_VECTOR) + 1, dtype, 0
        self.name, self.kept = NAMES[dtype], list[Tensor]()
        whole, wide = self.whole, torch.float64
        self.pos, self.shift = self.real(nodes, 3, dtype=wide), self.real(self.most, 3, dtype=wide)
        self.first, self.out_first = whole(nodes + 1), whole(nodes + 1)
        self.source, self.by_source, self.place = whole(self.most), whole(self.most), whole(self.most)
        self.offsets, self.out_offsets = whole(nodes + 1), whole(nodes + 1)
        self.sources, self.destinations, self.row = whole(self.most), whole(self.most), whole(self.most)
        self.out_order, self.order = whole(self.most), torch.arange(self.most)
        self.vectors, self.g = self.real(self.most, 3), self.real(self.most, 3)
        self.harmonic = self.real(self.most, 3)
        self.u, self.inverse, self.slope = self.real(self.most), self.real(self.most), self.real(self.most)
        self.forces, self.virial = self.real(nodes, 3, dtype=wide), self.real(3, 3, dtype=wide)
        self.constants = self.real(2, dtype=wide)

    def real(self, *shape: int, dtype: torch.dtype | None = None) -> Tensor:
        """A buffer of zeros."""
        return torch.zeros(*shape, dtype=dtype or self.dtype, device="cpu")

    def whole(self, count: int) -> Tensor:
        """A buffer of zeros, int64."""
        return torch.zeros(count, dtype=torch.int64, device="cpu")

    def at(self, tensor: Tensor, start: int = 0) -> int:
        """The address of a buffer, or of a number of it; the buffer lives as long as the workspace."""
        self.kept.append(tensor)
        return doors.address(tensor, "buffer", tuple(tensor.shape), tensor.dtype) + start * tensor.element_size()

    def _words(self, names: Sequence[str], **others: Tensor) -> list[int]:
        return [self.at(others[name] if name in others else getattr(self, name)) for name in names]

    def find_edges(self) -> Call:
        """The edges within the cutoff."""
        return Call(texts.edges(self.name), self._words(texts.EDGES), self.nodes)

    def put_forces(self) -> Call:
        """Forces and virial."""
        return Call(texts.forces(self.name), self._words(texts.FORCES), self.nodes)

    def radial(self, table: Tensor, w: Tensor) -> Call:
        """Weights of the edges."""
        words = self._words(texts.VALUES, table=table, w=w)
        return EdgeCall(texts.values(self.name, w.shape[1]), words, 0, apart=True)

    def slopes(self, table: Tensor, dw: Tensor, add: bool) -> Call:
        """What derivatives by the weights mean for the distances."""
        words = self._words(texts.SLOPES, table=table, dw=dw)
        return EdgeCall(texts.slopes(self.name, dw.shape[1], add=add), words, 0, apart=True)

    def gather(self, plan: Channelwise, x: Tensor, y: Tensor, w: Tensor, z: Tensor) -> Call:
        """z of the nodes."""
        others = {"order": self.order, "offsets": self.offsets, "source": self.sources, "x": x, "y": y, "w": w, "z": z}
        words = [self.at(others[name]) if name in others else 0 for name in convolution.words_of("gather")]
        return Call(convolution.function_of("gather", plan, self.name, VALUE), words, self.nodes, apart=True)

    def scatter(self, plan: Channelwise, forms: Forms, others: dict[str, Tensor]) -> Call:
        """The derivatives of z that the forms ask for."""
        ends = {"order": self.out_order, "offsets": self.out_offsets, "destination": self.destinations}
        others = others | ends
        words = [self.at(others[name]) if name in others else 0 for name in convolution.words_of("scatter")]
        return Call(convolution.function_of("scatter", plan, self.name, forms), words, self.nodes, apart=True)

    def harmonics(self, kernels: Harmonics, kind: str, *tensors: Tensor) -> Call:
        """Harmonics of the vectors ("values": vectors, y), or their "gradient" (vectors, cotangents, result)."""
        function = kernels.functions.get((kind, self.dtype))
        if function is None:
            raise UnfitError("no kernel of the harmonics")
        return PointCall(function, [0, *(self.at(tensor) for tensor in tensors)], 0, apart=True)


class EdgeCall(Call):
    """A loop over edges."""

    def fit(self, edges: int) -> int:
        """The rows for so many edges."""
        return edges


class PointCall(EdgeCall):
    """A loop over blocks of points, one block at least."""

    def fit(self, edges: int) -> int:
        self.words[0] = number = max(edges, POINTS_PER_VECTOR)
        return -(-number // POINTS_PER_VECTOR)


class Steps:
    """Calls, and functions between them, in their order; neighbouring calls are one.

    Args:
        items: of the step.
    """

    def __init__(self, items: Sequence[Call | Callable[[], None]]) -> None:
        self.runs: list[Callable[[], None]] = []
        self.sized: list[tuple[Calls, int, EdgeCall]] = []
        waiting: list[Call] = []
        for item in [*items, None]:
            if isinstance(item, Call):
                waiting.append(item)
                continue
            if waiting:
                calls = Calls(waiting)
                self.runs.append(calls)
                self.sized += [(calls, k, call) for k, call in enumerate(waiting) if isinstance(call, EdgeCall)]
                waiting = []
            if item is not None:
                self.runs.append(item)

    def fit(self, edges: int) -> None:
        """Make the loops over edges do so many."""
        for calls, number, call in self.sized:
            calls.table[number, 3] = call.fit(edges)

    def __call__(self) -> None:
        for run in self.runs:
            run()


def array(tensor: Tensor) -> np.ndarray:
    """The same memory as an array."""
    return tensor.numpy()
