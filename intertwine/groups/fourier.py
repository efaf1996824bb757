r"""The Fourier transform of functions on a group: from values at elements to coefficients by irreps.

By Peter and Weyl's theorem the matrix elements of the irreps are an orthogonal basis of the functions on a compact
group. For a real irrep of type e a basis of its elements is made of dim / e columns: :math:`\phi_{ai}(g) = \sqrt{d}\,
(\rho(g) v_a)_i`, with columns :math:`v_a` that the matrices that commute with :math:`\rho` don't map into each other.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from intertwine.groups.group import Grid, Representation, require_real
from intertwine.groups.intertwiners import hom_basis
from intertwine.groups.representation import DirectSum, group_of
from intertwine.numerics import InputError


class FourierTransform:
    r"""Coefficients :math:`\hat f_{ai} = \int \phi_{ai}(g) f(g)\,dg` of functions on a group, from their values on a
    grid.

    A left translation :math:`f(h^{-1} g)` turns the coefficients by :attr:`rep`. The basis is orthonormal, so the sum
    of squares is kept: exactly where the grid's band is twice the highest degree of the irreps, and all of a finite
    group's functions are represented.

    Args:
        grid: elements and weights at which functions are given (:meth:`~intertwine.groups.Group.grid`).
        irreps: orthogonal real irreps of one group.

    Raises:
        InputError: no irreps, or they are not orthogonal on the grid: it is too coarse, or of another group.
    """

    def __init__(self, grid: Grid, irreps: list[Representation]) -> None:
        if not irreps:
            raise InputError("no irreps", where="FourierTransform", remedy="give group.irreps().")
        self.grid, self.group = grid, group_of(irreps[0])
        rows, terms = [], []
        for irrep in irreps:
            columns = _columns(irrep)
            matrices = irrep.matrix(grid.elements).to(torch.float64)
            rows.append(irrep.dim**0.5 * torch.einsum("nij,aj->ain", matrices, columns).flatten(0, 1))
            terms.append((len(columns), irrep))
        self.rep = DirectSum(tuple(terms))
        self.basis = torch.cat(rows)  # phi (coefficients, elements)
        gram = (self.basis * grid.weights) @ self.basis.T
        if (gram - torch.eye(len(gram), dtype=gram.dtype)).abs().max() > 1e-9:
            raise InputError(
                f"{len(self.basis)} coefficients of {len(grid)} values: the irreps are not orthogonal on the grid",
                where="FourierTransform",
                remedy="use a grid of the irreps' group, exact to twice their highest degree, or fewer irreps.",
            )

    def forward(self, values: Float[Tensor, "... n"]) -> Float[Tensor, "... coefficients"]:
        """Coefficients of functions from their values at the grid's elements."""
        require_real(values, "FourierTransform")
        return values @ (self.basis * self.grid.weights).to(values).T

    def inverse(self, coefficients: Float[Tensor, "... coefficients"]) -> Float[Tensor, "... n"]:
        """Values at the grid's elements."""
        require_real(coefficients, "FourierTransform")
        return coefficients @ self.basis.to(coefficients)

    __call__ = forward


def _columns(irrep: Representation) -> Float[Tensor, "copies dim"]:
    """Orthonormal vectors such that their images under the commuting matrices are an orthonormal basis."""
    commuting = hom_basis(irrep, irrep) * irrep.dim**0.5  # e matrices, the multiples of orthogonal ones
    eye = torch.eye(irrep.dim, dtype=torch.float64)
    columns, span = [], eye[:0]
    for vector in eye:
        rest = vector - span.T @ (span @ vector)
        if rest.norm() < 1e-6:
            continue
        columns.append(rest / rest.norm())
        span = torch.cat([span, torch.einsum("eij,j->ei", commuting, columns[-1])])
        span = torch.linalg.qr(span.T)[0].T
    return torch.stack(columns)
