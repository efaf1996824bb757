r"""The edges within the cutoff, radial functions of a table and forces, each a loop in LLVM's language.

Positions, forces and the virial are in float64, the rest in the precision of the kernel. With :math:`x_e = x_j + S -
x_i` of an edge e from j to i, place :math:`t_e = d_e K / r_c = k + u` and the coefficients :math:`C^p_{k}` of the
interval k,

.. math::
    w_e = \sum_{p=0}^3 C^p_k u^p, \qquad s_e = \sum_w \frac{\partial E}{\partial w_e} \frac{d w_e}{d u}, \qquad
    g_e = h_e + s_e \frac{K}{r_c} \hat x_e, \qquad F_i = \sum_{e \to i} g_e - \sum_{e \leftarrow i} g_e, \qquad
    W = \sum_e g_e \otimes x_e

where h is the derivative of the energy by the vector through the harmonics, and W is :math:`\partial E / \partial
\varepsilon` before it is made symmetric.
"""

from __future__ import annotations

from llvmlite import ir

from intertwine.kernels.llvm.assembler import WORD, Code
from intertwine.kernels.llvm.compile import Function, compiled, register_bytes

#: Words of the argument of each loop. Rows are nodes in "edges" and "forces", edges in the others.
EDGES = (
    "pos", "first", "source", "shift", "by_source", "out_first", "constants", "place", "offsets", "sources",
    "destinations", "vectors", "row", "u", "inverse", "out_offsets", "out_order",
)  # fmt: skip
VALUES = ("row", "u", "table", "w")
SLOPES = ("row", "u", "table", "dw", "slope")
FORCES = (
    "vectors", "harmonic", "slope", "inverse", "constants", "offsets", "out_offsets", "out_order", "g", "forces",
    "virial",
)  # fmt: skip
COEFFICIENTS = 4  # of the polynomial of an interval
_BYTES = {"float32": 4, "float64": 8}
_DOUBLE, _TRUTH = ir.DoubleType(), ir.IntType(1)


def edges(dtype: str) -> Function:
    """The edges within the cutoff out of those of a wider list: their ends, vectors, places in the table, and the two
    orders; ``place`` is the new number of each, or -1.
    """
    return compiled("edges within the cutoff", f"frozen edges {dtype}", lambda: _edges_text(dtype))


def values(dtype: str, width: int) -> Function:
    """w of each edge, ``width`` functions."""
    return compiled("radial functions", f"frozen values {dtype} {width}", lambda: _values_text(dtype, width))


def slopes(dtype: str, width: int, *, add: bool) -> Function:
    """s of each edge; ``add``: to what is there."""
    described = f"frozen slopes {dtype} {width} {add}"
    return compiled("slopes of radial functions", described, lambda: _slopes_text(dtype, width, add))


def forces(dtype: str) -> Function:
    """F of each node and W; called for all nodes at once."""
    return compiled("forces", f"frozen forces {dtype}", lambda: _forces_text(dtype))


