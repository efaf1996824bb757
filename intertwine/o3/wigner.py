r"""Wigner matrices from rotation matrices by recursion in the degree: no angles, so no singular rotation."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor


def wigner_d(l: int, rotation: Float[Tensor, "3 3"]) -> Float[Tensor, "m m"]:  # noqa: E741
    r""":math:`D^l(R)` for a proper rotation R, (2l+1, 2l+1), in e3nn's basis: :math:`D^1(R) = R` on (x, y, z).

    The recursion of Ivanic and Ruedenberg (J. Phys. Chem. 100, 6342 (1996), with the correction 102, 9099 (1998), Table 1),
    which builds :math:`D^l` from :math:`D^1` and :math:`D^{l-1}` by products alone. Its basis is z-polar; e3nn's is y-polar,
    (x, y, z) standing for m = -1, 0, 1, which is the same recursion with the matrix itself as :math:`D^1`.

    Args:
        l: degree, 0 or more.
        rotation: orthogonal with determinant 1.
    """
    if l == 0:
        return rotation.new_ones(1, 1)
    current = rotation
    for degree in range(2, l + 1):
        current = _raise(degree, rotation, current)
    return current


def _raise(l: int, r: Tensor, d: Tensor) -> Tensor:  # noqa: E741
    """One step: ``d`` is the matrix of degree l-1, ``r`` that of degree 1."""

    def p(i: int, a: int, b: int) -> Tensor:
        row, low, high = r[i + 1], 0, 2 * (l - 1)
        a += l - 1
        if b == l:
            return row[2] * d[a, high] - row[0] * d[a, low]
        if b == -l:
            return row[2] * d[a, low] + row[0] * d[a, high]
        return row[1] * d[a, b + l - 1]

    def entry(m: int, n: int) -> Tensor:
        below = 2 * l * (2 * l - 1) if abs(n) == l else (l + n) * (l - n)
        same, k = int(m == 0), abs(m)
        u = math.sqrt((l + m) * (l - m) / below)
        v = 0.5 * math.sqrt((1 + same) * (l + k - 1) * (l + k) / below) * (1 - 2 * same)
        w = -0.5 * math.sqrt((l - k - 1) * (l - k) / below) * (1 - same)
        total = r.new_zeros(())
        if u:
            total = total + u * p(0, m, n)
        if v:
            total = total + v * _v(m, n, p)
        if w:
            total = total + w * (p(1, m + 1, n) + p(-1, -m - 1, n) if m > 0 else p(1, m - 1, n) - p(-1, -m + 1, n))
        return total

    return torch.stack([torch.stack([entry(m, n) for n in range(-l, l + 1)]) for m in range(-l, l + 1)])


def _v(m: int, n: int, p) -> Tensor:
    if m == 0:
        return p(1, 1, n) + p(-1, -1, n)
    if m > 0:
        first = p(1, m - 1, n) * math.sqrt(1 + (m == 1))
        return first if m == 1 else first - p(-1, -m + 1, n)
    second = p(-1, -m - 1, n) * math.sqrt(1 + (m == -1))
    return second if m == -1 else p(1, m + 1, n) + second
