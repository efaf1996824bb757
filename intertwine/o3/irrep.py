"""The name of one irreducible representation of O(3): degree and parity."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any, TypeVar

from intertwine.numerics import InputError
from intertwine.o3.notation import read_irrep

Name = TypeVar("Name", bound="IrrepName")


def is_irrep(entry: object) -> bool:
    """Whether something is an irrep, ours or another library's."""
    return hasattr(entry, "l") and hasattr(entry, "p")


class IrrepName(tuple[int, int]):
    """Degree and parity: what :class:`~intertwine.o3.irreps.Irrep` is made of, without sums and matrices."""

    __slots__ = ()

    def __new__(cls: type[Name], l: Any, p: Any = None) -> Name:
        if p is None:
            if isinstance(l, cls):
                return l
            if isinstance(l, str):
                l, p = read_irrep(l)
            elif is_irrep(l):
                l, p = l.l, l.p
            elif isinstance(l, tuple) and len(l) == 2:
                l, p = l
        if not isinstance(l, int) or isinstance(l, bool) or l < 0 or p not in (1, -1):
            raise InputError(
                f"degree {l!r} with parity {p!r} is not an irrep",
                where="irrep",
                remedy='give a degree of 0 or more and parity 1 or -1, or a string such as "1o".',
            )
        return super().__new__(cls, (l, int(p)))

    def __getnewargs__(self) -> tuple[Any, ...]:
        return self.l, self.p

    @property
    def l(self) -> int:
        """Degree."""
        return self[0]

    @property
    def p(self) -> int:
        """Parity: 1 even, -1 odd."""
        return self[1]

    @property
    def dim(self) -> int:
        """2l+1."""
        return 2 * self.l + 1

    def is_scalar(self) -> bool:
        """Whether it is 0e: invariant under rotations and reflections."""
        return self == (0, 1)

    def __repr__(self) -> str:
        return f"{self.l}{'e' if self.p == 1 else 'o'}"

    __str__ = __repr__

    @classmethod
    def iterator(cls: type[Name], lmax: int | None = None) -> Iterator[Name]:
        """All irreps by degree, that with the parity of the harmonics first.

        Args:
            lmax: the last degree; None goes on for ever.

        >>> from intertwine.o3 import Irrep
        >>> list(Irrep.iterator(1))
        [0e, 0o, 1o, 1e]
        """
        for l in itertools.count() if lmax is None else range(lmax + 1):
            yield cls(l, (-1) ** l)
            yield cls(l, -((-1) ** l))

    def __mul__(self: Name, other: Any) -> Iterator[Name]:  # type: ignore[override]
        r"""The irreps of the product, :math:`|l_1-l_2| \le l \le l_1+l_2`, each once."""
        kind = type(self)
        other = kind(other)
        return (kind(l, self.p * other.p) for l in range(abs(self.l - other.l), self.l + other.l + 1))
