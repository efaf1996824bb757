"""How far two structures are apart when one is laid on the other."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from intertwine.numerics import segment


def superposed(
    x: Float[Tensor, "points 3"], y: Float[Tensor, "points 3"], owner: Int[Tensor, " points"], graphs: int
) -> tuple[Float[Tensor, "graphs 3 3"], Float[Tensor, "graphs 3"], Float[Tensor, "graphs 3"]]:
    r"""The rotation R and centres :math:`\bar x, \bar y` of each graph for which
    :math:`\sum \|R (x - \bar x) - (y - \bar y)\|^2` is least, in float64 (Kabsch, Acta Cryst. A32, 922 (1976)).

    Args:
        x, y: the same points of two structures, in one unit.
        owner: graph of each point.
        graphs: how many.
    """
    x, y = x.to(torch.float64), y.to(torch.float64)
    centre_x, centre_y = segment.mean(x, owner, graphs), segment.mean(y, owner, graphs)
    a, b = x - centre_x.index_select(0, owner), y - centre_y.index_select(0, owner)
    u, _, v = torch.linalg.svd(segment.sum(b.unsqueeze(2) * a.unsqueeze(1), owner, graphs))
    proper = torch.ones(graphs, 3, dtype=x.dtype, device=x.device)
    proper[:, 2] = torch.linalg.det(u @ v).round()
    return (u * proper.unsqueeze(1)) @ v, centre_x, centre_y


def deviation(
    x: Float[Tensor, "points 3"], y: Float[Tensor, "points 3"], owner: Int[Tensor, " points"], graphs: int
) -> Float[Tensor, " graphs"]:
    """RMSD of each graph after superposition, in the unit of the points, in float64; 0 for a graph of no points.

    Arguments are those of :func:`superposed`.
    """
    rotation, centre_x, centre_y = superposed(x, y, owner, graphs)
    a = x.to(torch.float64) - centre_x.index_select(0, owner)
    b = y.to(torch.float64) - centre_y.index_select(0, owner)
    moved = (rotation.index_select(0, owner) @ a.unsqueeze(-1)).squeeze(-1)
    return segment.mean((moved - b).square().sum(-1), owner, graphs).sqrt()
