r"""Polynomial maps of channels as straight-line programs that are closed under differentiation.

Register r holds one number for each channel of a node. The first registers are the components of the arguments; every
further one is

.. math:: r = \sum_t c_t\, r_{i_t}\, r_{j_t} \quad\text{or, in a term without a second factor,}\quad c_t\, r_{i_t}.

The adjoint of such a row is made of such rows, so the gradient of a program is a program (:func:`gradient`), and so is
the gradient of that one: one evaluator gives the derivatives of every order. It is reverse differentiation (Griewank
and Walther, Evaluating Derivatives, 2008, chapter 3) done once on the table instead of at every call.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

Term = tuple[float, int, int]  # coefficient, first factor, second factor or NO_FACTOR
NO_FACTOR = -1
#: What to do about a group of nodes that does not exist.
REMEDY = "count from 0, in the order of the model's list of elements."


@dataclass(frozen=True)
class Argument:
    """An argument: ``size`` components for each node, or for each of some groups of nodes (``shared``: weights of a
    species).
    """

    size: int
    shared: bool = False


@dataclass(frozen=True)
class Result:
    """A result: the registers of its components, for each node, or summed over the nodes of each group (``shared``)."""

    registers: tuple[int, ...]
    shared: bool = False


@dataclass(frozen=True, eq=False)
class Program:
    """A polynomial map; equal only to itself, so that it is a cheap key.

    Attributes:
        arguments: their components are the first registers, in this order.
        rows: one further register each; terms name earlier registers only. A row without terms is zero.
        results: what the map returns.
    """

    arguments: tuple[Argument, ...]
    rows: tuple[tuple[Term, ...], ...]
    results: tuple[Result, ...]

    @property
    def inputs(self) -> int:
        """Number of registers that hold arguments."""
        return sum(argument.size for argument in self.arguments)

    @property
    def terms(self) -> int:
        """Number of terms: the work of one channel of a node."""
        return sum(map(len, self.rows))


class Writer:
    """A program that is being written.

    Args:
        arguments: of the program.
    """

    def __init__(self, arguments: Iterable[Argument]) -> None:
        self.arguments = tuple(arguments)
        self.inputs = sum(argument.size for argument in self.arguments)
        self.rows: list[tuple[Term, ...]] = []

    def row(self, terms: Iterable[Term]) -> int:
        """The register that holds the sum of some terms; equal products are added up."""
        total: dict[tuple[int, int], float] = {}
        for c, i, j in terms:
            factors = (i, j) if j == NO_FACTOR else (min(i, j), max(i, j))
            total[factors] = total.get(factors, 0.0) + c
        kept = tuple((c, i, j) for (i, j), c in total.items() if c != 0)
        if len(kept) == 1 and kept[0][0] == 1 and kept[0][2] == NO_FACTOR:
            return kept[0][1]  # a copy
        self.rows.append(kept)
        return self.inputs + len(self.rows) - 1

    def program(self, results: Sequence[Result]) -> Program:
        """The program that returns some registers, without the rows that they do not need."""
        needed = {register for result in results for register in result.registers}
        for place in reversed(range(len(self.rows))):
            if self.inputs + place in needed:
                needed.update(register for _, i, j in self.rows[place] for register in (i, j))
        name = {register: register for register in range(self.inputs)} | {NO_FACTOR: NO_FACTOR}
        rows: list[tuple[Term, ...]] = []
        for place, row in enumerate(self.rows):
            if self.inputs + place in needed:
                name[self.inputs + place] = self.inputs + len(rows)
                rows.append(tuple((c, name[i], name[j]) for c, i, j in row))
        return Program(
            self.arguments,
            tuple(rows),
            tuple(Result(tuple(name[r] for r in result.registers), result.shared) for result in results),
        )


def gradient(program: Program, results: Sequence[int], arguments: Sequence[int]) -> Program:
    r"""The gradient of :math:`\sum_k \bar y_k \cdot y_k`, where y are the results, with respect to the arguments.

    Args:
        program: the map.
        results: those k whose cotangents :math:`\bar y_k` follow the arguments, in this order; the others are zero.
        arguments: those whose gradients are the results, in this order; of a shared one, summed over the nodes of
            each group.
    """
    cotangents = [Argument(len(program.results[k].registers), program.results[k].shared) for k in results]
    writer = Writer((*program.arguments, *cotangents))
    name = list(range(program.inputs))
    for row in program.rows:
        name.append(writer.row((c, name[i], name[j] if j != NO_FACTOR else NO_FACTOR) for c, i, j in row))
    adjoint: list[list[Term]] = [[] for _ in name]
    cotangent = program.inputs
    for k in results:
        for register in program.results[k].registers:
            adjoint[register].append((1.0, cotangent, NO_FACTOR))
            cotangent += 1
    for place in reversed(range(len(program.rows))):
        if not adjoint[program.inputs + place]:
            continue
        bar = writer.row(adjoint[program.inputs + place])
        for c, i, j in program.rows[place]:
            adjoint[i].append((c, bar, name[j] if j != NO_FACTOR else NO_FACTOR))
            if j != NO_FACTOR:
                adjoint[j].append((c, bar, name[i]))
    starts = [sum(argument.size for argument in program.arguments[:k]) for k in range(len(program.arguments))]
    return writer.program(
        [
            Result(
                tuple(writer.row(adjoint[starts[k] + c]) for c in range(program.arguments[k].size)),
                program.arguments[k].shared,
            )
            for k in arguments
        ]
    )
