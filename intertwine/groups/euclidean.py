r"""The Euclidean group E(n): its elements, and the Cartesian tensors it acts on."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from intertwine.groups.group import Group, require_components
from intertwine.groups.matrix import Orthogonal
from intertwine.groups.representation import LinearRepresentation
from intertwine.numerics.linalg import apply


@dataclass(frozen=True)
class AffineMap:
    r"""A map of space, :math:`x \mapsto A x + t`: what an element of a group of matrices, or of an affine group, does.

    Args:
        linear: A, an invertible matrix (n, n).
        translation: t (n), in the length unit of the points.
    """

    linear: Float[Tensor, "n n"]
    translation: Float[Tensor, " n"]

    @staticmethod
    def of(g: Tensor, group: Group) -> AffineMap:
        """What one element of a group does to points.

        Raises:
            InputError: the group moves no points.
        """
        group.require(g, "AffineMap")
        return AffineMap(group.linear(g), group.shift(g))

    def __call__(self, points: Float[Tensor, "*shape n"]) -> Float[Tensor, "*shape n"]:
        return points @ self.linear.to(points).T + self.translation.to(points)

    def inverse(self) -> AffineMap:
        back = torch.linalg.inv(self.linear)
        return AffineMap(back, -back @ self.translation)


class Isometry(AffineMap):
    r"""An element :math:`g = (Q, t)` of E(n), acting on points as :math:`g x = Q x + t`.

    Args:
        linear: Q, an orthogonal matrix (n, n); a reflection has determinant -1. Also under the name ``rotation``.
        translation: t (n), in the length unit of the points.
    """

    @property
    def rotation(self) -> Float[Tensor, "n n"]:
        """Q."""
        return self.linear

    @classmethod
    def identity(cls, n: int = 3, dtype: torch.dtype = torch.float64) -> Isometry:
        return cls(torch.eye(n, dtype=dtype), torch.zeros(n, dtype=dtype))

    @classmethod
    def random(cls, n: int = 3, *, generator: torch.Generator, improper: bool = False, shift: float = 0.0) -> Isometry:
        """Haar-random rotation in float64 (times a reflection if ``improper``), translation normal with deviation
        ``shift``.
        """
        q = Orthogonal(n).sample(1, generator)[0]
        if (torch.linalg.det(q) < 0) != improper:
            q = torch.cat([-q[:, :1], q[:, 1:]], dim=1)
        return cls(q, shift * torch.randn(n, generator=generator, dtype=torch.float64))

    def __matmul__(self, other: Isometry) -> Isometry:
        """The product: ``(g @ h)(x) == g(h(x))``."""
        return Isometry(self.rotation @ other.rotation, self.rotation @ other.translation + self.translation)

    def inverse(self) -> Isometry:
        return Isometry(self.rotation.T, -self.rotation.T @ self.translation)


@dataclass(frozen=True)
class Cartesian(LinearRepresentation):
    r"""Cartesian tensors of a rank: :math:`T'_{ab\ldots} = Q_{aa'} Q_{bb'} \cdots T_{a'b'\ldots}`, times det Q if
    ``axial``.

    Rank 0 is a scalar, 1 a vector, 2 a matrix such as stress or polarizability. Works in any dimension n.
    """

    rank: int = 1
    axial: bool = False
    dimension: int = 3

    @property
    def group(self) -> Orthogonal:  # type: ignore[override]
        """O(n)."""
        return Orthogonal(self.dimension)

    @property
    def dim(self) -> int:  # type: ignore[override]
        return self.dimension**self.rank

    @property
    def axes(self) -> int:  # type: ignore[override]
        return self.rank

    def matrix(self, g: Float[Tensor, "*batch n n"]) -> Float[Tensor, "*batch dim dim"]:
        result = torch.linalg.det(g).round()[..., None, None] if self.axial else g.new_ones(*g.shape[:-2], 1, 1)
        for _ in range(self.rank):
            result = (result[..., :, None, :, None] * g[..., None, :, None, :]).flatten(-4, -3).flatten(-2)
        return result

    def __str__(self) -> str:
        name = {0: "scalar", 1: "vector"}.get(self.rank, f"tensor of rank {self.rank}")
        return f"axial {name}" if self.axial else name

    def transform(self, g: Float[Tensor, "*batch n n"], x: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        require_components(x, [self.dimension] * self.rank, self)
        g = g.to(x)
        for axis in range(self.rank):
            # the other axes of the tensor are broadcast over
            place = x.ndim - self.rank + axis
            last = x.movedim(place, -1)
            spread = g if g.ndim == 2 else g.reshape(*g.shape[:-2], *[1] * (self.rank - 1), *g.shape[-2:])
            x = apply(spread, last)
            x = x.movedim(-1, x.ndim - self.rank + axis)
        if not self.axial:
            return x
        sign = torch.linalg.det(g).round()
        return x * (sign if g.ndim == 2 else sign.reshape(*sign.shape, *[1] * self.rank))
