r"""Wigner matrices from rotation matrices by recursion in the degree: no angles, so no singular rotation."""

from __future__ import annotations

from functools import lru_cache
from math import sqrt

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor


def wigner_d(l: int, rotation: Float[Tensor, "3 3"]) -> Float[Tensor, "m m"]:
    r""":math:`D^l(R)` for a proper rotation R, (2l+1, 2l+1), in e3nn's basis: :math:`D^1(R) = R` on (x, y, z).

    The recursion of Ivanic and Ruedenberg (J. Phys. Chem. 100, 6342 (1996), with the correction 102, 9099 (1998), Table 1),
    which builds :math:`D^l` from :math:`D^1` and :math:`D^{l-1}` by products alone. Its basis is z-polar; e3nn's is y-polar,
    (x, y, z) standing for m = -1, 0, 1, which is the same recursion with the matrix itself as :math:`D^1`.

    Args:
        l: degree, 0 or more.
        rotation: orthogonal with determinant 1; the result has its precision.
    """
    if l == 0:
        return rotation.new_ones(1, 1)
    current = rotation
    for degree in range(2, l + 1):
        current = _raise(degree, rotation, current)
    return current


def wigner_d_blocks(lmax: int, rotation: Float[Tensor, "3 3"]) -> list[Float[Tensor, "m m"]]:
    r""":math:`D^0, \ldots, D^{l_{max}}` from one recursion."""
    blocks = [rotation.new_ones(1, 1), rotation][: lmax + 1]
    for degree in range(2, lmax + 1):
        blocks.append(_raise(degree, rotation, blocks[-1]))
    return blocks


def _raise(l: int, r: Tensor, d: Tensor) -> Tensor:
    """One step: ``d`` is the matrix of degree l-1, ``r`` that of degree 1."""
    low, centre, high = (r[:, k, None, None] for k in range(3))
    first, last = d[:, :1], d[:, -1:]
    p = torch.cat([high * first + low * last, centre * d, high * last - low * first], dim=-1)  # Table 2: P^i_{a b}
    rows, coefficients = _table(l)
    indices, factors = torch.from_numpy(rows).to(r.device), torch.from_numpy(coefficients).to(r)
    return (factors * p.flatten(0, 1)[indices]).sum(0)


@lru_cache(maxsize=64)
def _table(l: int) -> tuple[np.ndarray, np.ndarray]:
    """Row m of D^l as at most five rows of P: which (terms, 2l+1), and their coefficients (terms, 2l+1, 2l+1), Table 1."""
    rows, weights = np.zeros((5, 2 * l + 1), dtype=np.int64), np.zeros((5, 2 * l + 1))
    for m in range(-l, l + 1):
        for term, (i, a, weight) in enumerate(_terms(l, m)):
            if weight:  # a vanishing term may point outside of P
                rows[term, m + l] = (i + 1) * (2 * l - 1) + a + l - 1
                weights[term, m + l] = weight
    below = [2 * l * (2 * l - 1) if abs(n) == l else (l + n) * (l - n) for n in range(-l, l + 1)]
    return rows, weights[:, :, None] / np.sqrt(below)


def _terms(l: int, m: int) -> list[tuple[int, int, float]]:
    """The terms u U, v V and w W of row m: superscript i and row a of P, and the factor but for that of the column."""
    k = abs(m)
    u = sqrt((l + m) * (l - m))
    v = 0.5 * sqrt((l + k - 1) * (l + k))
    w = -0.5 * sqrt((l - k - 1) * (l - k)) if k < l else 0.0
    if m == 0:
        return [(0, 0, u), (1, 1, -sqrt(2) * v), (-1, -1, -sqrt(2) * v)]
    one = sqrt(2) * v if k == 1 else v
    two = 0.0 if k == 1 else v
    if m > 0:
        return [(0, m, u), (1, m - 1, one), (-1, 1 - m, -two), (1, m + 1, w), (-1, -m - 1, w)]
    return [(0, m, u), (1, m + 1, two), (-1, -m - 1, one), (1, m - 1, w), (-1, 1 - m, -w)]
