r"""Wigner matrices from rotation matrices by recursion in the degree: no angles, so no singular rotation."""

from __future__ import annotations

from functools import lru_cache
from math import sqrt

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from intertwine.groups.rotations import require_shape
from intertwine.numerics import InputError
from intertwine.numerics.limits import check_degrees


def wigner_d(l: int, rotation: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch m m"]:
    r""":math:`D^l(R)`, (..., 2l+1, 2l+1), in e3nn's basis: :math:`D^1(R) = R` on (x, y, z), and
    :math:`Y^l(R x) = D^l(R)\,Y^l(x)`.

    The recursion of Ivanic and Ruedenberg (J. Phys. Chem. 100, 6342 (1996), with the correction 102, 9099 (1998), Table
    1), which builds :math:`D^l` from :math:`D^1` and :math:`D^{l-1}` by products alone: a homogeneous polynomial of
    degree l, smooth at every rotation. Its basis is z-polar; e3nn's is y-polar, (x, y, z) standing for m = -1, 0, 1,
    which is the same recursion with the matrix itself as :math:`D^1`. Rounding errors are about 1e-14 at l = 12 and
    1e-13 at l = 30.

    Args:
        l: degree, 0 or more.
        rotation: orthogonal (..., 3, 3). The result has its precision; the recursion runs in float64, out of reach of
            autocast and of matrix products in reduced precision. An improper rotation gives
            :math:`D^l(-R) = (-1)^l D^l(R)`, the representation on the spherical harmonics;
            :class:`~intertwine.o3.Irrep` knows of other parities.

    Raises:
        InputError: a degree that is negative or beyond 100, or no matrices of floating-point numbers.

    >>> wigner_d(2, torch.eye(3).expand(10, 3, 3)).shape
    torch.Size([10, 5, 5])
    """
    return _degrees(l, rotation)[-1]


def wigner_d_blocks(
    lmax: int, rotation: Float[Tensor, "*batch 3 3"], orders: int | None = None
) -> list[Float[Tensor, "..."]]:
    r""":math:`D^0, \ldots, D^{l_{max}}`, each (..., 2l+1, 2l+1), from one recursion; see :func:`wigner_d`.

    Args:
        lmax: the last degree, 0 or more.
        rotation: orthogonal (..., 3, 3).
        orders: only the rows :math:`|m| \le` orders, 0 or more, of which there are 2 min(l, orders) + 1; all of them if
            None. The rows that are left out are not computed.

    Raises:
        InputError: as :func:`wigner_d`.
    """
    return _degrees(lmax, rotation, orders)


def _degrees(lmax: int, rotation: Tensor, orders: int | None = None) -> list[Tensor]:
    require_shape(rotation, (3, 3), "wigner_d")
    for number in (lmax, lmax if orders is None else orders):
        if not isinstance(number, int) or isinstance(number, bool) or number < 0:
            raise InputError(f"{number!r} is not a degree", where="wigner_d", remedy="give an integer of 0 or more.")
    check_degrees([lmax], "wigner_d")
    orders = lmax if orders is None else orders
    exact = rotation if rotation.device.type == "mps" else rotation.to(torch.float64)  # Apple's GPUs have no float64
    blocks = [exact.new_ones(*rotation.shape[:-2], 1, 1), exact if orders else exact[..., 1:2, :].clone()][: lmax + 1]
    low, centre, high = (row[..., None, :, None] for row in exact.unbind(-2))
    for l in range(2, lmax + 1):
        blocks.append(_raise(l, low, centre, high, blocks[-1], orders))
    return [block.to(rotation.dtype, copy=block is rotation) for block in blocks]  # the caller may write into D^1


def _raise(l: int, low: Tensor, centre: Tensor, high: Tensor, d: Tensor, orders: int) -> Tensor:
    """One step from the matrix ``d`` of degree l-1 and the rows of that of degree 1, the roles of rows and columns
    exchanged: D(R) is the transpose of D(R^T), and then the table stands on the right, where one matrix product serves
    the batch."""
    p = centre * d[..., :, None, :]  # Table 2: P^i_{a b}
    rows, columns = _table(l, d).split((6 * l - 3, 1))
    if l > orders:  # the rows in between need no others
        return (p.flatten(-2) @ rows) * columns[:, l - orders : l + orders + 1].mT
    first, last = d[..., :1, None, :], d[..., -1:, None, :]
    p = torch.cat([high * first + low * last, p, high * last - low * first], dim=-3)
    return (p.flatten(-2) @ rows) * columns.mT


def _table(l: int, like: Tensor) -> Tensor:
    if torch.compiler.is_compiling():  # dynamo knows no arrays made outside of its graph, but numbers
        return torch.tensor(_numbers(l), dtype=like.dtype, device=like.device)
    return torch.from_numpy(_coefficients(l)).to(like)


def _numbers(l: int) -> list[list[float]]:
    return _coefficients(l).tolist()


# what torch.compiler.assume_constant_result does, which would import dynamo
_numbers._dynamo_marked_constant = True  # type: ignore[attr-defined]


@lru_cache(maxsize=64)
def _coefficients(l: int) -> np.ndarray:
    """Table 1 as a matrix (3(2l-1) + 1, 2l+1): row m of D^l in terms of the rows (i, a) of P; last the factor of column
    n.
    """
    table = np.zeros((6 * l - 2, 2 * l + 1))
    for m in range(-l, l + 1):
        for i, a, weight in _terms(l, m):
            if weight:  # a vanishing term may point outside of P
                table[(i + 1) * (2 * l - 1) + a + l - 1, m + l] += weight
    table[-1] = [1 / sqrt(2 * l * (2 * l - 1) if abs(n) == l else (l + n) * (l - n)) for n in range(-l, l + 1)]
    return table


def _terms(l: int, m: int) -> list[tuple[int, int, float]]:
    """The terms u U, v V and w W of row m: superscript i and row a of P, and the factor but for that of the column."""
    k = abs(m)
    u = sqrt((l + m) * (l - m))
    v = 0.5 * sqrt((l + k - 1) * (l + k))
    w = -0.5 * sqrt((l - k - 1) * (l - k)) if k < l else 0.0
    if m == 0:
        return [(0, 0, u), (1, 1, -sqrt(2) * v), (-1, -1, -sqrt(2) * v)]
    term = sqrt(2) * v if k == 1 else v
    two = 0.0 if k == 1 else v
    if m > 0:
        return [(0, m, u), (1, m - 1, term), (-1, 1 - m, -two), (1, m + 1, w), (-1, -m - 1, w)]
    return [(0, m, u), (1, m + 1, two), (-1, -m - 1, term), (1, m - 1, w), (-1, 1 - m, -w)]
