r"""Cartesian tensors of any rank and index symmetry as sums of irreps, and back."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from intertwine.groups.index_symmetry import germinate_formulas
from intertwine.numerics import InputError
from intertwine.o3.irreps import Irreps
from intertwine.o3.reduce import ReducedTensorProducts, multiply, symmetric_basis


class CartesianTensor(Irreps):
    r"""The irreps of a Cartesian tensor with an index symmetry: each index transforms as a vector, ``1o``, with
    components x, y, z.

    The change of basis Q is orthonormal: :math:`y = Q\,T` keeps the Frobenius norm of a tensor that has the symmetry,
    and :math:`Q^T y` is the tensor again. For one without the symmetry it is its orthogonal projection.

    Args:
        formula: the symmetry, such as ``"ij=ji"`` (stress), ``"ijk=ikj"`` (piezoelectric) or ``"ijkl=jikl=klij"``
            (elasticity).

    Attributes:
        formula: as given.
        indices: the names of the indices.

    Raises:
        InputError: the formula is none.

    >>> CartesianTensor("ij=ji"), CartesianTensor("ijkl=jikl=klij")
    (1x0e+1x2e, 2x0e+2x2e+1x4e)
    >>> stress = CartesianTensor("ij=ji")
    >>> t = torch.arange(9.0).view(3, 3)
    >>> torch.allclose(stress.to_cartesian(stress.from_cartesian(t)), (t + t.T) / 2, atol=1e-6)
    True
    """

    formula: str
    indices: str
    _basis: Tensor  # in float64, one for all tensors of the formula

    def __new__(cls, formula: str) -> CartesianTensor:  # type: ignore[override]
        indices, irreps, basis = _basis(formula)
        tensor: CartesianTensor = super().__new__(cls, irreps)  # type: ignore[assignment]
        tensor.formula, tensor.indices, tensor._basis = formula, indices, basis
        return tensor

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.formula,)

    def from_cartesian(
        self, data: Float[Tensor, "..."], rtp: ReducedTensorProducts | None = None
    ) -> Float[Tensor, "*batch dim"]:
        r""":math:`y_z = Q_{zij\ldots} T_{ij\ldots}`.

        Args:
            data: tensors (..., 3, 3, ...).
            rtp: what :meth:`reduced_tensor_products` returns, as e3nn has it; None takes the change of basis that is
                kept.

        Returns:
            Components (..., dim) in the precision of ``data``.

        Raises:
            InputError: the last axes are not one of length 3 for each index.
        """
        rank = len(self.indices)
        if data.shape[-rank:] != (3,) * rank:
            raise InputError(
                f"got a tensor of shape {tuple(data.shape)}",
                where=f"CartesianTensor({self.formula!r}).from_cartesian",
                remedy=f"its last {rank} axes must be of length 3.",
            )
        return data.flatten(-rank) @ self._change_of_basis(data, rtp).flatten(1).T

    def to_cartesian(
        self, data: Float[Tensor, "*batch dim"], rtp: ReducedTensorProducts | None = None
    ) -> Float[Tensor, "..."]:
        r""":math:`T_{ij\ldots} = y_z Q_{zij\ldots}`, the inverse of :meth:`from_cartesian` on the tensors that have the
        symmetry.

        Args:
            data: components (..., dim).
            rtp: see :meth:`from_cartesian`.

        Returns:
            Tensors (..., 3, 3, ...).

        Raises:
            InputError: the last axis is not ``dim`` long.
        """
        if data.shape[-1:] != (self.dim,):
            raise InputError(
                f"got components of shape {tuple(data.shape)}",
                where=f"CartesianTensor({self.formula!r}).to_cartesian",
                remedy=f"their last axis must be {self.dim} long, for {self}.",
            )
        return (data @ self._change_of_basis(data, rtp).flatten(1)).unflatten(-1, (3,) * len(self.indices))

    def from_vectors(
        self, *xs: Float[Tensor, "... 3"], rtp: ReducedTensorProducts | None = None
    ) -> Float[Tensor, "*batch dim"]:
        r"""The components of :math:`x_1 \otimes x_2 \otimes \cdots`, one vector (..., 3) for each index, leading axes
        broadcast.

        Raises:
            InputError: not one vector for each index, or one that has not three components.
        """
        if len(xs) != len(self.indices) or any(x.shape[-1:] != (3,) for x in xs):
            raise InputError(
                f"got tensors of shapes {[tuple(x.shape) for x in xs]}",
                where=f"CartesianTensor({self.formula!r}).from_vectors",
                remedy=f"give one for each index of {self.indices!r}, its last axis of length 3.",
            )
        return multiply(self._change_of_basis(xs[0], rtp), xs)

    def reduced_tensor_products(self, data: Tensor | None = None) -> ReducedTensorProducts:
        """The same change of basis as a module, in the precision and on the device of ``data`` (None: torch's)."""
        dtype, device = (None, None) if data is None else (data.dtype, data.device)
        vectors: dict[str, Any] = dict.fromkeys(self.indices, "1o")
        return ReducedTensorProducts(self.formula, dtype=dtype, device=device, **vectors)

    def _change_of_basis(self, like: Tensor, rtp: ReducedTensorProducts | None) -> Tensor:
        if not (like.is_floating_point() or like.is_complex()):
            raise InputError(
                f"got {like.dtype}",
                where=f"CartesianTensor({self.formula!r})",
                remedy="convert the data to floating point.",
            )
        return self._basis.to(like) if rtp is None else rtp.change_of_basis


@lru_cache(maxsize=256)
def _basis(formula: str) -> tuple[str, Irreps, Tensor]:
    indices, group = germinate_formulas(formula)
    irreps, Q = symmetric_basis([Irreps("1o")] * len(indices), group)
    with torch.inference_mode(False):  # it is kept, and autograd refuses what was made in that mode
        return indices, irreps, torch.from_numpy(Q)
