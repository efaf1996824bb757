"""Straight-line programs in plain torch, on any device: the definition of correct, and what runs where there is no
kernel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from intertwine.kernels.polynomial.plan import NO_FACTOR, Program, Term
from intertwine.numerics import safe

_TERMS_AT_ONCE = 256  # terms whose products are in memory at once


@dataclass(frozen=True)
class _Step:
    """Some rows: matrices (rows, terms) on the products of registers first and second, and on the registers alone."""

    products: np.ndarray
    first: list[int]
    second: list[int]
    sums: np.ndarray
    alone: list[int]


class _Placed(NamedTuple):
    """A step on a device, in a precision."""

    products: Tensor
    first: Tensor
    second: Tensor
    sums: Tensor
    alone: Tensor

    @classmethod
    def of(cls, step: _Step, x: Tensor) -> _Placed:
        first, second, alone = (_places(indices, x) for indices in (step.first, step.second, step.alone))
        return cls(torch.from_numpy(step.products).to(x), first, second, torch.from_numpy(step.sums).to(x), alone)


class Evaluator:
    """A program, scheduled: rows that do not need each other are evaluated together.

    Args:
        program: the program.
    """

    def __init__(self, program: Program) -> None:
        self.program = program
        depth = [0] * program.inputs
        for terms in program.rows:
            depth.append(1 + max((depth[r] for _, i, j in terms for r in (i, j) if r != NO_FACTOR), default=0))
        order = sorted(range(len(program.rows)), key=lambda row: depth[program.inputs + row])
        self.place = list(range(program.inputs)) + [0] * len(program.rows)
        for place, row in enumerate(order):
            self.place[program.inputs + row] = program.inputs + place
        self.levels: list[list[_Step]] = []
        for _, level in groupby(order, key=lambda row: depth[program.inputs + row]):
            steps: list[list[tuple[Term, ...]]] = []
            for terms in (program.rows[number] for number in level):
                if not steps or sum(map(len, steps[-1])) + len(terms) > _TERMS_AT_ONCE:
                    steps.append([])
                steps[-1].append(terms)
            self.levels.append([self._step(rows) for rows in steps])
        self._kept: dict[tuple[torch.device, torch.dtype], tuple[list[list[_Placed]], list[Tensor]]] = {}

    def _step(self, rows: list[tuple[Term, ...]]) -> _Step:
        every = [(row, term) for row, terms in enumerate(rows) for term in terms]
        products, alone = (
            [(row, term) for row, term in every if (term[2] == NO_FACTOR) == single] for single in (False, True)
        )
        matrices = []
        for terms in (products, alone):
            matrices.append(np.zeros((len(rows), len(terms))))
            for column, (row, (c, _, _)) in enumerate(terms):
                matrices[-1][row, column] = c
        first, second = [self.place[i] for _, (_, i, _) in products], [self.place[j] for _, (_, _, j) in products]
        return _Step(matrices[0], first, second, matrices[1], [self.place[i] for _, (_, i, _) in alone])

    def _on(self, x: Tensor) -> tuple[list[list[_Placed]], list[Tensor]]:
        """Levels and places of the results on the device of x, in its precision; kept, since a card has to wait for
        what it is sent.
        """
        if safe.traced(x):
            return self._moved(x)
        key = (x.device, x.dtype)
        placed = self._kept.get(key)
        if placed is None:
            # what is made within them would end with them
            with torch.inference_mode(False), torch._C._DisableFuncTorch():
                placed = self._kept[key] = self._moved(x)
        return placed

    def _moved(self, x: Tensor) -> tuple[list[list[_Placed]], list[Tensor]]:
        results = [_places([self.place[r] for r in result.registers], x) for result in self.program.results]
        return [[_Placed.of(step, x) for step in level] for level in self.levels], results

    def __call__(
        self, arguments: Sequence[Float[Tensor, "_ _ channels"]], group: Int[Tensor, " nodes"], groups: int
    ) -> list[Float[Tensor, "_ _ channels"]]:
        """The results of :func:`intertwine.kernels.polynomial.kernel.evaluate`, which names the arguments."""
        inputs = [x.index_select(0, group) if kind.shared else x for x, kind in zip(arguments, self.program.arguments)]
        registers = torch.cat(inputs, 1)
        levels, places = self._on(registers)
        for level in levels:
            rows = [self._rows(registers, step) for step in level]
            registers = torch.cat([registers, *rows], 1)
        results = []
        for result, place in zip(self.program.results, places):
            values = registers.index_select(1, place)
            results.append(
                values.new_zeros(groups, *values.shape[1:]).index_add(0, group, values) if result.shared else values
            )
        return results

    @staticmethod
    def _rows(registers: Tensor, step: _Placed) -> Tensor:
        rows = step.products @ (registers.index_select(1, step.first) * registers.index_select(1, step.second))
        return rows + step.sums @ registers.index_select(1, step.alone) if len(step.alone) else rows


def _places(places: list[int], x: Tensor) -> Tensor:
    return torch.tensor(places, dtype=torch.int64, device=x.device)
