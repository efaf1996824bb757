r"""Irreps of SO(3) and O(3), by degree and parity."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from intertwine.groups.group import Group
from intertwine.groups.representation import LinearRepresentation
from intertwine.groups.rotations import determinant_sign, require_rotation
from intertwine.groups.wigner import wigner_d
from intertwine.numerics import InputError


@dataclass(frozen=True)
class SphericalIrrep(LinearRepresentation):
    r"""The real irrep of SO(3) or O(3) of degree l, of dimension 2l + 1: Wigner's :math:`D^l(R)` on the harmonics.

    Of O(3) with a parity p: an element of determinant -1 acts as :math:`p\,D^l(-R)`. In e3nn's basis, as ``o3.Irrep``
    is, whose names those of O(3) have: ``Irreps(str(decompose(rep).rep))`` is a decomposition in o3's words.

    Args:
        group: SO(3) or O(3).
        degree: l, 0 or more.
        parity: 1 or -1; of SO(3) only 1.

    Raises:
        InputError: another group, degree or parity.
    """

    group: Group
    degree: int
    parity: int = 1

    def __post_init__(self) -> None:
        known = {"SO(3)": (1,), "O(3)": (1, -1)}.get(self.group.name, ())
        if self.parity not in known or self.degree < 0:
            raise InputError(
                f"degree {self.degree} with parity {self.parity} of {self.group}",
                where="SphericalIrrep",
                remedy="SO(3) and O(3) have degrees l >= 0; parities, 1 and -1, are of O(3) only.",
            )

    @property
    def dim(self) -> int:  # type: ignore[override]
        return 2 * self.degree + 1

    def matrix(self, g: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch dim dim"]:
        improper = self.group.name == "O(3)"
        require_rotation(g, str(self), improper=improper)
        if not improper:
            return wigner_d(self.degree, g)
        sign = determinant_sign(g)[..., None, None]
        d = wigner_d(self.degree, g * sign)
        return d if self.parity == 1 else d * sign

    def __str__(self) -> str:
        return f"l={self.degree}" if self.group.name == "SO(3)" else f"{self.degree}{'e' if self.parity == 1 else 'o'}"
