r"""The kernels of harmonics as one Triton program, whose job is unrolled while it compiles.

A program does POINTS points, a number of one point is one register of one thread. Imported late: Triton is not there on
every machine.
"""

# ruff: noqa: RUF005 -- Triton joins tuples by "+" only
from __future__ import annotations

from typing import no_type_check

import triton
import triton.language as tl

#: Whether Triton's interpreter runs the programs, on the CPU: $TRITON_INTERPRET was set when this module was imported.
INTERPRETED = triton.knobs.runtime.interpret


@triton.jit
@no_type_check
def _direction(x, y, z, REAL: tl.constexpr):
    """x / |x| and 1 / |x|, or zeros for the zero vector, which a power of two has brought near 1 before it is squared.

    The absolute values of numbers are ordered as their bits are.
    """
    if tl.float64 == REAL:
        WHOLE: tl.constexpr = tl.int64
        FRACTION: tl.constexpr = 52
        BIAS: tl.constexpr = 1023
        EXPONENTS: tl.constexpr = 0x7FF0000000000000
    else:
        WHOLE: tl.constexpr = tl.int32
        FRACTION: tl.constexpr = 23
        BIAS: tl.constexpr = 127
        EXPONENTS: tl.constexpr = 0x7F800000
    exponent = tl.maximum(x.to(WHOLE, bitcast=True) & EXPONENTS, y.to(WHOLE, bitcast=True) & EXPONENTS)
    exponent = tl.maximum(exponent, z.to(WHOLE, bitcast=True) & EXPONENTS)
    # whose inverse is still a normal number
    exponent = tl.minimum(exponent, tl.full(x.shape, (2 * BIAS - 1) << FRACTION, WHOLE))
    scale = (tl.full(x.shape, (2 * BIAS) << FRACTION, WHOLE) - exponent).to(REAL, bitcast=True)
    x = x * scale
    y = y * scale
    z = z * scale
    square = x * x + y * y + z * z
    zero = square == 0.0  # NaN is not
    safe = tl.where(zero, 1.0, square)
    if tl.float32 == REAL:
        inverse = tl.div_rn(tl.full(x.shape, 1.0, REAL), tl.sqrt_rn(safe))
    else:
        inverse = 1.0 / tl.sqrt(safe)
    inverse = tl.where(zero, 0.0, inverse)
    return x * inverse, y * inverse, z * inverse, inverse * scale


@triton.jit
@no_type_check
def points(x, first, second, result, other, n, JOB: tl.constexpr, REAL: tl.constexpr, POINTS: tl.constexpr):
    """The results of a job at a block of points: x are the points, ``first`` and ``second`` the arguments."""
    point = tl.program_id(0).to(tl.int64) * POINTS + tl.arange(0, POINTS)
    keep = point < n
    numbers = ()
    for k in tl.static_range(3):
        numbers = numbers + (tl.load(x + point * 3 + k, mask=keep, other=0.0).to(REAL),)
    if JOB.normalize:
        numbers = _direction(numbers[0], numbers[1], numbers[2], REAL)
    for k in tl.static_range(len(JOB.loads)):
        if JOB.loads[k][0] == 0:
            number = tl.load(first + point * JOB.loads[k][1] + JOB.loads[k][2], mask=keep, other=0.0)
        else:
            number = tl.load(second + point * JOB.loads[k][1] + JOB.loads[k][2], mask=keep, other=0.0)
        numbers = numbers + (number.to(REAL),)
    for k in tl.static_range(len(JOB.steps)):
        number = numbers[JOB.steps[k][0]]
        if JOB.steps[k][1] >= 0:
            number = number * numbers[JOB.steps[k][1]]
        elif JOB.steps[k][2] is not None:
            number = number * JOB.steps[k][2]
        if JOB.steps[k][3] >= 0:
            number = number + numbers[JOB.steps[k][3]]
        elif JOB.steps[k][4] is not None:
            number = number + JOB.steps[k][4]
        numbers = numbers + (number,)
    for k in tl.static_range(len(JOB.stores)):
        if JOB.stores[k][3] >= 0:
            number = numbers[JOB.stores[k][3]]
        else:
            number = tl.full(point.shape, JOB.stores[k][4], REAL)
        if JOB.stores[k][0] == 0:
            tl.store(result + point * JOB.stores[k][1] + JOB.stores[k][2], number, mask=keep)
        else:
            tl.store(other + point * JOB.stores[k][1] + JOB.stores[k][2], number, mask=keep)
