"""A machine for straight-line programs: each instruction works on a vector of channels, and the program is data.

One compiled function serves every program, so nothing is compiled for a new one; decoding a term costs little beside
the channels that it is done for. A task is some nodes times one vector of channels. Its registers fit in a cache, and a
row is summed in machine registers.
"""

from __future__ import annotations

from collections.abc import Callable

from llvmlite import ir

from intertwine.kernels.llvm.assembler import WORD, Code

WORDS = (
    # what there is; the groups of the nodes; where the channels are
    *("nodes", "groups", "group", "channels", "first", "chunks", "blocks"),
    # what is given and wanted
    *("argument_count", "inputs", "result_count", "registers"),
    # the program; memory of each task
    *("rows", "row_count", "factors", "coefficients", "slots", "addresses", "workspace"),
)  # and then pointer, size and "shared" of each argument and each result


class Machine:
    """The text of the machine.

    Args:
        dtype: "float32" or "float64".
        width: channels of a vector.
    """

    def __init__(self, dtype: str, width: int) -> None:
        self.code = Code("body", dtype, WORDS)
        self.width, self.builder = width, self.code.builder

    def text(self) -> str:
        """The module in LLVM's intermediate representation."""
        code, b, word = self.code, self.builder, self.code.words
        self.groups, self.factors, self.rows = (code.integers(name) for name in ("group", "factors", "rows"))
        self.coefficients, self.registers = code.reals("coefficients"), code.integers("registers")
        with code.loop(code.lo, code.hi) as task:
            block, chunk = b.sdiv(task, word["chunks"]), b.srem(task, word["chunks"])
            channel = b.add(word["first"], b.mul(chunk, WORD(self.width)))
            addresses = b.gep(code.integers("addresses"), [b.mul(task, b.add(word["inputs"], word["slots"]))])
            size = WORD(self.width * code.size)
            slots = b.add(word["workspace"], b.mul(b.mul(task, word["slots"]), size))
            with code.loop(WORD(0), word["slots"]) as slot:
                b.store(b.add(slots, b.mul(slot, size)), b.gep(addresses, [b.add(word["inputs"], slot)]))
            start, stop = (
                b.sdiv(b.mul(edge, word["nodes"]), word["blocks"]) for edge in (block, b.add(block, WORD(1)))
            )
            with code.loop(start, stop) as node:
                group = code.integer_at(self.groups, node)
                self._each(
                    "argument",
                    WORD(len(WORDS)),
                    node,
                    group,
                    channel,
                    lambda number, address, _: b.store(address, b.gep(addresses, [number])),
                )
                self._run(addresses)
                own = b.add(b.mul(block, word["groups"]), group)
                described = b.add(WORD(len(WORDS)), b.mul(WORD(3), word["argument_count"]))
                self._each("result", described, node, own, channel, lambda *component: self._put(addresses, *component))
        return code.finish()

    def _each(
        self,
        kind: str,
        described: ir.Value,
        node: ir.Value,
        group: ir.Value,
        channel: ir.Value,
        do: Callable[..., object],
    ) -> None:
        """For every component of every argument or result, ``do(its number, its address, whether it is shared)``."""
        code, b = self.code, self.builder
        table, step = b.gep(code.data, [described]), b.mul(code.words["channels"], WORD(code.size))

        def visit(which: ir.Value, number: ir.Value) -> list[ir.Value]:
            place = b.mul(which, WORD(3))
            pointer, size, flag = (code.integer_at(table, b.add(place, WORD(k))) for k in range(3))
            shared = b.icmp_signed("!=", flag, WORD(0))
            row = b.mul(b.mul(b.select(shared, group, node), size), code.words["channels"])
            start = b.add(pointer, b.mul(b.add(row, channel), WORD(code.size)))
            with code.loop(WORD(0), size) as component:
                do(b.add(number, component), b.add(start, b.mul(component, step)), shared)
            return [b.add(number, size)]

        code.fold(code.words[f"{kind}_count"], [WORD(0)], visit)

    def _put(self, addresses: ir.Value, number: ir.Value, address: ir.Value, shared: ir.Value) -> None:
        """Write a component of a result; add it to the sum of its group if it is shared."""
        code, b = self.code, self.builder
        value = self._register(addresses, code.integer_at(self.registers, number))
        target = b.inttoptr(address, code.real.as_pointer())
        with b.if_else(shared) as (then, otherwise):
            with then:
                code.store(b.fadd(code.load(target, 0, self.width), value), target)
            with otherwise:
                code.store(value, target)

    def _run(self, addresses: ir.Value) -> None:
        """The rows: number of the register, terms with one factor, terms with two."""
        code, b = self.code, self.builder

        def term(factors: int, factor: ir.Value, coefficient: ir.Value, total: ir.Value) -> list[ir.Value]:
            value = code.splat(code.load(self.coefficients, coefficient), self.width)
            for k in range(factors):
                x = self._register(addresses, code.integer_at(self.factors, b.add(factor, WORD(k))))
                value = code.multiply_add(value, x, total if k == factors - 1 else None)
            return [b.add(factor, WORD(factors)), b.add(coefficient, WORD(1)), value]

        def row(number: ir.Value, factor: ir.Value, coefficient: ir.Value) -> list[ir.Value]:
            at = b.mul(number, WORD(3))
            register, alone, products = (code.integer_at(self.rows, b.add(at, WORD(k))) for k in range(3))
            state = [factor, coefficient, code.constant(0.0, self.width)]
            for count, factors in ((alone, 1), (products, 2)):
                state = code.fold(count, state, lambda _, *carried, factors=factors: term(factors, *carried))
            code.store(state[2], b.inttoptr(code.integer_at(addresses, register), code.real.as_pointer()))
            return state[:2]

        code.fold(code.words["row_count"], [WORD(0), WORD(0)], row)

    def _register(self, addresses: ir.Value, number: ir.Value) -> ir.Value:
        code, b = self.code, self.builder
        return code.load(b.inttoptr(code.integer_at(addresses, number), code.real.as_pointer()), 0, self.width)
