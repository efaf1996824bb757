r"""EQGAT: equivariant graph attention. Each scalar channel attends to neighbours separately; vectors come from edges,
neighbours and their cross products.

.. math::
    (a, b^0, b^1, b^2)_{ij} &= \mathrm{MLP}(s_i, s_j, e(d_{ij})), \qquad
    \alpha_{ij} = \mathrm{softmax}_{j \in N(i)}(a_{ij}) \\
    m_i &= \sum_j \alpha_{ij} \odot W_s s_j, \qquad
    \vec m_i = \frac{1}{|N(i)|} \sum_j \hat x_{ij} \otimes b^0_{ij} + b^1_{ij} \odot W_v v_j
    + b^2_{ij} \odot (v_i \times W_v v_j) \\
    (s, v) &\leftarrow (s_i + m_i, v_i + \vec m_i), \qquad (s_i', v_i') = (s, v) + \mathrm{gated}(s, v)

Le, Noé and Clevert, LoG 2022 (arXiv:2202.09891), section 3, and the authors' code. Softmax and mean are those of
:mod:`intertwine.nn.attention`, with the envelope in numerator and denominator: the paper's jump when a neighbour
leaves. The gated block is :class:`~intertwine.nn.scalar_vector.GatedBlock`, with a smooth norm.

Departures: softmax, mean and norm as above; the readout of the authors' experiments is the task's head.

A cross product of vectors is axial, and is added to vectors that are not: the model is equivariant to rotations but not
to reflections, and tells a molecule from its mirror image. Without it (``cross_product=False``, also in the paper) the
symmetry is E(3). In the first layer vectors are zero, unless the data give some, and the terms with v are absent.
"""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar, Unpack

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from intertwine.geometry import Graph
from intertwine.nn import Backbone, MessagePassing, ModelCard, VectorInputs
from intertwine.nn.attention import attend, edge_mean
from intertwine.nn.checks import check_sizes, check_smoothing, require_space
from intertwine.nn.edge_mlp import EdgeMLP
from intertwine.nn.preset import OURS, Preset
from intertwine.nn.scalar_vector import GatedBlock, join
from intertwine.nn.shapes import EdgeParts, NodePair, NodeParts, NodeState
from intertwine.o3 import Irreps

# attributes, direction, envelope
Geometry = tuple[Float[Tensor, "edges k"], Float[Tensor, "edges 3"], Float[Tensor, " edges"]]
Sent = tuple[
    Float[Tensor, "edges scalars"],
    Float[Tensor, "edges scalars"],
    Float[Tensor, "edges 3 vectors"],
    Float[Tensor, " edges"],
]


class EQGATLayer(MessagePassing):
    """Attention and gated block on s (nodes, F) and v (nodes, 3, C), or None while all vectors are zero.

    Args:
        width: scalars F.
        vectors: vectors C.
        edge_width: radial functions and edge invariants.
        with_vectors: whether there are vectors yet.
        cross_product: whether messages hold cross products.
        smoothing: epsilon of the norm.
    """

    def __init__(
        self, width: int, vectors: int, edge_width: int, with_vectors: bool, cross_product: bool, smoothing: float
    ) -> None:
        super().__init__()
        self.terms = 1 + with_vectors * (1 + cross_product)
        self.edge = EdgeMLP(width, width, edge_width, width, width + self.terms * vectors)
        self.value = nn.Linear(width, width)
        self.mix = nn.Linear(vectors, vectors, bias=False) if with_vectors else None
        self.gated = GatedBlock(width, vectors, smoothing)
        self.sizes = (width, *[vectors] * self.terms)

    def prepare(self, f: NodeState) -> tuple[NodeParts, tuple[NodeParts, Float[Tensor, "nodes scalars"]]]:
        s, v = f
        received, sent = self.edge.nodes(s, s)
        w = None if self.mix is None else self.mix(v)
        return (received, v if self.terms == 3 else None), ((sent, w), self.value(s))

    def message(self, f_i: EdgeParts, f_j: tuple[EdgeParts, Float[Tensor, "edges scalars"]], a_ij: Geometry) -> Sent:
        (received, v_i), ((sent, w_j), value), (attributes, direction, envelope) = f_i, f_j, a_ij
        logits, *b = self.edge(received, sent, attributes).split(self.sizes, dim=-1)
        vector = direction.unsqueeze(-1) * b[0].unsqueeze(1)
        if w_j is not None:
            vector = vector + b[1].unsqueeze(1) * w_j
        if v_i is not None:
            vector = vector + b[2].unsqueeze(1) * torch.linalg.cross(v_i, w_j, dim=1)
        return logits, value, vector, envelope

    def aggregate(self, m_ij: Sent, i: Int[Tensor, " edges"], nodes: int) -> NodePair:
        logits, value, vector, envelope = m_ij
        return attend(logits, envelope, value, i, nodes), edge_mean(vector, envelope, i, nodes)

    def update(self, f_i: NodeState, m_i: NodePair) -> NodePair:
        s, v = f_i[0] + m_i[0], m_i[1] if f_i[1] is None else f_i[1] + m_i[1]
        ds, dv = self.gated(s, v)
        return s + ds, v + dv


