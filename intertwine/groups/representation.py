r"""Representations and what one makes of them: sums, products, duals, restrictions, changes of basis.

A class here says its ``matrix``; :class:`LinearRepresentation` derives the rest from that. ``a + b``, ``a * b`` and
``3 * a`` are :math:`a \oplus b`, :math:`a \otimes b` and :math:`a \oplus a \oplus a`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from intertwine.groups.group import Group, Representation, require_components, require_real
from intertwine.numerics import InputError
from intertwine.numerics.linalg import apply, direct_sum


class LinearRepresentation:
    r"""A representation given by its matrices. A subclass has ``group`` and ``dim`` and defines :meth:`matrix`."""

    group: Group
    dim: int
    axes = 1

    def matrix(self, g: Tensor) -> Float[Tensor, "*batch dim dim"]:
        r""":math:`\rho(g)` for elements of the group, in their precision (float64 for integers)."""
        raise TypeError(f"{type(self).__name__} does not say what its matrices are")

    def transform(self, g: Tensor, x: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        r""":math:`\rho(g)\,x` on the last axis of x; the leading axes of both broadcast."""
        require_real(x, str(self))
        require_components(x, [self.dim], self)
        return apply(self.matrix(g).to(x), x)

    def character(self, g: Tensor) -> Float[Tensor, "*batch"]:
        r""":math:`\chi(g) = \mathrm{tr}\,\rho(g)`."""
        return self.matrix(g).diagonal(dim1=-2, dim2=-1).sum(-1)

    def dual(self) -> Representation:
        r""":math:`\rho^*(g) = \rho(g^{-1})^T`: how linear functions of the quantity transform."""
        return Dual(self)

    def __add__(self, other: Representation) -> DirectSum:
        return sum_of((self, other))

    def __mul__(self, other: Representation | int) -> Representation:
        return DirectSum(((other, self),)) if isinstance(other, int) else TensorProduct(self, other)

    def __rmul__(self, copies: int) -> DirectSum:
        return DirectSum(((copies, self),))


@dataclass(frozen=True)
class Trivial(LinearRepresentation):
    """Quantities that no element changes: ``dim`` invariants."""

    group: Group
    dim: int = 1

    def matrix(self, g: Tensor) -> Float[Tensor, "*batch dim dim"]:
        precise = g.dtype if g.is_floating_point() else torch.float64
        batch = g.shape[: g.ndim - len(self.group.element_shape)]
        return torch.eye(self.dim, dtype=precise, device=g.device).expand(*batch, self.dim, self.dim)

    def __str__(self) -> str:
        return "1" if self.dim == 1 else f"{self.dim} invariants"


@dataclass(frozen=True)
class Defining(LinearRepresentation):
    """What the group does to differences of points in its space: vectors. Of a group of matrices, the matrices."""

    group: Group
    dim: int = field(init=False)

    def __post_init__(self) -> None:
        if self.group.space is None:
            raise InputError(
                f"{self.group} does not move points", where="Defining", remedy="use a regular or irreducible one."
            )
        object.__setattr__(self, "dim", self.group.space)

    def matrix(self, g: Tensor) -> Float[Tensor, "*batch dim dim"]:
        return self.group.linear(g)

    def __str__(self) -> str:
        return "vector"


@dataclass(frozen=True)
class DirectSum(LinearRepresentation):
    r""":math:`m_1 \rho_1 \oplus m_2 \rho_2 \oplus \ldots` on the last axis, each :math:`\rho_k` repeated :math:`m_k`
    times.

    Args:
        terms: pairs of multiplicity and representation; the copy index varies slower than the component (``mul_ir``).
    """

    terms: tuple[tuple[int, Representation], ...]

    def __post_init__(self) -> None:
        for copies, _ in self.terms:
            if not isinstance(copies, int) or copies < 0:
                raise InputError(f"{copies} copies", where="DirectSum", remedy="give a whole number of 0 or more.")
        _require_one_group([term for _, term in self.terms])

    @property
    def dim(self) -> int:  # type: ignore[override]
        return sum(mul * rep.dim for mul, rep in self.terms)

    @property
    def group(self) -> Group:  # type: ignore[override]
        """The group of the terms.

        Raises:
            InputError: there is no term, or its representation does not say its group.
        """
        return group_of(self.terms[0][1] if self.terms else self)

    def matrix(self, g: Tensor) -> Float[Tensor, "*batch dim dim"]:
        blocks = [rep.matrix(g) for mul, rep in self.terms for _ in range(mul)]
        return direct_sum(*blocks) if blocks else g.new_zeros(0, 0)

    def __str__(self) -> str:
        return " + ".join(f"{mul}x{rep}" for mul, rep in self.terms)


@dataclass(frozen=True)
class TensorProduct(LinearRepresentation):
    r""":math:`(\rho \otimes \sigma)(g) = \rho(g) \otimes \sigma(g)`; the component of the second varies fastest."""

    first: Representation
    second: Representation

    def __post_init__(self) -> None:
        _require_one_group([self.first, self.second])

    @property
    def dim(self) -> int:  # type: ignore[override]
        return self.first.dim * self.second.dim

    @property
    def group(self) -> Group:  # type: ignore[override]
        return group_of(self.first)

    def matrix(self, g: Tensor) -> Float[Tensor, "*batch dim dim"]:
        a, b = self.first.matrix(g), self.second.matrix(g)
        return (a[..., :, None, :, None] * b[..., None, :, None, :]).flatten(-4, -3).flatten(-2)

    def __str__(self) -> str:
        return f"({self.first} x {self.second})"


class _Made(LinearRepresentation):
    """Of the dimension and the group of the representation that it is made from."""

    of: Representation

    @property
    def dim(self) -> int:  # type: ignore[override]
        return self.of.dim

    @property
    def group(self) -> Group:  # type: ignore[override]
        return group_of(self.of)


@dataclass(frozen=True)
class Dual(_Made):
    r""":math:`\rho^*(g) = \rho(g^{-1})^T`; the same as :math:`\rho` where that is orthogonal."""

    of: Representation

    def matrix(self, g: Tensor) -> Float[Tensor, "*batch dim dim"]:
        return self.of.matrix(self.group.inverse(g)).mT

    def dual(self) -> Representation:
        return self.of

    def __str__(self) -> str:
        return f"({self.of})*"


@dataclass(frozen=True)
class Restricted(LinearRepresentation):
    """A representation of a larger group, of a subgroup's elements only.

    Args:
        of: representation of the larger group.
        group: the subgroup.
        include: the element of the larger group that an element of the subgroup is; ``group.linear``, its matrices, if
            not given.
    """

    of: Representation
    group: Group
    include: Callable[[Tensor], Tensor] | None = None

    @property
    def dim(self) -> int:  # type: ignore[override]
        return self.of.dim

    def matrix(self, g: Tensor) -> Float[Tensor, "*batch dim dim"]:
        return self.of.matrix((self.include or self.group.linear)(g))

    def __str__(self) -> str:
        return f"{self.of} of {self.group}"


@dataclass(frozen=True, eq=False)
class Conjugated(_Made):
    r""":math:`Q \rho(g) Q^{-1}`: the same representation in another basis."""

    of: Representation
    basis: Float[Tensor, "dim dim"]

    def matrix(self, g: Tensor) -> Float[Tensor, "*batch dim dim"]:
        matrix = self.of.matrix(g)
        basis = self.basis.to(matrix)
        return torch.linalg.solve(basis, basis @ matrix, left=False)

    def __str__(self) -> str:
        return f"Q ({self.of}) Q^-1"


def group_of(rep: Representation) -> Group:
    """The group of a representation.

    Raises:
        InputError: it does not say one.
    """
    group = None if isinstance(rep, DirectSum) and not rep.terms else getattr(rep, "group", None)
    if not isinstance(group, Group):
        raise InputError(
            f"{rep} does not say its group", where="representation", remedy="give it an attribute `group`."
        )
    return group


def terms_of(rep: Representation) -> tuple[tuple[int, Representation], ...]:
    """Multiplicities and terms of a sum, also of ``o3.Irreps``; anything else is one term."""
    terms = getattr(rep, "terms", None)
    return ((1, rep),) if terms is None else terms


def _require_one_group(reps: Iterable[Representation]) -> None:
    groups = [group for rep in reps if isinstance(group := getattr(rep, "group", None), Group)]
    for group in groups[1:]:
        if group != groups[0]:
            raise InputError(
                f"representations of {groups[0]} and of {group}", where="representation", remedy="restrict one first."
            )


def sum_of(reps: Iterable[Representation]) -> DirectSum:
    """The direct sum, sums among the terms taken apart and equal neighbours counted."""
    terms: list[tuple[int, Representation]] = []
    for rep in reps:
        for mul, term in terms_of(rep):
            if terms and terms[-1][1] == term:
                terms[-1] = (terms[-1][0] + mul, term)
            else:
                terms.append((mul, term))
    return DirectSum(tuple(terms))
