r"""Many small matrix products in one call: where calling a BLAS for each would cost more than the arithmetic.

One compiled function reads a table of tasks, each a batch of products with strides,

.. math:: C^b_{r w} \mathrel{(+)}= f \sum_{k_2} \sum_{k_1} A^b_{r k_1 k_2} B^b_{k_1 k_2 w},

whose index w runs over neighbouring numbers in B and C: tiles of some rows and two vectors of columns are summed in
registers.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import torch
from llvmlite import ir
from torch import Tensor

from intertwine.kernels.llvm.assembler import WORD, Code
from intertwine.kernels.llvm.compile import Function, compiled, register_bytes
from intertwine.kernels.llvm.threads import run
from intertwine.kernels.shared import doors

WORDS = ("tasks", "factors", "many", "a", "b", "c")
_NAMES = {torch.float32: "float32", torch.float64: "float64"}
_TILE_ROWS = (
    4  # of a tile: with two vectors of columns, eight sums, which is what hides the time that a multiplication takes
)
SIZE_AT_CALL = -1  # a size that is known when the kernel is called


class Task(NamedTuple):
    """A batch of products. A size may be :data:`SIZE_AT_CALL`.

    Attributes:
        a, b, c: where the first numbers are.
        rows, columns, depth, outer, batch: how many r, w, k_1, k_2 and b.
        a_row, c_row: from one row to the next; a_depth, b_depth, a_outer, b_outer: from one k_1 or k_2 to the next;
            a_batch, ...: likewise.
        add: whether to add to what C has.
    """

    a: int
    b: int
    c: int
    rows: int
    columns: int
    depth: int
    outer: int
    batch: int
    a_row: int
    c_row: int
    a_depth: int
    b_depth: int
    a_outer: int
    b_outer: int
    a_batch: int
    c_batch: int
    add: int

    def reach(self, tensor: str) -> tuple[int, int]:
        """How many numbers of "a", "b" or "c" there must be, as (p, q) for p + q many, where that is at least 1."""
        steps = {
            "a": (
                (self.rows, self.a_row),
                (self.depth, self.a_depth),
                (self.outer, self.a_outer),
                (self.batch, self.a_batch),
            ),
            "b": ((self.columns, 1), (self.depth, self.b_depth), (self.outer, self.b_outer)),
            "c": ((self.rows, self.c_row), (self.columns, 1), (self.batch, self.c_batch)),
        }[tensor]
        fixed = 1 + getattr(self, tensor) + sum((size - 1) * step for size, step in steps if size != SIZE_AT_CALL)
        open_steps = sum(step for size, step in steps if size == SIZE_AT_CALL)
        return fixed - open_steps, open_steps


class Table:
    """Tasks as the kernel reads them.

    Args:
        tasks: what to do, in order; factors: f of each; dtype: of all numbers.
    """

    def __init__(self, tasks: Sequence[Task], factors: Sequence[float], dtype: torch.dtype) -> None:
        self.tasks = torch.tensor([list(task) for task in tasks], dtype=torch.int64, device="cpu")
        self.factors = torch.tensor(factors, dtype=dtype, device="cpu")
        self.count, self.dtype, self.function = len(tasks), dtype, _function(_NAMES[dtype])
        tables = (self.tasks, torch.int64, len(Task._fields) * len(tasks)), (self.factors, dtype, len(tasks))
        self.words = [doors.address(table, "table", size, kind) for table, kind, size in tables]
        self.reaches = [sorted({task.reach(name) for task in tasks}) for name in "abc"]
        written = max((p for p, q in self.reaches[2] if q == 0), default=0)  # also by a sum of nothing
        self.none = self.last = (0, [0, 0, written])

    def __call__(self, size: int, a: Tensor, b: Tensor, c: Tensor) -> None:
        """Write C, which the caller has made; all three contiguous and of one precision.

        Raises:
            InputError: A or B is not, or has fewer numbers than the products need.
        """
        last, sizes = self.last if size else self.none
        if last != size:
            sizes = [max((p + q * size for p, q in reaches), default=0) for reaches in self.reaches]
            self.last = size, sizes
        dtype = self.dtype
        at_a, at_b, at_c = (
            doors.address(a, "a", sizes[0], dtype), doors.address(b, "b", sizes[1], dtype),
            doors.own_address(c, "c", sizes[2], dtype),
        )  # fmt: skip
        run(self.function, (*self.words, size, at_a, at_b, at_c), (0, self.count))


class Transposition:
    """Matrices one after another, each transposed where it is.

    Args:
        shapes: where each starts, its rows and columns; dtype: of the numbers.
    """

    def __init__(self, shapes: Sequence[tuple[int, int, int]], dtype: torch.dtype) -> None:
        self.shapes = torch.tensor(shapes, dtype=torch.int64, device="cpu")
        self.function = _transposition(_NAMES[dtype])
        self.at_table = doors.address(self.shapes, "table", 3 * len(shapes), torch.int64)
        self.count = len(shapes)
        self.dtype = dtype
        self.size = max((start + rows * columns for start, rows, columns in shapes), default=0)

    def __call__(self, a: Tensor) -> Tensor:
        """A copy of a contiguous tensor, with each matrix transposed; what is in none is not set.

        Raises:
            InputError: it is not contiguous, or has fewer numbers than the matrices.
        """
        c = torch.empty_like(a)
        at_a, at_c = (
            doors.address(a, "weight", self.size, self.dtype),
            doors.own_address(c, "weight", self.size, self.dtype),
        )
        run(self.function, (self.at_table, at_a, at_c), (0, self.count))
        return c


@cache
def _transposition(dtype: str) -> Function:
    return compiled("transpositions", f"transpositions {dtype}", lambda: transposition_text(dtype))


def transposition_text(dtype: str) -> str:
    """The module in LLVM's intermediate representation."""
    code = Code("body", dtype, ("shapes", "a", "c"))
    b = code.builder
    with code.loop(code.lo, code.hi) as number:
        fields = b.gep(code.integers("shapes"), [b.mul(number, WORD(3))])
        start, rows, columns = (code.integer_at(fields, WORD(place)) for place in range(3))
        a, c = (b.gep(code.reals(name), [start]) for name in "ac")
        with code.loop(WORD(0), columns) as column, code.loop(WORD(0), rows) as row:
            value = code.load(a, b.add(b.mul(row, columns), column))
            code.store(value, c, b.add(b.mul(column, rows), row))
    return code.finish()


