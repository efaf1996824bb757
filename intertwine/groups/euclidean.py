r"""The Euclidean group E(n): its elements, and the Cartesian tensors it acts on."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from intertwine.groups.group import Representation


@dataclass(frozen=True)
class Isometry:
    r"""An element :math:`g = (Q, t)` of E(n), acting on points as :math:`g x = Q x + t`.

    Args:
        rotation: Q, an orthogonal matrix (n, n); a reflection has determinant -1.
        translation: t (n), in the length unit of the points.
    """

    rotation: Float[Tensor, "n n"]
    translation: Float[Tensor, " n"]

    @classmethod
    def identity(cls, n: int = 3, dtype: torch.dtype = torch.float64) -> Isometry:
        return cls(torch.eye(n, dtype=dtype), torch.zeros(n, dtype=dtype))

    @classmethod
    def random(cls, n: int = 3, *, generator: torch.Generator, improper: bool = False, shift: float = 0.0) -> Isometry:
        """Haar-random rotation in float64 (times a reflection if ``improper``), translation normal with deviation
        ``shift``.
        """
        q, r = torch.linalg.qr(torch.randn(n, n, generator=generator, dtype=torch.float64))
        q = q * r.diagonal().sign()  # without the signs the distribution is not Haar
        if (torch.linalg.det(q) < 0) != improper:
            q = torch.cat([-q[:, :1], q[:, 1:]], dim=1)
        return cls(q, shift * torch.randn(n, generator=generator, dtype=torch.float64))

    def __call__(self, points: Float[Tensor, "*shape n"]) -> Float[Tensor, "*shape n"]:
        return points @ self.rotation.to(points).T + self.translation.to(points)

    def __matmul__(self, other: Isometry) -> Isometry:
        """The product: ``(g @ h)(x) == g(h(x))``."""
        return Isometry(self.rotation @ other.rotation, self.rotation @ other.translation + self.translation)

    def inverse(self) -> Isometry:
        return Isometry(self.rotation.T, -self.rotation.T @ self.translation)


@dataclass(frozen=True)
class Cartesian:
    r"""Cartesian tensors of a rank: :math:`T'_{ab\ldots} = Q_{aa'} Q_{bb'} \cdots T_{a'b'\ldots}`, times det Q if
    ``axial``.

    Rank 0 is a scalar, 1 a vector, 2 a matrix such as stress or polarizability. Works in any dimension n.
    """

    rank: int = 1
    axial: bool = False
    dimension: int = 3

    @property
    def dim(self) -> int:
        return self.dimension**self.rank

    @property
    def axes(self) -> int:
        return self.rank

    def matrix(self, rotation: Float[Tensor, "n n"]) -> Float[Tensor, "dim dim"]:
        result = torch.linalg.det(rotation).round().reshape(1, 1) if self.axial else rotation.new_ones(1, 1)
        for _ in range(self.rank):
            result = torch.kron(result, rotation)
        return result

    def transform(self, rotation: Float[Tensor, "n n"], x: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        rotation = rotation.to(x)
        for axis in range(x.ndim - self.rank, x.ndim):
            x = (x.movedim(axis, -1) @ rotation.T).movedim(-1, axis)
        return x * torch.linalg.det(rotation).round() if self.axial else x


@dataclass(frozen=True)
class DirectSum:
    r""":math:`m_1 \rho_1 \oplus m_2 \rho_2 \oplus \ldots` on the last axis, each :math:`\rho_k` repeated :math:`m_k`
    times.

    Args:
        terms: pairs of multiplicity and representation; the copy index varies slower than the component (``mul_ir``).
    """

    terms: tuple[tuple[int, Representation], ...]

    @property
    def dim(self) -> int:
        return sum(mul * rep.dim for mul, rep in self.terms)

    @property
    def axes(self) -> int:
        return 1

    def matrix(self, rotation: Float[Tensor, "n n"]) -> Float[Tensor, "dim dim"]:
        return torch.block_diag(*[rep.matrix(rotation) for mul, rep in self.terms for _ in range(mul)])

    def transform(self, rotation: Float[Tensor, "n n"], x: Float[Tensor, "*shape dim"]) -> Float[Tensor, "*shape dim"]:
        return x @ self.matrix(rotation).to(x).T

    def __str__(self) -> str:
        return " + ".join(f"{mul}x{rep}" for mul, rep in self.terms)
