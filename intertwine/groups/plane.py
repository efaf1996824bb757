r"""Irreps of SO(2) and O(2), by their frequency."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from intertwine.groups.group import Group
from intertwine.groups.representation import LinearRepresentation
from intertwine.numerics import InputError


@dataclass(frozen=True)
class PlaneIrrep(LinearRepresentation):
    r"""The real irrep of SO(2) or O(2) of a frequency k: rotation by :math:`k\theta`, the reflection of y as it is.

    k = 0 has dimension 1; of O(2) it is even, or odd: changes sign under reflections. Those of SO(2) with k > 0 are of
    complex type.

    Raises:
        InputError: another group, a negative frequency, or an odd one where there is none.
    """

    group: Group
    frequency: int
    odd: bool = False

    def __post_init__(self) -> None:
        known = self.group.name in ("SO(2)", "O(2)") and self.frequency >= 0
        if not known or (self.odd and (self.frequency or not self._mirrored)):
            raise InputError(
                f"frequency {self.frequency}{' odd' * self.odd} of {self.group}",
                where="PlaneIrrep",
                remedy="SO(2) and O(2) have frequencies k >= 0; only k = 0 of O(2) is even or odd.",
            )

    @property
    def _mirrored(self) -> bool:
        return self.group.name == "O(2)"

    @property
    def dim(self) -> int:  # type: ignore[override]
        return 2 if self.frequency else 1

    @property
    def type(self) -> int:
        """1 (real) or 2 (complex): the dimension of what commutes with it."""
        return 1 if self._mirrored or not self.frequency else 2

    def matrix(self, g: Float[Tensor, "*batch 2 2"]) -> Float[Tensor, "*batch dim dim"]:
        flip = torch.linalg.det(g).sign() if self._mirrored else torch.ones_like(g[..., 0, 0])
        if not self.frequency:
            return (flip if self.odd else torch.ones_like(flip))[..., None, None]
        turn = torch.complex(g[..., 0, 0], g[..., 1, 0])
        power, square, k = torch.ones_like(turn), turn, self.frequency
        while k:  # exact where the angle is a multiple of 90 degrees
            power = power * square if k % 2 else power
            square, k = square * square, k // 2
        c, s = power.real, power.imag
        return torch.stack([c, -s * flip, s, c * flip], dim=-1).unflatten(-1, (2, 2))

    def __str__(self) -> str:
        return f"k={self.frequency}{' odd' * self.odd}"