@cache
def _function(dtype: str) -> Function:
    width = max(1, register_bytes() // {"float32": 4, "float64": 8}[dtype])
    return compiled("small products of matrices", f"small products {dtype} {width}", lambda: text(dtype, width))


def text(dtype: str, width: int) -> str:
    """The module in LLVM's intermediate representation; ``width``: lanes of a vector."""
    code = Code("body", dtype, WORDS)
    b = code.builder
    with code.loop(code.lo, code.hi) as task:
        fields = b.gep(code.integers("tasks"), [b.mul(task, WORD(len(Task._fields)))])
        word = {name: code.integer_at(fields, WORD(place)) for place, name in enumerate(Task._fields)}
        for name in ("rows", "columns", "depth", "outer", "batch"):
            word[name] = b.select(b.icmp_signed("==", word[name], WORD(SIZE_AT_CALL)), code.words["many"], word[name])
        factor = code.load(code.reals("factors"), task)
        tiled, pairs = b.and_(word["rows"], WORD(-_TILE_ROWS)), b.and_(word["columns"], WORD(-2 * width))
        with code.loop(WORD(0), word["batch"]) as number:
            first = {name: b.add(word[name], b.mul(number, word[f"{name}_batch"])) for name in "ac"} | {"b": word["b"]}
            for rows, start, stop in ((_TILE_ROWS, WORD(0), tiled), (1, tiled, word["rows"])):
                with code.loop(start, stop, rows) as row:
                    at = {name: b.add(first[name], b.mul(row, word[f"{name}_row"])) for name in "ac"}
                    with code.loop(WORD(0), pairs, 2 * width) as column:
                        _tile(
                            code,
                            word,
                            factor,
                            at["a"],
                            b.add(first["b"], column),
                            b.add(at["c"], column),
                            rows,
                            width,
                            2,
                            None,
                        )
                    with code.loop(pairs, word["columns"], width) as column:
                        left = b.sub(word["columns"], column)
                        count = b.select(b.icmp_signed("<", left, WORD(width)), left, WORD(width))
                        _tile(
                            code,
                            word,
                            factor,
                            at["a"],
                            b.add(first["b"], column),
                            b.add(at["c"], column),
                            rows,
                            width,
                            1,
                            count,
                        )
    return code.finish()


def _tile(
    code: Code,
    word: dict[str, ir.Value],
    factor: ir.Value,
    a: ir.Value,
    b: ir.Value,
    c: ir.Value,
    rows: int,
    width: int,
    vectors: int,
    count: ir.Value | None,
) -> None:
    """Some rows times some vectors of columns; a, b, c: where they begin, count: lanes of the last vector."""
    builder, places = code.builder, [width * v for v in range(vectors)]
    pointers = {name: code.reals(name) for name in "abc"}

    def outer(k2: ir.Value, *totals: ir.Value) -> list[ir.Value]:
        from_a, from_b = (builder.add(at, builder.mul(k2, word[f"{name}_outer"])) for name, at in (("a", a), ("b", b)))

        def inner(k1: ir.Value, *totals: ir.Value) -> list[ir.Value]:
            at_a, at_b = (
                builder.add(at, builder.mul(k1, word[f"{name}_depth"])) for name, at in (("a", from_a), ("b", from_b))
            )
            columns = [code.load(pointers["b"], builder.add(at_b, WORD(place)), width, count) for place in places]
            numbers = [
                code.load(pointers["a"], builder.add(at_a, builder.mul(WORD(r), word["a_row"]))) for r in range(rows)
            ]
            lanes = [code.splat(number, width) for number in numbers]
            pairs = [(row, column) for row in lanes for column in columns]
            return [code.multiply_add(row, column, total) for (row, column), total in zip(pairs, totals)]

        return code.fold(word["depth"], totals, inner)

    totals = code.fold(word["outer"], [code.constant(0.0, width)] * (rows * vectors), outer)
    factors, adds = code.splat(factor, width), builder.icmp_signed("!=", word["add"], WORD(0))
    for r in range(rows):
        for v, place in enumerate(places):
            at = builder.add(builder.add(c, builder.mul(WORD(r), word["c_row"])), WORD(place))
            before = builder.select(adds, code.load(pointers["c"], at, width, count), code.constant(0.0, width))
            code.store(code.multiply_add(factors, totals[r * vectors + v], before), pointers["c"], at, count)
