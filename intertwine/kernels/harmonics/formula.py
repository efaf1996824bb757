r"""What each kernel of harmonics computes at a point, in any arithmetic: values, the gradient of a sum of them, and
what a second derivative needs.

* ``values``: Y(x);
* ``gradient``: dx, the gradient of :math:`\sum g\,Y(x)`;
* ``second``: for a direction v, the derivative of ``gradient`` along it (dx), and that of Y (dg): with dual numbers in
  the other two.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from intertwine.kernels.harmonics.arithmetic import Arithmetic, Dual, Duals, Number
from intertwine.kernels.harmonics.plan import Evaluated, Solid


def evaluate(
    kind: str,
    solid: Solid,
    numbers: Arithmetic,
    place: tuple[list[Number], Number],
    load: Callable[[str], list[Number]],
    store: Callable[[str, Sequence[Number]], None],
) -> None:
    """Compute the results of a kernel at a point.

    Args:
        kind: a key of :data:`~intertwine.kernels.harmonics.plan.WORDS`; solid: what to evaluate.
        numbers: the arithmetic.
        place: x / |x| and 1 / |x|, or x and None where the plan does not normalise.
        load: gives an argument, "g" or "v", by its name; store: takes a result, "y", "dx" or "dg".
    """
    unit, inverse = place
    still, arithmetic = unit, numbers
    if kind == "second":
        arithmetic = Duals(numbers)
        unit, inverse = _moving(numbers, unit, inverse, load("v"))
    square: Number = (
        None  # near 1 for a unit vector, but the harmonics of the rounded vector are well conditioned only with its own
    )
    for coordinate in still if solid.normalize else unit:  # a unit vector moves at right angles to itself: a constant
        square = arithmetic.fused(coordinate, coordinate, square)
    evaluated = Evaluated(arithmetic, solid, (unit[0], unit[1], unit[2]), square)
    if kind == "values":
        store("y", evaluated.values())
        return
    if kind == "second":
        store("dg", [_slope(value) for value in evaluated.values()])
    parts: tuple[Number, ...] = evaluated.gradient(load("g"))
    if solid.normalize:
        parts = _projected(arithmetic, parts, unit, inverse)
    store("dx", [_slope(part) if kind == "second" else part for part in parts])


def _slope(number: Number) -> Number:
    return number.slope if isinstance(number, Dual) else None


def _moving(numbers: Arithmetic, unit: list[Any], inverse: Any, v: list[Any]) -> tuple[list[Dual], Any]:
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
