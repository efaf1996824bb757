r"""How a plan is evaluated: its paths are sorted into groups, each of which costs one or two batched matrix products.

Throughout, ``z`` is the flattened batch and a block is seen as (z, channel, component) whatever its layout in memory.
In all groups but the last one argument is evaluated first: :math:`M_{z v, i k} = \sum_j C_{ijk} y_{z v j}` is a matrix
per sample, shared by all channels of x. Where x and y change their roles (``uvv``; ``uvw`` with few channels in x)
everything is mirrored: ``side`` is 1.

======  ================================================  ==============================================================
group   paths                                             evaluation
======  ================================================  ==============================================================
Outer   uvu, uvv, uvuv that read one block of x           x M for all at once, then the weights
Scaled  uvu, uvv with weights and more components in z,   the weights, then (w x) M, which sums over v; or x (w M) if
        or several channels v                             the weights are shared
Late    uvw                                               x M for all blocks of z at once, then the weights of all paths
Early   uvw with fewer multiplications this way round     the weights, then (W x) M for all blocks of x at once
Paired  uuu, uuw, u<v of one pair of blocks               (x S)(y S') C with selections S of i and S' of j, then weights
======  ================================================  ==============================================================
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from intertwine.kernels.plan import Block, Path, Plan

Pieces = Iterator[tuple[int, Tensor]]  # block of the output, contribution (z, channel, component)
Weights = dict[int, Tensor]  # by where they start: (shape) or (z, shape)

#: torch multiplies matrices of a batch with fewer multiplications than this by a plain loop, without the BLAS.
LOOP_MULTIPLICATIONS = 400

V, I, K = 1, 2, 3  # axes of a piece of M


@dataclass(frozen=True)
class Request:
    """The matrices M that a group needs, as (z, rows, columns).

    Attributes:
        side: 0 if y is evaluated first, 1 if x is.
        runs: the paths; within a run the v of all paths lie in a row, runs lie one after the other.
        axes: order of the axes V, I, K within a run. The last one or two are the columns.
        columns: how many columns.
        summed: whether the channels v are summed before everything else.
    """

    side: int
    runs: tuple[tuple[Path, ...], ...]
    axes: tuple[int, int, int]
    columns: int
    summed: bool = False

    @property
    def paths(self) -> list[Path]:
        return [path for run in self.runs for path in run]

    def table(self, path: Path) -> np.ndarray:
        """f C as (j, i, k) or (j, k, i), as ``axes`` wants it."""
        dense = path.factor * path.table.dense()
        first, second = (1, 0) if self.side else (0, 1)
        return dense.transpose((second, first, 2) if self.axes.index(I) < self.axes.index(K) else (second, 2, first))

    def dims(self, path: Path) -> tuple[int, int]:
        """(i, k) or (k, i)."""
        i, k = path.table.shape[self.side], path.table.shape[2]
        return (i, k) if self.axes.index(I) < self.axes.index(K) else (k, i)

    def arrange(self, pieces: Sequence[Tensor]) -> Tensor:
        """(z, rows, columns) from the pieces (z, v, i, k) or (z, v, k, i) of each path."""
        place = self.axes.index(V)
        order = [V + 1, V + 2]
        order.insert(place, V)
        queue = iter(pieces)
        runs = []
        for run in self.runs:
            turned = [next(queue).permute(0, *order) for _ in run]
            runs.append((torch.cat(turned, 1 + place) if len(turned) > 1 else turned[0]).flatten(1))
        return (torch.cat(runs, 1) if len(runs) > 1 else runs[0]).unflatten(1, (-1, self.columns))


@dataclass(frozen=True)
class Outer:
    """Paths whose channels stay apart: ``z_{uv} = w_{uv} (x_u M_v)``; ``uvu`` and ``uvv`` only where v is summed or
    single.
    """

    side: int
    block: int
    paths: tuple[Path, ...]
    summed: bool

    def requests(self, plan: Plan) -> list[Request]:
        """M as (z, v path k, i)."""
        columns = _turned(plan, self.paths[0], self.side)[0].dim
        return [Request(self.side, tuple((path,) for path in self.paths), (V, K, I), columns, self.summed)]

    def evaluate(self, plan: Plan, blocks: Sequence[Tensor], matrices: Sequence[Tensor], weights: Weights) -> Pieces:
        """Contributions to the output."""
        x, (matrix,) = blocks[self.block], matrices
        if plan.out.layout == "ir_mul":  # the same product, written with the channels innermost
            products = product(matrix, x.transpose(1, 2)).transpose(1, 2)
        else:
            products = product(x, matrix.transpose(1, 2))
        dims = [plan.out.blocks[path.out].dim for path in self.paths]
        copies = 1 if self.summed else _turned(plan, self.paths[0], self.side)[1].mul
        if copies > 1:
            products = products.unflatten(2, (copies, sum(dims)))
        for path, t in zip(self.paths, products.split(dims, -1) if len(dims) > 1 else (products,)):
            if path.weighted:
                t = t * weights[path.start].reshape(*weights[path.start].shape[: -len(path.shape)], *t.shape[1:-1], 1)
            yield path.out, t.flatten(1, 2) if copies > 1 else t


@dataclass(frozen=True)
class Scaled:
    """One path ``z_u = sum_v (w_{uv} x_u) M_v``."""

    side: int
    block: int
    path: Path

    def requests(self, plan: Plan) -> list[Request]:
        """M as (z, v i, k)."""
        return [Request(self.side, ((self.path,),), (V, I, K), plan.out.blocks[self.path.out].dim)]

    def evaluate(self, plan: Plan, blocks: Sequence[Tensor], matrices: Sequence[Tensor], weights: Weights) -> Pieces:
        """The contribution to the output."""
        x, (matrix,) = blocks[self.block], matrices
        weight = weights[self.path.start]
        weight = weight.transpose(-1, -2) if self.side else weight  # u, v
        copies = weight.shape[-1]
        if copies > 1 and weight.ndim == 2:
            # the weights of all samples: one product with the matrices, whose sum over v it takes
            turned = matrix.unflatten(1, (copies, -1)).permute(0, 2, 3, 1)  # z, i, k, v
            mixed = times(turned.flatten(1, 2), weight.T).unflatten(1, turned.shape[1:3])
            yield self.path.out, (mixed * x.transpose(1, 2).unsqueeze(2)).sum(1).transpose(1, 2)
            return
        if copies == 1:
            scaled = x * weight
        else:
            scaled = (x.unsqueeze(2) * weight.unsqueeze(-1)).flatten(2)
        if plan.out.layout == "ir_mul":
            yield self.path.out, product(matrix.transpose(1, 2), scaled.transpose(1, 2)).transpose(1, 2)
        else:
            yield self.path.out, product(scaled, matrix)


@dataclass(frozen=True)
class Late:
    """Fully connected paths, weights last.

    Attributes:
        blocks, runs: ``runs[n]`` has the paths from block ``blocks[n]``, those to one block of z in a tuple.
        apart: whether v has several channels; the paths of ``runs[n]`` then read one block, and each tuple has one
            path.
    """

    side: int
    blocks: tuple[int, ...]
    runs: tuple[tuple[tuple[Path, ...], ...], ...]
    apart: bool

    def requests(self, plan: Plan) -> list[Request]:
        """M of each block as (z, out k v, i), or (z, v out k, i) if apart."""
        axes = (V, K, I) if self.apart else (K, V, I)
        return [Request(self.side, runs, axes, _turned(plan, runs[0][0], self.side)[0].dim) for runs in self.runs]

    def evaluate(self, plan: Plan, blocks: Sequence[Tensor], matrices: Sequence[Tensor], weights: Weights) -> Pieces:
        """Contributions to the output."""
        products: dict[int, list[Tensor]] = {}
        mixing: dict[int, list[Tensor]] = {}
        for block, runs, matrix in zip(self.blocks, self.runs, matrices):
            x = blocks[block].transpose(1, 2)
            t = product(matrix, x)
            dims = [plan.out.blocks[run[0].out].dim for run in runs]
            if self.apart:
                copies = _turned(plan, runs[0][0], self.side)[1].mul
                pieces = [piece.transpose(1, 2) for piece in t.unflatten(1, (copies, sum(dims))).split(dims, 2)]
            else:
                sizes = [dim * len(run) for dim, run in zip(dims, runs)]
                pieces = [piece.unflatten(1, (dim, -1)) for dim, piece in zip(dims, t.split(sizes, 1))]
            for run, piece in zip(runs, pieces):  # z, k, v, u
                products.setdefault(run[0].out, []).append(piece)
                mixing.setdefault(run[0].out, []).extend(_stacked(path, weights, self.side) for path in run)
        for out, parts in products.items():
            if len({piece.shape[3] for piece in parts}) == 1:
                rows = _joined(parts, 2).flatten(2)
            else:
                rows = _joined([piece.flatten(2) for piece in parts], 2)
            yield out, times(rows, _joined(mixing[out], 0)).transpose(1, 2)


@dataclass(frozen=True)
class Early:
    """Fully connected paths to one block of z, weights first. ``runs[b]`` has the paths from block ``blocks[b]``."""

    side: int
    blocks: tuple[int, ...]
    runs: tuple[tuple[Path, ...], ...]

    def requests(self, plan: Plan) -> list[Request]:
        """M as (z, block i v, k)."""
        return [Request(self.side, self.runs, (I, V, K), plan.out.blocks[self.runs[0][0].out].dim)]

    def evaluate(self, plan: Plan, blocks: Sequence[Tensor], matrices: Sequence[Tensor], weights: Weights) -> Pieces:
        """The contribution to the output."""
        out, (matrix,) = self.runs[0][0].out, matrices
        channels = plan.out.blocks[out].mul
        mixed = []  # z, i v, w
        for block, run in zip(self.blocks, self.runs):
            # u, v, w
            stacked = [weights[path.start].transpose(-3, -2) if self.side else weights[path.start] for path in run]
            weight = _joined([part.flatten(-2) for part in stacked], -1)
            rows = blocks[block].transpose(1, 2)
            mixed.append(
                (times(rows, weight) if weight.ndim == 2 else torch.bmm(rows, weight))
                .unflatten(-1, (-1, channels))
                .flatten(1, 2)
            )
        joined = _joined(mixed, 1)
        if plan.out.layout == "ir_mul":
            yield out, product(matrix.transpose(1, 2), joined).transpose(1, 2)
        else:
            yield out, product(joined.transpose(1, 2), matrix)


@dataclass(frozen=True)
class Paired:
    """Paths whose channels go in pairs: ``t_{uk} = sum C_{ijk} x_{ui} y_{uj}``, and then weights; or the pairs u < v of
    one block.
    """

    in1: int
    in2: int
    triangle: bool
    paths: tuple[Path, ...]

    def constants(self) -> dict[str, np.ndarray | None]:
        """Selections S (i, p) and S' (j, p) of the pairs (i, j) that occur, and C (p, path k); None for what is not
        needed.
        """
        tables = np.concatenate([path.factor * path.table.dense() for path in self.paths], -1)
        first, second = np.nonzero(np.abs(tables).sum(-1))
        if len(first) == 0:
            first, second = np.zeros(1, int), np.zeros(1, int)
        left, right = (np.eye(size)[:, chosen] for size, chosen in zip(tables.shape, (first, second)))
        mixing = tables[first, second]
        size = max(tables.shape[:2])
        scalar = tables.shape[2] == size and min(tables.shape[:2]) == 1 and _is_identity(mixing / (mixing[0, 0] or 1.0))
        return {
            "left": None if len(left) == 1 or _is_identity(left) else left,
            "right": None if len(right) == 1 or _is_identity(right) else right,
            "mixing": None if scalar else mixing,
            "scale": mixing[:1, 0] if scalar else None,
        }

    def evaluate(
        self, plan: Plan, x: Tensor, y: Tensor, constants: dict[str, Tensor | None], weights: Weights
    ) -> Pieces:
        """Contributions to the output."""
        left, right, mixing, scale = (constants[name] for name in ("left", "right", "mixing", "scale"))
        if self.triangle:
            rows, columns = torch.triu_indices(x.shape[1], y.shape[1], 1, device=x.device)
            x, y = x.index_select(1, rows), y.index_select(1, columns)
        if scale is not None:
            products = (x * scale) * y if x.shape[2] == 1 else x * (y * scale)
        else:
            assert mixing is not None
            products = times(
                (x if left is None else times(x, left)) * (y if right is None else times(y, right)), mixing
            )
        dims = [plan.out.blocks[path.out].dim for path in self.paths]
        for path, t in zip(self.paths, products.split(dims, -1) if len(dims) > 1 else (products,)):
            weight = weights[path.start] if path.weighted else None
            if path.mode in ("uuw", "u<vw"):
                yield (
                    path.out,
                    t.sum(1, keepdim=True) if weight is None else (t.transpose(1, 2) @ weight).transpose(1, 2),
                )
            else:
                yield path.out, t if weight is None else t * weight.unsqueeze(-1)


Group = Outer | Scaled | Late | Early


def _turned(plan: Plan, path: Path, side: int) -> tuple[Block, Block, Block]:
    """The blocks of a path: the one whose channels stay, the one evaluated first, the output."""
    first, second, out = plan.blocks(path)
    return (second, first, out) if side else (first, second, out)


def product(left: Tensor, right: Tensor) -> Tensor:
    """(z, a, b) times (z, b, c)."""
    outer = left.shape[2] == 1 and left.shape[1] * right.shape[2] < LOOP_MULTIPLICATIONS
    return left * right if outer else torch.bmm(left, right)


def times(rows: Tensor, matrix: Tensor) -> Tensor:
    """(z, n, a) times (a, b) as one product; torch would make one per sample if the rows are not contiguous."""
    return (rows.flatten(0, 1) @ matrix).unflatten(0, rows.shape[:2])


def _stacked(path: Path, weights: Weights, side: int) -> Tensor:
    """The weights of a shared ``uvw`` path as (v u, w)."""
    weight = weights[path.start]
    return (weight if side else weight.transpose(0, 1)).flatten(0, 1)


def _joined(tensors: Sequence[Tensor], axis: int) -> Tensor:
    return tensors[0] if len(tensors) == 1 else torch.cat(list(tensors), axis)


def _is_identity(matrix: np.ndarray) -> bool:
    return matrix.shape[0] == matrix.shape[1] and np.allclose(matrix, np.eye(len(matrix)), rtol=0, atol=1e-15)
