r"""Representations that permute: functions on a finite group, on its cosets, on what it permutes; and induced ones."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int
from torch import Tensor

from intertwine.groups.finite import FiniteGroup, Subgroup
from intertwine.groups.group import Representation, require_components
from intertwine.groups.representation import LinearRepresentation, group_of
from intertwine.numerics import InputError


@dataclass(frozen=True, eq=False)
class PermutationRepresentation(LinearRepresentation):
    r""":math:`\rho(g) e_i = e_{g(i)}`: components are moved and never mixed, so any pointwise function commutes with
    it.

    Args:
        group: a finite group.
        images: :math:`g(i)` for each element and index (N, dim).
        name: as it prints; representations of one group with one name are taken as equal.
    """

    group: FiniteGroup
    images: Int[Tensor, "n dim"] = field(repr=False)
    name: str = "permutations"

    def __post_init__(self) -> None:
        if self.images.ndim != 2 or len(self.images) != self.group.order:
            raise InputError(
                f"images of shape {tuple(self.images.shape)} for {self.group}",
                where="PermutationRepresentation",
                remedy="give one row for each element.",
            )

    @property
    def dim(self) -> int:  # type: ignore[override]
        return self.images.shape[1]

    def matrix(self, g: Tensor) -> Float[Tensor, "*batch dim dim"]:
        images = self.images.to(g.device)[g]
        rows = torch.arange(self.dim, device=g.device)
        return (images[..., None, :] == rows[:, None]).to(torch.float64)

    def transform(self, g: Tensor, x: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        require_components(x, [self.dim], self)
        sources = self.images.to(g.device)[self.group.inverse(g)]  # the component that comes to i
        shape = torch.broadcast_shapes(x.shape, sources.shape)
        return x.expand(shape).gather(-1, sources.expand(shape))

    def orbits(self) -> Int[Tensor, " dim"]:
        """The number of the orbit of each index."""
        return self.images.amin(0).unique(return_inverse=True)[1]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, PermutationRepresentation):
            return False
        same = self is other or torch.equal(self.images, other.images)
        return same and (self.group, self.name) == (other.group, other.name)

    def __hash__(self) -> int:
        return hash((self.group, self.name))

    def __str__(self) -> str:
        return self.name


def regular(group: FiniteGroup) -> PermutationRepresentation:
    r"""Functions on the group, :math:`(\rho(g) f)(h) = f(g^{-1} h)`: component h moves to g h."""
    return PermutationRepresentation(group, group.table, "regular")


def natural(group: FiniteGroup) -> PermutationRepresentation:
    """The axes of R^n that a group of permutations permutes.

    Raises:
        InputError: the group's matrices are not permutations.
    """
    matrices = group.linear(group.elements())
    images = matrices.argmax(-2)
    if not torch.equal(matrices, torch.zeros_like(matrices).scatter_(1, images[:, None], 1.0)):
        raise InputError(f"{group} does not permute the axes", where="natural", remedy="use groups.symmetric.")
    return PermutationRepresentation(group, images, "natural")


def quotient(group: FiniteGroup, subgroup: Subgroup) -> PermutationRepresentation:
    r"""Functions on the cosets g H: of the four corners of a square, say. Of dimension :math:`|G| / |H|`.

    Raises:
        InputError: the subgroup is of another group.
    """
    first, coset = _cosets(group, subgroup)
    return PermutationRepresentation(group, coset[group.table[:, first]], f"{group}/{subgroup.name}")


@dataclass(frozen=True)
class Induced(LinearRepresentation):
    r"""The representation of a finite group that one of a subgroup induces: fields on the cosets.

    With :math:`r_k` the first element of coset k and :math:`g r_k = r_{k'} h`, block k moves to block k' and is turned
    by :math:`\rho(h)`.

    Args:
        group: the group.
        of: a representation of a :class:`~intertwine.groups.Subgroup` of it.
    """

    group: FiniteGroup
    of: Representation

    @property
    def dim(self) -> int:  # type: ignore[override]
        return self.of.dim * (self.group.order or 1) // (group_of(self.of).order or 1)

    def matrix(self, g: Tensor) -> Float[Tensor, "*batch dim dim"]:
        subgroup = group_of(self.of)
        if not isinstance(subgroup, Subgroup):
            raise InputError(f"{subgroup} is not a Subgroup", where="Induced", remedy="make it by groups.Subgroup.")
        first, coset = _cosets(self.group, subgroup)
        moved = self.group.table[g.cpu()[..., None], first]  # g r_k (..., cosets)
        target = coset[moved]
        inside = self.group.table[self.group.inverses[first[target]], moved]  # h in the parent's numbers
        number = torch.full((self.group.order or 1,), -1)
        number[subgroup.members] = torch.arange(len(subgroup.members))
        blocks = self.of.matrix(number[inside])  # (..., cosets, d, d)
        place = (target[..., None, :] == torch.arange(len(first))[:, None]).to(blocks)  # (..., to, from)
        return torch.einsum("...tf,...fij->...tifj", place, blocks).flatten(-4, -3).flatten(-2).to(g.device)

    def __str__(self) -> str:
        return f"induced {self.of}"


def _cosets(group: FiniteGroup, subgroup: Subgroup) -> tuple[Int[Tensor, " cosets"], Int[Tensor, " n"]]:
    """The first element of each coset g H, and the coset of each element."""
    if subgroup.parent != group:
        raise InputError(f"{subgroup} is a subgroup of {subgroup.parent}, not of {group}", where="quotient")
    return group.table[:, subgroup.members].amin(1).unique(return_inverse=True)
