"""Straight-line programs on the CPU: their tables, and the call of the machine that runs them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import torch
from jaxtyping import Float, Int
from torch import Tensor

from intertwine.kernels.llvm.compile import Function, compiled
from intertwine.kernels.llvm.threads import run, threads
from intertwine.kernels.polynomial.cpu_text import Machine
from intertwine.kernels.polynomial.plan import NO_FACTOR, REMEDY, Program
from intertwine.kernels.shared import doors

#: Channels of a vector, the widest that fits first.
CHANNELS_PER_VECTOR = {torch.float32: (64, 16, 1), torch.float64: (32, 8, 1)}
_NAMES = {torch.float32: "float32", torch.float64: "float64"}
_PRODUCTS_WORTH_A_THREAD = 400_000  # terms times nodes times channels that are worth a thread
#: Nodes of a block at least, and blocks at most: sums over nodes do not depend on the number of threads.
_LEAST_NODES_PER_BLOCK, _MOST_BLOCKS = 64, 8


class Tables:
    """A program as the machine reads it.

    Args:
        program: the program.
        dtype: of the numbers.
    """

    def __init__(self, program: Program, dtype: torch.dtype) -> None:
        self.program, self.dtype = program, dtype
        self.shared = [int(kind.shared) for kind in program.arguments] + [int(kind.shared) for kind in program.results]
        self.sizes = [len(result.registers) for result in program.results]
        self.widths = [argument.size for argument in program.arguments] + self.sizes
        self.terms = program.terms
        number, self.slots = _allocate(program)
        rows, factors, coefficients = [], [], []
        for place, row in enumerate(program.rows):
            alone = [(c, i) for c, i, j in row if j == NO_FACTOR]
            products = [(c, i, j) for c, i, j in row if j != NO_FACTOR]
            rows += [number[program.inputs + place], len(alone), len(products)]
            factors += [number[i] for _, i in alone] + [number[r] for _, i, j in products for r in (i, j)]
            coefficients += [c for c, _ in alone] + [c for c, _, _ in products]
        registers = [number[r] for result in program.results for r in result.registers]
        # whatever the default device is
        self.arrays = [torch.tensor([*table, 0], device="cpu") for table in (registers, rows, factors)]
        self.coefficients = torch.tensor([*coefficients, 0.0], dtype=dtype, device="cpu")
        addresses = [doors.address(table, "table", len(table), torch.int64) for table in self.arrays]
        self.inputs = program.inputs
        self.header = [len(program.arguments), program.inputs, len(program.results), addresses[0]]
        factors_at = doors.address(self.coefficients, "table", len(coefficients) + 1, dtype)
        self.code = [addresses[1], len(program.rows), addresses[2], factors_at]

    def __call__(
        self,
        arguments: Sequence[Float[Tensor, "_ _ channels"]],
        group: Int[Tensor, " nodes"],
        groups: int,
        what: str = "group",
    ) -> list[Float[Tensor, "_ _ channels"]]:
        """The results of :func:`intertwine.kernels.polynomial.kernel.evaluate`, which names the arguments."""
        group, arguments = group.long().contiguous(), [doors.in_memory(x) for x in arguments]
        like, nodes = arguments[0], group.shape[0]
        channels, blocks = like.shape[-1], max(1, min(_MOST_BLOCKS, nodes // _LEAST_NODES_PER_BLOCK))
        results = []
        for size, shared in zip(self.sizes, self.shared[len(arguments) :]):
            results.append(
                like.new_zeros(blocks * groups, size, channels) if shared else like.new_empty(nodes, size, channels)
            )
        self._run(arguments, results, group, groups, blocks, what)
        if blocks == 1:
            return results
        kinds = zip(results, self.shared[len(arguments) :])
        return [values.unflatten(0, (blocks, groups)).sum(0) if shared else values for values, shared in kinds]

    def _run(
        self, arguments: list[Tensor], results: list[Tensor], group: Tensor, groups: int, blocks: int, what: str
    ) -> None:
        channels, nodes, first = arguments[0].shape[-1], group.shape[0], 0
        at_groups = doors.address(group, what, (nodes,), torch.int64)
        doors.indices(group, what, groups, what + " {} of a node", REMEDY)
        described: list[int] = []
        counts = [groups] * len(arguments) + [blocks * groups] * len(results)
        looks = [doors.address] * len(arguments) + [doors.own_address] * len(results)
        for look, x, size, shared, count in zip(
            looks, (*arguments, *results), self.widths, self.shared, counts, strict=True
        ):
            described += (
                look(x, "argument or result", (count if shared else nodes, size, channels), self.dtype),
                size,
                shared,
            )
        if not nodes:
            return
        entries = self.inputs + self.slots
        for width in CHANNELS_PER_VECTOR[self.dtype]:
            chunks = (channels - first) // width
            if not chunks:
                continue
            tasks, size = blocks * chunks, width * self.dtype.itemsize
            amount = tasks * (8 * entries + self.slots * size) + 128
            memory = torch.empty(amount, dtype=torch.uint8, device="cpu")
            addresses = (doors.own_address(memory, "workspace", amount, torch.uint8) + 63) // 64 * 64
            registers = (addresses + 8 * tasks * entries + 63) // 64 * 64
            words = [
                *(nodes, groups, at_groups, channels, first, chunks, blocks),
                *self.header,
                *self.code,
                *(self.slots, addresses, registers),
                *described,
            ]
            parts = max(1, min(threads(), tasks, self.terms * nodes * chunks * width // _PRODUCTS_WORTH_A_THREAD))
            run(_machine(_NAMES[self.dtype], width), words, [tasks * part // parts for part in range(parts + 1)])
            first += chunks * width


@cache
def _machine(dtype: str, width: int) -> Function:
    return compiled("straight-line programs", f"machine {dtype} {width}", Machine(dtype, width).text)


def _allocate(program: Program) -> tuple[list[int], int]:
    """The number of each register in the machine's memory, and how many are needed besides the arguments: a slot whose
    value is not needed any more is taken again, so that the registers in use stay in a cache."""
    last = list(range(program.inputs + len(program.rows)))
    for place, row in enumerate(program.rows):
        for _, i, j in row:
            last[i] = program.inputs + place
            if j != NO_FACTOR:
                last[j] = program.inputs + place
    for result in program.results:
        for register in result.registers:
            last[register] = len(last)
    dying: dict[int, list[int]] = {}
    for register in range(program.inputs, len(last)):
        dying.setdefault(last[register], []).append(register)
    number, free, slots = list(range(program.inputs)), [], 0
    for register in range(program.inputs, len(last)):
        for dead in dying.get(register, ()):
            if dead != register:
                free.append(number[dead])
        if free:
            number.append(free.pop())
        else:
            number.append(program.inputs + slots)
            slots += 1
    return number, slots
