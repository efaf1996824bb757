r"""ScalarVector: the general network on scalars s and vectors v, whose messages may look at every inner product.

With the invariants
:math:`I_{ij} = (s_i, s_j, \|x_{ij}\|, |v_j|, \hat x_{ij} \cdot v_j, \hat x_{ij} \cdot v_i, v_i \cdot v_j)` the lecture
"Equivariant GNNs" (Gao, slide "Scalar-vector GNNs"; Joshi et al. 2023, arXiv:2301.09308, section 2.3) writes

.. math::
    m_i &= f_1(s_i, |v_i|) + \sum_{j \in N(i)} f_2(I_{ij}) \\
    \vec m_i &= f_3(s_i, |v_i|) \odot v_i + \sum_{j \in N(i)} f_4(I_{ij}) \odot v_j
    + \sum_{j \in N(i)} f_5(I_{ij}) \odot \hat x_{ij} \\
    s_i' &= s_i + m_i, \qquad v_i' = v_i + \vec m_i

channel by channel: there are as many vectors as scalars, and channels mix in the functions only. Here f1 and f3 are the
two outputs of one MLP, f2, f4 and f5 the three outputs of another, times the envelope c(d_ij), so that messages vanish
at the cutoff. The lecture's :math:`\vec x_{ij}` is the unit vector :math:`\hat x_{ij}`: its length is an argument of
every function already. The sums are divided by a constant, the square root of the average number of neighbours. PaiNN's
and EGNN's messages are special cases; the updates of PaiNN and GVP, which mix the channels of vectors, are not. In the
first layer vectors are zero, unless the data give some, and all terms with v are absent.

Departures: there are as many vectors as scalars (the code that the preset cites has 16), the envelope, and the
division.
"""

from __future__ import annotations

from typing import ClassVar, Unpack

import torch
from jaxtyping import Float
from torch import Tensor, nn

from intertwine.geometry import Graph
from intertwine.nn import MLP, Backbone, MessagePassing, ModelCard, VectorInputs
from intertwine.nn.checks import check_degree, check_sizes, check_smoothing, require_space
from intertwine.nn.edge_mlp import EdgeMLP
from intertwine.nn.preset import OURS, Preset
from intertwine.nn.scalar_vector import join
from intertwine.nn.shapes import Directed, EdgeParts, Messages, NodePair, NodeParts, NodeState
from intertwine.numerics import safe
from intertwine.o3 import Irreps


class ScalarVectorLayer(MessagePassing):
    """One layer on s (nodes, F) and v (nodes, 3, F), or None while all vectors are zero.

    Args:
        width: features F.
        edge_width: radial functions and edge invariants.
        vectors: whether there are vectors yet.
        scale: factor of the sums over neighbours.
        smoothing: epsilon of the norm.
    """

    def __init__(self, width: int, edge_width: int, vectors: bool, scale: float, smoothing: float) -> None:
        super().__init__()
        self.scale, self.smoothing = scale, smoothing
        if vectors:
            self.f13 = MLP([2 * width, width, 2 * width])
            self.f245 = EdgeMLP(width, 2 * width, edge_width + 3 * width, width, 3 * width)
        else:
            self.f13 = MLP([width, width, width])
            self.f245 = EdgeMLP(width, width, edge_width, width, 2 * width)

    def prepare(self, f: NodeState) -> tuple[NodeParts, NodeParts]:
        s, v = f
        received, sent = self.f245.nodes(s, self.invariants(s, v))
        return (received, v), (sent, v)

    def message(self, f_i: EdgeParts, f_j: EdgeParts, a_ij: Directed) -> Messages:
        (received, v_i), (sent, v_j), (attributes, direction, envelope) = f_i, f_j, a_ij
        x = direction.unsqueeze(-1)
        if v_i is None or v_j is None:
            f2, f5 = (self.f245(received, sent, attributes) * envelope).chunk(2, dim=-1)
            return f2, f5.unsqueeze(1) * x
        products = torch.cat([attributes, (x * v_j).sum(1), (x * v_i).sum(1), (v_i * v_j).sum(1)], dim=-1)
        f2, f4, f5 = (self.f245(received, sent, products) * envelope).chunk(3, dim=-1)
        return f2, f4.unsqueeze(1) * v_j + f5.unsqueeze(1) * x

    def update(self, f_i: NodeState, m_i: NodePair) -> NodePair:
        (s, v), (m, w) = f_i, m_i
        if v is None:
            return s + self.f13(s) + self.scale * m, self.scale * w
        f1, f3 = self.f13(self.invariants(s, v)).chunk(2, dim=-1)
        return s + f1 + self.scale * m, v + f3.unsqueeze(1) * v + self.scale * w

    def invariants(
        self, s: Float[Tensor, "nodes width"], v: Float[Tensor, "nodes 3 width"] | None
    ) -> Float[Tensor, "nodes invariants"]:
        """What a node can say of itself: s and the norms of v."""
        return s if v is None else torch.cat([s, safe.soft_norm(v, self.smoothing, dim=1)], dim=-1)


class ScalarVector(Backbone):
    """The general scalar-vector network with any cutoff, species and inputs.

    Args:
        width: features F, scalars and vectors alike.
        layers: number of layers.
        average_degree: average number of neighbours; sums are divided by its square root, a constant.
        smoothing: epsilon of the norm, in units of the features.
        inputs: as of every model, :class:`~intertwine.nn.VectorInputs`; messages see the invariants of edges.
    """

    CARD = ModelCard(
        message="nonlinear",
        geometry="vector",
        body_order=2,
        symmetry="E(3)",
        paper="Gao, lecture 'Equivariant GNNs'; Joshi et al. 2023, arXiv:2301.09308",
    )
    PRESETS: ClassVar[dict[str, Preset]] = {
        "small": Preset({"width": 32, "layers": 2}, source=OURS),
        "paper": Preset(
            {"width": 128, "layers": 5},
            source="code of arXiv:2301.09308: geometric-gnn-dojo, models/gvpgnn.py and models/egnn.py (num_layers 5, "
            "128 scalars); the lecture gives no sizes",
        ),
    }

    def __init__(
        self,
        width: int = 64,
        layers: int = 3,
        cutoff: float = 5.0,
        *,
        average_degree: float = 16.0,
        smoothing: float = 0.1,
        **inputs: Unpack[VectorInputs],
    ) -> None:
        super().__init__(cutoff, inputs)
        check_sizes(width=width, layers=layers)
        check_smoothing(smoothing)
        check_degree(average_degree)
        self.width = width
        self.irreps_out = Irreps(f"{width}x0e+{width}x1o")
        self.embedding, self.edges = self.embed_nodes(width), self.embed_edges()
        self.vectors = self.embed_vectors(width)
        scale, with_vectors = average_degree**-0.5, self.vectors is not None
        self.layers = nn.ModuleList(
            ScalarVectorLayer(width, self.edges.width, with_vectors or k > 0, scale, smoothing) for k in range(layers)
        )

    def features(self, graph: Graph) -> Float[Tensor, "nodes features"]:
        require_space(graph)
        edges = self.edges(graph)
        a_ij = (edges.attributes, edges.directions, edges.envelope)
        f = (self.embedding(graph), None if self.vectors is None else self.vectors(graph))
        for layer in self.layers:
            f = layer(f, a_ij, graph.edge_index)
        return join(*f, vectors=self.width)
