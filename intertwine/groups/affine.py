r"""Translations with a group of matrices, :math:`\mathbb{R}^n \rtimes H`: T(n), SE(n), E(n), and with scalings.

An element is the matrix :math:`\begin{pmatrix} A & t \\ 0 & 1 \end{pmatrix}`, (..., n + 1, n + 1), which moves points
by :math:`x \mapsto A x + t`.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from intertwine.groups.finite import FiniteGroup
from intertwine.groups.group import Group, require_real
from intertwine.groups.matrix import MatrixGroup, NoTurn, Orthogonal
from intertwine.numerics import InputError
from intertwine.numerics.linalg import apply


class Affine(Group):
    r"""The semidirect product :math:`\mathbb{R}^n \rtimes H`, or :math:`\mathbb{Z}^n \rtimes H`.

    Coordinates of the exponential map: the n of a translation, then those of H. Not compact: ``sample`` draws H's
    elements as H does, and translations of normal components with deviation 1 (whole numbers from -4 to 4).

    Args:
        point: H: a group of matrices, or a finite group that moves points of R^n.
        lattice: whether translations are by whole numbers; H must then map the lattice to itself.
        name: of the group; the product's if not given.
    """

    def __init__(self, point: Group, *, lattice: bool = False, name: str = "") -> None:
        if point.space is None or not isinstance(point, MatrixGroup | FiniteGroup):
            raise InputError(
                f"{point} is not a group of matrices",
                where="Affine",
                remedy="use one, or a finite group with matrices.",
            )
        self.point, self.lattice, self.space = point, lattice, point.space
        self.element_shape = (point.space + 1, point.space + 1)
        self.name = name or f"{'Z' if lattice else 'T'}({point.space}) x| {point}"
        self.dim = 0 if lattice else point.space + point.dim
        if lattice:
            matrices = point.linear(point.elements())
            if (matrices - matrices.round()).abs().max() > 1e-9:
                raise InputError(
                    f"{point} does not map whole numbers to whole numbers",
                    where="Affine",
                    remedy="use lattice=False, or a group of signed permutations.",
                )

    @property
    def n(self) -> int:
        """Dimension of the space."""
        return self.element_shape[0] - 1

    def make(self, linear: Float[Tensor, "*batch n n"], shift: Float[Tensor, "*#shape n"]) -> Float[Tensor, "..."]:
        """The elements x -> A x + t of matrices A (..., n, n) and vectors t (..., n)."""
        batch = torch.broadcast_shapes(linear.shape[:-2], shift.shape[:-1])
        top = torch.cat([linear.expand(*batch, self.n, self.n), shift.expand(*batch, self.n)[..., None]], dim=-1)
        last = torch.eye(self.n + 1, dtype=top.dtype, device=top.device)[-1:]
        return torch.cat([top, last.expand(*batch, 1, self.n + 1)], dim=-2)

    def linear(self, g: Tensor) -> Float[Tensor, "*batch n n"]:
        """A of each element."""
        return g[..., : self.n, : self.n]

    def shift(self, g: Tensor) -> Float[Tensor, "*batch n"]:
        """t of each element, in the unit of the points."""
        return g[..., : self.n, self.n]

    def identity(self, dtype: torch.dtype = torch.float64, device: torch.device | str | None = None) -> Tensor:
        return torch.eye(self.n + 1, dtype=dtype, device=device)

    def product(self, g: Tensor, h: Tensor) -> Tensor:
        a = self.linear(g)
        return self.make(a @ self.linear(h), apply(a, self.shift(h)) + self.shift(g))

    def inverse(self, g: Tensor) -> Tensor:
        a = self.linear(g)
        back = self.point.inverse(a) if isinstance(self.point, MatrixGroup) else a.mT
        return self.make(back, -(back @ self.shift(g)[..., None]).squeeze(-1))

    def act(self, g: Tensor, x: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        require_real(x, f"points of {self.name}")
        return apply(self.linear(g).to(x), x) + self.shift(g).to(x)

    def exp(self, x: Float[Tensor, "*batch dim"]) -> Tensor:
        v, rest = self._split(x)
        if not isinstance(self.point, MatrixGroup):
            return self.make(torch.eye(self.n, dtype=x.dtype, device=x.device), v)
        return self.make(self.point.exp(rest), self.point.phi(rest, v))

    def log(self, g: Tensor) -> Float[Tensor, "*batch dim"]:
        if self.lattice:
            return super().log(g)
        if not isinstance(self.point, MatrixGroup):
            eye = torch.eye(self.n, dtype=g.dtype, device=g.device)
            if bool(((self.linear(g) - eye).abs() > 1e-6).any()):
                raise InputError(
                    f"only translations of {self.name} have a logarithm",
                    where="log",
                    remedy="use the group with all rotations, or take the finite part apart first.",
                )
            return self.shift(g)
        rest = self.point.log(self.linear(g))
        return torch.cat([self.point.phi(rest, self.shift(g), inverse=True), rest], dim=-1)

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        linear = self.point.linear(self.point.sample(n, generator))
        if self.lattice:
            shift = torch.randint(-4, 5, (n, self.n), generator=generator).to(torch.float64)
        else:
            shift = torch.randn(n, self.n, generator=generator, dtype=torch.float64)
        return self.make(linear, shift)

    def generators(self) -> Tensor:
        turns = self.point.linear(self.point.generators())
        eye = torch.eye(self.n, dtype=torch.float64)
        steps = self.make(eye, eye if self.lattice else eye * 0.7)
        return torch.cat([self.make(turns, torch.zeros(self.n, dtype=torch.float64)), steps])

    def _split(self, x: Tensor) -> tuple[Tensor, Tensor]:
        if self.lattice:
            raise self._lacks("exponential map", "use real translations")
        x = self.coordinates(x)
        return x[..., : self.n], x[..., self.n :]


def T(n: int) -> Affine:
    """Translations of R^n."""
    return Affine(NoTurn(n), name=f"T({n})")


def Z(n: int) -> Affine:
    """Translations of R^n by whole numbers."""
    return Affine(NoTurn(n), lattice=True, name=f"Z^{n}")


def SE(n: int) -> Affine:
    """Translations and rotations of R^n."""
    return Affine(Orthogonal(n, special=True), name=f"SE({n})")


def E(n: int) -> Affine:
    """Translations, rotations and reflections of R^n."""
    return Affine(Orthogonal(n), name=f"E({n})")


def SO(n: int) -> Orthogonal:
    """Rotations of R^n."""
    return Orthogonal(n, special=True)


def O(n: int) -> Orthogonal:
    """Rotations and reflections of R^n."""
    return Orthogonal(n)
