r"""LoCS: every node looks at its neighbours from a frame of its own, in which any network is allowed.

.. math::
    z_{ij} &= \big(F_i^\top u_{ij},\; F_i^\top F_j,\; F_i^\top v_i,\; F_i^\top v_j,\; e(d_{ij})\big), \qquad
    u_{ij} = x_{ij} / (1 + d_{ij}) \\
    m_{ij} &= \phi_m(s_i, s_j, z_{ij}), \qquad
    s_i' = s_i + \phi_s\Big(s_i, \frac{1}{|N(i)|} \sum_j m_{ij}\Big), \qquad v^\mathrm{out}_i = F_i\, W s_i

with frames :math:`F_i`, whose columns are axes. Relative positions, orientations and velocities are
invariants, translated by :math:`-x_i` and rotated by :math:`F_i^\top`: messages need no other symmetry, and may be of
any kind. What they predict is a vector of the frame and is turned back.

With ``filters="anisotropic"`` the messages see :math:`W(p_{ij})\, z_{ij}` in place of z, a linear map whose matrix is a
network of :math:`p_{ij} = (F_i^\top u_{ij}, F_i^\top F_j, e(d_{ij}))`, the position and orientation of the neighbour:
:class:`~intertwine.nn.filters.AnisotropicFilter`.

Vectors :math:`w_i` of the nodes (``vector_inputs``) are seen as the velocities are, :math:`F_i^\top w_i` and
:math:`F_i^\top w_j`, and join the sums that axes are made of. The third coordinate of a neighbour is a triple product,
:math:`e_3 \cdot u_{ij} = \det(e_1, e_2, u_{ij})`: the message sees the hand of two vectors and a position.

The paper's frame is that of the velocity, by its yaw and pitch; it has no roll, so it turns with the structure about
the z axis only. Here the second axis lies in the half-plane of a learned sum of neighbour vectors, and the first is
another such sum where there are no velocities: :mod:`intertwine.nn.frames`. With that SE(3) holds everywhere; the third
axis is a cross product, so a mirror image is another structure. The mean is
:math:`\sum_j c_{ij} m_{ij} / (1 + \sum_j c_{ij})`.

The axes are orthogonal and of unit length only in the limit: no continuous frame exists where symmetry leaves an axis
undefined, so an axis along a has the length :math:`\|a\| / \sqrt{\|a\|^2 + \epsilon^2}`, with epsilon the
``smoothing``. That is near 1 along a velocity, and well below 1 along a sum over neighbours in which they nearly
cancel. At random starts the median singular values of F are 0.98, 0.78 and 0.77 on charged particles with velocities,
0.97, 0.22 and 0.20 on ethanol without. Coordinates along such an axis are shortened; the equations hold with F as it
is, equivariance is exact, and :math:`F^\top F` is not the identity.

Departures: the layers, residuals and SiLU are those of this library, where the paper has one round of messages, mean
and a network of three layers with ReLU between an encoder of edge types and the next time step; there are no edge types
(the relations of NRI) and no time series; orientations are matrices :math:`F_i^\top F_j`, where the paper has Euler
angles, and there are no spherical coordinates of u. In the authors' code the encoder has anisotropic filters, the
decoder of charged particles an ordinary network.

Kofinas, Nagaraja, Gavves, NeurIPS 2021 (arXiv:2110.14961), eq. 5 to 12.
"""

from __future__ import annotations

from typing import ClassVar, Unpack

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from intertwine.geometry import Graph, distances, edge_invariants, edge_vectors, vector_field
from intertwine.nn import MLP, Backbone, MessagePassing, ModelCard, VectorInputs
from intertwine.nn.attention import edge_mean
from intertwine.nn.checks import check_sizes, check_smoothing, require_space
from intertwine.nn.edge_mlp import EdgeMLP
from intertwine.nn.filters import AnisotropicFilter
from intertwine.nn.frames import FrameEmbedding, into, out_of
from intertwine.nn.preset import OURS, Preset
from intertwine.nn.scalar_vector import join
from intertwine.nn.shapes import EdgePart, NodePart, Weighted
from intertwine.numerics import choose
from intertwine.o3 import Irreps

FILTERS = ("mlp", "anisotropic")


class LocalFramesLayer(MessagePassing):
    """Message and update on s (nodes, F).

    Args:
        width: features F.
        edge_width: features of z_ij.
    """

    def __init__(self, width: int, edge_width: int) -> None:
        super().__init__()
        self.phi_m = EdgeMLP(width, width, edge_width, width, width)
        self.phi_s = MLP([2 * width, width, width])

    def prepare(self, f: Float[Tensor, "nodes width"]) -> tuple[NodePart, NodePart]:
        return self.phi_m.nodes(f, f)

    def message(
        self, f_i: EdgePart, f_j: EdgePart, a_ij: Weighted
    ) -> tuple[Float[Tensor, "edges width"], Float[Tensor, " edges"] | None]:
        attributes, envelope = a_ij
        return self.phi_m(f_i, f_j, attributes), envelope

    def aggregate(self, m_ij: Weighted, i: Int[Tensor, " edges"], nodes: int) -> Float[Tensor, "nodes k"]:
        return edge_mean(*m_ij, i, nodes)

    def update(
        self, f_i: Float[Tensor, "nodes width"], m_i: Float[Tensor, "nodes width"]
    ) -> Float[Tensor, "nodes width"]:
        return f_i + self.phi_s(torch.cat([f_i, m_i], dim=-1))


