r"""Local frames: three axes at every node that turn with the structure, smooth wherever they are.

.. math::
    e_1 = \frac{a}{\sqrt{\|a\|^2 + \epsilon^2}}, \qquad b' = b - (b \cdot e_1)\, e_1, \qquad
    e_2 = \frac{b'}{\sqrt{\|b'\|^2 + \epsilon^2}}, \qquad e_3 = e_1 \times e_2

Gram and Schmidt's frame of two vectors a, b where they are long and not parallel, up to :math:`(\epsilon / \|a\|)^2`.
No continuous frame exists at a node whose surroundings look the same after a rotation (the carbon of methane, atoms on
a line). There these axes vanish, those that symmetry leaves undefined and no others: coordinates along them are zero,
and equivariance holds without exception.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from intertwine.nn.attention import edge_mean
from intertwine.nn.edge_mlp import EdgeMLP
from intertwine.numerics import GeometryError, safe


def soft_frames(
    a: Float[Tensor, "nodes 3"], b: Float[Tensor, "nodes 3"], smoothing: float
) -> Float[Tensor, "nodes 3 3"]:
    """Axes :math:`e_1, e_2, e_3` as columns, from two vectors of each node.

    Args:
        a: the vector along the first axis.
        b: a vector in the half-plane of the first two axes.
        smoothing: epsilon, in the unit of a and b.
    """
    first = _shortened(a, smoothing)
    second = _shortened(b - (b * first).sum(-1, keepdim=True) * first, smoothing)
    return torch.stack([first, second, torch.linalg.cross(first, second, dim=-1)], dim=-1)


def _shortened(x: Float[Tensor, "nodes 3"], smoothing: float) -> Float[Tensor, "nodes 3"]:
    return x * ((x * x).sum(-1, keepdim=True) + smoothing**2).rsqrt()


def residue_frames(
    n: Float[Tensor, "residues 3"], ca: Float[Tensor, "residues 3"], c: Float[Tensor, "residues 3"]
) -> Float[Tensor, "residues 3 3"]:
    """Frames of residues from their backbone atoms, (residues, 3, 3) with the axes as rows: the field ``frame`` of a
    graph whose nodes are the residues, at the positions of the alpha carbons. Jumper et al. 2021, algorithm 21.

    Args:
        n, ca, c: positions of nitrogen, alpha carbon and carbonyl carbon (A).

    Raises:
        GeometryError: three atoms that are on a line or coincide, or one that is missing (not finite); the residue is
            named, from 0.
    """
    first = safe.normalize(c - ca)
    side = n - ca
    side = side - (side * first).sum(-1, keepdim=True) * first
    if safe.inspectable(side):
        _check_corners(n, ca, c, side)
    second = safe.normalize(side)
    return torch.stack([first, second, torch.linalg.cross(first, second, dim=-1)], dim=1)


def _check_corners(
    n: Float[Tensor, "residues 3"],
    ca: Float[Tensor, "residues 3"],
    c: Float[Tensor, "residues 3"],
    side: Float[Tensor, "residues 3"],
) -> None:
    """Raise a :class:`GeometryError` unless every residue has three atoms that span a plane; ``side`` is the part of
    N - CA across C - CA."""
    for atom, x in (("N", n), ("CA", ca), ("C", c)):
        missing = ~torch.isfinite(x).all(-1)
        if bool(missing.any()):
            what = f"the atom {atom} of residue {int(missing.nonzero()[0])} is missing (its position is not finite)"
            raise GeometryError(what, where="frame", remedy="give all of N, CA and C, or leave out that residue.")
    for pair, x, y in (("N and CA", n, ca), ("CA and C", ca, c), ("N and C", n, c)):
        same = safe.norm(x - y) < 1e-3
        if bool(same.any()):
            what = f"{pair} of residue {int(same.nonzero()[0])} coincide"
            raise GeometryError(what, where="frame", remedy="repair or leave out that residue.")
    flat = safe.norm(side) < 1e-3 * safe.norm(n - ca)
    if bool(flat.any()):
        what = f"N, CA and C of residue {int(flat.nonzero()[0])} are on a line"
        raise GeometryError(what, where="frame", remedy="repair or leave out that residue.")


class FrameEmbedding(nn.Module):
    r"""Frames of the vectors :math:`a_i, b_i = \sum_j c_{ij}\, \phi(s_i, s_j, a_{ij})\, u_{ij} / (1 + \sum_j c_{ij})`;
    or of the velocity and b_i. Vectors w_i of the nodes join the sums, :math:`a_i + W_a w_i` and :math:`b_i + W_b w_i`.

    Args:
        width: features of s.
        edge_width: features of a_ij.
        velocity: take :math:`a_i` to be the node's velocity, as LoCS does.
        smoothing: epsilon.
        vectors: how many vectors w of a node there are.
    """

    def __init__(self, width: int, edge_width: int, velocity: bool, smoothing: float, vectors: int = 0) -> None:
        super().__init__()
        sums = 1 if velocity else 2
        self.weights = EdgeMLP(width, width, edge_width, width, sums)
        self.mix = nn.Linear(vectors, sums, bias=False) if vectors else None
        self.smoothing = smoothing

    def forward(
        self,
        s: Float[Tensor, "nodes width"],
        attributes: Float[Tensor, "edges edge_width"],
        vectors: Float[Tensor, "edges 3"],
        envelope: Float[Tensor, " edges"] | None,
        edge_index: Int[Tensor, "2 edges"],
        vel: Float[Tensor, "nodes 3"] | None = None,
        w: Float[Tensor, "nodes 3 vectors"] | None = None,
    ) -> Float[Tensor, "nodes 3 3"]:
        weights = self.weights.of_edges(s, attributes, edge_index)
        sums = edge_mean(vectors.unsqueeze(-1) * weights.unsqueeze(1), envelope, edge_index[1], s.shape[0])
        if self.mix is not None and w is not None:
            sums = sums + self.mix(w)
        return soft_frames(sums[..., 0] if vel is None else vel, sums[..., -1], self.smoothing)


def into(frames: Float[Tensor, "rows 3 3"], x: Float[Tensor, "rows 3 channels"]) -> Float[Tensor, "rows 3 channels"]:
    """Coordinates in the frame, :math:`F^\\top x`."""
    return (frames.unsqueeze(-1) * x.unsqueeze(2)).sum(1)


def out_of(frames: Float[Tensor, "rows 3 3"], x: Float[Tensor, "rows 3 channels"]) -> Float[Tensor, "rows 3 channels"]:
    """Vectors of the coordinates, :math:`F x`."""
    return (frames.unsqueeze(-1) * x.unsqueeze(1)).sum(2)
