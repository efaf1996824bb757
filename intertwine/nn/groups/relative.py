r"""Logarithms of :math:`g_j^{-1} g_i` along edges: what does not depend on the pair is done once for each node."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from intertwine.groups import SO, Affine, Group
from intertwine.groups.matrix import NoTurn
from intertwine.groups.rotations import matrix_to_quaternion
from intertwine.groups.series import horner

_TERMS = 8  # of series in y < 0.01
_SMALL = 0.01


def relative_logarithms(
    group: Group, elements: Float[Tensor, "nodes ..."], edge_index: Int[Tensor, "2 edges"]
) -> Float[Tensor, "edges dim"]:
    r""":math:`\log(g_j^{-1} g_i)` for every edge j -> i, smooth where elements coincide.

    Args:
        group: any with a logarithm. T(n), SO(2), SE(2), SO(3) and SE(3) take a short way, by differences and
            quaternions.
        elements: of the nodes, as the group has them.
        edge_index: sources j, then destinations i.

    Returns:
        (edges, dim), as ``group.log`` has it; of a half turn one of its two logarithms.
    """
    if isinstance(group, Affine) and isinstance(group.point, NoTurn):
        x = group.shift(elements).contiguous()  # rows of a part are slow to look up
        return x.index_select(0, edge_index[1]) - x.index_select(0, edge_index[0])
    point = group.point if isinstance(group, Affine) else group
    if point != SO(2) and point != SO(3):
        j, i = edge_index
        return group.log(group.product(group.inverse(elements).index_select(0, j), elements.index_select(0, i)))
    if not isinstance(group, Affine):
        omega, _ = _rigid(_quaternions(elements), None, edge_index)
        return omega[2:].T if point == SO(2) else omega.T
    q, x = _quaternions(group.linear(elements)), group.shift(elements).T
    if point == SO(2):
        x = torch.cat([x, torch.zeros_like(x[:1])])
    omega, v = _rigid(q, x.contiguous(), edge_index)
    assert v is not None
    return torch.cat([v[:2], omega[2:]] if point == SO(2) else [v, omega]).T


def _quaternions(turns: Float[Tensor, "nodes n n"]) -> Float[Tensor, "4 nodes"]:
    """Components in rows; a rotation of the plane is one about z."""
    if turns.shape[-1] == 3:
        return matrix_to_quaternion(turns).T.contiguous()
    half = torch.atan2(turns[:, 1, 0] - turns[:, 0, 1], turns[:, 0, 0] + turns[:, 1, 1]) / 2
    zero = torch.zeros_like(half)
    return torch.stack([half.cos(), zero, zero, half.sin()])


def _rigid(
    q: Float[Tensor, "4 nodes"], x: Float[Tensor, "3 nodes"] | None, edge_index: Int[Tensor, "2 edges"]
) -> tuple[Float[Tensor, "3 edges"], Float[Tensor, "3 edges"] | None]:
    r"""The rotation vector :math:`\omega` of :math:`\bar q_j q_i`, and :math:`\Phi(\omega)^{-1} R_j^{-1} (x_i - x_j)`.

    With the relative quaternion :math:`(w, u)`, :math:`w \ge 0`, and :math:`y = |u|^2 = \sin^2(\theta/2)`:
    :math:`\omega = 2 a u` where :math:`a = \arcsin(\sqrt y)/\sqrt y`, and

    .. math:: \Phi^{-1} t = a w\, t - a\, u \times t + \frac{1 - a w}{y}\, u\, (u \cdot t).
    """
    j, i = edge_index
    qj, qi = q.index_select(1, j), q.index_select(1, i)
    w = (qj * qi).sum(0)
    u = qj[0] * qi[1:] - qi[0] * qj[1:] - _cross(qj[1:], qi[1:])
    u = torch.where(w < 0, -u, u)
    w, y = w.abs(), (u * u).sum(0)
    small = y < _SMALL
    near, far = torch.where(small, y, 0.0), torch.where(small, 1.0, y)
    sine = far.sqrt()
    a = torch.where(small, horner(_ARCSIN, near), torch.atan2(sine, torch.where(small, 1.0, w)) / sine)
    if x is None:
        return 2 * a * u, None
    away = x.index_select(1, i) - x.index_select(1, j)
    once = _cross(qj[1:], away)
    t = away + 2 * (_cross(qj[1:], once) - qj[0] * once)
    aw = a * w
    rest = torch.where(small, horner(_REST, near), (1 - aw) / far)
    return 2 * a * u, aw * t - a * _cross(u, t) + rest * (u * t).sum(0) * u


def _cross(a: Float[Tensor, "3 edges"], b: Float[Tensor, "3 edges"]) -> Float[Tensor, "3 edges"]:
    """Of columns: torch's is several times as slow on short vectors."""
    return (a * b.roll(-1, 0) - a.roll(-1, 0) * b).roll(-1, 0)


def _series() -> tuple[list[float], list[float]]:
    r"""Coefficients of :math:`\arcsin(\sqrt y)/\sqrt y`, and of :math:`(1 - \sqrt{1-y} \arcsin(\sqrt y)/\sqrt y)/y =
    \sum_k \frac{(2k)!!}{(2k+3)!!} y^k`.
    """
    arcsin, rest, binomial, ratio = [], [], 1.0, 1 / 3
    for k in range(_TERMS):
        arcsin.append(binomial / (2 * k + 1))
        rest.append(ratio)
        binomial *= (2 * k + 1) / (2 * k + 2)
        ratio *= (2 * k + 2) / (2 * k + 5)
    return arcsin, rest


_ARCSIN, _REST = _series()
