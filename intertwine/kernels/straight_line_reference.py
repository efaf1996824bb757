"""Straight-line programs in plain torch, on any device: the definition of correct, and what runs where there is no kernel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from intertwine.kernels.straight_line import NONE, Program, Term

_PRODUCTS = 256  # terms whose products are in memory at once


@dataclass(frozen=True)
class _Step:
    """Some rows: matrices (rows, terms) on the products of registers first and second, and on the registers alone."""

    products: np.ndarray
    first: list[int]
    second: list[int]
    sums: np.ndarray
    alone: list[int]


class Evaluator:
    """A program, scheduled: rows that do not need each other are evaluated together.

    Args:
        program: the program.
    """

    def __init__(self, program: Program) -> None:
        self.program = program
        depth = [0] * program.inputs
        for terms in program.rows:
            depth.append(1 + max((depth[r] for _, i, j in terms for r in (i, j) if r != NONE), default=0))
        order = sorted(range(len(program.rows)), key=lambda row: depth[program.inputs + row])
        self.place = list(range(program.inputs)) + [0] * len(program.rows)
        for place, row in enumerate(order):
            self.place[program.inputs + row] = program.inputs + place
        self.levels: list[list[_Step]] = []
        for _, level in groupby(order, key=lambda row: depth[program.inputs + row]):
            steps: list[list[tuple[Term, ...]]] = []
            for terms in (program.rows[number] for number in level):
                if not steps or sum(map(len, steps[-1])) + len(terms) > _PRODUCTS:
                    steps.append([])
                steps[-1].append(terms)
            self.levels.append([self._step(rows) for rows in steps])

    def _step(self, rows: list[tuple[Term, ...]]) -> _Step:
        every = [(row, term) for row, terms in enumerate(rows) for term in terms]
        products, alone = ([(row, term) for row, term in every if (term[2] == NONE) == single] for single in (False, True))
        matrices = []
        for found in (products, alone):
            matrices.append(np.zeros((len(rows), len(found))))
            for column, (row, (c, _, _)) in enumerate(found):
                matrices[-1][row, column] = c
        first, second = [self.place[i] for _, (_, i, _) in products], [self.place[j] for _, (_, _, j) in products]
        return _Step(matrices[0], first, second, matrices[1], [self.place[i] for _, (_, i, _) in alone])

    def __call__(
        self, arguments: Sequence[Float[Tensor, "_ _ channels"]], group: Int[Tensor, " nodes"], groups: int
    ) -> list[Float[Tensor, "_ _ channels"]]:
        """The results of :func:`intertwine.kernels.straight_line_backend.evaluate`, which names the arguments."""
        inputs = [x.index_select(0, group) if kind.shared else x for x, kind in zip(arguments, self.program.arguments)]
        registers = torch.cat(inputs, 1)
        for level in self.levels:
            found = [self._rows(registers, step) for step in level]
            registers = torch.cat([registers, *found], 1)
        results = []
        for result in self.program.results:
            values = _pick(registers, [self.place[r] for r in result.registers])
            results.append(values.new_zeros(groups, *values.shape[1:]).index_add(0, group, values) if result.shared else values)
        return results

    @staticmethod
    def _rows(registers: Tensor, step: _Step) -> Tensor:
        rows = torch.from_numpy(step.products).to(registers) @ (_pick(registers, step.first) * _pick(registers, step.second))
        return rows + torch.from_numpy(step.sums).to(registers) @ _pick(registers, step.alone) if step.alone else rows


def _pick(registers: Tensor, places: list[int]) -> Tensor:
    return registers.index_select(1, torch.tensor(places, dtype=torch.int64, device=registers.device))
