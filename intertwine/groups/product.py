r"""Direct products :math:`G \times H`: rotations of space with permutations of particles, say.

An element is one tensor, as everywhere: the numbers of g, flattened, then those of h. Batches, broadcasting and
distances are then those of any group; :meth:`DirectProduct.first` and :meth:`DirectProduct.second` give the elements of
the factors in their own shape.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from intertwine.groups.group import Grid, Group, Representation
from intertwine.groups.intertwiners import hom_basis
from intertwine.groups.representation import LinearRepresentation, group_of
from intertwine.numerics import InputError
from intertwine.numerics.linalg import direct_sum


class DirectProduct(Group):
    r""":math:`G \times H` with :math:`(g, h)(g', h') = (g g', h h')`.

    Coordinates of the exponential map: those of G, then those of H. It moves the points of
    :math:`\mathbb{R}^n \times \mathbb{R}^m` where both factors move points. Elements (..., size): whole numbers if
    both factors' are, else floating-point ones.

    Args:
        left: G.
        right: H.
    """

    def __init__(self, left: Group, right: Group) -> None:
        self.left, self.right, self.name = left, right, f"{left} x {right}"
        self.sizes = tuple(math.prod(factor.element_shape) for factor in (left, right))
        self.element_shape = (sum(self.sizes),)
        self.is_compact = left.is_compact and right.is_compact
        self.order = left.order * right.order if left.order and right.order else None
        self.dim = left.dim + right.dim
        self.space = None if left.space is None or right.space is None else left.space + right.space

    def __eq__(self, other: object) -> bool:
        return isinstance(other, DirectProduct) and (self.left, self.right) == (other.left, other.right)

    __hash__ = Group.__hash__

    def make(self, g: Tensor, h: Tensor) -> Tensor:
        """The elements (g, h) of two batches of elements, broadcast against each other."""
        parts = [
            x.reshape((*x.shape[: x.ndim - len(factor.element_shape)], size))
            for x, factor, size in zip((g, h), (self.left, self.right), self.sizes)
        ]
        batch = torch.broadcast_shapes(*(x.shape[:-1] for x in parts))
        kind = torch.promote_types(g.dtype, h.dtype)
        return torch.cat([x.to(kind).expand(*batch, x.shape[-1]) for x in parts], dim=-1)

    def first(self, x: Tensor) -> Tensor:
        """The elements g of elements (g, h)."""
        return self._factor(x[..., : self.sizes[0]], self.left)

    def second(self, x: Tensor) -> Tensor:
        """The elements h of elements (g, h)."""
        return self._factor(x[..., self.sizes[0] :], self.right)

    def identity(self, dtype: torch.dtype = torch.float64, device: torch.device | str | None = None) -> Tensor:
        return self.make(self.left.identity(dtype, device), self.right.identity(dtype, device))

    def product(self, g: Tensor, h: Tensor) -> Tensor:
        return self.make(
            self.left.product(self.first(g), self.first(h)), self.right.product(self.second(g), self.second(h))
        ).to(g)

    def inverse(self, g: Tensor) -> Tensor:
        return self.make(self.left.inverse(self.first(g)), self.right.inverse(self.second(g))).to(g)

    def linear(self, g: Tensor) -> Float[Tensor, "*batch n n"]:
        if self.space is None:
            return super().linear(g)
        return direct_sum(self.left.linear(self.first(g)), self.right.linear(self.second(g)))

    def act(self, g: Tensor, x: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """Points (..., n + m): g moves the first n coordinates, h the others."""
        if self.space is None or self.left.space is None:
            return super().act(g, x)
        n = self.left.space
        moved = self.left.act(self.first(g), x[..., :n]), self.right.act(self.second(g), x[..., n:])
        return torch.cat(moved, dim=-1)

    def shift(self, g: Tensor) -> Float[Tensor, "*batch n"]:
        return torch.cat([self.left.shift(self.first(g)), self.right.shift(self.second(g))], dim=-1)

    def exp(self, x: Float[Tensor, "*batch dim"]) -> Tensor:
        parts = self.coordinates(x).split([self.left.dim, self.right.dim], dim=-1)
        made = [
            factor.exp(part) if factor.dim else factor.identity(x.dtype, x.device)
            for factor, part in zip((self.left, self.right), parts)
        ]
        return self.make(*made)

    def log(self, g: Tensor) -> Float[Tensor, "*batch dim"]:
        parts = []
        for factor, part in ((self.left, self.first(g)), (self.right, self.second(g))):
            if factor.dim or not factor.order:
                parts.append(factor.log(part))
            elif bool((factor.distance(part, factor.identity(device=g.device)) > 1e-6).any()):
                raise InputError(
                    f"an element of {factor} other than 1 has no logarithm",
                    where=self.name,
                    remedy="take the finite part apart first.",
                )
        return torch.cat(parts, dim=-1) if parts else super().log(g)

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """n elements, those of the factors drawn independently as each factor draws them."""
        return self.make(self.left.sample(n, generator), self.right.sample(n, generator))

    def elements(self) -> Tensor:
        if self.order is None:
            return super().elements()
        return self.make(self.left.elements()[:, None], self.right.elements()[None]).flatten(0, 1)

    def grid(self, order: int) -> Grid:
        """All pairs of elements of the factors' grids."""
        a, b = self.left.grid(order), self.right.grid(order)
        band = None if a.band is None or b.band is None else min(a.band, b.band)
        # the factors' axes are outer and inner, so that broadcasting pairs them
        pairs = self.make(a.elements[:, None], b.elements[None]).flatten(0, 1)
        return Grid(pairs, (a.weights[:, None] * b.weights).flatten(), band)

    def generators(self) -> Tensor:
        first = self.make(self.left.generators(), self.right.identity())
        return torch.cat([first, self.make(self.left.identity(), self.right.generators()).to(first)])

    def irreps(self, limit: int = 8) -> list[Representation]:
        """The irreducible parts of all products of an irrep of each factor, up to the limit of each."""
        result: list[Representation] = []
        for a in self.left.irreps(limit):
            for b in self.right.irreps(limit):
                product = OuterProduct(self, a, b)
                result += [product] if min(_type(a), _type(b)) == 1 else irreducible_parts(product)
        return result

    def _factor(self, x: Tensor, factor: Group) -> Tensor:
        whole = x.reshape((*x.shape[:-1], *factor.element_shape))
        integers = not factor.identity().is_floating_point()
        return whole.round().to(torch.int64) if integers and x.is_floating_point() else whole


