r"""GVP-GNN: multilayer perceptrons whose layers carry vectors beside scalars.

.. math::
    \mathrm{GVP}(s, v) &= \big(\sigma(m),\; \mathrm{sigmoid}(W_g m + b_g) \circ W_\mu v_h\big), \qquad
    v_h = W_h v, \quad m = W_m (s, |v_h|) + b \\
    h_{ij} &= \mathrm{GVP}\big(e(d_{ij}), \hat x_{ij}\big), \qquad
    m_{ij} = \mathrm{GVP}_n \circ \dots \circ \mathrm{GVP}_1 (h_i, h_j, h_{ij}) \\
    h &\leftarrow \mathrm{norm}\Big(h_i + \frac{1}{|N(i)|} \sum_j m_{ij}\Big), \qquad
    h_i' = \mathrm{norm}\big(h + \mathrm{GVP} \circ \mathrm{GVP}(h)\big)

with h = (s, v). Vector gates are those of Jing, Eismann, Soni and Dror 2021 (arXiv:2106.03843), the network that of
Jing et al., ICLR 2021 (arXiv:2009.01411), eq. 1 to 4 and 7 to 8, with three GVPs in a message and two in the
feed-forward block, whose last has no activation. The first GVP of a message is linear before its norm: its parts of h_i
and h_j are computed once per node. With ``ends`` the network begins and ends as the authors' does, with norms before
perceptrons:

.. math::
    h_{ij} = \mathrm{GVP}\big(\mathrm{norm}(e(d_{ij}), \hat x_{ij})\big), \qquad
    s_i^0 = W\, \mathrm{norm}(E_{z_i}) + b, \qquad
    h_i^\mathrm{out} = \mathrm{GVP}\big(\mathrm{norm}(h_i)\big)

Departures. The gate sees m, as in the authors' code for ATOM3D, from which the preset is; algorithm 1 of the paper
passes m through a non-linearity first. For smooth energies: SiLU for ReLU, a smooth norm, messages times the envelope
c, the mean as :math:`\sum_j c_{ij} m_{ij} / (1 + \sum_j c_{ij})`. The last perceptron has vectors beside the paper's
scalars. In the first layer vectors are zero, unless the data give some, and the terms with v are absent. The readout (a
mean, a dense layer of 200 with dropout 0.1) is the task's head.
"""

from __future__ import annotations

from typing import ClassVar, Unpack

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from intertwine.geometry import Graph
from intertwine.nn import Backbone, MessagePassing, ModelCard, VectorInputs
from intertwine.nn.attention import edge_mean
from intertwine.nn.checks import check_sizes, check_smoothing, require_space
from intertwine.nn.edge_mlp import EdgeLinear
from intertwine.nn.preset import OURS, Preset
from intertwine.nn.scalar_vector import GatedVectors, ScalarVectorNorm, VectorPerceptron, join
from intertwine.nn.shapes import EdgeParts, NodePair, NodeParts, NodeState
from intertwine.numerics import InputError, safe
from intertwine.o3 import Irreps

# scalars, the direction, envelope
Geometry = tuple[Float[Tensor, "edges k"], Float[Tensor, "edges 3 1"], Float[Tensor, " edges"]]
Sent = tuple[Float[Tensor, "edges scalars"], Float[Tensor, "edges 3 vectors"], Float[Tensor, " edges"]]


class GVPLayer(MessagePassing):
    """Messages, feed-forward block, two norms, on s (nodes, F) and v (nodes, 3, C), or None while all vectors are zero.

    Args:
        width: scalars F of nodes.
        vectors: vectors C of nodes.
        edge_width: scalars of edges, which have one vector.
        with_vectors: whether there are vectors yet.
        depth: GVPs in a message.
        dropout: probability to drop a channel of the two updates, in training.
        smoothing: epsilon of norms.
    """

    def __init__(
        self,
        width: int,
        vectors: int,
        edge_width: int,
        with_vectors: bool,
        depth: int,
        dropout: float,
        smoothing: float,
    ) -> None:
        super().__init__()
        known = vectors if with_vectors else 0
        hidden = max(2 * known + 1, vectors)  # as the authors: the larger of input and output of the first GVP
        self.hidden = EdgeLinear(known, known, 1, hidden, bias=False)  # W_h
        self.scalar = EdgeLinear(width, width, edge_width + hidden, width)  # W_m
        self.first = GatedVectors(width, hidden, vectors, F.silu if depth > 1 else None)
        activations = [F.silu] * (depth - 2) + [None] * (depth > 1)
        self.rest = nn.ModuleList(VectorPerceptron(width, vectors, width, vectors, smoothing, a) for a in activations)
        self.widen = VectorPerceptron(width, vectors, 4 * width, 2 * vectors, smoothing)
        self.narrow = VectorPerceptron(4 * width, 2 * vectors, width, vectors, smoothing, None)
        self.norms = nn.ModuleList(ScalarVectorNorm(width, smoothing) for _ in range(2))
        self.dropout, self.smoothing = dropout, smoothing

    def prepare(self, f: NodeState) -> tuple[NodeParts, NodeParts]:
        s, v = f
        (s_i, s_j), (v_i, v_j) = self.scalar.nodes(s, s), self.hidden.nodes(v, v)
        return (s_i, v_i), (s_j, v_j)

    def message(self, f_i: EdgeParts, f_j: EdgeParts, a_ij: Geometry) -> Sent:
        (s_i, v_i), (s_j, v_j), (scalars, vector, envelope) = f_i, f_j, a_ij
        v_h = self.hidden(v_i, v_j, vector)
        m = self.first(
            self.scalar(s_i, s_j, torch.cat([scalars, safe.soft_norm(v_h, self.smoothing, dim=1)], dim=-1)), v_h
        )
        for layer in self.rest:
            m = layer(*m)
        return *m, envelope

    def aggregate(self, m_ij: Sent, i: Int[Tensor, " edges"], nodes: int) -> NodePair:
        s, v, envelope = m_ij
        return edge_mean(s, envelope, i, nodes), edge_mean(v, envelope, i, nodes)

    def update(self, f_i: NodeState, m_i: NodePair) -> NodePair:
        s, v = self.dropped(*m_i)
        f = self.norms[0](f_i[0] + s, v if f_i[1] is None else f_i[1] + v)
        s, v = self.dropped(*self.narrow(*self.widen(*f)))
        return self.norms[1](f[0] + s, f[1] + v)

    def dropped(self, s: Float[Tensor, "nodes scalars"], v: Float[Tensor, "nodes 3 vectors"]) -> NodePair:
        """Dropout of scalars and of whole vectors."""
        if not self.training or self.dropout == 0:
            return s, v
        return F.dropout(s, self.dropout), v * F.dropout(torch.ones_like(v[:, :1]), self.dropout)


