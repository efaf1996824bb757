r"""Density matrices of whole pairs of electrons, from symmetric matrices that are nearly so.

.. math:: D S\, c_k = 2 n_k\, c_k, \quad c_k^T S\, c_l = \delta_{kl}, \qquad
    D \mapsto 2 \sum_k f_k\, c_k c_k^T, \quad f_k = \frac{1}{1 + e^{-(n_k - \mu)/T}}, \quad \sum_k f_k = N/2

The occupations n of the natural orbitals c become 0 or 1 by a step whose place :math:`\mu` makes the charge exactly N.
Its width T is small: where occupations are within 0.1 of 0 and 1 those that come out are to 1e-14, so that
:math:`D S D = 2 D` to as much, and the density is nowhere negative. Since the step is smooth, so is the map, also where
two occupations meet, as they do in molecules that come apart. Natural orbitals: Loewdin, Phys. Rev. 97, 1474 (1955);
purification: McWeeny, Rev. Mod. Phys. 32, 335 (1960).
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from intertwine.numerics import DataError, GeometryError

WIDTH = 0.0125  # T, of the step
HALVINGS = 60  # of the interval that mu is in: to the last bit
NEAR = 1e-6  # difference of occupations below which a quotient of differences is a derivative


def purified(
    matrix: Float[Tensor, "*batch n n"], overlap: Float[Tensor, "*batch n n"], electrons: int
) -> Float[Tensor, "*batch n n"]:
    """The density matrix whose natural orbitals are occupied by pairs, float64.

    First derivatives are exact; there are none of second order.

    Args:
        matrix: D, symmetric, nearly a density matrix.
        overlap: S of the orbitals.
        electrons: N.

    Raises:
        DataError: more electrons than the orbitals hold.
        GeometryError: the matrix is not finite, or orbitals are linearly dependent.
    """
    D, S = matrix.to(torch.float64), overlap.to(torch.float64)
    if electrons > 2 * D.shape[-1]:
        what = f"{electrons} electrons in {D.shape[-1]} orbitals, which hold two each"
        raise DataError(what, where="electrons", remedy="give a larger basis, or atoms with fewer electrons.")
    L, wrong = torch.linalg.cholesky_ex(S)
    if bool((wrong != 0).any()) or not bool(D.isfinite().all()):
        dependent = "orbitals are linearly dependent: atoms (almost) coincide"
        what = dependent if bool((wrong != 0).any()) else "a density matrix is not finite"
        raise GeometryError(what, where="density matrix", remedy="check the positions, or train again.")
    P = _stepped(0.5 * (L.mT @ D @ L), electrons / 2)
    half = torch.linalg.solve_triangular(L.mT, P, upper=True)  # L^-T P
    return 2 * torch.linalg.solve_triangular(L.mT, half.mT, upper=True)


def _stepped(A: Float[Tensor, "*batch n n"], pairs: float) -> Float[Tensor, "*batch n n"]:
    r"""The step of a symmetric matrix, whose trace is ``pairs``. With eigenvectors u its derivative is
    :math:`\sum_{kl} K_{kl}\, (u_k^T\, dA\, u_l)\, u_k u_l^T - d\mu \sum_k f_k' u_k u_k^T`, with quotients of
    differences :math:`K_{kl} = (f_k - f_l)/(n_k - n_l)` and
    :math:`d\mu = \sum_k f_k' u_k^T dA\, u_k / \sum_k f_k'`.
    """
    n, u = torch.linalg.eigh(A.detach())
    f = ((n - _place(n, pairs)) / WIDTH).sigmoid()
    P = (u * f.unsqueeze(-2)) @ u.mT
    if not (A.requires_grad and torch.is_grad_enabled()):
        return P
    slope = f * (1 - f) / WIDTH
    apart = n.unsqueeze(-1) - n.unsqueeze(-2)
    close = apart.abs() < NEAR
    K = torch.where(
        close, 0.5 * (slope.unsqueeze(-1) + slope.unsqueeze(-2)),
        (f.unsqueeze(-1) - f.unsqueeze(-2)) / torch.where(close, 1.0, apart),
    )  # fmt: skip
    inner = u.mT @ (A - A.detach()) @ u  # zero, with the derivative
    total = slope.sum(-1, keepdim=True)
    moved = (slope * inner.diagonal(dim1=-2, dim2=-1)).sum(-1, keepdim=True) / torch.where(total > 0, total, 1.0)
    return P + u @ (K * inner - torch.diag_embed(slope * moved)) @ u.mT


def _place(n: Float[Tensor, "*batch n"], pairs: float) -> Float[Tensor, "*batch 1"]:
    r"""The :math:`\mu` at which the steps of all n add up to ``pairs``, by halving."""
    low, high = n.amin(-1, keepdim=True) - 40 * WIDTH, n.amax(-1, keepdim=True) + 40 * WIDTH
    for _ in range(HALVINGS):
        middle = 0.5 * (low + high)
        many = ((n - middle) / WIDTH).sigmoid().sum(-1, keepdim=True) > pairs
        low, high = torch.where(many, middle, low), torch.where(many, high, middle)
    return 0.5 * (low + high)
