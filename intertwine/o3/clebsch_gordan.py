r"""Coupling coefficients of O(3), exact: each is the square root of a rational number, rounded once.

Racah's finite sum, written with binomials so that it is an integer S, gives the 3j symbol as

.. math::

    \begin{pmatrix} l_1 & l_2 & l_3 \\ m_1 & m_2 & -m_3 \end{pmatrix}^2
    = \frac{S^2 \prod_i (l_i + m_i)!\,(l_i - m_i)!}{(l_1+l_2+l_3+1)!\; a!\, b!\, c!}, \qquad
    S = \sum_k (-1)^k \binom{a}{k} \binom{b}{l_1 - m_1 - k} \binom{c}{l_2 + m_2 - k}

with :math:`a = l_1 + l_2 - l_3`, :math:`b = l_1 - l_2 + l_3`, :math:`c = -l_1 + l_2 + l_3`. In the real basis an entry
is the sum of at most two terms, those of m and of -m, whose absolute values are equal: they cancel or double. It is
therefore again the root of a rational number, and no rounding error is ever added up.

Sources: Racah, Phys. Rev. 62, 438 (1942); Wei, Comput. Phys. Commun. 120, 222 (1999) for the binomials.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from math import comb, factorial, isqrt, ldexp

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from intertwine.numerics import InputError, choose
from intertwine.numerics.limits import check_degrees


@lru_cache(maxsize=4096)
def coupling(l1: int, l2: int, l3: int) -> Float[np.ndarray, "m1 m2 m3"]:
    r"""The invariant tensor C of three real irreps, :math:`C_{ijk} D^{l_1}_{ia} D^{l_2}_{jb} D^{l_3}_{kc} = C_{abc}`,
    of norm 1.

    The basis, the sign and the normalisation are e3nn's; every entry is the correctly rounded value.

    Args:
        l1: degree of the first factor.
        l2: degree of the second factor.
        l3: degree of the product, :math:`|l_1 - l_2| \le l_3 \le l_1 + l_2`.

    Returns:
        read-only array (2 l1 + 1, 2 l2 + 1, 2 l3 + 1) in float64, cached.

    Raises:
        InputError: a degree is not a non-negative integer, or l3 does not occur in the product of l1 and l2.

    >>> bool(coupling(1, 1, 0)[0, 0, 0] == (1 / 3) ** 0.5)
    True
    """
    return _real(l1, l2, l3, 1)


def wigner_3j(
    l1: int, l2: int, l3: int, dtype: torch.dtype | None = None, device: torch.device | str | None = None
) -> Float[Tensor, "m1 m2 m3"]:
    r""":func:`coupling` as a new tensor, (2 l1 + 1, 2 l2 + 1, 2 l3 + 1), cast from the exact values.

    Args:
        l1: degree of the first factor.
        l2: degree of the second factor.
        l3: degree of the product, :math:`|l_1 - l_2| \le l_3 \le l_1 + l_2`.
        dtype: precision; None is torch's default.
        device: where the tensor lives; None is torch's default.

    Raises:
        InputError: see :func:`coupling`.

    >>> wigner_3j(1, 1, 2).shape
    torch.Size([3, 3, 5])
    """
    dtype = torch.empty(0, dtype=dtype).dtype
    return torch.tensor(coupling(l1, l2, l3), dtype=dtype, device=device)


def clebsch_gordan(l1: int, l2: int, l3: int, basis: str = "real") -> Float[np.ndarray, "m1 m2 m3"]:
    r"""Clebsch-Gordan coefficients :math:`\langle l_1 m_1 l_2 m_2 | l_3 m_3 \rangle`: an isometry of the irrep l3 into
    the product.

    They are orthonormal, :math:`\sum_{m_1 m_2} C_{m_1 m_2 m_3} C_{m_1 m_2 m_3'} = \delta_{m_3 m_3'}`, each correctly
    rounded.

    Args:
        l1: degree of the first factor.
        l2: degree of the second factor.
        l3: degree of the product, :math:`|l_1 - l_2| \le l_3 \le l_1 + l_2`.
        basis: ``"real"``, e3nn's real basis, :func:`coupling` times :math:`\sqrt{2 l_3 + 1}`; or ``"complex"``, the
            eigenvectors of :math:`J_z` with the phases of Condon and Shortley, as in Varshalovich, section 8, and
            ``sympy.physics.quantum.cg.CG``.

    Returns:
        read-only array (2 l1 + 1, 2 l2 + 1, 2 l3 + 1) in float64, m from -l to l on every axis.

    Raises:
        InputError: see :func:`coupling`; or an unknown basis.

    >>> bool(clebsch_gordan(1, 1, 1, basis="complex")[2, 1, 2] == 0.5**0.5)
    True
    """
    table = {"real": _real, "complex": _complex}[
        choose(basis, ("real", "complex"), kind="basis", where="clebsch_gordan")
    ]
    return table(l1, l2, l3, 2 * l3 + 1)


@lru_cache(maxsize=4096)
def _real(l1: int, l2: int, l3: int, scale: int) -> np.ndarray:
    """The invariant tensor times the square root of ``scale``, in the real basis."""
    C = _zeros(l1, l2, l3)
    for m1, m2, sign, p, q in _symbols(l1, l2, l3):
        m3 = m1 + m2
        # m and -m are conjugate: 2 over the roots of 8 or 4; or 1
        value = sign * _root(scale * p, 2 * q if m1 and m2 and m3 else q)
        for a in {m1, -m1}:
            for b in {m2, -m2}:
                for c in {m3, -m3}:
                    turns = _turns(l1, m1, a) + _turns(l2, m2, b) - _turns(l3, m3, c)
                    if turns % 2 == 0:
                        C[l1 + a, l2 + b, l3 + c] = value * (1 - turns % 4)
    C.setflags(write=False)
    return C


@lru_cache(maxsize=1024)
def _complex(l1: int, l2: int, l3: int, scale: int) -> np.ndarray:
    """The same in the complex basis."""
    C = _zeros(l1, l2, l3)
    for m1, m2, sign, p, q in _symbols(l1, l2, l3):
        C[l1 + m1, l2 + m2, l3 + m1 + m2] = value = sign * _root(scale * p, q)
        C[l1 - m1, l2 - m2, l3 - m1 - m2] = (-1) ** (l1 + l2 - l3) * value
    C.setflags(write=False)
    return C


def _zeros(l1: int, l2: int, l3: int) -> np.ndarray:
    for l in (l1, l2, l3):
        if not isinstance(l, int) or isinstance(l, bool) or l < 0:
            raise InputError(
                f"{l!r} is not a degree", where="coupling coefficients", remedy="give integers of 0 or more."
            )
    if not abs(l1 - l2) <= l3 <= l1 + l2:
        raise InputError(
            f"the product of l = {l1} and {l2} does not contain l = {l3}",
            where="coupling coefficients",
            remedy=f"l3 must be from {abs(l1 - l2)} to {l1 + l2}.",
        )
    check_degrees((l1, l2, l3), "coupling coefficients")
    return np.zeros((2 * l1 + 1, 2 * l2 + 1, 2 * l3 + 1))


def _symbols(l1: int, l2: int, l3: int) -> Iterator[tuple[int, int, int, int, int]]:
    """(m1, m2, sign, p, q) for every non-zero coefficient with (m1, m2) >= (0, 0); its 3j symbol squared is p / q."""
    a, b, c = l1 + l2 - l3, l1 - l2 + l3, l2 + l3 - l1
    first, second, third = ([comb(n, k) for k in range(n + 1)] for n in (a, b, c))
    q = factorial(l1 + l2 + l3 + 1) * factorial(a) * factorial(b) * factorial(c)
    weights = [[factorial(l + m) * factorial(l - m) for m in range(-l, l + 1)] for l in (l1, l2, l3)]
    for m1 in range(l1 + 1):
        for m2 in range(max(-l2, -l3 - m1) if m1 else 0, min(l2, l3 - m1) + 1):
            terms = range(max(0, l1 - m1 - b, l2 + m2 - c), min(a, l1 - m1, l2 + m2) + 1)
            S = sum((-1) ** k * first[k] * second[l1 - m1 - k] * third[l2 + m2 - k] for k in terms)
            if S:
                yield (
                    m1,
                    m2,
                    1 if S > 0 else -1,
                    S * S * weights[0][l1 + m1] * weights[1][l2 + m2] * weights[2][l3 + m1 + m2],
                    q,
                )


def _turns(l: int, m: int, a: int) -> int:
    r"""The phase, in powers of i, of the complex harmonic m in the real one a = m or -m of e3nn, which has the factor
    :math:`(-i)^l`.
    """
    if m == 0:
        return -l
    return 2 * max(m, 0) - l + (0 if a > 0 else 1 if m > 0 else -1)


def _root(p: int, q: int) -> float:
    """The square root of p / q, correctly rounded: an integer root of 64 bits or more, its lowest bit set where digits
    are cut off.
    """
    shift = max(0, 130 + q.bit_length() - p.bit_length() + 1) // 2
    n = isqrt((p << 2 * shift) // q)
    return ldexp(float(n | (n * n * q != p << 2 * shift)), -shift)
