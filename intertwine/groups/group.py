r"""The two protocols that everything else speaks when it asks how a quantity transforms: a group and a representation.

An element is a tensor and a batch of elements is one tensor: matrices (..., n, n) for groups of matrices, integers
(...) for finite groups. Elements are made in float64; every operation keeps the precision and device of its arguments.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from intertwine.numerics import InputError


@runtime_checkable
class Representation(Protocol):
    r"""A linear representation :math:`\rho`, :math:`\rho(g h) = \rho(g) \rho(h)`: how a quantity changes when an
    element of a group acts.

    Of O(n), whose elements are orthogonal matrices: how it changes when space is rotated or reflected. ``axes`` is the
    number of trailing axes of a tensor that the quantity occupies and ``dim`` its number of components.
    """

    @property
    def dim(self) -> int: ...

    @property
    def axes(self) -> int: ...

    def matrix(self, g: Tensor) -> Float[Tensor, "*batch dim dim"]:
        r""":math:`\rho(g)`, one matrix for each element."""
        ...

    def transform(self, g: Tensor, x: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        r""":math:`\rho(g)\,x` on the last ``axes`` axes of ``x``; the leading axes are a batch."""
        ...


@dataclass(frozen=True)
class Grid:
    r"""Elements with weights, :math:`\int_G f(g)\, dg \approx \sum_k w_k f(g_k)`, the measure being Haar's of total 1.

    Args:
        elements: :math:`g_k` (n, ...).
        weights: :math:`w_k` (n), which add up to 1.
        band: the sum is exact for matrix elements of irreps up to this degree or frequency; None where the grid is only
            uniform, and ``inf`` for all elements of a finite group.
    """

    elements: Tensor
    weights: Float[Tensor, " n"]
    band: float | None

    def __len__(self) -> int:
        return len(self.weights)

    def mean(self, values: Float[Tensor, "n ..."]) -> Float[Tensor, "..."]:
        """The integral of a function from its values at the elements."""
        return torch.einsum("n,n...->...", self.weights.to(values), values)


class Group(ABC):
    r"""A group: product, inverse and identity, with what else there is of exponential, measure and enumeration.

    A subclass defines :attr:`name`, :attr:`element_shape`, :meth:`identity`, :meth:`product` and :meth:`inverse`, and
    of the rest what it can; what it can't raises an :class:`~intertwine.numerics.InputError` that says what to use.
    Groups compare equal, and hash, by name.
    """

    name: str
    element_shape: tuple[int, ...]
    """The trailing axes of one element."""
    is_compact: bool = False
    order: int | None = None
    """Number of elements; None if there are infinitely many."""
    dim: int = 0
    """Dimension of the Lie algebra: the number of coordinates of :meth:`exp` and :meth:`log`."""
    space: int | None = None
    """Dimension n of the space R^n whose points the group moves; None if it moves none."""

    @abstractmethod
    def identity(self, dtype: torch.dtype = torch.float64, device: torch.device | str | None = None) -> Tensor:
        """The identity, one element."""

    @abstractmethod
    def product(self, g: Tensor, h: Tensor) -> Tensor:
        """g h of two batches of elements, broadcast against each other: first h acts, then g."""

    @abstractmethod
    def inverse(self, g: Tensor) -> Tensor:
        """The inverse of each element."""

    def distance(self, g: Tensor, h: Tensor) -> Float[Tensor, "..."]:
        """0 for equal elements, larger otherwise: the Frobenius norm of the difference (...)."""
        difference = (g - h).flatten(g.ndim - len(self.element_shape)) if self.element_shape else (g - h)[..., None]
        return torch.linalg.vector_norm(difference.to(torch.float64), dim=-1)

    def act(self, g: Tensor, x: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """g x: points x (..., n) of the space moved by elements, broadcast against each other."""
        raise self._lacks("action on points", "act on a quantity with a representation's transform")

    def linear(self, g: Tensor) -> Float[Tensor, "*batch n n"]:
        """What the elements do to differences of points: matrices (..., n, n)."""
        raise self._lacks("action on points", "use a representation's matrix")

    def shift(self, g: Tensor) -> Float[Tensor, "*batch n"]:
        """Where the elements take the origin: vectors (..., n), zero for a group without translations."""
        linear = self.linear(g)
        return linear.new_zeros(linear.shape[:-1])

    def exp(self, x: Float[Tensor, "*batch dim"]) -> Tensor:
        """The exponential of coordinates in the Lie algebra (..., dim)."""
        raise self._lacks("exponential map", "use a group with one (T, SO, SE, R+, ...)")

    def log(self, g: Tensor) -> Float[Tensor, "*batch dim"]:
        """Coordinates in the Lie algebra (..., dim) with ``exp(log(g)) == g``, for g near the identity's component."""
        raise self._lacks("logarithm", "use a group with one (T, SO, SE, R+, ...)")

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """n random elements in float64: Haar's measure on a compact group, otherwise as the class states."""
        raise self._lacks("random elements", "enumerate it, or give a measure")

    def elements(self) -> Tensor:
        """All elements of a finite group, the identity first."""
        raise self._lacks("list of its elements: it is infinite", "give a number to sample, or a grid")

    def grid(self, order: int) -> Grid:
        """Elements and weights that integrate irreps up to degree ``order`` exactly; a finite group gives all."""
        raise self._lacks("grid", "sample it, or use a finite subgroup")

    def generators(self) -> Tensor:
        """A few elements (k, ...) whose products are dense in the group (in Zariski's sense where it is not compact).

        What commutes with these matrices of a representation commutes with all.
        """
        raise self._lacks("known generators", "give a group that has them")

    def irreps(self, limit: int = 8) -> list[Representation]:
        """Real irreducible representations, none equivalent to another: all of a finite group, otherwise up to a degree
        or frequency.
        """
        raise self._lacks("irreps of its own", "give them, or use a group that has them: a finite one, SO(n) to n = 3")

    def require(self, g: Tensor, where: str) -> None:
        """Raise an InputError unless the trailing axes of g are those of elements."""
        n = len(self.element_shape)
        if tuple(g.shape[g.ndim - n :]) != self.element_shape or g.ndim < n:
            raise InputError(
                f"a tensor of shape {tuple(g.shape)} for elements of {self.name}",
                where=where,
                remedy=f"its last axes must be {self.element_shape}.",
            )

    def coordinates(self, x: Tensor) -> Tensor:
        """x, if its last axis has a coordinate for each dimension of the Lie algebra; an InputError otherwise."""
        if x.ndim < 1 or x.shape[-1] != self.dim or not x.is_floating_point():
            raise InputError(
                f"{x.dtype} of shape {tuple(x.shape)} for coordinates of {self.name}",
                where="exp",
                remedy=f"give {self.dim} floating-point numbers on the last axis.",
            )
        return x

    def _lacks(self, what: str, remedy: str) -> InputError:
        return InputError(f"{self.name} has no {what}", where="groups", remedy=f"{remedy}.")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Group) and other.name == self.name

    def __hash__(self) -> int:
        return hash(self.name)

    def __repr__(self) -> str:
        return self.name


def require_real(x: Tensor, where: str) -> None:
    """Raise an InputError unless x has floating-point numbers: matrices in the precision of integers are truncated."""
    if not (x.is_floating_point() or x.is_complex()):
        raise InputError(
            f"numbers of type {x.dtype}", where=where, remedy="give floating-point numbers: x.to(torch.float64)."
        )


def require_components(x: Tensor, sizes: Sequence[int], where: object) -> None:
    """Raise an InputError unless the last axes of x have the sizes of a representation's components."""
    if list(x.shape[max(x.ndim - len(sizes), 0) :]) != list(sizes):
        axes = "they are the last axis" if len(sizes) == 1 else f"the last axes must be {tuple(sizes)}"
        raise InputError(
            f"shape {tuple(x.shape)} for {math.prod(sizes)} components",
            where=str(where),
            remedy=f"{axes}; give the representation that the tensor has.",
        )
