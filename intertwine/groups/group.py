"""The protocol that everything else speaks when it asks how a quantity transforms."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor


@runtime_checkable
class Representation(Protocol):
    r"""A linear representation :math:`\rho` of O(n): how a quantity changes when space is rotated or reflected.

    ``axes`` is the number of trailing axes of a tensor that the quantity occupies and ``dim`` its number of components.
    """

    @property
    def dim(self) -> int: ...

    @property
    def axes(self) -> int: ...

    def matrix(self, rotation: Float[Tensor, "n n"]) -> Float[Tensor, "dim dim"]:
        r""":math:`\rho(Q)` for an orthogonal matrix Q."""
        ...

    def transform(self, rotation: Float[Tensor, "n n"], x: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        r""":math:`\rho(Q)\,x` on the last ``axes`` axes of ``x``; the leading axes are a batch."""
        ...
