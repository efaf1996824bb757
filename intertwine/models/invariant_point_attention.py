r"""The structure module of AlphaFold2: nodes are frames, attention measures distances between points that each node
places in its own.

.. math::
    a_{ij} &= w_L \Big(\tfrac{1}{\sqrt c} q_i \cdot k_j + W_b z_{ij}
        - \frac{\gamma w_C}{2} \sum_p \big\|T_i \circ \vec q_{ip} - T_j \circ \vec k_{jp}\big\|^2\Big), \qquad
        w_L = \tfrac{1}{\sqrt 3},\; w_C = \sqrt{\tfrac{2}{9 P}} \\
    o_i &= \sum_j w_{ij}\, (z_{ij}, v_j), \qquad
        \vec o_{ip} = T_i^{-1} \circ \sum_j w_{ij}\; T_j \circ \vec v_{jp}, \qquad
        w_{ij} = \mathrm{softmax}_j(a_{ij}) \\
    s_i' &= \mathrm{norm}\big(s_i + W(o_i, \vec o_i, \|\vec o_i\|)\big), \qquad
        s_i'' = \mathrm{norm}\big(s_i' + \mathrm{MLP}(s_i')\big) \\
    T_i' &= T_i \circ (Q, t)_i, \qquad (b, c, d, t)_i = W s_i'', \quad
        Q \text{ the rotation of the quaternion } (1, b, c, d)

for every head, with frames :math:`T = (F, x): y \mapsto F y + x` and q, k, v, :math:`\vec q, \vec k, \vec v` linear in
s. Distances of points and coordinates in :math:`T_i` are invariants, and a frame composed with a rotation and a step of
its own coordinates turns as the frame does. Lengths are in units of half of the cutoff (nm in the paper). ``angles``
adds pairs (sin, cos) of torsion angles of a residue, from the first and the last s by two residual layers.

The frames of residues are those of N, CA and C: ``Graph(ca, frame=residue_frames(n, ca, c), x=...)``. Without
``frames`` each node gets one from its neighbours, as in :mod:`intertwine.nn.frames`, where it is told what becomes of
axes that symmetry leaves undefined. That is equivariant to SE(3), and a mirror image is another structure. Attention is
that of :mod:`intertwine.nn.attention`, over neighbours and smooth at the cutoff; z are functions of the edge; norms are
smooth; SiLU replaces ReLU. Gradients of rotations are not stopped.

Jumper et al., Nature 596, 583 (2021), supplementary algorithms 20 to 23.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar, Unpack

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from intertwine.geometry import Graph, field
from intertwine.nn import MLP, Backbone, ModelCard, VectorInputs
from intertwine.nn.attention import attend
from intertwine.nn.checks import check_sizes, check_smoothing, require_space
from intertwine.nn.cutoff import positive
from intertwine.nn.frames import FrameEmbedding, into, out_of
from intertwine.nn.scalar_vector import join
from intertwine.numerics import GeometryError, InputError, safe
from intertwine.o3 import Irreps

# s, axes, displacements
State = tuple[Float[Tensor, "nodes width"], Float[Tensor, "nodes 3 3"], Float[Tensor, "nodes 3"]]


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
        envelope: Float[Tensor, " edges"],
        edge_index: Int[Tensor, "2 edges"],
    ) -> Float[Tensor, "nodes width"]:
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
        o = attend(logits.unsqueeze(-1), envelope, torch.cat([z, v.index_select(0, j), seen], dim=-1), i, s.shape[0])
        invariant, seen = o.split([o.shape[-1] - seen.shape[-1], seen.shape[-1]], dim=-1)
        local = into(frames, seen.unflatten(-1, (3, -1)).transpose(1, 2).flatten(2))
        norms = safe.soft_norm(local, self.smoothing, dim=1)
        return self.out(torch.cat([invariant.flatten(1), local.flatten(1), norms], dim=-1))


class StructureLayer(nn.Module):
    """Attention, transition and backbone update (algorithm 20, line 5 to 10) on s, the axes and the displacements u of
    the nodes.

    Args:
        width, edge_width, heads, channels, points, values, smoothing: of :class:`PointAttention`.
    """

    def __init__(
        self, width: int, edge_width: int, heads: int, channels: int, points: int, values: int, smoothing: float
    ) -> None:
        super().__init__()
        self.attention = PointAttention(width, edge_width, heads, channels, points, values, smoothing)
        self.transition = MLP([width, width, width, width])
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))
        self.update = nn.Linear(width, 6)
        nn.init.xavier_uniform_(self.update.weight, gain=0.1)  # frames hardly move at the start
        nn.init.zeros_(self.update.bias)

    def forward(
        self,
        f: State,
        x_ij: Float[Tensor, "edges 3"],
        z_ij: Float[Tensor, "edges edge_width"],
        envelope: Float[Tensor, " edges"],
        edge_index: Int[Tensor, "2 edges"],
    ) -> State:
        s, frames, u = f
        now = x_ij + u.index_select(0, edge_index[0]) - u.index_select(0, edge_index[1])
        s = self.norms[0](s + self.attention(s, frames, now, z_ij, envelope, edge_index))
        s = self.norms[1](s + self.transition(s))
        rotation, step = self.update(s).split(3, dim=-1)
        u = u + out_of(frames, step.unsqueeze(-1)).squeeze(-1)
        return s, frames @ quaternion_rotation(rotation), u


class TorsionHead(nn.Module):
    """Pairs (sin, cos) of angles from the first and the last s (algorithm 20, line 11 to 14).

    Args:
        width: features of s.
        angles: how many; 7 in the paper.
        smoothing: pairs shorter than this shrink instead of being normalised.
    """

    def __init__(self, width: int, angles: int, smoothing: float) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(width, width), nn.Linear(width, width)
        self.layers = nn.ModuleList(MLP([width, width, width]) for _ in range(2))
        self.out, self.angles, self.smoothing = nn.Linear(width, 2 * angles), angles, smoothing

    def forward(
        self, first: Float[Tensor, "nodes width"], last: Float[Tensor, "nodes width"]
    ) -> Float[Tensor, "nodes pairs"]:
        a = self.first(F.silu(first)) + self.last(F.silu(last))
        for layer in self.layers:
            a = a + layer(F.silu(a))
        pairs = self.out(F.silu(a)).unflatten(-1, (self.angles, 2))
        return (pairs * (pairs.square().sum(-1, keepdim=True) + self.smoothing**2).rsqrt()).flatten(1)


class InvariantPointAttention(Backbone):
    """AlphaFold2's structure module on any graph; returns scalars, the total displacement (A) and the axes of the last
    frames.

    Args:
        width: scalars of a node (384 in the paper).
        layers: number of layers (8 in the paper).
        heads: attention heads (12 in the paper).
        channels: scalars of a query, key or value (16 in the paper).
        points: points of a query or key (4 in the paper).
        values: points of a value (8 in the paper).
        angles: torsion angles, given out as (sin, cos) behind the scalars (7 in the paper).
        shared: all layers have the same weights (as in the paper).
        frames: start from ``graph.frame``, (nodes, 3, 3) with the axes as rows; else frames are made of neighbours.
        smoothing: epsilon of frames and norms.
        inputs: as of every model, :class:`~intertwine.nn.VectorInputs`; z are radial functions and
            invariants of edges, and nodes see given vectors in their frames.
    """

    CARD = ModelCard(
        message="nonlinear",
        geometry="group element",
        body_order=5,
        domain="SE(3)",
        symmetry="SE(3)",
        paper="Jumper et al. 2021, Nature 596, 583",
    )
    PRESETS: ClassVar[dict[str, dict[str, Any]]] = {
        "small": {"width": 32, "layers": 2, "heads": 4, "channels": 8, "values": 4},
        "paper": {
            "width": 384,
            "layers": 8,
            "cutoff": 20.0,
            "heads": 12,
            "channels": 16,
            "values": 8,
            "angles": 7,
            "shared": True,
        },
    }

    def __init__(
        self,
        width: int = 64,
        layers: int = 3,
        cutoff: float = 5.0,
        heads: int = 4,
        channels: int = 16,
        points: int = 4,
        values: int = 4,
        angles: int = 0,
        shared: bool = False,
        frames: bool = False,
        *,
        smoothing: float = 0.1,
        **inputs: Unpack[VectorInputs],
    ) -> None:
        super().__init__(cutoff, inputs)
        if angles < 0:
            raise InputError(f"{angles} angles", where="angles", remedy="give 0 or more; 7 for residues.")
        check_sizes(width=width, layers=layers, heads=heads, channels=channels, points=points, values=values)
        check_smoothing(smoothing)
        self.unit, self.count = positive(cutoff) / 2, layers
        self.irreps_out = Irreps(f"{width + 2 * angles}x0e+4x1o")
        self.embedding, self.edges = self.embed_nodes(width), self.embed_edges()
        self.frames = None if frames else FrameEmbedding(width, self.edges.width, False, smoothing)
        self.start = self.embed_vectors(width)
        self.seen = nn.Linear(3 * width, width, bias=False) if self.start is not None else None
        self.norm = nn.LayerNorm(width)
        sizes = (width, self.edges.width, heads, channels, points, values, smoothing)
        self.layers = nn.ModuleList(StructureLayer(*sizes) for _ in range(1 if shared else layers))
        self.torsions = TorsionHead(width, angles, smoothing) if angles else None

    def features(self, graph: Graph) -> Float[Tensor, "nodes features"]:
        require_space(graph)
        edges, first = self.edges(graph), self.embedding(graph)
        envelope = edges.envelope.squeeze(-1)
        if self.frames is None:
            frames = _checked(field(graph, "frame")).transpose(-1, -2)
        else:
            near = edges.vectors / (1 + edges.distances.unsqueeze(-1))
            frames = self.frames(first, edges.attributes, near, envelope, graph.edge_index)
        if self.start is not None and self.seen is not None:
            first = first + self.seen(into(frames, self.start(graph)).flatten(1))
        first = self.norm(first)
        f = (first, frames, first.new_zeros(first.shape[0], 3))
        for k in range(self.count):
            layer = self.layers[k % len(self.layers)]
            f = layer(f, edges.vectors / self.unit, edges.attributes, envelope, graph.edge_index)
        s, frames, u = f
        s = s if self.torsions is None else torch.cat([s, self.torsions(first, s)], dim=-1)
        return join(s, torch.cat([u.unsqueeze(-1) * self.unit, frames], dim=-1), 4)


def _checked(frames: Float[Tensor, "nodes 3 3"]) -> Float[Tensor, "nodes 3 3"]:
    """Frames, whose axes must be orthonormal."""
    if safe.inspectable(frames):
        identity = torch.eye(3, dtype=frames.dtype, device=frames.device)
        wrong = ((frames @ frames.transpose(-1, -2) - identity).abs() > 1e-3).flatten(1).any(1)
        if bool(wrong.any()):
            node, remedy = int(wrong.nonzero()[0]), "give them as rows, of length 1 each; nn.residue_frames makes some."
            raise GeometryError(f"the axes of node {node} are not orthonormal", where="frame", remedy=remedy)
    return frames


def quaternion_rotation(v: Float[Tensor, "nodes 3"]) -> Float[Tensor, "nodes 3 3"]:
    r"""Rotation of the quaternion :math:`(1, v) / \sqrt{1 + \|v\|^2}`:
    :math:`1 + 2 ([v]_\times + [v]_\times^2) / (1 + \|v\|^2)`.
    """
    x, y, z = v.unbind(-1)
    o = torch.zeros_like(x)
    cross = torch.stack([o, -z, y, z, o, -x, -y, x, o], dim=-1).unflatten(-1, (3, 3))
    identity = torch.eye(3, dtype=v.dtype, device=v.device)
    return identity + 2 * (cross + cross @ cross) / (1 + v.square().sum(-1)).view(-1, 1, 1)
