"""The numbers M of one edge, as code, and plans cut into functions of reasonable length."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from llvmlite import ir

from intertwine.kernels.convolution.plan import Term
from intertwine.kernels.llvm.assembler import Code

#: Coefficients of one function; a longer plan is written as several.
COEFFICIENTS_PER_FUNCTION = 500

T = TypeVar("T")


class Matrices:
    """The numbers M of one edge on the stack, for every version of y that is asked for; equal ones are there once."""

    def __init__(self, code: Code, terms: Sequence[Term], versions: Iterable[str]) -> None:
        self.code = code
        numbers: dict[tuple[tuple[int, float], ...], int] = {}
        self.places: list[list[dict[tuple[int, int], int]]] = []  # term, v -> (i, k) -> place
        for term in terms:
            by_place = grouped(term.entries, lambda entry: (entry[0], entry[2]))
            self.places.append([])
            for y in term.y:
                sums = {ik: tuple((y[j], value) for _, j, _, value in entries) for ik, entries in by_place}
                self.places[-1].append({ik: numbers.setdefault(pairs, len(numbers)) for ik, pairs in sums.items()})
        self.sums = list(numbers)
        self.stacks = {version: code.scratch(len(self.sums)) for version in versions}

    def at(self, stacks: dict[str, ir.Value]) -> Matrices:
        """The same numbers seen from another function, where their places have other names."""
        seen = copy.copy(self)
        seen.stacks = stacks
        return seen

    def fill(self, rows: dict[str, ir.Value]) -> None:
        """Compute them from the rows of y."""
        numbered = list(enumerate(self.sums))
        for version, stack in self.stacks.items():
            for part in parts(numbered, lambda place_and_sum: len(place_and_sum[1])):
                if len(part) == len(numbered):
                    self._fill(part, rows[version], stack)
                else:
                    with self.code.apart([rows[version], stack]) as (row, place):
                        self._fill(part, row, place)

    def _fill(
        self, numbered: Sequence[tuple[int, tuple[tuple[int, float], ...]]], row: ir.Value, stack: ir.Value
    ) -> None:
        code = self.code
        loaded = {j: code.load(row, j) for j in sorted({j for _, pairs in numbered for j, _ in pairs})}
        for place, pairs in numbered:
            total = None
            for j, value in pairs:
                total = code.multiply_add(loaded[j], code.constant(value), total)
            code.store(total, stack, place)

    def vectors(self, term: int, v: int, version: str, width: int) -> dict[tuple[int, int], ir.Value]:
        """(i, k) -> the number in all lanes."""
        code = self.code
        return {
            ik: code.splat(code.load(self.stacks[version], place), width) for ik, place in self.places[term][v].items()
        }


def parts(items: Sequence[T], length: Callable[[T], int]) -> Iterable[list[T]]:
    """Neighbouring items together, as many as make a function of reasonable length."""
    part: list[T] = []
    for item in items:
        if part and sum(map(length, part)) + length(item) > COEFFICIENTS_PER_FUNCTION:
            yield part
            part = []
        part.append(item)
    if part:
        yield part


def grouped(items: Iterable[T], key: Callable[[T], Any]) -> list[tuple[Any, list[T]]]:
    """Items with the same key together, in the order of first appearance."""
    groups: dict[Any, list[T]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return list(groups.items())
