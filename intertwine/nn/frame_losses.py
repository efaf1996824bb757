"""Losses of structures made of frames: aligned point error, and torsion angles.

Jumper et al., Nature 596, 583 (2021), supplementary algorithms 27 and 28.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from intertwine.numerics import segment

CLAMP_ANGSTROM = 10.0  # distances beyond it count as it
UNIT_ANGSTROM = 10.0  # Z: the loss of a clamped distance is 1
ANGLE_NORM_WEIGHT = 0.02  # of the length of the pairs of angles


class Cells:
    """Frames with an origin, in the space of the points that they look at.

    Args:
        axes: as columns (frames, 3, 3).
        origin: (frames, 3), A.
    """

    def __init__(self, axes: Float[Tensor, "frames 3 3"], origin: Float[Tensor, "frames 3"]) -> None:
        self.axes, self.origin = axes, origin

    def local(
        self, x: Float[Tensor, "points 3"], f: Int[Tensor, " pairs"], p: Int[Tensor, " pairs"]
    ) -> Float[Tensor, "pairs 3"]:
        r"""Coordinates :math:`T_f^{-1} \circ x_p` (pairs, 3), A."""
        apart = x.index_select(0, p) - self.origin.index_select(0, f)
        return (self.axes.index_select(0, f) * apart.unsqueeze(-1).to(self.axes.dtype)).sum(1)


def aligned_point_error(
    frames: Cells,
    points: Float[Tensor, "points 3"],
    true_frames: Cells,
    true_points: Float[Tensor, "points 3"],
    of_frame: Int[Tensor, " frames"],
    of_point: Int[Tensor, " points"],
    graphs: int,
    *,
    clamp: float = CLAMP_ANGSTROM,
    smoothing: float = 1e-4,
) -> Float[Tensor, " graphs"]:
    r"""Frame-aligned point error (FAPE) of each graph: the mean over its frames f and its points p of

    .. math::
        \tfrac1Z \min\Big(d_{max}, \sqrt{\big\|T_f^{-1} \circ x_p - T_f^{true\,-1} \circ x_p^{true}\big\|^2
        + \epsilon}\Big), \qquad Z = 10 \text{ A}

    It is the same after any motion of either structure, and not after a reflection of one. 0 for a graph without
    frames or points.

    Args:
        frames, points: predicted.
        true_frames, true_points: true, in the same order.
        of_frame, of_point: graph of each, in ascending order.
        graphs: how many.
        clamp: d_max (A); infinity for none.
        smoothing: epsilon (A^2); 1e-12 for backbones in the paper, 1e-4 for all atoms.
    """
    f, p = _together(of_frame, of_point, graphs)
    apart = frames.local(points, f, p) - true_frames.local(true_points, f, p)
    d = (apart.square().sum(-1) + smoothing).sqrt().clamp(max=clamp)
    return segment.mean(d, of_frame.index_select(0, f), graphs) / UNIT_ANGSTROM


def torsion_loss(
    angles: Float[Tensor, "residues angles 2"],
    truth: Float[Tensor, "residues angles 2"],
    known: Bool[Tensor, "residues angles"],
    symmetric: Bool[Tensor, "residues angles"],
    owner: Int[Tensor, " residues"],
    graphs: int,
) -> Float[Tensor, " graphs"]:
    r"""The loss of torsion angles of each graph:

    .. math::
        \operatorname{mean}_{i,f}\, \min\big(\|\hat\alpha - \alpha^{true}\|^2, \|\hat\alpha - \alpha^{alt}\|^2\big)
        + 0.02\, \operatorname{mean}_{i,f}\, \big|\|\alpha\| - 1\big|, \qquad \hat\alpha = \alpha / \|\alpha\|

    with :math:`\alpha^{alt} = -\alpha^{true}` where a half turn exchanges equal atoms, and :math:`\alpha^{true}`
    elsewhere. The first mean is over known angles, the second over all.

    Args:
        angles: predicted pairs in the direction of (sin, cos), of any length.
        truth: (sin, cos).
        known: which of them the residue has.
        symmetric: of which a half turn changes nothing.
        owner: graph of each residue.
        graphs: how many.
    """
    length = (angles.square().sum(-1) + torch.finfo(angles.dtype).tiny ** 0.5).sqrt()
    unit = angles / length.unsqueeze(-1)
    squares = (unit - truth).square().sum(-1)
    squares = torch.where(symmetric, torch.minimum(squares, (unit + truth).square().sum(-1)), squares)
    of = owner.unsqueeze(1).expand(known.shape)
    turn = segment.mean(squares[known], of[known], graphs)
    return turn + ANGLE_NORM_WEIGHT * segment.mean((length - 1).abs().flatten(), of.flatten(), graphs)


def _together(first: Tensor, second: Tensor, graphs: int) -> tuple[Tensor, Tensor]:
    """Every row of the first with every row of the second that is of the same graph; owners ascend."""
    counts = torch.bincount(second, minlength=graphs)
    starts, number = (counts.cumsum(0) - counts)[first], counts[first]
    f = torch.repeat_interleave(torch.arange(len(first), device=first.device), number)
    within = torch.arange(len(f), device=first.device) - (number.cumsum(0) - number)[f]
    return f, starts[f] + within
