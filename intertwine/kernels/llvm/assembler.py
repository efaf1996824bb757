"""Loops, vectors and strips of channels in LLVM's intermediate representation.

A kernel is one function ``body(data, lo, hi)``: ``data`` is an array of 64-bit words with pointers and numbers
(:class:`Code.word`), [lo, hi) the rows it does. Vectors are explicit, so nothing depends on what a compiler's
vectoriser makes of a loop.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from llvmlite import ir

from intertwine.kernels.shared.strip import Strip

WORD = ir.IntType(64)
LANE = ir.IntType(32)
REAL: dict[str, ir.Type] = {"float32": ir.FloatType(), "float64": ir.DoubleType()}
SIZE_BYTES = {"float32": 4, "float64": 8}
Count = int | ir.Value | None  # lanes of a vector; None: all


@dataclass(frozen=True)
class Chunk:
    """Channels ``first ... first + count`` of a strip as a vector of ``width`` lanes; the lanes beyond ``count`` are
    idle.
    """

    first: ir.Value
    count: int
    width: int


class Code:
    """A function that is being written.

    Args:
        name: of the function; dtype: "float32" or "float64" of all numbers that are not words.
        words: names of the words of its argument ``data``, in order.
    """

    def __init__(self, name: str, dtype: str, words: Sequence[str]) -> None:
        self.module = ir.Module(name=name)
        self.real, self.size = REAL[dtype], SIZE_BYTES[dtype]
        function = ir.Function(self.module, ir.FunctionType(ir.VoidType(), [WORD.as_pointer(), WORD, WORD]), name=name)
        self.builder = ir.IRBuilder(function.append_basic_block("entry"))
        self.data, self.lo, self.hi = function.args
        self.words = {word: self._word(place) for place, word in enumerate(words)}
        self._entry = self.builder.block
        self._constants: dict[tuple[str, Any], ir.Constant] = {}

    # ------------------------------------------------------------------ words

    def _word(self, place: int) -> ir.Value:
        return self.builder.load(self.builder.gep(self.data, [WORD(place)]))

    def reals(self, name: str) -> ir.Value:
        """The word as a pointer to numbers."""
        return self.builder.inttoptr(self.words[name], self.real.as_pointer())

    def integers(self, name: str) -> ir.Value:
        """The word as a pointer to 64-bit integers."""
        return self.builder.inttoptr(self.words[name], WORD.as_pointer())

    def integer_at(self, pointer: ir.Value, place: ir.Value) -> ir.Value:
        """An element of an array of integers."""
        return self.builder.load(self.builder.gep(pointer, [place]))

    def row(self, pointer: ir.Value, number: ir.Value, size: int) -> ir.Value:
        """Pointer to a row of a matrix."""
        return self.builder.gep(pointer, [self.builder.mul(number, WORD(size))])

    @contextmanager
    def loop(self, start: ir.Value, stop: ir.Value, step: int | ir.Value = 1) -> Iterator[ir.Value]:
        """``for i in range(start, stop, step)``; nothing is done if there is nothing between."""
        builder = self.builder
        before, body, after = builder.block, builder.append_basic_block("loop"), None
        enter = builder.icmp_signed("<", start, stop)
        after = builder.append_basic_block("after")
        builder.cbranch(enter, body, after)
        builder.position_at_end(body)
        i = builder.phi(WORD)
        i.add_incoming(start, before)
        yield i
        following = builder.add(i, WORD(step) if isinstance(step, int) else step)
        i.add_incoming(following, builder.block)
        builder.cbranch(builder.icmp_signed("<", following, stop), body, after)
        builder.position_at_end(after)

    def fold(
        self, count: ir.Value, state: Sequence[ir.Value], step: Callable[..., Sequence[ir.Value]]
    ) -> list[ir.Value]:
        """``for i in range(count): state = step(i, *state)``; the state stays in registers."""
        b = self.builder
        before, body, after = b.block, b.append_basic_block("fold"), b.append_basic_block("folded")
        b.cbranch(b.icmp_signed(">", count, WORD(0)), body, after)
        b.position_at_end(body)
        i, carried = b.phi(WORD), [b.phi(value.type) for value in state]
        results = step(i, *carried)
        following, last = b.add(i, WORD(1)), b.block
        b.cbranch(b.icmp_signed("<", following, count), body, after)
        for phi, values in zip([i, *carried], [(WORD(0), following), *zip(state, results)]):
            phi.add_incoming(values[0], before)
            phi.add_incoming(values[1], last)
        b.position_at_end(after)
        phis = [b.phi(value.type) for value in state]
        for phi, first, value in zip(phis, state, results):
            phi.add_incoming(first, before)
            phi.add_incoming(value, last)
        return phis

    @contextmanager
    def apart(self, values: Sequence[ir.Value]) -> Iterator[list[ir.Value]]:
        """What is written inside becomes a function of its own, called here; it sees the values under the names that
        are yielded.

        LLVM needs more than twice the time for a function of twice the length.
        """
        signature = ir.FunctionType(ir.VoidType(), [value.type for value in values])
        name = f"part{sum(1 for part in self.module.functions if part.name.startswith('part'))}"
        function = ir.Function(self.module, signature, name=name)
        function.linkage = "internal"
        function.attributes.add("noinline")
        self.builder.call(function, values)
        outer, entry = self.builder, self._entry
        self.builder = ir.IRBuilder(function.append_basic_block("entry"))
        self._entry = self.builder.block
        yield list(function.args)
        self.builder.ret_void()
        self.builder, self._entry = outer, entry

    # ---------------------------------------------------------------- numbers

    def scratch(self, count: int) -> ir.Value:
        """Pointer to ``count`` numbers on the stack."""
        with self.builder.goto_block(self._entry):
            if self._entry.is_terminated:
                self.builder.position_before(self._entry.terminator)
            place = self.builder.alloca(self.real, size=WORD(max(count, 1)))
            place.align = 64
        return place

    def vector(self, width: int) -> ir.Type:
        return self.real if width == 1 else ir.VectorType(self.real, width)

    def constant(self, value: float, width: int = 1) -> ir.Value:
        return self._constant(self.vector(width), value if width == 1 else (value,) * width)

    def nothing(self, kind: ir.Type) -> ir.Value:
        """A vector that is not looked at."""
        return self._constant(kind, ir.Undefined)

    def _constant(self, kind: ir.Type, value: Any) -> ir.Value:
        key = (str(kind), value)  # writing a constant of many lanes costs more than anything else: each is written once
        constant = self._constants.get(key)
        if constant is None:
            constant = self._constants[key] = ir.Constant(kind, list(value) if isinstance(value, tuple) else value)
        return constant

    def load(self, pointer: ir.Value, place: ir.Value | int = 0, width: int = 1, count: Count = None) -> ir.Value:
        """``width`` numbers from a place on; only ``count`` of them are read, the others are 0."""
        address = self._address(pointer, place, width)
        if count is None or width == 1 or (isinstance(count, int) and count == width):
            return self.builder.load(address, align=self.size)
        return self._masked("load", address, width, count)

    def store(self, value: ir.Value, pointer: ir.Value, place: ir.Value | int = 0, count: Count = None) -> None:
        """Write a number or a vector; only its first ``count`` lanes."""
        width = value.type.count if isinstance(value.type, ir.VectorType) else 1
        address = self._address(pointer, place, width)
        if count is None or width == 1 or (isinstance(count, int) and count == width):
            self.builder.store(value, address, align=self.size)
        else:
            self._masked("store", address, width, count, value)

    def prefetch(self, pointer: ir.Value, count: int, *, write: bool = False) -> None:
        """Ask for ``count`` numbers from memory, soon to be read or written."""
        byte = ir.IntType(8).as_pointer()
        function = self._intrinsic("llvm.prefetch.p0", ir.FunctionType(ir.VoidType(), [byte, LANE, LANE, LANE]))
        for place in range(0, count, 64 // self.size):
            address = self.builder.bitcast(self.builder.gep(pointer, [WORD(place)]), byte)
            self.builder.call(function, [address, LANE(int(write)), LANE(3), LANE(1)])

    def splat(self, value: ir.Value, width: int) -> ir.Value:
        """A number in all lanes."""
        if width == 1:
            return value
        first = self.builder.insert_element(self.nothing(self.vector(width)), value, LANE(0))
        return self.builder.shuffle_vector(first, self.nothing(self.vector(width)), self.lanes([0] * width))

    def multiply_add(self, a: ir.Value, b: ir.Value, c: ir.Value | None) -> ir.Value:
        """a b + c, rounded once; a b if there is no c."""
        if c is None:
            return self.builder.fmul(a, b)
        lanes = f"v{a.type.count}" if isinstance(a.type, ir.VectorType) else ""
        function = self._intrinsic(f"llvm.fma.{lanes}f{8 * self.size}", ir.FunctionType(a.type, [a.type] * 3))
        return self.builder.call(function, [a, b, c])

    def total(self, value: ir.Value) -> ir.Value:
        """Sum of the lanes, pairwise."""
        while isinstance(value.type, ir.VectorType):
            half = value.type.count // 2
            nothing = self.nothing(value.type)
            low, high = (
                self.builder.shuffle_vector(value, nothing, self.lanes(range(at, at + half))) for at in (0, half)
            )
            value = self.builder.fadd(low, high)
            if half == 1:
                return self.builder.extract_element(value, LANE(0))
        return value

    # ----------------------------------------------------------------- strips

    def chunks(self, mul: int, widest: int) -> Iterator[Chunk]:
        """All channels in vectors of up to ``widest`` (a power of two) lanes; what the caller writes in between is done
        for each.
        """
        width = min(widest, 1 << (mul - 1).bit_length())
        covered = mul // width * width
        if covered > width:
            with self.loop(WORD(0), WORD(covered), width) as first:
                yield Chunk(first, width, width)
        elif covered:
            yield Chunk(WORD(0), width, width)
        if rest := mul - covered:
            yield Chunk(WORD(covered), rest, 1 << (rest - 1).bit_length())

    def strip(self, row: ir.Value, strip: Strip, chunk: Chunk) -> list[ir.Value]:
        """The components of a chunk of channels: one vector each."""
        dim, width = strip.dim, chunk.width
        if strip.along == 1:
            places = [self.builder.add(chunk.first, WORD(strip.start + c * strip.across)) for c in range(dim)]
            return [self.load(row, place, width, chunk.count) for place in places]
        place = self.builder.add(self.builder.mul(chunk.first, WORD(dim)), WORD(strip.start))
        if width == 1:
            return [self.load(row, self.builder.add(place, WORD(c))) for c in range(dim)]
        vector = self.load(row, place, width * dim, chunk.count * dim)
        nothing = self.nothing(vector.type)
        return [
            self.builder.shuffle_vector(vector, nothing, self.lanes(range(c, width * dim, dim))) for c in range(dim)
        ]

    def put_strip(self, values: Sequence[ir.Value], row: ir.Value, strip: Strip, chunk: Chunk) -> None:
        """Write the components of a chunk of channels."""
        dim, width = strip.dim, chunk.width
        if strip.along == 1:
            for c, value in enumerate(values):
                self.store(value, row, self.builder.add(chunk.first, WORD(strip.start + c * strip.across)), chunk.count)
            return
        place = self.builder.add(self.builder.mul(chunk.first, WORD(dim)), WORD(strip.start))
        if width == 1:
            for c, value in enumerate(values):
                self.store(value, row, self.builder.add(place, WORD(c)))
            return
        self.store(self._interleaved(values), row, place, chunk.count * dim)

    def _interleaved(self, values: Sequence[ir.Value]) -> ir.Value:
        """Lane u of component c at place ``u dim + c``."""
        dim, width = len(values), values[0].type.count
        joined = list(values)
        counts = [1] * dim  # how many components each of the vectors holds
        while len(joined) > 1:
            paired, sizes = [], []
            for left, right, a, b in zip(joined[::2], joined[1::2], counts[::2], counts[1::2]):
                longer = max(a, b) * width
                both = [self._padded(half, longer) for half in (left, right)]
                lanes = [*range(a * width), *range(longer, longer + b * width)]
                paired.append(self.builder.shuffle_vector(*both, self.lanes(lanes)))
                sizes.append(a + b)
            if len(joined) % 2:
                paired.append(joined[-1])
                sizes.append(counts[-1])
            joined, counts = paired, sizes
        vector = joined[0]
        lanes = [c * width + u for u in range(width) for c in range(dim)]
        return self.builder.shuffle_vector(vector, self.nothing(vector.type), self.lanes(lanes))

    def _padded(self, value: ir.Value, width: int) -> ir.Value:
        size = value.type.count
        if size == width:
            return value
        lanes = [*range(size), *([0] * (width - size))]
        return self.builder.shuffle_vector(value, self.nothing(value.type), self.lanes(lanes))

    def _address(self, pointer: ir.Value, place: ir.Value | int, width: int) -> ir.Value:
        at = self.builder.gep(pointer, [WORD(place) if isinstance(place, int) else place])
        return at if width == 1 else self.builder.bitcast(at, self.vector(width).as_pointer())

    def lanes(self, lanes: Sequence[int] | range) -> ir.Value:
        """Which lanes of two vectors a shuffle takes."""
        return self._constant(ir.VectorType(LANE, len(lanes)), tuple(lanes))

    def _masked(
        self, kind: str, address: ir.Value, width: int, count: int | ir.Value, value: ir.Value | None = None
    ) -> ir.Value:
        vector, truth = self.vector(width), ir.VectorType(ir.IntType(1), width)
        if isinstance(count, int):
            mask = self._constant(truth, tuple(int(lane < count) for lane in range(width)))
        else:
            kind_of_lane = ir.VectorType(LANE, width)
            first = self.builder.insert_element(self.nothing(kind_of_lane), self.builder.trunc(count, LANE), LANE(0))
            counts = self.builder.shuffle_vector(first, self.nothing(kind_of_lane), self.lanes([0] * width))
            mask = self.builder.icmp_unsigned("<", self.lanes(range(width)), counts)
        suffix = f"v{width}f{8 * self.size}.p0"
        align = LANE(self.size)
        if kind == "load":
            signature = ir.FunctionType(vector, [address.type, LANE, truth, vector])
            function = self._intrinsic(f"llvm.masked.load.{suffix}", signature)
            return self.builder.call(function, [address, align, mask, self.constant(0.0, width)])
        signature = ir.FunctionType(ir.VoidType(), [vector, address.type, LANE, truth])
        return self.builder.call(
            self._intrinsic(f"llvm.masked.store.{suffix}", signature), [value, address, align, mask]
        )

    def _intrinsic(self, name: str, signature: ir.FunctionType) -> ir.Function:
        function = self.module.globals.get(name)
        return function if function is not None else ir.Function(self.module, signature, name=name)

    def finish(self) -> str:
        """The function is complete: its text."""
        self.builder.ret_void()
        return str(self.module)
