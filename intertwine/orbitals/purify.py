r"""Density matrices of whole pairs of electrons: the projection of a symmetric matrix onto its natural orbitals.

.. math:: D S\, c_k = n_k\, c_k, \quad c_k^T S\, c_l = \delta_{kl}, \qquad
    D \mapsto 2 \sum_{k \le N/2} c_k c_k^T, \quad n_1 \ge n_2 \ge \ldots

What comes out has the trace N with the overlap S exactly, is idempotent, :math:`D S D = 2 D`, of rank N/2, and its
density is nowhere negative. Of all such matrices it is the nearest to D, in the norm of orthonormal orbitals. Natural
orbitals: Loewdin, Phys. Rev. 97, 1474 (1955).
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from intertwine.numerics import DataError, GeometryError

LEAST_GAP = 1e-6  # of occupations between natural orbitals that count and others: what derivatives are divided by


def purified(
    matrix: Float[Tensor, "*batch n n"], overlap: Float[Tensor, "*batch n n"], electrons: int
) -> Float[Tensor, "*batch n n"]:
    """The density matrix of the natural orbitals of largest occupation, float64.

    First derivatives are exact where occupations differ by more than 1e-6 between orbitals that are taken and others;
    there are none of second order.

    Args:
        matrix: D, symmetric.
        overlap: S of the orbitals.
        electrons: N, even.

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
    P = _projector(L.mT @ D @ L, electrons // 2)
    half = torch.linalg.solve_triangular(L.mT, P, upper=True)  # L^-T P
    return 2 * torch.linalg.solve_triangular(L.mT, half.mT, upper=True)


def _projector(A: Float[Tensor, "*batch n n"], count: int) -> Float[Tensor, "*batch n n"]:
    r"""The projector onto the eigenvectors of the ``count`` largest eigenvalues. Its derivative,
    :math:`\sum_{o, v} (u_o^T\, dA\, u_v) (u_o u_v^T + u_v u_o^T) / (\lambda_o - \lambda_v)`, knows no differences of
    eigenvalues within either set, which may be equal.
    """
    values, vectors = torch.linalg.eigh(A.detach())
    split = A.shape[-1] - count
    free, taken = vectors[..., :split], vectors[..., split:]
    P = taken @ taken.mT
    if not (A.requires_grad and torch.is_grad_enabled()):
        return P
    gaps = (values[..., None, split:] - values[..., :split, None]).clamp(min=LEAST_GAP)
    change = free @ ((free.mT @ (A - A.detach()) @ taken) / gaps) @ taken.mT  # zero, with the derivative
    return P + change + change.mT
