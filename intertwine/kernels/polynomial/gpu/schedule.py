r"""A straight-line program as tables for the machine of graphics cards, which does ROWS rows at a time.

Rows that do not need each other are of one level. Those of a level are put together, long ones with long ones, and a
tile of them takes as many steps as its longest row has terms; a step adds one term to each row. A term is
:math:`c\, r_i\, r_j`, where a second factor that is not there is a register of ones, and so is what fills up shorter
rows, with c = 0. Sums of many terms are sums of shorter ones, so that one long row does not hold up a tile.

A register is kept in a slot, which is taken again when its level is past.
"""

from __future__ import annotations

from dataclasses import dataclass

from intertwine.kernels.polynomial.plan import NO_FACTOR, Program, Term

ROWS = 8  # rows of a tile
LONGEST_ROW = 32  # terms of a row; longer ones are cut


@dataclass(frozen=True)
class Schedule:
    """The tables.

    Attributes:
        slots: how many a channel of a node needs.
        ones: the slot that holds ones.
        levels: for each level its first tile, and at the end their number.
        tiles: where the entries of each tile start, and its steps.
        targets: slots that the rows of each tile are written to; -1 for none.
        first, second, coefficients: :math:`i, j, c` of each entry, tile by tile, step by step, row by row.
        results: the slots of each result, one result after the other.
    """

    slots: int
    ones: int
    levels: tuple[int, ...]
    tiles: tuple[tuple[int, int], ...]
    targets: tuple[int, ...]
    first: tuple[int, ...]
    second: tuple[int, ...]
    coefficients: tuple[float, ...]
    results: tuple[int, ...]


def scheduled(program: Program) -> Schedule:
    """The tables of a program; its arguments are in the first slots."""
    rows, name = _cut(program)
    ones = program.inputs
    depth = [0] * (ones + 1)
    for row in rows:
        depth.append(1 + max((depth[r] for _, i, j in row for r in (i, j)), default=0))
    results = [name[r] for result in program.results for r in result.registers]
    slot, slots = _slots(rows, depth, results, ones + 1)
    levels, tiles = [0], list[tuple[int, int]]()
    targets, entries = list[int](), list[Term]()
    for level in range(1, max(depth) + 1):
        members = [place for place in range(len(rows)) if depth[ones + 1 + place] == level]
        members.sort(key=lambda place: -len(rows[place]))
        for start in range(0, len(members), ROWS):
            together = members[start : start + ROWS]
            steps = len(rows[together[0]])
            tiles.append((len(entries), steps))
            targets += [slot[ones + 1 + place] for place in together] + [-1] * (ROWS - len(together))
            empty = [()] * (ROWS - len(together))
            for step in range(steps):
                for row in (*(rows[place] for place in together), *empty):
                    entries.append(row[step] if step < len(row) else (0.0, ones, ones))
        levels.append(len(tiles))
    return Schedule(
        slots, ones, tuple(levels), tuple(tiles), tuple(targets), tuple(slot[i] for _, i, _ in entries),
        tuple(slot[j] for _, _, j in entries), tuple(c for c, _, _ in entries), tuple(slot[r] for r in results),
    )  # fmt: skip


def _cut(program: Program) -> tuple[list[tuple[Term, ...]], list[int]]:
    """Rows of few terms, each of two factors, and which register each one of the program is now; the register of ones
    follows the arguments.
    """
    ones = program.inputs
    rows: list[tuple[Term, ...]] = []
    name = list(range(program.inputs))

    def add(row: list[Term]) -> int:
        rows.append(tuple(row))
        return ones + len(rows)

    for row in program.rows:
        terms = [(c, name[i], ones if j == NO_FACTOR else name[j]) for c, i, j in row]
        while len(terms) > LONGEST_ROW:
            pieces = [terms[start : start + LONGEST_ROW] for start in range(0, len(terms), LONGEST_ROW)]
            terms = [(1.0, add(piece), ones) for piece in pieces]
        name.append(add(terms))
    return rows, name


def _slots(rows: list[tuple[Term, ...]], depth: list[int], results: list[int], kept: int) -> tuple[list[int], int]:
    """The slot of each register, and how many there are; the first ``kept`` registers keep theirs."""
    last = list(depth)  # the level that reads a register last
    for place, row in enumerate(rows):
        for _, i, j in row:
            for r in (i, j):
                last[r] = max(last[r], depth[kept + place])
    for r in results:
        last[r] = max(depth) + 1
    slot, count = [*range(kept), *[0] * len(rows)], kept
    busy: list[tuple[int, int]] = []  # (level that reads it last, slot)
    free: list[int] = []
    order = sorted(range(kept, kept + len(rows)), key=lambda r: depth[r])
    level = 0
    for r in order:
        if depth[r] != level:
            level = depth[r]
            free += [number for until, number in busy if until < level]
            busy = [(until, number) for until, number in busy if until >= level]
        if free:
            slot[r] = free.pop()
        else:
            slot[r], count = count, count + 1
        busy.append((last[r], slot[r]))
    return slot, count
