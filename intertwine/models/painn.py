r"""PaiNN: scalars s and vectors v, mixed by gates; a message is linear in the neighbour's vectors, not in its scalars.

.. math::
    (\phi^s, \phi^{vv}, \phi^{vs})_{ij} &= \phi(s_j) \circ W(d_{ij}) \\
    m_{ij} &= \big(\phi^s_{ij},\; v_j \circ \phi^{vv}_{ij} + \phi^{vs}_{ij} \circ \hat x_{ij}\big) \\
    s_i' &= s_i + a^{ss}_i + a^{sv}_i \langle U v_i, V v_i \rangle, \qquad v_i' = v_i + a^{vv}_i \circ U v_i, \qquad
    a_i = a(s_i, \|V v_i\|)

where the update sees s and v after the summed messages have been added, and W(d) = (W e(d) + b) c(d) with radial
functions e and envelope c. The norm is :math:`\sqrt{\|Vv\|^2 + \epsilon^2} - \epsilon`: the paper's cusp at zero makes
forces noise wherever symmetry makes a vector vanish, on the carbon of methane for one; that is the only departure of
the representation. Readouts are the task's heads. Schütt, Unke and Gastegger, ICML
2021 (arXiv:2102.03150), eq. 7 to 10, figure 2.
"""

from __future__ import annotations

from typing import ClassVar, Unpack

import torch
from jaxtyping import Float
from torch import Tensor, nn

from intertwine.geometry import Graph
from intertwine.nn import MLP, Backbone, MessagePassing, ModelCard, VectorInputs
from intertwine.nn.checks import check_sizes, check_smoothing, require_space
from intertwine.nn.preset import OURS, Preset
from intertwine.nn.shapes import EdgeState, Messages, NodePair, NodeState
from intertwine.numerics import safe
from intertwine.o3 import Irreps


class PaiNNLayer(MessagePassing):
    """Message block and update block. Features are s (nodes, F) and v (nodes, 3, F), or None while all are zero.

    Args:
        width: features F.
        edge_width: radial functions and edge invariants that the filter sees.
        smoothing: epsilon of the norm.
    """

    def __init__(self, width: int, edge_width: int, smoothing: float) -> None:
        super().__init__()
        self.phi = MLP([width, width, 3 * width])
        # of (e(d), 1) c(d): the envelope costs nothing per channel
        self.filter = nn.Linear(edge_width + 1, 3 * width, bias=False)
        self.smoothing = smoothing
        self.mix = nn.Linear(width, 2 * width, bias=False)  # U and V
        self.a = MLP([2 * width, width, 3 * width])
        nn.init.xavier_uniform_(self.mix.weight)
        nn.init.xavier_uniform_(self.filter.weight[:, :-1])
        nn.init.zeros_(self.filter.weight[:, -1])

    def prepare(
        self, f: NodeState
    ) -> tuple[None, tuple[Float[Tensor, "nodes 3*scalars"], Float[Tensor, "nodes 3 vectors"] | None]]:
        s, v = f
        return None, (self.phi(s), v)

    def message(
        self, f_i: None, f_j: EdgeState, a_ij: tuple[Float[Tensor, "edges k"], Float[Tensor, "edges 3"]]
    ) -> Messages:
        (phi, v), (attributes, direction) = f_j, a_ij
        scalar, from_vector, from_edge = (phi * self.filter(attributes)).chunk(3, dim=-1)
        vector = from_edge.unsqueeze(1) * direction.unsqueeze(-1)
        return scalar, vector if v is None else vector + v * from_vector.unsqueeze(1)

    def update(self, f_i: NodeState, m_i: NodePair) -> NodePair:
        s, v = f_i[0] + m_i[0], m_i[1] if f_i[1] is None else f_i[1] + m_i[1]
        u_v, v_v = self.mix(v).chunk(2, dim=-1)
        ss, sv, vv = self.a(torch.cat([s, safe.soft_norm(v_v, self.smoothing, dim=1)], dim=-1)).chunk(3, dim=-1)
        return s + ss + sv * (u_v * v_v).sum(1), v + vv.unsqueeze(1) * u_v


class PaiNN(Backbone):
    """PaiNN with any cutoff, species and inputs.

    Args:
        width: features F, scalars and vectors alike (128 in the paper; 64 learns faster on a CPU).
        layers: message and update blocks (3 in the paper).
        smoothing: epsilon of the norm, in units of the features.
        inputs: as of every model, :class:`~intertwine.nn.VectorInputs`; in the paper 20 Bessel functions and the cosine
            envelope.
    """

    CARD = ModelCard(
        message="nonlinear",
        geometry="vector",
        body_order=3,
        symmetry="E(3)",
        paper="Schütt, Unke, Gastegger 2021, arXiv:2102.03150",
    )
    PRESETS: ClassVar[dict[str, Preset]] = {
        "small": Preset({"width": 32, "layers": 2}, source=OURS),
        "paper": Preset(
            {"width": 128, "layers": 3, "cutoff": 5.0, "radial_size": 20, "cutoff_function": "cosine"},
            source="arXiv:2102.03150, section 5 (training details); authors' code: schnetpack, "
            "configs/model/representation/painn.yaml, configs/experiment/md17.yaml (cutoff)",
        ),
    }

    def __init__(
        self,
        width: int = 64,
        layers: int = 3,
        cutoff: float = 5.0,
        *,
        smoothing: float = 0.1,
        **inputs: Unpack[VectorInputs],
    ) -> None:
        super().__init__(cutoff, inputs)
        check_sizes(width=width, layers=layers)
        check_smoothing(smoothing)
        self.irreps_out = Irreps(f"{width}x0e+{width}x1o")
        self.embedding, self.edges = self.embed_nodes(width), self.embed_edges()
        self.vectors = self.embed_vectors(width)
        self.layers = nn.ModuleList(PaiNNLayer(width, self.edges.width, smoothing) for _ in range(layers))

    def features(self, graph: Graph) -> Float[Tensor, "nodes features"]:
        require_space(graph)
        edges = self.edges(graph)
        attributes = torch.cat([edges.attributes, torch.ones_like(edges.envelope)], dim=-1) * edges.envelope
        a_ij = (attributes, edges.directions)
        f = (self.embedding(graph), self.initial_vectors(graph))
        for layer in self.layers:
            f = layer(f, a_ij, graph.edge_index)
        s, v = f
        v = s.new_zeros(s.shape[0], 3, s.shape[1]) if v is None else v
        return torch.cat([s, v.transpose(1, 2).flatten(1)], dim=-1)

    def initial_vectors(self, graph: Graph) -> Float[Tensor, "nodes 3 width"] | None:
        """:math:`v_i = W (u_i^1, u_i^2, ...)` from the named vector fields; None where there are none."""
        if self.vectors is None:
            return None
        return self.vectors(graph)