def _lanes(dtype: str) -> int:
    return max(1, register_bytes() // _BYTES[dtype])


class _Wide(Code):
    """A loop that reads and writes float64 as well."""

    def doubles(self, name: str) -> ir.Value:
        """The word as a pointer to float64."""
        return self.builder.inttoptr(self.words[name], _DOUBLE.as_pointer())

    def get(self, pointer: ir.Value, place: ir.Value) -> ir.Value:
        return self.builder.load(self.builder.gep(pointer, [place]), align=8)

    def put(self, pointer: ir.Value, place: ir.Value, value: ir.Value) -> None:
        self.builder.store(value, self.builder.gep(pointer, [place]), align=8)

    def narrowed(self, value: ir.Value) -> ir.Value:
        """A float64 in the precision of the kernel."""
        return value if self.real is _DOUBLE or self.size == 8 else self.builder.fptrunc(value, self.real)

    def widened(self, value: ir.Value) -> ir.Value:
        return value if self.size == 8 else self.builder.fpext(value, _DOUBLE)

    def root(self, value: ir.Value) -> ir.Value:
        function = self._intrinsic("llvm.sqrt.f64", ir.FunctionType(_DOUBLE, [_DOUBLE]))
        return self.builder.call(function, [value])

    def three(self, place: ir.Value) -> list[ir.Value]:
        """The places of the components of a vector."""
        start = self.builder.mul(place, WORD(3))
        return [self.builder.add(start, WORD(a)) for a in range(3)]


def _edges_text(dtype: str) -> str:
    code = _Wide("body", dtype, EDGES)
    b = code.builder
    pos, shift, constants = (code.doubles(name) for name in ("pos", "shift", "constants"))
    whole = {name: code.integers(name) for name in (
        "first", "source", "by_source", "out_first", "place", "offsets", "sources", "destinations", "row",
        "out_offsets", "out_order",
    )}  # fmt: skip
    vectors, u, inverse = (code.reals(name) for name in ("vectors", "u", "inverse"))
    cutoff, scale = code.get(constants, WORD(0)), code.get(constants, WORD(1))
    code.put(whole["offsets"], WORD(0), WORD(0))
    code.put(whole["out_offsets"], WORD(0), WORD(0))
    with code.loop(code.lo, code.hi) as node:
        after, here = b.add(node, WORD(1)), code.three(node)
        code.put(whole["offsets"], after, code.get(whole["offsets"], node))
        with code.loop(code.get(whole["first"], node), code.get(whole["first"], after)) as edge:
            k, other = code.get(whole["offsets"], after), code.get(whole["source"], edge)
            there, across = code.three(other), code.three(edge)
            vector = [
                b.fadd(b.fsub(code.get(pos, p), code.get(pos, q)), code.get(shift, s))
                for p, q, s in zip(there, here, across)
            ]
            square = b.fadd(b.fadd(b.fmul(vector[0], vector[0]), b.fmul(vector[1], vector[1])),
                            b.fmul(vector[2], vector[2]))  # fmt: skip
            d = code.root(square)
            inside = b.fcmp_ordered("<", d, cutoff)
            code.put(whole["place"], edge, b.select(inside, k, WORD(-1)))
            code.put(whole["sources"], k, other)
            code.put(whole["destinations"], k, node)
            for at, component in zip(code.three(k), vector):
                code.store(code.narrowed(component), vectors, at)
            t = b.fmul(d, scale)
            row = b.fptosi(t, WORD)
            code.put(whole["row"], k, row)
            code.store(code.narrowed(b.fsub(t, b.sitofp(row, _DOUBLE))), u, k)
            apart = b.fcmp_ordered(">", d, _DOUBLE(0.0))
            code.store(code.narrowed(b.select(apart, b.fdiv(_DOUBLE(1.0), d), _DOUBLE(0.0))), inverse, k)
            code.put(whole["offsets"], after, b.add(k, b.zext(inside, WORD)))
    with code.loop(code.lo, code.hi) as node:
        after = b.add(node, WORD(1))
        code.put(whole["out_offsets"], after, code.get(whole["out_offsets"], node))
        with code.loop(code.get(whole["out_first"], node), code.get(whole["out_first"], after)) as place:
            k, at = code.get(whole["place"], code.get(whole["by_source"], place)), code.get(whole["out_offsets"], after)
            code.put(whole["out_order"], at, k)
            code.put(whole["out_offsets"], after, b.add(at, b.zext(b.icmp_signed(">=", k, WORD(0)), WORD)))
    return code.finish()


def _interval(code: _Wide, edge: ir.Value, width: int) -> tuple[list[ir.Value], ir.Value]:
    """Where the four coefficients of an edge's interval lie, and u."""
    b = code.builder
    start = b.mul(code.get(code.integers("row"), edge), WORD(COEFFICIENTS * width))
    rows = [b.gep(code.reals("table"), [b.add(start, WORD(p * width))]) for p in range(COEFFICIENTS)]
    return rows, code.load(code.reals("u"), edge)


def _values_text(dtype: str, width: int) -> str:
    code = _Wide("body", dtype, VALUES)
    with code.loop(code.lo, code.hi) as edge:
        rows, u = _interval(code, edge, width)
        target = code.row(code.reals("w"), edge, width)
        for chunk in code.chunks(width, _lanes(dtype)):
            c = [code.load(row, chunk.first, chunk.width, chunk.count) for row in rows]
            many = code.splat(u, chunk.width)
            value = c[3]
            for lower in (c[2], c[1], c[0]):
                value = code.multiply_add(value, many, lower)
            code.store(value, target, chunk.first, chunk.count)
    return code.finish()


def _slopes_text(dtype: str, width: int, add: bool) -> str:
    code = _Wide("body", dtype, SLOPES)
    b, lanes = code.builder, _lanes(dtype)
    with code.loop(code.lo, code.hi) as edge:
        rows, u = _interval(code, edge, width)
        cotangents, slope = code.row(code.reals("dw"), edge, width), code.reals("slope")
        twice, thrice = b.fadd(u, u), b.fmul(b.fmul(u, u), code.constant(3.0))

        def part(first: ir.Value, size: int, count: int, total: ir.Value) -> ir.Value:
            c1, c2, c3 = (code.load(row, first, size, count) for row in rows[1:])
            value = code.multiply_add(c2, code.splat(twice, size), c1)
            value = code.multiply_add(c3, code.splat(thrice, size), value)
            return code.multiply_add(value, code.load(cotangents, first, size, count), total)

        whole = width // lanes
        (total,) = code.fold(
            WORD(whole),
            [code.constant(0.0, lanes)],
            lambda n, total: [part(b.mul(n, WORD(lanes)), lanes, lanes, total)],
        )
        if rest := width % lanes:
            total = part(WORD(whole * lanes), lanes, rest, total)
        result = code.total(total)
        code.store(b.fadd(code.load(slope, edge), result) if add else result, slope, edge)
    return code.finish()


def _forces_text(dtype: str) -> str:
    code = _Wide("body", dtype, FORCES)
    b = code.builder
    vectors, harmonic, slope, inverse, g = (
        code.reals(name) for name in ("vectors", "harmonic", "slope", "inverse", "g")
    )
    offsets, out_offsets, order = (code.integers(name) for name in ("offsets", "out_offsets", "out_order"))
    scale = code.narrowed(code.get(code.doubles("constants"), WORD(1)))

    def along(edge: ir.Value, *sums: ir.Value) -> list[ir.Value]:
        radial = b.fmul(b.fmul(code.load(slope, edge), scale), code.load(inverse, edge))
        vector = [code.load(vectors, at) for at in code.three(edge)]
        pull = [code.multiply_add(radial, x, code.load(harmonic, at)) for x, at in zip(vector, code.three(edge))]
        for value, at in zip(pull, code.three(edge)):
            code.store(value, g, at)
        left, right = ([code.widened(value) for value in values] for values in (pull, vector))
        return [b.fadd(total, b.fmul(left[k // 3], right[k % 3])) for k, total in enumerate(sums)]

    for k, total in enumerate(code.fold(code.get(offsets, code.hi), [_DOUBLE(0.0)] * 9, along)):
        code.put(code.doubles("virial"), WORD(k), total)

    def gathered(start: ir.Value, stop: ir.Value, pick: bool, totals: list[ir.Value]) -> list[ir.Value]:
        def step(k: ir.Value, *sums: ir.Value) -> list[ir.Value]:
            edge = b.add(start, k)
            edge = code.get(order, edge) if pick else edge
            parts = [code.widened(code.load(g, at)) for at in code.three(edge)]
            return [(b.fsub if pick else b.fadd)(total, part) for total, part in zip(sums, parts)]

        return code.fold(b.sub(stop, start), totals, step)

    with code.loop(code.lo, code.hi) as node:
        after = b.add(node, WORD(1))
        totals = gathered(code.get(offsets, node), code.get(offsets, after), False, [_DOUBLE(0.0)] * 3)
        totals = gathered(code.get(out_offsets, node), code.get(out_offsets, after), True, totals)
        for at, total in zip(code.three(node), totals):
            code.put(code.doubles("forces"), at, total)
    return code.finish()
