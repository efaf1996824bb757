r"""The kernels of harmonics: values, the gradient of a sum of them, and what a second derivative needs, each in one
pass over the points.

A vector holds one coordinate of as many points as it has lanes. Nothing but the points is kept for a derivative:
computing again costs less than reading.

* ``values``: Y(x);
* ``gradient``: dx, the gradient of :math:`\sum g\,Y(x)`;
* ``second``: for a direction v, the derivative of ``gradient`` along it (dx), and that of Y (dg): with dual numbers in
  the other two.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir

from intertwine.kernels.harmonics.arithmetic import Arithmetic, Dual, Duals, Number
from intertwine.kernels.harmonics.plan import VECTORS, WORDS, Evaluated, Solid
from intertwine.kernels.llvm.assembler import Code
from intertwine.kernels.llvm.rows import Rows, block_start


class Vectors:
    """Arithmetic of vectors of ``width`` lanes."""

    def __init__(self, code: Code, width: int) -> None:
        self.code, self.width = code, width

    def times(self, a: Number, b: Number) -> Number:
        """a b."""
        if a is None or b is None:
            return None
        if isinstance(a, float) and isinstance(b, float):
            return a * b
        if isinstance(b, float):
            a, b = b, a
        if isinstance(a, float):
            return (
                b if a == 1.0 else self.code.builder.fneg(b) if a == -1.0 else self.code.builder.fmul(self.vector(a), b)
            )
        return self.code.builder.fmul(a, b)

    def plus(self, a: Number, b: Number) -> Number:
        """a + b."""
        if a is None or b is None:
            return b if a is None else a
        if isinstance(a, float) and isinstance(b, float):
            return a + b
        return self.code.builder.fadd(self.vector(a), self.vector(b))

    def fused(self, a: Number, b: Number, c: Number) -> Number:
        """a b + c, rounded once."""
        if a is None or b is None:
            return c
        if c is None:
            return self.times(a, b)
        if isinstance(a, float) and isinstance(b, float):
            return self.plus(a * b, c)
        if 1.0 in (a, b):
            return self.plus(b if a == 1.0 else a, c)
        return self.code.multiply_add(self.vector(a), self.vector(b), self.vector(c))

    def vector(self, a: Number) -> ir.Value:
        """A number in all lanes, 0 for None."""
        return self.code.constant(a or 0.0, self.width) if a is None or isinstance(a, float) else a


def text(kind: str, solid: Solid, dtype: str, width: int) -> str:
    """The text of a kernel.

    Args:
        kind: a key of :data:`WORDS`.
        solid: what to evaluate.
        dtype: "float32" or "float64".
        width: points of a vector.
    """
    code = Code("body", dtype, WORDS[kind])
    rows = Rows(code, width)
    pointers = {name: code.reals(name) for name in WORDS[kind][1:]}
    sizes = {name: 3 if name in VECTORS else solid.dim for name in pointers}
    with code.loop(code.lo, code.hi) as block:
        start = block_start(code, block, width)
        _block(kind, solid, rows, {name: code.row(pointer, start, sizes[name]) for name, pointer in pointers.items()})
    return code.finish()


def _block(kind: str, solid: Solid, rows: Rows, here: dict[str, ir.Value]) -> None:
    """One block of points; ``here`` are pointers to its first rows."""
    numbers = Vectors(rows.code, rows.width)
    point = rows.load(here["x"], 3)
    unit, inverse = _direction(rows.code, numbers, point) if solid.normalize else (point, None)
    still = unit
    arithmetic: Arithmetic = numbers
    if kind == "second":
        arithmetic = Duals(numbers)
        unit, inverse = _moving(numbers, unit, inverse, rows.load(here["v"], 3))
    square: Number = (
        None  # near 1 for a unit vector, but the harmonics of the rounded vector are well conditioned only with its own
    )
    for coordinate in still if solid.normalize else unit:  # a unit vector moves at right angles to itself: a constant
        square = arithmetic.fused(coordinate, coordinate, square)
    evaluated = Evaluated(arithmetic, solid, (unit[0], unit[1], unit[2]), square)
    if kind == "values":
        rows.store([numbers.vector(value) for value in evaluated.values()], here["y"])
        return
    if kind == "second":
        rows.store([numbers.vector(_slope(value)) for value in evaluated.values()], here["dg"])
    g = rows.load(here["g"], solid.dim, [l > 0 for l in solid.degrees for _ in range(2 * l + 1)])
    parts: tuple[Number, ...] = evaluated.gradient(g)
    if solid.normalize:
        parts = _projected(arithmetic, parts, unit, inverse)
    rows.store([numbers.vector(_slope(part) if kind == "second" else part) for part in parts], here["dx"])


def _slope(number: Number) -> Number:
    return number.slope if isinstance(number, Dual) else None


def _direction(code: Code, numbers: Vectors, x: list[Any]) -> tuple[list[Any], Any]:
    """x / |x| and 1 / |x|, or 0 and 0 for the zero vector.

    The largest component is brought near 1 by a power of two, which rounds nothing, before anything is squared.
    """
    builder, width = code.builder, numbers.width
    bits, fraction, bias = (32, 23, 127) if code.size == 4 else (64, 52, 1023)
    integers = ir.VectorType(ir.IntType(bits), width)

    def constant(value: int) -> ir.Constant:
        return ir.Constant(integers, [value] * width)

    ones = constant((1 << (bits - 1)) - 1)
    sizes = [builder.and_(builder.bitcast(part, integers), ones) for part in x]  # ordered as the absolute values are
    largest = sizes[0]
    for size in sizes[1:]:
        largest = builder.select(builder.icmp_unsigned(">", size, largest), size, largest)
    exponent = builder.and_(largest, constant(((1 << (bits - 1 - fraction)) - 1) << fraction))
    highest = constant((2 * bias - 1) << fraction)  # whose inverse is still a normal number
    exponent = builder.select(builder.icmp_unsigned("<", exponent, highest), exponent, highest)
    scale = builder.bitcast(builder.sub(constant((2 * bias) << fraction), exponent), code.vector(width))
    scaled = [builder.fmul(part, scale) for part in x]
    square = None
    for part in scaled:
        square = numbers.fused(part, part, square)
    zero = builder.fcmp_ordered("==", square, numbers.vector(None))  # NaN is not
    one = numbers.vector(1.0)
    root = builder.call(_square_root(code, width), [builder.select(zero, one, square)])
    inverse = builder.select(zero, numbers.vector(None), builder.fdiv(one, root))
    return [builder.fmul(part, inverse) for part in scaled], builder.fmul(inverse, scale)


def _square_root(code: Code, width: int) -> ir.Function:
    vector, name = code.vector(width), f"llvm.sqrt.v{width}f{8 * code.size}"
    function = code.module.globals.get(name)
    return function if function is not None else ir.Function(code.module, ir.FunctionType(vector, [vector]), name=name)


def _moving(numbers: Vectors, unit: list[Any], inverse: Any, v: list[Any]) -> tuple[list[Dual], Any]:
    """The point and 1 / |x| as functions of a step along v: u' = (v - u (u v)) / |x| and (1 / |x|)' = -(u v)
    / |x|^2.
    """
    if inverse is None:
        return [Dual(u, step) for u, step in zip(unit, v)], None
    slopes = _projected(numbers, tuple(v), unit, inverse)
    along = None
    for u, step in zip(unit, v):
        along = numbers.fused(u, step, along)
    slope = numbers.times(numbers.times(-1.0, along), numbers.times(inverse, inverse))
    return [Dual(*pair) for pair in zip(unit, slopes)], Dual(inverse, slope)


def _projected(arithmetic: Arithmetic, g: tuple[Any, ...], unit: list[Any], inverse: Any) -> tuple[Any, ...]:
    """(g - u (u g)) / |x|."""
    along = None
    for u, part in zip(unit, g):
        along = arithmetic.fused(u, part, along)
    inward = arithmetic.times(-1.0, along)
    return tuple(arithmetic.times(inverse, arithmetic.fused(inward, u, part)) for u, part in zip(unit, g))
