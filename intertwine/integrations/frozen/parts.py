"""Linear maps, polynomials, gates and the readout of a frozen model: constants of one precision, and their calls."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from intertwine.integrations.frozen.workspace import UnfitError, Workspace, array
from intertwine.kernels.frozen.sequence import Call
from intertwine.kernels.linear.kernel import products, transposed
from intertwine.kernels.linear.plan import Mixing
from intertwine.kernels.llvm.compile import compiled
from intertwine.kernels.polynomial.cpu import CHANNELS_PER_VECTOR, Tables
from intertwine.kernels.polynomial.cpu_text import Machine
from intertwine.nn.irreps.activation import Activation
from intertwine.nn.irreps.contraction_operator import program
from intertwine.nn.irreps.gate import Gate
from intertwine.nn.irreps.self_interaction import SelfInteraction
from intertwine.nn.irreps.symmetric_contraction import SymmetricContraction
from intertwine.o3 import Linear

#: Name of the numbers in the machine's cache.
NAMES = {torch.float32: "float32", torch.float64: "float64"}


class Mixer:
    """A linear map with fixed weights, and its transpose.

    Args:
        plan: which channels it mixes; weight: its numbers, float64; dtype: that of the calls.
    """

    def __init__(self, plan: Mixing | None, weight: Tensor, dtype: torch.dtype) -> None:
        if plan is None or not plan.innermost or plan.biases:
            raise UnfitError("a linear layer of another form")
        self.plan, self.weight, self.dtype = plan, weight.detach().to(dtype).contiguous(), dtype
        self.turned = transposed(plan, self.weight)
        self.tables: dict[tuple[bool, bool], Any] = {}

    def __call__(
        self, space: Workspace, x: Tensor, y: Tensor, *, back: bool = False, add: bool = False,
        rows: tuple[int, int] | None = None,
    ) -> Call:  # fmt: skip
        """y from x, or with ``back`` the cotangents y of the features from those of the result; some rows only."""
        if not add and not self.plan.whole[0 if back else 1]:
            raise UnfitError("a linear layer that leaves channels out")
        if (back, add) not in self.tables:
            self.tables[back, add] = products(self.plan, self.dtype, backward=back, add=add)
        table, (start, count) = self.tables[back, add], rows or (0, x.shape[0])
        weight = self.turned if back else self.weight
        words = [
            *table.words,
            count,
            space.at(x, start * x.shape[1]),
            space.at(weight),
            space.at(y, start * y.shape[1]),
        ]
        return Call(table.function, words, table.count, kept=(table, weight))


def linear(layer: Linear, dtype: torch.dtype) -> Mixer:
    """A layer that owns its weights."""
    return Mixer(layer._mixing, layer.weight, dtype)


def of_kinds(layer: SelfInteraction, attributes: Tensor, dtype: torch.dtype) -> list[Mixer]:
    """The map of each species, whose attributes are rows (species, attributes)."""
    weights = (attributes.double() * layer.weight.shape[0] ** -0.5) @ layer.weight.double()
    return [Mixer(layer.shared._mixing, weight, dtype) for weight in weights]


class Polynomial:
    """A contraction with fixed weights, and its derivative by the features.

    Args:
        layer: with channels innermost; dtype: that of the calls.
    """

    def __init__(self, layer: SymmetricContraction, dtype: torch.dtype) -> None:
        if layer.layout != "ir_mul" or not len(layer.weights):
            raise UnfitError("a contraction of another layout")
        self.weights = torch.cat([weight.detach().to(dtype) for weight in layer.weights], 1).contiguous()
        self.channels, self.dtype = layer.channels, dtype
        self.tables = [Tables(program(layer._shared, steps), dtype) for steps in ("", "0>0;")]

    def __call__(self, space: Workspace, kind: Tensor, arguments: Sequence[Tensor], result: Tensor) -> list[Call]:
        """B of a, or with cotangents (a, g) the derivative by a.

        Args:
            space: of the step; kind: species of each node.
            arguments: a, and g, (nodes, components times channels); result: likewise.
        """
        table, calls, first = self.tables[len(arguments) - 1], [], 0
        tensors = [arguments[0], self.weights, *arguments[1:], result]
        described: list[int] = []
        for tensor, size, shared in zip(tensors, table.widths, table.shared, strict=True):
            described += [space.at(tensor), size, shared]
        entries = table.inputs + table.slots
        for width in CHANNELS_PER_VECTOR[self.dtype]:
            chunks = (self.channels - first) // width
            if not chunks:
                continue
            size = width * self.dtype.itemsize
            memory = torch.empty(chunks * (8 * entries + table.slots * size) + 128, dtype=torch.uint8, device="cpu")
            addresses = (space.at(memory) + 63) // 64 * 64
            words = [
                space.nodes, self.weights.shape[0], space.at(kind), self.channels, first, chunks, 1, *table.header,
                *table.code, table.slots, addresses, (addresses + 8 * chunks * entries + 63) // 64 * 64, *described,
            ]  # fmt: skip
            name = NAMES[self.dtype]
            text = Machine(name, width).text
            machine = compiled("straight-line programs", f"machine {name} {width}", text)
            calls.append(Call(machine, words, chunks, kept=(table, memory)))
            first += chunks * width
        return calls


def sigmoid(x: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-x)), without overflow."""
    return 0.5 * np.tanh(0.5 * x) + 0.5