class GVP(Backbone):
    """GVP-GNN with any cutoff, species and inputs.

    Args:
        width: scalars F (100 in the paper).
        vectors: vectors C (16 in the paper).
        layers: number of layers (5 in the paper).
        cutoff: r_c in A (4.5 in the paper).
        edge_width: scalars of an edge (32 in the paper).
        message_layers: GVPs in a message (3 in the paper).
        dropout: probability to drop a channel of an update in training (0.1 in the paper).
        ends: norms before the first perceptrons, and a norm and a perceptron after the last layer, as in the paper.
        smoothing: epsilon of norms, in units of the features. Layers multiply vectors that are shorter by up to
            1/epsilon each: with 0.1 the rounding errors of atoms at a symmetric place can be seen in forces.
        inputs: as of every model, :class:`~intertwine.nn.VectorInputs`; in the paper 16 Gaussians.
    """

    CARD = ModelCard(
        message="nonlinear",
        geometry="vector",
        body_order=3,
        symmetry="E(3)",
        paper="Jing, Eismann, Soni, Dror 2021, arXiv:2106.03843",
    )
    PRESETS: ClassVar[dict[str, Preset]] = {
        "small": Preset({"width": 32, "vectors": 8, "layers": 2, "edge_width": 16, "message_layers": 2}, source=OURS),
        "paper": Preset(
            {
                "width": 100,
                "vectors": 16,
                "layers": 5,
                "cutoff": 4.5,
                "edge_width": 32,
                "message_layers": 3,
                "radial_size": 16,
                "radial": "gaussian",
                "dropout": 0.1,
                "ends": True,
            },
            source="arXiv:2106.03843, section 4 (ATOM3D); authors' code: gvp/atom3d.py (BaseModel, _DEFAULT_V_DIM, "
            "_DEFAULT_E_DIM), gvp/__init__.py (GVPConvLayer)",
        ),
    }

    def __init__(
        self,
        width: int = 64,
        vectors: int = 16,
        layers: int = 3,
        cutoff: float = 5.0,
        edge_width: int = 32,
        message_layers: int = 3,
        *,
        dropout: float = 0.0,
        ends: bool = False,
        smoothing: float = 0.2,
        **inputs: Unpack[VectorInputs],
    ) -> None:
        super().__init__(cutoff, inputs)
        check_sizes(width=width, vectors=vectors, layers=layers, edge_width=edge_width, message_layers=message_layers)
        check_smoothing(smoothing)
        if not 0 <= dropout < 1:
            raise InputError(
                f"dropout = {dropout} is not a probability below 1",
                where="dropout",
                remedy="give a number from 0 to 0.5.",
            )
        self.vectors = vectors
        self.irreps_out = Irreps(f"{width}x0e+{vectors}x1o")
        self.embedding, self.edges = self.embed_nodes(width), self.embed_edges()
        self.edge = VectorPerceptron(self.edges.width, 1, edge_width, 1, smoothing, None)
        self.edge_norm = ScalarVectorNorm(self.edges.width, smoothing) if ends else None
        self.begin = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width)) if ends else None
        self.end_norm = ScalarVectorNorm(width, smoothing) if ends else None
        self.end = VectorPerceptron(width, vectors, width, vectors, smoothing) if ends else None
        self.start = self.embed_vectors(vectors)
        with_vectors = self.start is not None
        self.layers = nn.ModuleList(
            GVPLayer(width, vectors, edge_width, with_vectors or k > 0, message_layers, dropout, smoothing)
            for k in range(layers)
        )

    def features(self, graph: Graph) -> Float[Tensor, "nodes features"]:
        require_space(graph)
        edges = self.edges(graph)
        known = (edges.attributes, edges.directions.unsqueeze(-1))
        known = known if self.edge_norm is None else self.edge_norm(*known)
        a_ij, s = (*self.edge(*known), edges.envelope.squeeze(-1)), self.embedding(graph)
        s = s if self.begin is None else self.begin(s)
        f = (s, None if self.start is None else self.start(graph))
        for layer in self.layers:
            f = layer(f, a_ij, graph.edge_index)
        if self.end is not None and self.end_norm is not None:
            f = self.end(*self.end_norm(*f))
        return join(*f, vectors=self.vectors)
