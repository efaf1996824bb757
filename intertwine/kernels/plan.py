r"""The plan of a tensor product: which blocks meet, with which coefficients, and how their channels are connected.

A tensor product is the trilinear form

.. math:: z_{w k} = \sum_{\text{paths}} f \sum_{u v i j} W_{u v w}\, C_{i j k}\, x_{u i}\, y_{v j}

in which a path takes one block of x (channels u, components i) and one of y (v, j) to one block of z (w, k). The
connection mode says which of the channel sums are there: in ``uvw`` all, in ``uvu`` the channel of z is that of x, and
so on (:data:`MODES`).

A :class:`Plan` is immutable, hashable and picklable; two equal plans describe the same map. Kernels are compiled from
it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import prod

import numpy as np

from intertwine.numerics import InputError, choose

#: Connection modes: the channels of x, of y and of z. A letter that comes twice is one index; ``<`` keeps the pairs u <
#: v only.
MODES = ("uvw", "uvu", "uvv", "uuw", "uuu", "uvuv", "uvu<v", "u<vw")

#: How a block is laid out on the last axis: channel outer and component inner (e3nn's), or component outer and channel
#: innermost.
LAYOUTS = ("mul_ir", "ir_mul")


@dataclass(frozen=True)
class Block:
    """``mul`` channels of ``dim`` components each, from place ``start`` on the last axis."""

    mul: int
    dim: int
    start: int

    @property
    def size(self) -> int:
        return self.mul * self.dim


@dataclass(frozen=True)
class Operand:
    """The blocks of x, y or z and their layout.

    >>> Operand.of([(2, 1), (1, 3)]).dim
    5
    """

    blocks: tuple[Block, ...]
    layout: str = "mul_ir"

    @classmethod
    def of(cls, sizes: Iterable[tuple[int, int]], layout: str = "mul_ir") -> Operand:
        """The operand with blocks of the given (channels, components), one after the other.

        Raises:
            InputError: the layout is unknown or a size is negative.
        """
        choose(layout, LAYOUTS, kind="layout", where="layout")
        blocks: list[Block] = []
        start = 0
        for mul, dim in sizes:
            if mul < 0 or dim < 1:
                raise InputError(
                    f"a block can't have {mul} channels of {dim} components",
                    where="blocks",
                    remedy="give sizes of a block.",
                )
            blocks.append(Block(int(mul), int(dim), start))
            start += mul * dim
        return cls(tuple(blocks), layout)

    @property
    def dim(self) -> int:
        return sum(block.size for block in self.blocks)


@dataclass(frozen=True)
class Table:
    r"""Coupling coefficients :math:`C_{ijk}` as a sparse table: entries ``(i, j, k, value)`` in lexicographic order."""

    shape: tuple[int, int, int]
    entries: tuple[tuple[int, int, int, float], ...]

    @classmethod
    def of(cls, dense: np.ndarray) -> Table:
        """The non-zero entries of an array (i, j, k).

        >>> Table.of(np.eye(2).reshape(1, 2, 2)).entries
        ((0, 0, 0, 1.0), (0, 1, 1, 1.0))
        """
        dense = np.asarray(dense, dtype=np.float64)
        if dense.ndim != 3:
            raise InputError(
                f"coefficients have {dense.ndim} axes", where="coefficients", remedy="give an array (i, j, k)."
            )
        i, j, k = (axis.tolist() for axis in np.nonzero(dense))
        return cls(tuple(dense.shape), tuple(zip(i, j, k, dense[i, j, k].tolist())))

    def dense(self) -> np.ndarray:
        """The same as an array (i, j, k) of float64."""
        array = np.zeros(self.shape)
        for i, j, k, value in self.entries:
            array[i, j, k] = value
        return array


@dataclass(frozen=True)
class Path:
    """One term of the sum.

    Attributes:
        in1, in2, out: which block of x, y and z.
        mode: how the channels are connected, of :data:`MODES`.
        weighted: whether the path has weights; they are 1 otherwise.
        factor: f, a constant.
        table: C.
        shape: axes of the weights, such as (mul1, mul2, mul_out) for ``uvw``; of an unweighted path too.
        start: place of its first weight on the last axis of the weights.
    """

    in1: int
    in2: int
    out: int
    mode: str
    weighted: bool
    factor: float
    table: Table
    shape: tuple[int, ...]
    start: int

    @property
    def numel(self) -> int:
        """Number of weights."""
        return prod(self.shape) if self.weighted else 0


@dataclass(frozen=True)
class Plan:
    """All paths of a tensor product, with the blocks that they read and write. Made by :meth:`of`."""

    in1: Operand
    in2: Operand
    out: Operand
    paths: tuple[Path, ...]

    @classmethod
    def of(
        cls, in1: Operand, in2: Operand, out: Operand, paths: Iterable[tuple[int, int, int, str, bool, float, Table]]
    ) -> Plan:
        """The plan with paths ``(in1, in2, out, mode, weighted, factor, table)``; weights lie in their order.

        Raises:
            InputError: a block does not exist, a mode is unknown, its channels don't fit or the table doesn't.

        >>> vector = Operand.of([(4, 3)])
        >>> dot = Table.of(np.eye(3)[:, :, None])
        >>> plan = Plan.of(vector, vector, Operand.of([(5, 1)]), [(0, 0, 0, "uvw", True, 1.0, dot)])
        >>> plan.weight_numel, plan.paths[0].shape
        (80, (4, 4, 5))
        """
        plan_paths: list[Path] = []
        start = 0
        for number, (i1, i2, io, mode, weighted, factor, table) in enumerate(paths):
            where = f"path {number} ({i1}, {i2}, {io}, {mode!r})"
            blocks = (
                _block(in1, i1, "first", where),
                _block(in2, i2, "second", where),
                _block(out, io, "output", where),
            )
            shape = weight_shape(mode, *(block.mul for block in blocks), weighted=weighted, where=where)
            if table.shape != tuple(block.dim for block in blocks):
                raise InputError(
                    f"the coefficients have shape {table.shape}, the blocks {tuple(block.dim for block in blocks)}",
                    where=where,
                    remedy="give C[i, j, k] over the components of the three blocks.",
                )
            path = Path(i1, i2, io, mode, bool(weighted), float(factor), table, shape, start)
            plan_paths.append(path)
            start += path.numel
        return cls(in1, in2, out, tuple(plan_paths))

    @property
    def weight_numel(self) -> int:
        """Number of weights of all paths."""
        return sum(path.numel for path in self.paths)

    def blocks(self, path: Path) -> tuple[Block, Block, Block]:
        """The three blocks of a path."""
        return self.in1.blocks[path.in1], self.in2.blocks[path.in2], self.out.blocks[path.out]


def weight_shape(
    mode: str, mul1: int, mul2: int, mul_out: int, *, weighted: bool = True, where: str = "mode"
) -> tuple[int, ...]:
    """Axes of the weights of a path between blocks of these multiplicities.

    Raises:
        InputError: the mode is unknown, the multiplicities don't fit it, or it has no sense without weights.

    >>> weight_shape("uvu", 8, 3, 8)
    (8, 3)
    """
    choose(mode, MODES, kind="connection mode", where=where)
    pairs = mul1 * (mul2 - 1) // 2
    shape, equal = {
        "uvw": ((mul1, mul2, mul_out), ()),
        "uvu": ((mul1, mul2), (mul1, mul_out)),
        "uvv": ((mul1, mul2), (mul2, mul_out)),
        "uuw": ((mul1, mul_out), (mul1, mul2)),
        "uuu": ((mul1,), (mul1, mul2, mul_out)),
        "uvuv": ((mul1, mul2), (mul1 * mul2, mul_out)),
        "uvu<v": ((pairs,), (mul1, mul2)),
        "u<vw": ((pairs, mul_out), (mul1, mul2)),
    }[mode]
    fits = len(set(equal)) <= 1 and (mode != "uvu<v" or mul_out == pairs)
    if not fits:
        raise InputError(
            f"multiplicities {mul1} and {mul2} can't be connected to {mul_out} by {mode!r}",
            where=where,
            remedy=(
                "equal letters mean equal multiplicities; "
                "'uvuv' gives their product and 'uvu<v' the number of pairs u < v."
            ),
        )
    if not weighted and (mode in ("uvw", "u<vw") or (mode == "uuw" and mul_out != 1)):
        raise InputError(
            f"mode {mode!r} mixes channels by weights and has none here",
            where=where,
            remedy="set has_weight=True"
            + (", or let the output have multiplicity 1 (a plain sum over u)." if mode == "uuw" else "."),
        )
    return shape


def _block(operand: Operand, index: int, name: str, where: str) -> Block:
    if not 0 <= index < len(operand.blocks):
        raise InputError(
            f"there is no block {index} in the {name} representation, which has {len(operand.blocks)}",
            where=where,
            remedy="count the blocks from 0.",
        )
    return operand.blocks[index]