@dataclass(frozen=True)
class OuterProduct(LinearRepresentation):
    r""":math:`(\rho \boxtimes \sigma)(g, h) = \rho(g) \otimes \sigma(h)`; the component of the second varies fastest.

    With a :class:`~intertwine.groups.Trivial` one of dimension 1 it is the other factor's representation alone.

    Args:
        group: the product of the groups.
        first: representation of its first factor.
        second: representation of its second.

    Raises:
        InputError: they are not of its factors.
    """

    group: DirectProduct
    first: Representation
    second: Representation

    def __post_init__(self) -> None:
        for rep, factor in ((self.first, self.group.left), (self.second, self.group.right)):
            if group_of(rep) != factor:
                raise InputError(
                    f"{rep} is of {group_of(rep)}, not of {factor}", where=str(self.group), remedy="restrict it first."
                )

    @property
    def dim(self) -> int:  # type: ignore[override]
        return self.first.dim * self.second.dim

    @property
    def type(self) -> int:
        """Of a product of two irreps, one of them of real type: the dimension of what commutes with it."""
        return _type(self.first) * _type(self.second)

    def matrix(self, g: Tensor) -> Float[Tensor, "*batch dim dim"]:
        a, b = self.first.matrix(self.group.first(g)), self.second.matrix(self.group.second(g))
        b = b.to(a)
        return (a[..., :, None, :, None] * b[..., None, :, None, :]).flatten(-4, -3).flatten(-2)

    def __str__(self) -> str:
        return f"({self.first} x {self.second})"


def _type(irrep: Representation) -> int:
    return int(getattr(irrep, "type", 1))


@dataclass(frozen=True, eq=False)
class Part(LinearRepresentation):
    r"""An invariant subspace of an orthogonal representation, :math:`B \rho(g) B^T` with orthonormal rows B.

    Args:
        of: the representation.
        basis: B (dim, of.dim), orthonormal rows that span the subspace.
        name: as it prints.
        type: of an irrep, the dimension of what commutes with it.
    """

    of: Representation
    basis: Float[Tensor, "part dim"]
    name: str
    type: int = 1

    @property
    def dim(self) -> int:  # type: ignore[override]
        return len(self.basis)

    @property
    def group(self) -> Group:  # type: ignore[override]
        return group_of(self.of)

    def matrix(self, g: Tensor) -> Float[Tensor, "*batch dim dim"]:
        matrix = self.of.matrix(g)
        basis = self.basis.to(matrix)
        return basis @ matrix @ basis.T

    def __str__(self) -> str:
        return self.name


def irreducible_parts(rep: Representation) -> list[Representation]:
    """The irreps that an orthogonal representation contains, none equivalent to another; itself if it is one.

    The eigenspaces of a random symmetric matrix that commutes with it are irreducible.
    """
    commuting = hom_basis(rep, rep)
    symmetric = (commuting + commuting.mT) / 2
    draw = torch.randn(len(symmetric), generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    values, vectors = torch.linalg.eigh(torch.einsum("k,kij->ij", draw, symmetric))
    ends = (values.diff() > 1e-9 * max(1.0, float(values.abs().max()))).nonzero()[:, 0].add(1).tolist()
    spaces = [space.T.contiguous() for space in vectors.tensor_split(ends, dim=1)]
    parts: list[Representation] = []
    for space in spaces:
        part = Part(rep, space, f"{rep}{chr(ord('a') + len(parts))}" if len(spaces) > 1 else str(rep))
        if not any(len(hom_basis(part, other)) for other in parts):
            parts.append(Part(rep, space, part.name, len(hom_basis(part, part))))
    return parts