def silu(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    s = sigmoid(x)
    y = x * s
    return y, s + y * (1 - s)


def _tanh(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    y = np.tanh(x)
    return y, 1 - y * y


def _logistic(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    y = sigmoid(x)
    return y, y * (1 - y)


#: Functions with their derivatives.
FUNCTIONS: dict[Any, Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]] = {
    F.silu: silu,
    torch.tanh: _tanh,
    torch.sigmoid: _logistic,
}


class Gates:
    """Scalars through functions, all else times a gate, and the derivative.

    Args:
        gate: with channels innermost.
    """

    def __init__(self, gate: Gate) -> None:
        columns = torch.arange(gate.irreps_in.dim, dtype=torch.float64).unsqueeze(0)
        pieces = [piece.long().flatten().tolist() for piece in gate._parts(columns)]
        first, second = len(gate.irreps_scalars), len(gate.irreps_scalars) + len(gate.irreps_gates)
        self.scalars = np.array(list(chain(*pieces[:first])), dtype=np.intp)
        self.gates = np.array(list(chain(*pieces[first:second])), dtype=np.intp)
        self.kept = _grouped(gate.act_scalars)
        self.opened = _grouped(gate.act_gates)
        gated, numbers, before = [], [], 0
        blocks = gate._gated_blocks(
            [torch.tensor(piece, dtype=torch.float64).unsqueeze(0) for piece in pieces[second:]]
        )
        for block, (mul, _, _) in zip(blocks, gate._pieces):
            rows = block[0].long()  # (component, channel)
            gated += rows.flatten().tolist()
            numbers += (before + torch.arange(mul)).expand(rows.shape).flatten().tolist()
            before += mul
        self.gated, self.numbers = np.array(gated, dtype=np.intp), np.array(numbers, dtype=np.intp)
        self.adding = np.zeros((len(gated), before))  # sums the components of each gate
        self.adding[np.arange(len(gated)), self.numbers] = 1.0

    def steps(self, z: Tensor, x: Tensor, gx: Tensor, gz: Tensor) -> tuple[Callable[[], None], Callable[[], None]]:
        """x from z, then gz from gx."""
        into, out, above, below = (array(tensor) for tensor in (z, x, gx, gz))
        count, kept = len(self.scalars), {}
        adding = self.adding.astype(out.dtype)

        def forward() -> None:
            out[:, :count], kept["scalars"] = _applied(self.kept, into[:, self.scalars])
            if len(self.gates):
                opened, kept["gates"] = _applied(self.opened, into[:, self.gates])
                kept["gated"], kept["numbers"] = into[:, self.gated], opened[:, self.numbers]
                np.multiply(kept["gated"], kept["numbers"], out=out[:, count:])

        def backward() -> None:
            below[:, self.scalars] = above[:, :count] * kept["scalars"]
            if len(self.gates):
                tensors = above[:, count:]
                below[:, self.gated] = tensors * kept["numbers"]
                below[:, self.gates] = ((tensors * kept["gated"]) @ adding) * kept["gates"]

        return forward, backward


def _grouped(activation: Activation) -> list[tuple[slice, Any, float]]:
    """Columns, function and factor of each block of an :class:`~intertwine.nn.irreps.activation.Activation`."""
    groups: list[tuple[slice, Any, float]] = []
    start = 0
    for mul, _, module in activation.paths:
        act: Any = module
        function = None if act is None else FUNCTIONS.get(act.f)
        if function is None:
            raise UnfitError("a function of scalars that has no frozen form")
        factor = 1.0 if act._is_id else act.cst
        if groups and groups[-1][1:] == (function, factor):  # the gates come one by one
            groups[-1] = (slice(groups[-1][0].start, start + mul), function, factor)
        else:
            groups.append((slice(start, start + mul), function, factor))
        start += mul
    return groups


def _applied(groups: list[tuple[slice, Any, float]], x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Values and slopes."""
    if len(groups) == 1:
        value, slope = groups[0][1](x)
        return value * x.dtype.type(groups[0][2]), slope * x.dtype.type(groups[0][2])
    values, slopes = np.empty_like(x), np.empty_like(x)
    for columns, function, factor in groups:
        value, slope = function(x[:, columns])
        values[:, columns], slopes[:, columns] = factor * value, factor * slope
    return values, slopes
