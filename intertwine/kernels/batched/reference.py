"""The trilinear form of a plan in plain torch: any device, any precision, all modes, derivatives of every order.

Every product that has no kernel is evaluated by it, and it is fast: see :mod:`intertwine.kernels.batched.stages`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from intertwine.kernels.batched.grouping import grouped
from intertwine.kernels.batched.stages import Request, V, times
from intertwine.kernels.plan import Operand, Path, Plan
from intertwine.numerics import ExactBuffers, InputError, safe

_DENSE_COMPONENTS = (
    64  # the coefficients of all paths are one dense matrix up to this many components of the argument evaluated first
)


class Reference(ExactBuffers):
    """A plan, ready to be evaluated.

    Args:
        plan: what to compute.
        shared: whether the weights are one vector for all samples; otherwise each sample has its own.
        dtype, device: of the constants; None is torch's default. They follow the module's ``to``, exactly.

    >>> import numpy as np
    >>> from intertwine.kernels import Operand, Plan, Table
    >>> vectors = Operand.of([(4, 3)])
    >>> dot = (0, 0, 0, "uuu", False, 1.0, Table.of(np.eye(3)[:, :, None]))
    >>> inner = Reference(Plan.of(vectors, vectors, Operand.of([(4, 1)]), [dot]))
    >>> inner(torch.ones(2, 12), torch.ones(2, 12), None)[0]
    tensor([3., 3., 3., 3.])
    """

    def __init__(
        self,
        plan: Plan,
        *,
        shared: bool = True,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__()
        self.plan, self.shared = plan, shared
        self._groups, self._paired = grouped(plan, shared)
        self._requests = [group.requests(plan) for group in self._groups]
        self._sides = [
            [request for requests in self._requests for request in requests if request.side == side] for side in (0, 1)
        ]
        # per side: columns of each request in the one matrix of coefficients
        self._columns: list[list[int] | None] = []
        for side in (0, 1):
            inner = _inner(plan, side)
            dense = (
                bool(self._sides[side])
                and inner.dim <= _DENSE_COMPONENTS
                and all(block.mul <= 1 for block in inner.blocks)
            )
            self._columns.append(self._register_whole(side, dtype, device) if dense else None)
            if not dense:
                self._register_blocks(side, dtype, device)
        for number, pair in enumerate(self._paired):
            for name, value in pair.constants().items():
                if value is None:
                    self.register_buffer(f"{name}{number}", None)
                else:
                    self.register_exact(f"{name}{number}", value, dtype, device)

    def _register_whole(self, side: int, dtype: torch.dtype | None, device: torch.device | str | None) -> list[int]:
        """One matrix for all requests: a row for each component of the argument evaluated first."""
        operand = _inner(self.plan, side)
        columns = []
        for request in self._sides[side]:
            for run in request.runs:
                pieces = []
                for path in run:
                    block = operand.blocks[_reads(path, side)]
                    table = request.table(path)
                    rows = np.zeros((operand.dim, *table.shape[1:]))
                    rows[block.start : block.start + block.dim] = table
                    pieces.append(np.expand_dims(rows, 1 + request.axes.index(V)))
                columns.append(np.concatenate(pieces, axis=1 + request.axes.index(V)).reshape(operand.dim, -1))
        self.register_exact(f"coefficients{side}", np.concatenate(columns, axis=1), dtype, device)
        return [
            sum(path.table.shape[side] * path.table.shape[2] for path in request.paths) for request in self._sides[side]
        ]

    def _register_blocks(self, side: int, dtype: torch.dtype | None, device: torch.device | str | None) -> None:
        """A matrix for each block that a request evaluates."""
        for number, request in enumerate(self._sides[side]):
            for index, paths in _by_block(request).items():
                tables = [request.table(path) for path in paths]
                rows = np.concatenate([table.reshape(len(table), -1) for table in tables], axis=1)
                self.register_exact(f"coefficients{side}_{number}_{index}", rows, dtype, device)

    def forward(
        self, x: Float[Tensor, "... dim1"], y: Float[Tensor, "... dim2"], weight: Float[Tensor, "... weights"] | None
    ) -> Float[Tensor, "... dim_out"]:
        """z of the plan.

        Args:
            x: first argument (..., plan.in1.dim).
            y: second argument (..., plan.in2.dim); leading axes are broadcast.
            weight: (plan.weight_numel,) if shared, else (..., plan.weight_numel); None if there are none.

        Returns:
            (..., plan.out.dim).

        Raises:
            InputError: a last axis has the wrong size, or the precisions differ.
        """
        self._check(x, y, weight)
        x, y, weight, batch = self._flatten(x, y, weight)
        first, second = _split(x, self.plan.in1), _split(y, self.plan.in2)
        weights = self._weights(weight)
        contributions: list[list[Tensor]] = [[] for _ in self.plan.out.blocks]
        matrices = iter(self._matrices(0, y, second)), iter(self._matrices(1, x, first))
        for group, requests in zip(self._groups, self._requests):
            ready = [next(matrices[group.side]) for _ in requests]
            for out, piece in group.evaluate(self.plan, second if group.side else first, ready, weights):
                contributions[out].append(piece)
        for number, pair in enumerate(self._paired):
            constants = {name: getattr(self, f"{name}{number}") for name in ("left", "right", "mixing", "scale")}
            for out, piece in pair.evaluate(self.plan, first[pair.in1], second[pair.in2], constants, weights):
                contributions[out].append(piece)
        z = self._assemble(contributions, x)
        return z if len(batch) == 1 else z.reshape(*batch, self.plan.out.dim)

    def _check(self, x: Tensor, y: Tensor, weight: Tensor | None) -> None:
        sizes = [("x", x, self.plan.in1.dim), ("y", y, self.plan.in2.dim)]
        if weight is not None or self.plan.weight_numel:
            sizes.append(("weight", x.new_empty(0) if weight is None else weight, self.plan.weight_numel))
        for name, tensor, size in sizes:
            if tensor.shape[-1:] != (size,):
                raise InputError(
                    f"the shape is {tuple(tensor.shape)}", where=name, remedy=f"the last axis must have size {size}."
                )
            if tensor.dtype != x.dtype and not safe.autocasting(x):
                raise InputError(
                    f"x is in {x.dtype}, this is in {tensor.dtype}", where=name, remedy="cast one of them."
                )
        if self.shared and weight is not None and weight.ndim != 1:
            raise InputError(
                f"the shape is {tuple(weight.shape)}", where="weight", remedy="shared weights have a single axis."
            )

    def _flatten(self, x: Tensor, y: Tensor, weight: Tensor | None) -> tuple[Tensor, Tensor, Tensor | None, torch.Size]:
        """The arguments with a single batch axis, and the batch shape of the result."""
        leading = [x.shape[:-1], y.shape[:-1]]
        if weight is not None and not self.shared:
            leading.append(weight.shape[:-1])
        equal = all(shape == leading[0] for shape in leading)
        batch = leading[0] if equal else torch.broadcast_shapes(*leading)
        if weight is not None and not self.shared:
            weight = _rows(weight, batch)
        return _rows(x, batch), _rows(y, batch), weight, batch

    def _weights(self, weight: Tensor | None) -> dict[int, Tensor]:
        """The weights of each path by where they start: (shape) or (z, shape)."""
        paths = [path for path in self.plan.paths if path.numel]
        if weight is None or not paths:
            return {}
        pieces = weight.split([path.numel for path in paths], -1)
        return {path.start: piece.unflatten(-1, path.shape) for path, piece in zip(paths, pieces)}

    def _matrices(self, side: int, argument: Tensor, blocks: Sequence[Tensor]) -> list[Tensor]:
        """M of each request: the coefficients evaluated on one argument."""
        columns, requests = self._columns[side], self._sides[side]
        if columns is not None:
            pieces = (argument @ getattr(self, f"coefficients{side}")).split(columns, -1)
            return [piece.unflatten(-1, (-1, request.columns)) for request, piece in zip(requests, pieces)]
        return [self._matrix(number, request, blocks) for number, request in enumerate(requests)]

    def _matrix(self, number: int, request: Request, blocks: Sequence[Tensor]) -> Tensor:
        """M of one request, from the blocks that it evaluates."""
        by_block = _by_block(request)
        pieces_by_block: dict[int, Iterator[Tensor]] = {}
        for index, paths in by_block.items():
            block = blocks[index].sum(1, keepdim=True) if request.summed else blocks[index]
            rows = times(block, getattr(self, f"coefficients{request.side}_{number}_{index}"))  # z, v, path (i k)
            if len(by_block) == 1 and request.axes[0] == V:
                return rows.flatten(1).unflatten(1, (-1, request.columns))
            shapes = [request.dims(path) for path in paths]
            pieces = rows.split([prod(shape) for shape in shapes], -1)
            pieces_by_block[index] = iter([piece.unflatten(-1, shape) for piece, shape in zip(pieces, shapes)])
        return request.arrange([next(pieces_by_block[_reads(path, request.side)]) for path in request.paths])

    def _assemble(self, contributions: list[list[Tensor]], x: Tensor) -> Tensor:
        """Sum the contributions to each block and lay the blocks out one after the other."""
        blocks = []
        for block, pieces in zip(self.plan.out.blocks, contributions):
            if not pieces:
                blocks.append(x.new_zeros(x.shape[0], block.size))
                continue
            total = pieces[0]
            for piece in pieces[1:]:
                total = total + piece
            blocks.append((total.transpose(1, 2) if self.plan.out.layout == "ir_mul" else total).flatten(1))
        return blocks[0] if len(blocks) == 1 else torch.cat(blocks, -1) if blocks else x.new_zeros(x.shape[0], 0)


def _rows(x: Tensor, batch: torch.Size) -> Tensor:
    """x broadcast to the batch, which becomes a single axis."""
    x = x if x.shape[:-1] == batch else x.expand(*batch, x.shape[-1])
    return x if len(batch) == 1 else x.reshape(prod(batch), x.shape[-1])


def _split(x: Tensor, operand: Operand) -> list[Tensor]:
    """The blocks of an operand as (z, channel, component)."""
    if not operand.blocks:
        return []
    pieces = x.split([block.size for block in operand.blocks], -1) if len(operand.blocks) > 1 else (x,)
    if operand.layout == "ir_mul":
        return [
            piece.unflatten(-1, (block.dim, block.mul)).transpose(1, 2) for piece, block in zip(pieces, operand.blocks)
        ]
    return [piece.unflatten(-1, (block.mul, block.dim)) for piece, block in zip(pieces, operand.blocks)]


def _inner(plan: Plan, side: int) -> Operand:
    """The argument evaluated first."""
    return plan.in1 if side else plan.in2


def _reads(path: Path, side: int) -> int:
    """The block of the argument evaluated first that a path reads."""
    return path.in1 if side else path.in2


def _by_block(request: Request) -> dict[int, list[Path]]:
    """The paths of a request by the block that they evaluate."""
    paths: dict[int, list[Path]] = {}
    for path in request.paths:
        paths.setdefault(_reads(path, request.side), []).append(path)
    return paths
