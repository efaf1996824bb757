r"""Linear layers on a graphics card: their tables of tiles, and the launches, one for each function.

A tile of :math:`F` is one component of some channels of a block out: a matrix product of samples with the weights of
every path into the block. Sums over samples, for the weights, are made in parts that are added at the end: no atomics,
the same bits every time.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from intertwine.kernels.linear.plan import Block, Mixing
from intertwine.kernels.shared import card, doors

#: Samples and channels in that a program multiplies at a time, and its warps. Twice the depth, or a stage of the loop
#: that is loaded ahead, takes more registers than there are.
ROWS, DEPTH, WARPS = 64, 16, 4
_FILLING_PROGRAMS = 1024  # that fill a large card
_LEAST_SAMPLES = 128  # of a part of a sum over samples

Entry = tuple[int, int, int, int, int, int]


def columns_of(plan: Mixing) -> int:
    """Channels out of a tile: 16, 32 or 64, so that few are empty."""
    widest = max((max(a.mul, b.mul) for a, b, _ in plan.paths), default=1)
    return min(64, max(16, 1 << (widest - 1).bit_length()))


class OnCard:
    """F and B of a plan on a card, in one precision.

    Args:
        plan: of the layer, in either layout.
        dtype: a key of :data:`~intertwine.kernels.shared.card.SUMS`; device: of all tensors.
        columns: channels of a tile.
    """

    def __init__(self, plan: Mixing, dtype: torch.dtype, device: torch.device, columns: int) -> None:
        self.plan, self.dtype, self.device, self.columns = plan, dtype, device, columns
        forward = [(a, b, at, b.mul, 1) for a, b, at in plan.paths]
        backward = [(b, a, at, 1, b.mul) for a, b, at in plan.paths]
        self._forwards, self._backwards = self._products(forward), self._products(backward)
        tiles, factors = [], []
        for (a, b, at), factor in zip(plan.paths, plan.factors):
            for u in range(0, a.mul, columns):
                for w in range(0, b.mul, columns):
                    tiles.append((*self._side(a, u), *self._side(b, w), a.dim, at + u * b.mul + w, b.mul))
                    factors.append(factor)
        self._tiles, self._factors = self._sent(tiles), self._sent(factors, card.SUMS[dtype])

    def forward(self, x: Float[Tensor, "z dim_in"], weight: Float[Tensor, " weights"]) -> Float[Tensor, "z dim_out"]:
        """F(x, W)."""
        return self._run(self._forwards, "features", x, self.plan.dim_in, weight, self.plan.dim_out, self.plan.whole[1])

    def for_x(self, g: Float[Tensor, "z dim_out"], weight: Float[Tensor, " weights"]) -> Float[Tensor, "z dim_in"]:
        """The first of B: g W^T."""
        return self._run(
            self._backwards, "cotangents", g, self.plan.dim_out, weight, self.plan.dim_in, self.plan.whole[0]
        )

    def for_weight(self, x: Float[Tensor, "z dim_in"], g: Float[Tensor, "z dim_out"]) -> Float[Tensor, " weights"]:
        """The second of B: x^T g."""
        samples, plan, tiles = len(x), self.plan, len(self._tiles)
        x, g = doors.in_memory(x, "features"), doors.in_memory(g, "cotangents")
        parts = max(1, min(_FILLING_PROGRAMS // max(tiles, 1), samples // _LEAST_SAMPLES))
        share = -(-samples // parts)
        slopes = x.new_empty(parts, plan.weights, dtype=self.dtype if parts == 1 else card.SUMS[self.dtype])
        self._look({"features": (x, (samples, plan.dim_in)), "cotangents": (g, (samples, plan.dim_out))})
        doors.address(slopes, "slopes", (parts, plan.weights), slopes.dtype, self.device)
        if tiles:
            card.require()
            from intertwine.kernels.linear.gpu import programs

            with card.on(x):
                card.fit(programs, x).sums[(parts * tiles,)](
                    *(x, g, slopes, self._tiles, self._factors),
                    *(tiles, samples, share, plan.dim_in, plan.dim_out, plan.weights),
                    card.real(self.dtype), ROWS=DEPTH, COLUMNS=self.columns, num_warps=WARPS, num_stages=1,
                )  # fmt: skip
        return slopes[0] if parts == 1 else slopes.sum(0).to(self.dtype)

    def _run(
        self,
        tables: tuple[Tensor, Tensor, Tensor],
        name: str,
        x: Tensor,
        dim: int,
        weight: Tensor,
        dim_out: int,
        covered: bool,
    ) -> Tensor:
        samples, tiles = len(x), tables[0]
        x, weight = doors.in_memory(x, name), doors.in_memory(weight, "weight")
        y = (x.new_empty if covered else x.new_zeros)(samples, dim_out)
        self._look(
            {name: (x, (samples, dim)), "weight": (weight, (self.plan.weights,)), "result": (y, (samples, dim_out))}
        )
        if samples and len(tiles):
            card.require()
            from intertwine.kernels.linear.gpu import programs

            with card.on(x):
                card.fit(programs, x).products[(-(-samples // ROWS) * len(tiles),)](
                    *(x, weight, y, *tables, len(tiles), samples, dim, dim_out, card.real(self.dtype)),
                    ROWS=ROWS, COLUMNS=self.columns, DEPTH=DEPTH, num_warps=WARPS, num_stages=1,
                )  # fmt: skip
        return y

    def _look(self, tensors: dict[str, tuple[Tensor, tuple[int, ...]]]) -> None:
        """Look at every tensor whose pointer Triton will take.

        Raises:
            InputError: one is not what the program takes it for.
        """
        for name, (tensor, shape) in tensors.items():
            doors.address(tensor, name, shape, self.dtype, self.device)

    def _products(self, paths: Sequence[tuple[Block, Block, int, int, int]]) -> tuple[Tensor, Tensor, Tensor]:
        """Tiles, their entries and the factors of these.

        Args:
            paths: block in, block out, where the weights start, and from one channel in, and out, to the next there.
        """
        into: dict[Block, list[tuple[tuple[Block, Block, int, int, int], float]]] = {}
        for path, factor in zip(paths, self.plan.factors):
            into.setdefault(path[1], []).append((path, factor))
        tiles: list[tuple[int, ...]] = []
        entries: list[Entry] = []
        factors: list[float] = []
        for b, several in into.items():
            for column in range(0, b.mul, self.columns):
                place, along, across, count = self._side(b, column)
                for component in range(b.dim):
                    first = len(entries)
                    for (a, _, at, down, aside), factor in several:
                        start, along_x, across_x, _ = self._side(a, 0)
                        entries.append((start + component * across_x, along_x, a.mul, at + column * aside, down, aside))
                        factors.append(factor)
                    tiles.append((place + component * across, along, count, first, len(entries)))
        return self._sent(tiles), self._sent(entries), self._sent(factors, card.SUMS[self.dtype])

    def _side(self, block: Block, channel: int) -> tuple[int, int, int, int]:
        """Where a tile begins in a row of features at a channel of a block, from one channel and from one component to
        the next, and how many channels it has.
        """
        along, across = (1, block.mul) if self.plan.layout == "ir_mul" else (block.dim, 1)
        return block.start + channel * along, along, across, min(self.columns, block.mul - channel)

    def _sent(self, rows: Sequence[object], dtype: torch.dtype = torch.int64) -> Tensor:
        return torch.tensor(rows, dtype=dtype, device=self.device)
