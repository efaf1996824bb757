"""One irreducible representation of O(3), and one with a multiplicity."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from jaxtyping import Float
from torch import Tensor

from intertwine.numerics import InputError
from intertwine.o3.angles import angles_to_matrix
from intertwine.o3.rotation import axis_angle_to_matrix, determinant_sign, quaternion_to_matrix, require_rotation
from intertwine.o3.wigner import wigner_d

if TYPE_CHECKING:
    from intertwine.o3.irreps import Irreps


def is_irrep(entry: object) -> bool:
    """Whether something is an irrep, ours or another library's."""
    return hasattr(entry, "l") and hasattr(entry, "p")


class Irrep(tuple[int, int]):
    r"""The irreducible representation of degree ``l`` (dimension 2l+1) and parity ``p`` (1 even "e", -1 odd "o").

    Irreps are pairs (l, p): they compare, sort and hash as such.

    Args:
        l: degree, 0 or more; or a string such as ``"1o"`` (``"2y"`` has the parity :math:`(-1)^l` of the harmonics), a
            pair, an Irrep.
        p: parity, 1 or -1; only with a degree.

    Raises:
        InputError: negative degree, another parity, or a string that is not an irrep.

    >>> Irrep("1o"), Irrep(2, 1).dim, Irrep("1o") in Irrep("1e") * Irrep("2o")
    (1o, 5, True)
    """

    __slots__ = ()

    def __new__(cls, l: Any, p: Any = None) -> Irrep:
        if p is None:
            if isinstance(l, Irrep):
                return l
            if isinstance(l, str):
                return _parse(l)
            if is_irrep(l):
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
    def iterator(cls, lmax: int | None = None) -> Iterator[Irrep]:
        """All irreps by degree, that with the parity of the harmonics first.

        Args:
            lmax: the last degree; None goes on for ever.

        >>> list(Irrep.iterator(1))
        [0e, 0o, 1o, 1e]
        """
        for l in itertools.count() if lmax is None else range(lmax + 1):
            yield Irrep(l, (-1) ** l)
            yield Irrep(l, -((-1) ** l))

    def __mul__(self, other: Any) -> Iterator[Irrep]:  # type: ignore[override]
        r"""The irreps of the product, :math:`|l_1-l_2| \le l \le l_1+l_2`, each once."""
        other = Irrep(other)
        return (Irrep(l, self.p * other.p) for l in range(abs(self.l - other.l), self.l + other.l + 1))

    def __rmul__(self, multiplicity: Any) -> Irreps:  # type: ignore[override]
        from intertwine.o3.irreps import Irreps

        return Irreps([(multiplicity, self)])

    def __add__(self, other: Any) -> Irreps:  # type: ignore[override]
        from intertwine.o3.irreps import Irreps

        return Irreps(self) + Irreps(other)

    def D_from_matrix(self, R: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch dim dim"]:
        r""":math:`D^l(R)` for det R = 1, and :math:`p\,D^l(-R)` for det R = -1: (..., 2l+1, 2l+1) from matrices (...,
        3, 3).

        Raises:
            InputError: R is not orthogonal.
        """
        require_rotation(R, "D_from_matrix", improper=True)
        sign = determinant_sign(R)[..., None, None]
        d = wigner_d(self.l, R * sign)
        return d * sign if self.p == -1 else d

    def D_from_quaternion(
        self, q: Float[Tensor, "*batch 4"], k: Tensor | None = None
    ) -> Float[Tensor, "*shape dim dim"]:
        r""":math:`p^k D^l(q)` from unit quaternions (..., 4), real part first; k (...) counts inversions, 0 if not
        given.
        """
        return self._inverted(wigner_d(self.l, quaternion_to_matrix(q)), k)

    def D_from_angles(
        self, alpha: Tensor, beta: Tensor, gamma: Tensor, k: Tensor | None = None
    ) -> Float[Tensor, "*shape dim dim"]:
        r""":math:`p^k D^l(\alpha, \beta, \gamma)`: gamma about y first, then beta about x, then alpha about y
        (radians).
        """
        return self._inverted(wigner_d(self.l, angles_to_matrix(alpha, beta, gamma)), k)

    def D_from_axis_angle(
        self, axis: Float[Tensor, "*batch 3"], angle: Float[Tensor, "*batch"]
    ) -> Float[Tensor, "*batch dim dim"]:
        """:math:`D^l` of the rotation about an axis (..., 3) by an angle (...) in radians."""
        return wigner_d(self.l, axis_angle_to_matrix(axis, angle))

    def _inverted(self, d: Tensor, k: Tensor | None) -> Tensor:
        return d if k is None or self.p == 1 else d * inversion_sign(k.to(d))[..., None, None]


class MulIr(tuple[int, Irrep]):
    """A multiplicity and an irrep: one block of :class:`Irreps`."""

    __slots__ = ()

    def __new__(cls, mul: Any, ir: Any = None) -> MulIr:
        number, irrep = mul if isinstance(mul, tuple) and ir is None else (mul, ir)
        if not isinstance(number, int) or isinstance(number, bool) or number < 0 or irrep is None:
            raise InputError(
                f"{number!r} copies of {irrep!r} is not an irrep with a multiplicity",
                where="irreps",
                remedy='give a multiplicity of 0 or more and an irrep, such as (16, "1o").',
            )
        return super().__new__(cls, (number, Irrep(irrep)))

    def __getnewargs__(self) -> tuple[Any, ...]:
        return self.mul, self.ir

    @property
    def mul(self) -> int:
        """Multiplicity."""
        return self[0]

    @property
    def ir(self) -> Irrep:
        """The irrep."""
        return self[1]

    @property
    def dim(self) -> int:
        """Multiplicity times 2l+1."""
        return self.mul * self.ir.dim

    def __repr__(self) -> str:
        return f"{self.mul}x{self.ir}"

    __str__ = __repr__


def inversion_sign(k: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    r""":math:`(-1)^k` of whole numbers k, how often space is inverted."""
    return 1 - 2 * (k % 2)


def _parse(name: str) -> Irrep:
    match = re.fullmatch(r"\s*(\d+)([eoy])\s*", name)
    if match is None:
        raise InputError(
            f"{name.strip()!r} is not an irrep", where="irrep", remedy='write degree and parity: "0e", "1o" or "2y".'
        )
    l = int(match[1])
    return Irrep(l, {"e": 1, "o": -1, "y": (-1) ** l}[match[2]])
