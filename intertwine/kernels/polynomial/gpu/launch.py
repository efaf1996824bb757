"""Straight-line programs on a graphics card: their tables there, and the launches of the machine that runs them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from intertwine.kernels.polynomial.gpu.schedule import ROWS, scheduled
from intertwine.kernels.polynomial.plan import REMEDY, Program
from intertwine.kernels.shared import card, doors

LANES = 32  # channels of a task, those of one warp
_FILLING_PROGRAMS = 1024  # of one warp, that fill a large card
_MOST_BYTES = 2**28  # of the registers of all programs
_SUMMED_NODES, _SUMMED_LANES = 16, 64  # tile of a sum over the nodes of a group


class OnCard:
    """A program on a card.

    Args:
        program: the program.
        dtype: of the numbers, a key of :data:`~intertwine.kernels.shared.card.SUMS`; device: of all tensors.
    """

    def __init__(self, program: Program, dtype: torch.dtype, device: torch.device) -> None:
        self.program, self.dtype, self.device = program, dtype, device
        schedule = scheduled(program)
        self.slots, self.ones, self.depth = schedule.slots, schedule.ones, len(schedule.levels) - 1
        described = [number for kind in program.arguments for number in (kind.size, int(kind.shared))]
        described += [len(result.registers) for result in program.results]
        tables = (described, schedule.levels, schedule.tiles, schedule.targets, schedule.first, schedule.second)
        numbers = torch.tensor(schedule.coefficients, dtype=card.SUMS[dtype], device=device)
        whole = [torch.tensor(table, dtype=torch.int32, device=device) for table in (*tables, schedule.results)]
        self.tables = (*whole[:-1], numbers, whole[-1])

    def __call__(
        self,
        arguments: Sequence[Float[Tensor, "_ _ channels"]],
        group: Int[Tensor, " nodes"],
        groups: int,
        what: str = "group",
    ) -> list[Float[Tensor, "_ _ channels"]]:
        """The results of :func:`intertwine.kernels.polynomial.kernel.evaluate`, which names the arguments; the same
        bits in every run.
        """
        group, arguments = group.long().contiguous(), [doors.in_memory(x) for x in arguments]
        nodes, channels = group.shape[0], arguments[0].shape[-1]
        doors.address(group, what, (nodes,), torch.int64, self.device)
        doors.indices(group, what, groups, what + " {} of a node", REMEDY)
        for x, kind in zip(arguments, self.program.arguments, strict=True):
            doors.address(x, "argument", (groups if kind.shared else nodes, kind.size, channels), x.dtype, self.device)
        kinds = self.program.results
        # those of a group are summed from results of every node
        results = [
            group.new_empty(
                nodes, len(kind.registers), channels, dtype=card.SUMS[self.dtype] if kind.shared else self.dtype
            )
            for kind in kinds
        ]
        if nodes and channels:
            self._run(arguments, results, group)
        ordered, order = torch.sort(group, stable=True) if any(kind.shared for kind in kinds) else (group, group)
        offsets = torch.searchsorted(ordered, torch.arange(groups + 1, device=self.device))
        return [self._summed(values, order, offsets) if kind.shared else values for values, kind in zip(results, kinds)]

    def _run(self, arguments: list[Tensor], results: list[Tensor], group: Tensor) -> None:
        card.require()
        from intertwine.kernels.polynomial.gpu import programs

        channels, sums = arguments[0].shape[-1], card.SUMS[self.dtype]
        chunks, size = -(-channels // LANES), self.slots * LANES
        tasks = len(group) * chunks
        many = max(1, min(tasks, _FILLING_PROGRAMS, _MOST_BYTES // (size * sums.itemsize)))
        workspace = torch.empty(many * size, dtype=sums, device=self.device)
        with card.on(group):
            card.fit(programs, group).machine[(many,)](
                tuple(arguments), tuple(results), group, workspace, *self.tables, tasks, chunks, channels, self.slots,
                self.ones, self.depth, card.real(self.dtype), ROWS=ROWS, LANES=LANES, num_warps=1, num_stages=1,
            )  # fmt: skip

    def _summed(self, values: Tensor, order: Tensor, offsets: Tensor) -> Tensor:
        """The sums of values (nodes, components, channels) over the nodes of each group."""
        groups, width = len(offsets) - 1, values.shape[1] * values.shape[2]
        sums = values.new_empty(groups, *values.shape[1:], dtype=self.dtype)
        if groups and width:
            from intertwine.kernels.polynomial.gpu import programs

            with card.on(values):
                card.fit(programs, values).totals[(groups, -(-width // _SUMMED_LANES))](
                    values, order, offsets, sums, width, card.real(self.dtype), ROWS=_SUMMED_NODES, LANES=_SUMMED_LANES
                )
        return sums
