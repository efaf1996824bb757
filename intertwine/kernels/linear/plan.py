"""Which channels a linear layer mixes with which weights: blocks of rows, and the matrices between them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor

from intertwine.numerics.once import once

FEW_CHANNELS = 40  # channels, about: where extra multiplications cost as much as copies; measured


@dataclass(frozen=True)
class Block:
    """Where a block lies in a row of features: ``mul`` channels of ``dim`` components."""

    start: int
    mul: int
    dim: int

    def of(self, x: Tensor, layout: str) -> Tensor:
        """A view of the block of x (z, features) as (component, z, channel)."""
        (row, unit), size = x.stride(), (self.dim, x.shape[0], self.mul)
        strides = (unit, row, self.dim * unit) if layout == "mul_ir" else (self.mul * unit, row, unit)
        return x.as_strided(size, strides, x.storage_offset() + self.start * unit)


@dataclass(frozen=True)
class Route:
    """Blocks of one irrep that are mixed by one matrix: every input with every output.

    ``starts[a][b]`` and ``factors[a][b]``: where the weights from input a to output b start, and the constant before
    them.
    """

    inputs: tuple[Block, ...]
    outputs: tuple[Block, ...]
    starts: tuple[tuple[int, ...], ...]
    factors: tuple[tuple[float, ...], ...]

    def parts(self, weight: Tensor) -> list[list[Tensor]]:
        """Views of the weights of all pairs, (channels in, channels out)."""
        return [
            [_cut(weight, start, a.mul, b.mul) for b, start in zip(self.outputs, starts)]
            for a, starts in zip(self.inputs, self.starts)
        ]

    def matrix(self, weight: Tensor, common: float | None) -> Tensor:
        """All weights in one matrix (channels in, channels out); with a ``common`` factor the weights have it."""
        if common is not None and len(self.inputs) == len(self.outputs) == 1:
            return _cut(weight, self.starts[0][0], self.inputs[0].mul, self.outputs[0].mul)
        rows = self.parts(weight)
        if common is None:
            rows = [
                [part * factor for part, factor in zip(parts, factors)] for parts, factors in zip(rows, self.factors)
            ]
        joined = [parts[0] if len(parts) == 1 else torch.cat(parts, 1) for parts in rows]
        return joined[0] if len(joined) == 1 else torch.cat(joined, 0)

    def spread(self, matrix: Tensor, weight: Tensor, common: float | None) -> None:
        """The adjoint of :meth:`matrix`, written into ``weight``."""
        if common is not None and len(self.inputs) == len(self.outputs) == 1:
            self.matrix(weight, common).copy_(matrix)
            return
        rows = matrix.split([block.mul for block in self.inputs], 0)
        for row, parts, factors in zip(rows, self.parts(weight), self.factors):
            for piece, part, factor in zip(row.split([block.mul for block in self.outputs], 1), parts, factors):
                torch.mul(piece, 1.0 if common is not None else factor, out=part)


def _cut(weight: Tensor, start: int, rows: int, columns: int) -> Tensor:
    """A matrix out of flat weights, as a view."""
    unit = weight.stride(0)
    return weight.as_strided((rows, columns), (columns * unit, unit), weight.storage_offset() + start * unit)


class Lane(NamedTuple):
    """How a route is multiplied. With a ``fold`` above 1 its components count as channels, and the matrix is
    :math:`W \\otimes 1`.
    """

    inputs: tuple[Block, ...]
    outputs: tuple[Block, ...]
    fold: int


def _lane(route: Route, layout: str) -> Lane:
    """Of few channels it costs less to multiply by many zeros than to copy the block into another order, twice."""
    dim = route.inputs[0].dim
    u, w = (sum(block.mul for block in blocks) for blocks in (route.inputs, route.outputs))
    if layout == "ir_mul" or dim == 1 or u * w * (dim - 1) > FEW_CHANNELS * (u + w):
        return Lane(route.inputs, route.outputs, 1)
    inputs, outputs = (
        tuple(Block(block.start, block.mul * dim, 1) for block in blocks) for blocks in (route.inputs, route.outputs)
    )
    return Lane(inputs, outputs, dim)


def folded(matrix: Tensor, fold: int) -> Tensor:
    if fold == 1:
        return matrix
    u, w = matrix.shape
    wide = matrix.new_zeros(u, fold, w, fold)
    wide.diagonal(0, 1, 3).copy_(matrix.unsqueeze(-1))
    return wide.view(u * fold, w * fold)


def unfolded(matrix: Tensor, fold: int) -> Tensor:
    """The adjoint of :func:`folded`."""
    if fold == 1:
        return matrix
    return matrix.view(matrix.shape[0] // fold, fold, matrix.shape[1] // fold, fold).diagonal(0, 1, 3).sum(-1)


@dataclass(frozen=True)
class Mixing:
    """All routes of a layer.

    Args:
        dim_in, dim_out: sizes of a row of features.
        weights: number of weights, each used by one route.
        routes: what mixes what; each block in or out has at least one channel.
        biases: (output block, where its biases start).
        layout: of the features.
    """

    dim_in: int
    dim_out: int
    weights: int
    routes: tuple[Route, ...]
    biases: tuple[tuple[Block, int], ...]
    layout: str
    # whether inputs, outputs are covered once: no zeros to fill in, nothing to add
    whole: tuple[bool, bool] = field(init=False)
    lanes: tuple[Lane, ...] = field(init=False)
    common: float | None = field(init=False)  # the factor, where all paths have the same

    def __post_init__(self) -> None:
        ins = [block for route in self.routes for block in route.inputs]
        outs = [block for route in self.routes for block in route.outputs]
        covered = [
            len(set(blocks)) == len(blocks) and sum(block.mul * block.dim for block in blocks) == dim
            for dim, blocks in ((self.dim_in, ins), (self.dim_out, outs))
        ]
        factors = {factor for route in self.routes for row in route.factors for factor in row}
        object.__setattr__(self, "whole", tuple(covered))
        object.__setattr__(self, "lanes", tuple(_lane(route, self.layout) for route in self.routes))
        object.__setattr__(self, "common", factors.pop() if len(factors) == 1 else None)

    def __deepcopy__(self, memo: object) -> Mixing:
        return self  # nothing in it changes

    def __reduce__(self) -> tuple:
        return Mixing, (self.dim_in, self.dim_out, self.weights, self.routes, self.biases, self.layout)

    @once
    def kernels(self) -> dict[torch.dtype, Any]:
        """Its compiled kernels, kept here because a plan is looked up in every call."""
        return {}

    @once
    def innermost(self) -> bool:
        """Whether the channels of a block lie one after the other."""
        return self.layout == "ir_mul" or all(
            block.dim == 1 for route in self.routes for block in (*route.inputs, *route.outputs)
        )

    def matrices(self, weight: Tensor) -> list[Tensor]:
        """The matrix of each route, factors included."""
        if self.common is not None:
            weight = weight * self.common
        return [folded(route.matrix(weight, self.common), lane.fold) for route, lane in zip(self.routes, self.lanes)]
