"""Arithmetic with constants folded in, and dual numbers over any arithmetic.

A number is whatever the arithmetic computes with, a Python float (a constant, exact in double precision), or None
(zero, never computed).
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol, runtime_checkable

Number = Any


@runtime_checkable
class Arithmetic(Protocol):
    """What formulas are written in."""

    def times(self, a: Number, b: Number) -> Number:
        """a b."""

    def plus(self, a: Number, b: Number) -> Number:
        """a + b."""

    def fused(self, a: Number, b: Number, c: Number) -> Number:
        """a b + c."""


class Floats:
    """The arithmetic of constants alone."""

    def times(self, a: Number, b: Number) -> Number:
        """a b."""
        return None if a is None or b is None else a * b

    def plus(self, a: Number, b: Number) -> Number:
        """a + b."""
        return b if a is None else a if b is None else a + b

    def fused(self, a: Number, b: Number, c: Number) -> Number:
        """a b + c."""
        return self.plus(self.times(a, b), c)


class Dual(NamedTuple):
    """A number and its derivative along a direction."""

    value: Number
    slope: Number


class Duals:
    """Dual numbers: a formula that is evaluated with them gives its derivative along a direction as well.

    >>> duals = Duals(Floats())
    >>> duals.times(Dual(3.0, 1.0), Dual(3.0, 1.0))
    Dual(value=9.0, slope=6.0)
    """

    def __init__(self, base: Arithmetic) -> None:
        self.base = base

    def times(self, a: Number, b: Number) -> Number:
        """a b, a b' + a' b."""
        if a is None or b is None:
            return None
        (a, da), (b, db) = _split(a), _split(b)
        slope = (
            self.base.times(a, db)
            if da is None
            else self.base.fused(da, b, self.base.times(a, db))
            if db is not None
            else self.base.times(da, b)
        )
        return _joined(self.base.times(a, b), slope)

    def plus(self, a: Number, b: Number) -> Number:
        """a + b, a' + b'."""
        if a is None or b is None:
            return b if a is None else a
        (a, da), (b, db) = _split(a), _split(b)
        return _joined(self.base.plus(a, b), self.base.plus(da, db))

    def fused(self, a: Number, b: Number, c: Number) -> Number:
        """a b + c and its derivative."""
        if a is None or b is None or c is None:
            return self.times(a, b) if c is None else c
        (a, da), (b, db), (c, dc) = _split(a), _split(b), _split(c)
        return _joined(self.base.fused(a, b, c), self.base.fused(da, b, self.base.fused(a, db, dc)))


def _split(a: Number) -> tuple[Number, Number]:
    return (a.value, a.slope) if isinstance(a, Dual) else (a, None)


def _joined(value: Number, slope: Number) -> Number:
    return value if slope is None else Dual(value, slope)
