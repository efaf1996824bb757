r"""Couplings of one vector with itself: the equivariant polynomials of a degree.

The polynomials :math:`p(x)` of degree :math:`\nu` in the components of :math:`x \in \bigoplus_b V_b` that transform
like an irrep split by how often each block occurs. Such a sector is the tensor product of its blocks with the symmetry
of those that occur more than once, a problem of the size of single irreps, which
:func:`~intertwine.o3.reduce.symmetric_basis` solves.
"""

from __future__ import annotations

from collections import Counter
from functools import lru_cache
from itertools import combinations_with_replacement, permutations
from math import factorial, prod, sqrt
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from intertwine.numerics import InputError
from intertwine.o3.irreps import Irrep, Irreps
from intertwine.o3.reduce import symmetric_basis

_ZERO_COEFFICIENT = 1e-12  # coefficients are of order 1, and rounding leaves some 1e-17 where one vanishes


class SymmetricCouplings(NamedTuple):
    r"""An orthonormal basis of the equivariant polynomials,
    :math:`p_{\eta M}(x) = \sum_t c_{\eta M t} \prod_\xi x_{i_{t \xi}}`.

    Attributes:
        monomials: the factors i (monomials, degree) of every monomial, ascending, in lexicographic order.
        coefficients: c (paths, 2 l + 1, monomials), read-only.
    """

    monomials: Int[np.ndarray, "monomials degree"]
    coefficients: Float[np.ndarray, "paths components monomials"]

    def tensor(self, dim: int) -> Float[np.ndarray, "..."]:
        r"""U (paths, 2 l + 1, dim, ..., dim), symmetric in its last ``degree`` axes: MACE's generalised Clebsch-Gordan
        coefficients.
        """
        degree = self.monomials.shape[1]
        U = np.zeros((*self.coefficients.shape[:2], *[dim] * degree))
        orders = list(permutations(range(degree)))
        for order in orders:
            for t, monomial in enumerate(self.monomials[:, order]):
                U[(..., *monomial)] += self.coefficients[..., t] / len(orders)
        return U


def symmetric_couplings(irreps: Any, ir_out: Any, degree: int) -> SymmetricCouplings:
    r"""All linearly independent equivariant polynomials of a degree, from a representation to an irrep.

    They are orthonormal as symmetric tensors: with :meth:`SymmetricCouplings.tensor`,
    :math:`\sum_{i j \ldots} U_{\eta M i j \ldots} U_{\eta' M' i j \ldots} = \delta_{\eta \eta'} \delta_{M M'}`. The
    order is that of the blocks that are multiplied. MACE's U of degree 3 and more repeat themselves: coupling 16
    components (l <= 3) to a vector in degree 3, they count 51 paths of which 12 are independent.

    Args:
        irreps: representation of x; one copy of each block.
        ir_out: the irrep.
        degree: :math:`\nu \ge 1`.

    Returns:
        The coefficients in float64, cached for the process.

    Raises:
        InputError: a block has other than one copy, or the degree is not a positive integer.

    Source: Batatia et al., MACE (2022), eq. 10; Drautz, Phys. Rev. B 99, 014104 (2019).

    >>> [len(symmetric_couplings("0e + 1o", ir, 3).coefficients) for ir in ("0e", "1o", "2e", "1e")]
    [2, 2, 1, 0]
    """
    irreps = Irreps(irreps)
    if any(mul != 1 for mul, _ in irreps):
        raise InputError(
            f"{irreps} has blocks of more or less than one irrep",
            where="symmetric_couplings",
            remedy="give one of each.",
        )
    if not isinstance(degree, int) or isinstance(degree, bool) or degree < 1:
        raise InputError(
            f"{degree!r} is not a degree", where="symmetric_couplings", remedy="give an integer of 1 or more."
        )
    return _couplings(tuple(ir for _, ir in irreps), Irrep(ir_out), degree)


@lru_cache(maxsize=1024)
def _couplings(irreps: tuple[Irrep, ...], ir_out: Irrep, degree: int) -> SymmetricCouplings:
    tensors, starts = [], np.cumsum([0, *(ir.dim for ir in irreps)])
    for labels in combinations_with_replacement(range(len(irreps)), degree):
        factors = [irreps[b] for b in labels]
        ls = sorted([ir_out.l, *(ir.l for ir in factors)])
        if prod(ir.p for ir in factors) != ir_out.p or ls[-1] > sum(ls[:-1]):
            continue  # another parity, or no polygon
        group = [(1, p) for p in permutations(range(degree)) if all(labels[p[k]] == labels[k] for k in range(degree))]
        _, basis = symmetric_basis([Irreps(ir) for ir in factors], group, frozenset({ir_out}))
        if len(basis):
            orders = factorial(degree) // prod(factorial(count) for count in Counter(labels).values())
            places = np.indices(basis.shape[1:]).reshape(degree, -1).T + starts[list(labels)]
            tensors.append(
                _collected(sqrt(orders) * basis.reshape(-1, ir_out.dim, len(places)), np.sort(places, axis=1))
            )
    if not tensors:
        return SymmetricCouplings(np.zeros((0, degree), dtype=np.int64), np.zeros((0, ir_out.dim, 0)))
    monomials, place = np.unique(np.concatenate([part.monomials for part in tensors]), axis=0, return_inverse=True)
    coefficients = np.zeros((sum(len(part.coefficients) for part in tensors), ir_out.dim, len(monomials)))
    path = column = 0
    for part in tensors:
        paths, columns = len(part.coefficients), len(part.monomials)
        coefficients[path : path + paths, :, place.reshape(-1)[column : column + columns]] = part.coefficients
        path, column = path + paths, column + columns
    coefficients.setflags(write=False)
    monomials.setflags(write=False)
    return SymmetricCouplings(monomials, coefficients)


def _collected(basis: np.ndarray, places: np.ndarray) -> SymmetricCouplings:
    """Entries (paths, components, entries) of tensors, added up for each monomial; monomials that do not occur are left
    out.
    """
    monomials, number = np.unique(places, axis=0, return_inverse=True)
    total = np.zeros((len(monomials), *basis.shape[:2]))
    np.add.at(total, number.reshape(-1), np.moveaxis(basis, 2, 0))
    total = np.moveaxis(total, 0, 2)
    total[np.abs(total) < _ZERO_COEFFICIENT] = 0.0
    used = total.any(axis=(0, 1))
    return SymmetricCouplings(monomials[used], total[..., used])