class EQGAT(Backbone):
    """EQGAT with any cutoff, species and inputs.

    Args:
        width: scalars F (100 in the authors' code).
        vectors: vectors C (16 there).
        layers: number of layers (5 there, 3 for ligands).
        cross_product: the paper's cross products, which give up reflections; False for E(3).
        smoothing: epsilon of the norm, in units of the features.
        inputs: as of every model, :class:`~intertwine.nn.VectorInputs`; in the authors' code 32 Bessel functions
            and the polynomial envelope.
    """

    CARD = ModelCard(
        message="nonlinear",
        geometry="vector",
        body_order=3,
        symmetry="SE(3)",
        paper="Le, Noé, Clevert 2022, arXiv:2202.09891",
    )
    PRESETS: ClassVar[dict[str, Preset]] = {
        "small": Preset({"width": 32, "vectors": 16, "layers": 2}, source=OURS),
        "paper": Preset(
            {"width": 100, "vectors": 16, "layers": 5, "radial_size": 32, "cutoff": 4.5},
            source="authors' code: experiments/psr/train.py, ppi, res and rsr likewise (sdim, vdim, depth, "
            "num_radial), data.py (cutoff); lba has depth 3",
        ),
    }

    def __init__(
        self,
        width: int = 64,
        vectors: int = 32,
        layers: int = 3,
        cutoff: float = 5.0,
        *,
        cross_product: bool = True,
        smoothing: float = 0.1,
        **inputs: Unpack[VectorInputs],
    ) -> None:
        super().__init__(cutoff, inputs)
        check_sizes(width=width, vectors=vectors, layers=layers)
        check_smoothing(smoothing)
        self.vectors, self.cross_product = vectors, cross_product
        self.irreps_out = Irreps(f"{width}x0e+{vectors}x1o")
        self.embedding, self.edges = self.embed_nodes(width), self.embed_edges()
        self.start = self.embed_vectors(vectors)
        with_vectors = self.start is not None
        self.layers = nn.ModuleList(
            EQGATLayer(width, vectors, self.edges.width, with_vectors or k > 0, cross_product, smoothing)
            for k in range(layers)
        )

    @property
    def card(self) -> ModelCard:
        return self.CARD if self.cross_product else replace(self.CARD, symmetry="E(3)")

    def features(self, graph: Graph) -> Float[Tensor, "nodes features"]:
        require_space(graph)
        edges = self.edges(graph)
        a_ij = (edges.attributes, edges.directions, edges.envelope.squeeze(-1))
        f = (self.embedding(graph), None if self.start is None else self.start(graph))
        for layer in self.layers:
            f = layer(f, a_ij, graph.edge_index)
        return join(*f, vectors=self.vectors)
