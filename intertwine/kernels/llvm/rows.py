"""Rows of a matrix to vectors of one column each, and back: a vector holds a column of as many rows as it has lanes.

Memory is touched row by row in pieces that are as long as possible. Inside registers a transposition goes in two steps,
as the processor has it: within pieces of 16 bytes, then of whole pieces.
"""

from __future__ import annotations

from collections.abc import Sequence

from llvmlite import ir

from intertwine.kernels.llvm.assembler import LANE, WORD, Code

_PIECE_BYTES = 16  # bytes


class Rows:
    """Reads and writes ``width`` rows of a matrix.

    Args:
        code: the function.
        width: rows of a block, which is lanes of a vector: a power of two, 16 bytes or more.
    """

    def __init__(self, code: Code, width: int) -> None:
        self.code, self.builder, self.width = code, code.builder, width
        self.piece = _PIECE_BYTES // code.size

    def load(self, pointer: ir.Value, size: int, mask: Sequence[bool] | None = None) -> list[ir.Value | None]:
        """The columns of ``width`` rows of ``size`` numbers from a pointer on; those not wanted may be missing."""
        if size < self.piece or size == 3:  # short rows: all of them at once
            block = self.code.load(pointer, 0, size * self.width)
            return [self._shuffled(block, block, range(column, size * self.width, size)) for column in range(size)]
        mask = [True] * size if mask is None else mask
        columns: list[ir.Value | None] = [None] * size
        for first, count in self._groups(size, mask):
            places = [row * size + first for row in range(self.width)]
            if count == 1:
                columns[first] = self._gathered([self.code.load(pointer, place) for place in places])
                continue
            rows = [self.code.load(pointer, place, count) for place in places]
            columns[first : first + count] = self._columns(rows, count)
        return columns

    def store(self, columns: Sequence[ir.Value], pointer: ir.Value) -> None:
        """Write the columns of ``width`` rows."""
        size = len(columns)
        if size == 3:
            self.code.store(self._three(columns), pointer)
            return
        for first, count in self._groups(size, [True] * size):
            if count == 1:
                rows = [self.builder.extract_element(columns[first], LANE(lane)) for lane in range(self.width)]
            else:
                rows = self._rows(columns[first : first + count])
            for row, value in enumerate(rows):
                self.code.store(value, pointer, row * size + first)

    def _three(self, columns: Sequence[ir.Value]) -> ir.Value:
        """Three columns as the rows of a block, one after the other."""
        x, y, z = columns
        pair = self._shuffled(x, y, range(2 * self.width))
        last = self._shuffled(z, z, [*range(self.width), *([0] * self.width)])
        places = [column * self.width + row for row in range(self.width) for column in range(3)]
        return self._shuffled(pair, last, places)

    def _groups(self, size: int, mask: Sequence[bool]) -> list[tuple[int, int]]:
        """(first column, columns) of groups of 1, or of a piece or more, that cover what is wanted; the last may
        overlap another.
        """
        groups = []
        at = 0
        while at < size:
            if not mask[at]:
                at += 1
                continue
            stop = at
            while stop < size and mask[stop]:
                stop += 1
            left = stop - at
            count = min(self.width, 1 << (left.bit_length() - 1))
            if left % self.piece == 1:
                count = 1
            elif count < self.piece and size >= self.piece:
                at, count = min(at, size - self.piece), self.piece
            elif count < self.piece:
                count = 1
            groups.append((at, count))
            at += count
        return groups

    # ---------------------------------------------------------- transposition

    def _columns(self, rows: list[ir.Value], count: int) -> list[ir.Value]:
        pieces = self.width // self.piece  # of a vector
        subgroups = count // self.piece
        columns: list[ir.Value] = [None] * count  # type: ignore[list-item]
        across = []
        for row in range(self.piece):
            joined = [
                self._joined(rows[row + self.piece * q * pieces // subgroups :: self.piece][: pieces // subgroups])
                for q in range(subgroups)
            ]
            across.append(self._parted(joined))
        for group in range(subgroups):
            columns[group * self.piece : (group + 1) * self.piece] = self._turned([parts[group] for parts in across])
        return columns

    def _rows(self, columns: Sequence[ir.Value]) -> list[ir.Value]:
        count = len(columns)
        subgroups = count // self.piece
        turned = [self._turned(columns[at : at + self.piece]) for at in range(0, count, self.piece)]
        rows: list[ir.Value] = [None] * self.width  # type: ignore[list-item]
        for row in range(self.piece):
            merged = self._merged([block[row] for block in turned])
            for q in range(self.width // self.piece):
                vector, offset = divmod(q * subgroups, self.width // self.piece)
                lanes = range(offset * self.piece, offset * self.piece + count)
                rows[q * self.piece + row] = self._shuffled(merged[vector], merged[vector], lanes)
        return rows

    def _turned(self, vectors: Sequence[ir.Value]) -> list[ir.Value]:
        """Each block of ``piece`` lanes of ``piece`` vectors, transposed. It is its own inverse."""
        width, rows = self.width, list(vectors)
        starts = range(0, width, self.piece)
        if self.piece == 2:
            a, b = rows
            return [self._shuffled(a, b, [lane for s in starts for lane in (s + k, width + s + k)]) for k in (0, 1)]
        a, b, c, d = rows
        low, high = [0, width, 1, width + 1], [2, width + 2, 3, width + 3]
        ab_low, ab_high, cd_low, cd_high = (
            self._shuffled(left, right, [s + lane for s in starts for lane in half])
            for left, right in ((a, b), (c, d))
            for half in (low, high)
        )
        first, second = [0, 1, width, width + 1], [2, 3, width + 2, width + 3]
        return [
            self._shuffled(left, right, [s + lane for s in starts for lane in half])
            for left, right in ((ab_low, cd_low), (ab_high, cd_high))
            for half in (first, second)
        ]

    def _merged(self, vectors: list[ir.Value]) -> list[ir.Value]:
        """Pieces 0 of all vectors, pieces 1 of all, ...: as many vectors."""
        if len(vectors) == 1:
            return vectors
        even, odd = self._merged(vectors[::2]), self._merged(vectors[1::2])
        return [half for pair in zip(even, odd) for half in self._interleaved(*pair)]

    def _parted(self, vectors: list[ir.Value]) -> list[ir.Value]:
        """The inverse of :meth:`_merged`."""
        if len(vectors) == 1:
            return vectors
        halves = [self._deinterleaved(*pair) for pair in zip(vectors[::2], vectors[1::2])]
        even, odd = (self._parted([pair[k] for pair in halves]) for k in (0, 1))
        return [vector for pair in zip(even, odd) for vector in pair]

    def _interleaved(self, a: ir.Value, b: ir.Value) -> list[ir.Value]:
        pieces = self.width // self.piece
        order = [piece + side * pieces for piece in range(pieces) for side in (0, 1)]
        return [self._pieces(a, b, order[:pieces]), self._pieces(a, b, order[pieces:])]

    def _deinterleaved(self, a: ir.Value, b: ir.Value) -> list[ir.Value]:
        pieces = self.width // self.piece
        return [self._pieces(a, b, list(range(side, 2 * pieces, 2))) for side in (0, 1)]

    def _pieces(self, a: ir.Value, b: ir.Value, order: Sequence[int]) -> ir.Value:
        return self._shuffled(a, b, [piece * self.piece + lane for piece in order for lane in range(self.piece)])

    def _joined(self, parts: Sequence[ir.Value]) -> ir.Value:
        """Parts one after the other."""
        joined = list(parts)
        while len(joined) > 1:
            joined = [self._shuffled(a, b, range(2 * a.type.count)) for a, b in zip(joined[::2], joined[1::2])]
        return joined[0]

    def _gathered(self, numbers: Sequence[ir.Value]) -> ir.Value:
        value = self.code.nothing(self.code.vector(self.width))
        for lane, number in enumerate(numbers):
            value = self.builder.insert_element(value, number, LANE(lane))
        return value

    def _shuffled(self, a: ir.Value, b: ir.Value, lanes: Sequence[int] | range) -> ir.Value:
        if list(lanes) == list(range(a.type.count)):
            return a
        return self.builder.shuffle_vector(a, b, self.code.lanes(lanes))


def block_start(code: Code, block: ir.Value, width: int) -> ir.Value:
    """First row of a block of ``width`` rows; the last block ends with the last row (word ``n``), so it may overlap the
    one before.
    """
    start = code.builder.mul(block, WORD(width))
    last = code.builder.sub(code.words["n"], WORD(width))
    return code.builder.select(code.builder.icmp_signed("<", start, last), start, last)
