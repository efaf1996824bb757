r"""Solid harmonics and their derivatives as straight-line arithmetic, for any kind of number that multiplies and adds.

A component is a product of a polynomial in (y, r^2) and one in (x, z),

.. math::
    Y_{l,\pm m} = n_{lm}\, Q_{lm}(y, r^2)\, \{\mathrm{Re}, \mathrm{Im}\} (z + i x)^m, \qquad
    Q_{lm} = k_{lm} R_{lm}, \qquad
    R_{lm} = y\, R_{l-1,m} - \frac{(l-1)^2 - m^2}{(2l-1)(2l-3)}\, r^2 R_{l-2,m},

with R monic in y and :math:`R_{mm} = 1`. Since :math:`\partial_y Q_{lm} = l\, Q_{l-1,m}` and
:math:`2\,\partial_{\rho^2} Q_{lm} = -l\, Q_{l-1,m+1}` (Hobson, *The Theory of Spherical and Ellipsoidal Harmonics*,
1931, chapter IV), a gradient needs the same numbers and no new ones. Second derivatives are the gradient evaluated with
dual numbers.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from operator import index

from intertwine.kernels.harmonics.arithmetic import Arithmetic, Number
from intertwine.numerics import InputError
from intertwine.numerics.once import once

#: Words of the argument of each kernel; a row of the loop is a block of points.
WORDS = {"values": ("n", "x", "y"), "gradient": ("n", "x", "g", "dx"), "second": ("n", "x", "g", "v", "dx", "dg")}
#: The words that are three numbers for each point; the others are components.
VECTORS = ("x", "v", "dx")


@dataclass(frozen=True)
class Solid:
    r"""What a kernel of harmonics computes.

    Args:
        degrees: degrees l, in the order of the output, repeats allowed.
        scales: :math:`n_{lm}` for l = 0 ... largest degree and m = 0 ... l, in double precision.
        normalize: whether to evaluate at x / \|x\|; the zero vector then stays zero, with zero derivatives.
    """

    degrees: tuple[int, ...]
    scales: tuple[float, ...]
    normalize: bool

    @once
    def dim(self) -> int:
        """Number of components."""
        return sum(2 * l + 1 for l in self.degrees)

    @once
    def largest(self) -> int:
        """The largest degree."""
        return max(self.degrees, default=0)

    @once
    def text(self) -> str:
        """The whole description, as an argument of an operator; :meth:`read` is its inverse, to the last bit."""
        return json.dumps([list(self.degrees), list(self.scales), self.normalize])

    @classmethod
    def read(cls, text: str) -> Solid:
        """A description from its text.

        Raises:
            InputError: it is none.
        """
        try:
            degrees, scales, normalize = json.loads(text)
            solid = cls(tuple(map(index, degrees)), tuple(map(float, scales)), bool(normalize))
        except (TypeError, ValueError) as error:
            raise InputError(
                f"no description of harmonics: {text[:60]!r}", where="solid", remedy="give Solid.text of one."
            ) from error
        if min(solid.degrees, default=0) < 0 or len(solid.scales) != (solid.largest + 1) * (solid.largest + 2) // 2:
            found_scales = f"{len(solid.scales)} scales for degrees {list(solid.degrees)}"
            raise InputError(
                found_scales, where="solid", remedy="give one for each degree up to the largest, and each order."
            )
        return solid

    def scale(self, l: int, m: int) -> float:
        """n_lm."""
        return self.scales[l * (l + 1) // 2 + m]

    def starts(self) -> dict[int, list[int]]:
        """Degree -> where its blocks start."""
        starts: dict[int, list[int]] = {}
        start = 0
        for l in self.degrees:
            starts.setdefault(l, []).append(start)
            start += 2 * l + 1
        return starts


def leading(l: int, m: int) -> float:
    """k_lm, the leading coefficient of Q_lm: the product of j (2j-1) / (j^2 - m^2) from j = m + 1 to l, times 2^-m."""
    numerator, denominator = 1, 2**m
    for j in range(m + 1, l + 1):
        numerator, denominator = numerator * j * (2 * j - 1), denominator * (j * j - m * m)
    return numerator / denominator


class Evaluated:
    """R and (z + i x)^m at a point, and what follows from them.

    Args:
        numbers: the arithmetic.
        solid: the description.
        point: (x, y, z).
        square: r^2.
    """

    def __init__(self, numbers: Arithmetic, solid: Solid, point: tuple[Number, Number, Number], square: Number) -> None:
        self.numbers, self.solid, self.point = numbers, solid, point
        times, fused = numbers.times, numbers.fused
        x, y, z = point
        self.c: list[Number] = [1.0]
        self.s: list[Number] = [None]
        for _ in range(solid.largest):
            c, s = self.c[-1], self.s[-1]
            self.c.append(fused(times(-1.0, x), s, times(z, c)))
            self.s.append(fused(x, c, times(z, s)))
        self.r: dict[tuple[int, int], Number] = {}
        for l in range(solid.largest + 1):
            for m in range(l + 1):
                lower = self.r.get((l - 2, m))
                share = -((l - 1) ** 2 - m * m) / ((2 * l - 1) * (2 * l - 3))
                self.r[l, m] = 1.0 if l == m else fused(times(share, square), lower, times(y, self.r[l - 1, m]))
        self._q: dict[tuple[int, int], Number] = {}

    def q(self, l: int, m: int) -> Number:
        """Q_lm."""
        if (l, m) not in self._q:
            self._q[l, m] = self.numbers.times(leading(l, m), self.r[l, m])
        return self._q[l, m]

    def scaled(self, l: int, m: int) -> Number:
        """n_lm Q_lm."""
        return self.numbers.times(self.solid.scale(l, m) * leading(l, m), self.r[l, m])

    def values(self) -> list[Number]:
        """All components."""
        times = self.numbers.times
        blocks: dict[int, list[Number]] = {}
        for l in sorted(set(self.solid.degrees)):
            right, left = [], []
            for m in range(l + 1):
                scaled = self.scaled(l, m)
                right.append(times(scaled, self.c[m]))
                if m:
                    left.append(times(scaled, self.s[m]))
            blocks[l] = [*reversed(left), *right]
        return [value for l in self.solid.degrees for value in blocks[l]]

    def gradient(self, g: list[Number]) -> tuple[Number, Number, Number]:
        """The gradient of the sum of g Y at a point; g of degree 0 is not read."""
        times, plus, fused = self.numbers.times, self.numbers.plus, self.numbers.fused
        axis = radial = along_x = along_z = None
        cosines: list[Number] = [None] * (self.solid.largest + 1)
        sines: list[Number] = [None] * (self.solid.largest + 1)
        for l, starts in sorted(self.solid.starts().items()):
            for m in range(l + 1 if l else 0):
                right, left = g[starts[0] + l + m], g[starts[0] + l - m] if m else None
                for start in starts[1:]:
                    right, left = plus(right, g[start + l + m]), plus(left, g[start + l - m]) if m else None
                slope = times(l * self.solid.scale(l, m), fused(left, self.s[m], times(right, self.c[m])))
                if m < l:
                    axis = fused(slope, self.q(l - 1, m), axis)
                if m + 1 < l:
                    radial = fused(slope, self.q(l - 1, m + 1), radial)
                if m:
                    scaled = self.scaled(l, m)
                    cosines[m], sines[m] = fused(right, scaled, cosines[m]), fused(left, scaled, sines[m])
        for m in range(1, self.solid.largest + 1):  # d(z + i x)^m = m (z + i x)^(m-1) (dz + i dx)
            c, s = times(float(m), cosines[m]), times(float(m), sines[m])
            along_x = fused(times(-1.0, c), self.s[m - 1], fused(s, self.c[m - 1], along_x))
            along_z = fused(s, self.s[m - 1], fused(c, self.c[m - 1], along_z))
        inward = times(-1.0, radial)
        return fused(inward, self.point[0], along_x), axis, fused(inward, self.point[2], along_z)
