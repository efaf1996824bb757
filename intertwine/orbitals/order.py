r"""Orders and signs of orbitals in programs, and the matrices that lead there from ours and back.

Ours are the harmonics of :mod:`intertwine.o3`: m = -l ... l about the y axis, so that a shell p is (x, y, z).

| name | orbitals of a shell | signs |
|---|---|---|
| ``intertwine`` | m = -l, ..., l about y; p = x, y, z | of the harmonics |
| ``pyscf`` | m = -l, ..., l about z; but p = x, y, z | of the real harmonics without Condon and Shortley's phase |
| ``orca`` | m = 0, 1, -1, 2, -2, ... about z; p = z, x, y | as PySCF, but opposite where \|m\| is 3 or 4 |

The signs of ORCA are those that its manual and the converters of other packages state, for shells up to g.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import torch
from jaxtyping import Float
from torch import Tensor

from intertwine.numerics import InputError, choose
from intertwine.o3 import convention_matrix

PROGRAMS = ("intertwine", "pyscf", "orca")
ORCA_MOST_DEGREE = 4  # g: beyond, no source for its signs was found


def order_matrix(degrees: Sequence[int], target: str, source: str = "intertwine") -> Float[Tensor, "target source"]:
    r"""The orthogonal matrix A with :math:`\chi_{target} = A\, \chi_{source}`; a matrix between orbitals becomes
    :math:`A H A^T`.

    Args:
        degrees: of all shells, one after the other.
        target: one of ``PROGRAMS``.
        source: one of ``PROGRAMS``.

    Raises:
        InputError: an unknown program, or a shell beyond g for ORCA.

    >>> order_matrix([1], "orca")
    tensor([[0., 0., 1.],
            [1., 0., 0.],
            [0., 1., 0.]], dtype=torch.float64)
    """
    for name in (target, source):
        choose(name, PROGRAMS, kind="program", where="order_matrix")
    blocks = [torch.tensor(_ours_to(l, target) @ _ours_to(l, source).T) for l in degrees]
    return torch.block_diag(*blocks) if blocks else torch.zeros(0, 0, dtype=torch.float64)


def reordered(
    matrix: Float[Tensor, "*batch n n"], degrees: Sequence[int], source: str, target: str
) -> Float[Tensor, "*batch n n"]:
    """A matrix between orbitals, in the order and signs of another program.

    Args:
        matrix: in the order of ``source``.
        degrees: of all shells of the molecule, atom after atom.
        source: one of ``PROGRAMS``.
        target: one of ``PROGRAMS``.

    Raises:
        InputError: the matrix has another number of orbitals than the shells; see also :func:`order_matrix`.
    """
    orbitals = sum(2 * l + 1 for l in degrees)
    if tuple(matrix.shape[-2:]) != (orbitals, orbitals):
        what = f"the matrix has shape {tuple(matrix.shape)}, and the shells have {orbitals} orbitals"
        raise InputError(what, where="reordered", remedy="give the basis that the matrix was computed in.")
    A = order_matrix(degrees, target, source).to(matrix)
    return A @ matrix @ A.T


@lru_cache(maxsize=64)
def _ours_to(l: int, program: str):
    """A with chi_program = A chi_ours, of one shell."""
    if program != "orca":
        return convention_matrix(l, "e3nn" if program == "intertwine" else "pyscf")
    if l > ORCA_MOST_DEGREE:
        what, remedy = f"the signs of a shell of degree {l} in ORCA are not known here", "use shells up to g."
        raise InputError(what, where="order_matrix", remedy=remedy)
    orders = [0, *[m for k in range(1, l + 1) for m in (k, -k)]]
    A = convention_matrix(l, "textbook")[[l + m for m in orders]].copy()
    A[[k for k, m in enumerate(orders) if abs(m) >= 3]] *= -1
    return A
