"""Where the components and channels of a block lie in a row of numbers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Strip:
    """Where ``dim`` components of ``mul`` channels lie in a row: component c of channel u at
    ``start + c * across + u * along``.

    One of the two strides is 1: channels innermost (``ir_mul``) or components innermost (``mul_ir``).
    """

    mul: int
    dim: int
    start: int
    across: int
    along: int

    @classmethod
    def of(cls, mul: int, dim: int, start: int, *, innermost: str) -> Strip:
        """The strip of a block whose ``innermost`` index is "channels" or "components"."""
        return cls(mul, dim, start, mul, 1) if innermost == "channels" else cls(mul, dim, start, 1, dim)

    def inside(self, size: int) -> bool:
        """Whether it is one of the two kinds, and lies in a row of so many numbers."""
        kinds = ((self.mul, 1), (1, self.dim))  # (across, along)
        return (
            min(self.mul, self.dim, self.start) >= 0
            and (self.across, self.along) in kinds
            and self.start + self.mul * self.dim <= size
        )
