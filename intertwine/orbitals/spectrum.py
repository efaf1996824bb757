r"""Orbital energies and orbitals of a matrix: :math:`H C = S C \epsilon` for a batch, by Loewdin's orthogonalisation.

.. math:: S = U s U^T, \qquad X = U s^{-1/2} U^T, \qquad (X H X)\, V = V \epsilon, \qquad C = X V

Loewdin, J. Chem. Phys. 18, 365 (1950).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from intertwine.numerics import GeometryError

LEAST_OVERLAP = 1e-8  # eigenvalue of S below which orbitals count as linearly dependent, PySCF's threshold


class Spectrum(NamedTuple):
    """``energies`` ascending, in the unit of H, and ``coefficients`` of each orbital as columns, S-orthonormal."""

    energies: Float[Tensor, "*batch n"]
    coefficients: Float[Tensor, "*batch n n"]


def spectrum(
    matrix: Float[Tensor, "*batch n n"], overlap: Float[Tensor, "*batch n n"], where: str = "overlap"
) -> Spectrum:
    """The generalised eigenproblem of symmetric matrices.

    Args:
        matrix: H.
        overlap: S.
        where: what an error calls the molecule.

    Raises:
        GeometryError: orbitals are linearly dependent, or a matrix is not finite.
    """
    if not bool(matrix.isfinite().all() & overlap.isfinite().all()):
        raise GeometryError("a matrix is not finite", where=where, remedy="check the positions and the labels.")
    s, U = torch.linalg.eigh(overlap)
    if s.numel() and float(s.min()) < LEAST_OVERLAP:
        worst = int(s.min(-1).values.reshape(-1).argmin())
        least = f"the overlap of molecule {worst} has the eigenvalue {float(s.min()):.2g}"
        what = f"basis functions are linearly dependent: {least}"
        remedy = "take atoms apart that (almost) coincide, or use a basis with fewer diffuse functions."
        raise GeometryError(what, where=where, remedy=remedy)
    X = (U * s.rsqrt().unsqueeze(-2)) @ U.mT
    energies, V = torch.linalg.eigh(X @ matrix.to(X) @ X)
    return Spectrum(energies, X @ V)