class LocalFrames(Backbone):
    r"""LoCS with or without velocities, with or without a cutoff.

    Args:
        width: features F.
        vectors: vectors of a node that are given out.
        layers: number of layers.
        cutoff: r_c in A, beyond which messages vanish smoothly; None connects all pairs (the paper's particles).
        velocity: read ``graph.vel``; frames have their first axis along it.
        filters: "mlp", or "anisotropic" for messages that see :math:`W(p_{ij})\, z_{ij}`.
        smoothing: epsilon of the frames: axes fade where the vectors that they come from are shorter.
        inputs: as of every model, :class:`~intertwine.nn.VectorInputs`; without a cutoff the distance
            itself takes the place of radial functions.
    """

    CARD = ModelCard(
        message="nonlinear",
        geometry="group element",
        body_order=5,
        domain="SE(3)",
        symmetry="SE(3)",
        paper="Kofinas, Nagaraja, Gavves 2021, arXiv:2110.14961",
    )
    PRESETS: ClassVar[dict[str, Preset]] = {
        "small": Preset({"width": 32, "vectors": 8, "layers": 2}, source=OURS),
        "paper": Preset(
            {
                "width": 256,
                "vectors": 2,
                "layers": 1,
                "cutoff": None,
                "velocity": True,
                "filters": "anisotropic",
            },
            source="authors' code: scripts/run_charged_locs.sh (decoder_hidden), locs/models/locs.py (one round of "
            "messages, AnisotropicEdgeFilter of the encoder)",
        ),
    }

    def __init__(
        self,
        width: int = 64,
        vectors: int = 16,
        layers: int = 3,
        cutoff: float | None = 5.0,
        velocity: bool = False,
        *,
        filters: str = "mlp",
        smoothing: float = 0.1,
        **inputs: Unpack[VectorInputs],
    ) -> None:
        super().__init__(cutoff, inputs)
        check_sizes(width=width, vectors=vectors, layers=layers)
        check_smoothing(smoothing)
        self.velocity, self.vectors = velocity, vectors
        self.irreps_out = Irreps(f"{width}x0e+{vectors}x1o")
        self.embedding = self.embed_nodes(width)
        self.edges = None if cutoff is None else self.embed_edges()
        edge_width = 1 + sum(self.edge_inputs.values()) if self.edges is None else self.edges.width
        seen = sum(self.vector_inputs.values())
        self.start = self.embed_vectors(seen)
        self.frames = FrameEmbedding(width, edge_width, velocity, smoothing, seen)
        columns, self.places = edge_width + 12 + 6 * (velocity + seen), edge_width + 12
        choose(filters, FILTERS, kind="filter", where="filters")
        self.filter = AnisotropicFilter(self.places, columns, width, width) if filters == "anisotropic" else None
        columns = columns if self.filter is None else width
        self.layers = nn.ModuleList(LocalFramesLayer(width, columns) for _ in range(layers))
        self.out = nn.Linear(width, 3 * vectors)

    def features(self, graph: Graph) -> Float[Tensor, "nodes features"]:
        require_space(graph)
        s, (j, i) = self.embedding(graph), graph.edge_index
        vel = vector_field(graph, "vel") if self.velocity else None
        w = None if self.start is None else self.start(graph)
        u, attributes, envelope = self.surroundings(graph)
        frames = self.frames(s, attributes, u, envelope, graph.edge_index, vel, w)
        received, sent = frames.index_select(0, i), frames.index_select(0, j)
        seen = [u.unsqueeze(-1), sent]
        if vel is not None:
            seen += [vel.index_select(0, i).unsqueeze(-1), vel.index_select(0, j).unsqueeze(-1)]
        if w is not None:
            seen += [w.index_select(0, i), w.index_select(0, j)]
        local = into(received, torch.cat(seen, dim=-1))  # (edges, 3, vectors): u_ij, the three axes, velocities, w
        if self.filter is None:
            z = torch.cat([attributes, local.flatten(1)], dim=-1)
        else:
            z = torch.cat([attributes, local.transpose(1, 2).flatten(1)], dim=-1)
            z = self.filter(z, z[:, : self.places])
        for layer in self.layers:
            s = layer(s, (z, envelope), graph.edge_index)
        return join(s, out_of(frames, self.out(s).unflatten(-1, (3, self.vectors))), self.vectors)

    def surroundings(
        self, graph: Graph
    ) -> tuple[Float[Tensor, "edges 3"], Float[Tensor, "edges k"], Float[Tensor, " edges"] | None]:
        """Bounded relative positions u_ij (edges, 3), invariants of the edges (edges, k), and the envelope (edges,),
        None without a cutoff."""
        if self.edges is not None:
            edges = self.edges(graph)
            return edges.vectors / (1 + edges.distances.unsqueeze(-1)), edges.attributes, edges.envelope.squeeze(-1)
        vectors = edge_vectors(graph)
        d = distances(vectors).unsqueeze(-1)
        attributes = torch.cat([d, edge_invariants(graph, self.edge_inputs)], dim=-1) if self.edge_inputs else d
        return vectors / (1 + d), attributes, None
