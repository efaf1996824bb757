"""Invariant point attention and what follows it in an iteration of AlphaFold2's structure module.

Jumper et al., Nature 596, 583 (2021), supplementary algorithms 20 (lines 6 to 14), 22 and 23. Equations are those of
:mod:`intertwine.models.invariant_point_attention`.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from intertwine.nn.attention import attend
from intertwine.nn.frames import into, out_of
from intertwine.nn.mlp import MLP
from intertwine.numerics import safe

# s, axes (columns), displacements
State = tuple[Float[Tensor, "nodes width"], Float[Tensor, "nodes 3 3"], Float[Tensor, "nodes 3"]]
Activation = Callable[[Tensor], Tensor]


class PointAttention(nn.Module):
    """Invariant point attention, algorithm 22.

    Args:
        width: features of s.
        edge_width: features of z_ij.
        heads: attention heads.
        channels: c, scalars of a query, key or value.
        points: P, points of a query or key.
        values: points of a value.
        smoothing: epsilon of norms.
    """

    def __init__(
        self, width: int, edge_width: int, heads: int, channels: int, points: int, values: int, smoothing: float
    ) -> None:
        super().__init__()
        self.heads, self.smoothing, self.sizes = heads, smoothing, (points, points, values)
        self.scalars = nn.Linear(width, 3 * heads * channels, bias=False)
        self.points = nn.Linear(width, 3 * heads * sum(self.sizes), bias=False)
        self.bias = nn.Linear(edge_width, heads, bias=False)
        self.gamma = nn.Parameter(torch.full((heads,), math.log(math.e - 1)))  # softplus of it is one
        self.out = nn.Linear(heads * (edge_width + channels + 4 * values), width)
        self.factors = (3**-0.5, channels**-0.5, 0.5 * math.sqrt(2 / (9 * points)))

    def forward(
        self,
        s: Float[Tensor, "nodes width"],
        frames: Float[Tensor, "nodes 3 3"],
        x_ij: Float[Tensor, "edges 3"],
        z_ij: Float[Tensor, "edges edge_width"],
        envelope: Float[Tensor, " edges"] | None,
        edge_index: Int[Tensor, "2 edges"],
    ) -> Float[Tensor, "nodes width"]:
        """What is added to s.

        Args:
            s: of the nodes.
            frames: their axes, as columns.
            x_ij: from node i to node j, in the unit of the points.
            z_ij: of the edges.
            envelope: c_ij of the edges; None for 1.
            edge_index: (j, i), among them each node with itself.
        """
        j, i = edge_index
        q, k, v = self.scalars(s).unflatten(-1, (self.heads, -1)).chunk(3, dim=-1)
        # relative to the node
        placed = out_of(frames, self.points(s).unflatten(-1, (3, -1))).unflatten(-1, (self.heads, -1))
        q_p, k_p, v_p = placed.split(self.sizes, dim=-1)
        apart = q_p.index_select(0, i) - k_p.index_select(0, j) - x_ij.view(-1, 3, 1, 1)
        whole, scalar, point = self.factors
        logits = scalar * (q.index_select(0, i) * k.index_select(0, j)).sum(-1) + self.bias(z_ij)
        logits = whole * (logits - F.softplus(self.gamma) * point * apart.square().sum((1, 3)))
        seen = (v_p.index_select(0, j) + x_ij.view(-1, 3, 1, 1)).transpose(1, 2).flatten(2)
        z = z_ij.unsqueeze(1).expand(-1, self.heads, -1)
        carried = torch.cat([z, v.index_select(0, j), seen], dim=-1)
        o = attend(logits.unsqueeze(-1), envelope, carried, i, s.shape[0], nowhere=False)
        invariant, seen = o.split([o.shape[-1] - seen.shape[-1], seen.shape[-1]], dim=-1)
        local = into(frames, seen.unflatten(-1, (3, -1)).transpose(1, 2).flatten(2))
        norms = safe.soft_norm(local, self.smoothing, dim=1)
        return self.out(torch.cat([invariant.flatten(1), local.flatten(1), norms], dim=-1))


class StructureLayer(nn.Module):
    """Attention, transition and backbone update (algorithm 20, lines 6 to 10) on s, the axes and the displacements u of
    the nodes.

    Args:
        width, edge_width, heads, channels, points, values, smoothing: of :class:`PointAttention`.
        activation: of the transition.
        dropout: share of s that is set to 0 before each norm, in training.
    """

    def __init__(
        self, width: int, edge_width: int, heads: int, channels: int, points: int, values: int, smoothing: float,
        activation: Activation = F.silu, dropout: float = 0.0,
    ) -> None:  # fmt: skip
        super().__init__()
        self.attention = PointAttention(width, edge_width, heads, channels, points, values, smoothing)
        self.transition = MLP([width, width, width, width], activation)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))
        self.dropout = nn.Dropout(dropout)
        self.update = nn.Linear(width, 6)
        nn.init.xavier_uniform_(self.update.weight, gain=0.1)  # frames hardly move at the start
        nn.init.zeros_(self.update.bias)

    def forward(
        self,
        f: State,
        x_ij: Float[Tensor, "edges 3"],
        z_ij: Float[Tensor, "edges edge_width"],
        envelope: Float[Tensor, " edges"] | None,
        edge_index: Int[Tensor, "2 edges"],
    ) -> State:
        s, frames, u = f
        now = x_ij + u.index_select(0, edge_index[0]) - u.index_select(0, edge_index[1])
        s = self.norms[0](self.dropout(s + self.attention(s, frames, now, z_ij, envelope, edge_index)))
        s = self.norms[1](self.dropout(s + self.transition(s)))
        rotation, step = self.update(s).split(3, dim=-1)
        u = u + out_of(frames, step.unsqueeze(-1)).squeeze(-1)
        return s, frames @ quaternion_rotation(rotation), u


class TorsionHead(nn.Module):
    r"""Torsion angles from the first s and the present one (algorithm 20, lines 11 to 14), as pairs that are not
    normalised.

    .. math::
        a = W s + W' s^{first}, \qquad a \leftarrow a + W_2\,\sigma(W_1\,\sigma(a)) \text{ twice}, \qquad
        \alpha = W\,\sigma(a)

    Args:
        width: features of s.
        hidden: features of a.
        angles: how many; 7 in the paper.
        activation: :math:`\sigma`.
    """

    def __init__(self, width: int, hidden: int, angles: int, activation: Activation = F.silu) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(width, hidden), nn.Linear(width, hidden)
        self.layers = nn.ModuleList(MLP([hidden, hidden, hidden], activation) for _ in range(2))
        self.out, self.angles, self.activation = nn.Linear(hidden, 2 * angles), angles, activation

    def forward(
        self, first: Float[Tensor, "nodes width"], last: Float[Tensor, "nodes width"]
    ) -> Float[Tensor, "nodes angles 2"]:
        """Pairs in the direction of (sin, cos)."""
        a = self.first(first) + self.last(last)
        for layer in self.layers:
            a = a + layer(self.activation(a))
        return self.out(self.activation(a)).unflatten(-1, (self.angles, 2))


def quaternion_rotation(v: Float[Tensor, "nodes 3"]) -> Float[Tensor, "nodes 3 3"]:
    r"""Rotation of the quaternion :math:`(1, v) / \sqrt{1 + \|v\|^2}`:
    :math:`1 + 2 ([v]_\times + [v]_\times^2) / (1 + \|v\|^2)`.
    """
    x, y, z = v.unbind(-1)
    o = torch.zeros_like(x)
    cross = torch.stack([o, -z, y, z, o, -x, -y, x, o], dim=-1).unflatten(-1, (3, 3))
    identity = torch.eye(3, dtype=v.dtype, device=v.device)
    return identity + 2 * (cross + cross @ cross) / (1 + v.square().sum(-1)).view(-1, 1, 1)


def unit_pairs(pairs: Float[Tensor, "*rows 2"], smoothing: float) -> Float[Tensor, "*rows 2"]:
    r"""Pairs of length 1; those shorter than the smoothing :math:`\epsilon` shrink instead:
    :math:`\alpha / \sqrt{\|\alpha\|^2 + \epsilon^2}`."""
    return pairs * (pairs.square().sum(-1, keepdim=True) + smoothing**2).rsqrt()
