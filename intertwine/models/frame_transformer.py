r"""A transformer on coordinates: nodes attend to each other with positions as plain inputs, of no symmetry but T(n).

.. math::
    e_{ij} &= \mathrm{MLP}(x_{ij} / a, r(d_{ij}), a_{ij}), \qquad
    \hat f = \mathrm{LayerNorm}(f) \\
    w_{ij}^h &= \operatorname{softmax}_j \Big(\tfrac{1}{\sqrt D}
    \langle Q^h \hat f_i, K^h \hat f_j \rangle + b^h(e_{ij})\Big), \qquad
    f_i \leftarrow f_i + W \Big[\sum_j w_{ij}^h\, \big(V^h \hat f_j\big) \odot G^h e_{ij}\Big]_h \\
    f_i &\leftarrow f_i + \mathrm{MLP}(\mathrm{LayerNorm}(f_i))

with radial functions r of the distance and invariants :math:`a_{ij}` of the edges. The first features are an embedding
of species and inputs, of vectors (``vector_inputs``) and, where there is no cutoff, of the position from the centroid.
With a cutoff the softmax has weights that vanish with the envelope (:mod:`intertwine.nn.attention`), and nodes know
relative positions alone. Everything is as smooth as the envelope: SiLU, no maximum, no neighbour counted.

It is a network to be symmetrised from outside, by averages over a group or frames, and one to hold equivariant networks
against: what is turned is something else. Its vectors are linear in the last features, component by component.

Attention of several heads with feed-forward layers is of Vaswani et al. 2017 (arXiv:1706.03762), section 3; the edge in
logits and values is after Shaw, Uszkoreit, Vaswani 2018 (arXiv:1803.02155), eq. 3 and 4; unconstrained transformers for
energies of atoms, symmetrised afterwards, are of Pozdnyakov and Ceriotti 2023 (arXiv:2305.19302).

Departures: the edge multiplies the value, where in Shaw et al. a vector is added to it; norms come before attention and
feed-forward layers, SiLU for ReLU, no dropout, and no code of a place in a sequence: nodes have no order. Tokens are
nodes, where those of Pozdnyakov and Ceriotti are the neighbours of each node.
"""

from __future__ import annotations

from typing import ClassVar, Unpack

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from intertwine.geometry import Graph, centred, edge_vectors, vector_fields
from intertwine.groups import Representation
from intertwine.nn import MLP, Backbone, MessagePassing, ModelCard, VectorInputs, check_sizes
from intertwine.nn.attention import attend
from intertwine.nn.checks import require_space
from intertwine.nn.cutoff import positive
from intertwine.nn.preset import OURS, Preset
from intertwine.nn.scalar_vector import scalars_and_vectors
from intertwine.nn.shapes import Weighted
from intertwine.numerics import InputError

Nodes = Float[Tensor, "nodes width"]
Queries = Float[Tensor, "nodes heads size"]
Sent = Float[Tensor, "nodes 2 heads size"]
Received = Float[Tensor, "edges heads size"]
Arrived = Float[Tensor, "edges 2 heads size"]
Attended = tuple[Float[Tensor, "edges heads 1"], Float[Tensor, "edges heads size"], Float[Tensor, " edges"] | None]


class FrameTransformerLayer(MessagePassing):
    """Attention over the neighbours, then a feed-forward network of each node; a norm before both.

    Args:
        width: features of a node.
        heads: heads of attention, a divisor of the width.
        hidden: units of the feed-forward network.
        edge_width: features of e_ij.
    """

    def __init__(self, width: int, heads: int, hidden: int, edge_width: int) -> None:
        super().__init__()
        self.heads, self.size = heads, width // heads
        self.norm, self.norm_between = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query, self.key_value = nn.Linear(width, width), nn.Linear(width, 2 * width)
        self.bias, self.gate = nn.Linear(edge_width, heads, bias=False), nn.Linear(edge_width, width)
        self.mix = nn.Linear(width, width)
        self.feed_forward = MLP([width, hidden, width])

    def prepare(self, f: Nodes) -> tuple[Queries, Sent]:
        normal = self.norm(f)
        query = self.query(normal) / self.size**0.5
        return query.unflatten(1, (self.heads, -1)), self.key_value(normal).unflatten(1, (2, self.heads, -1))

    def message(self, f_i: Received, f_j: Arrived, a_ij: Weighted) -> Attended:
        e, envelope = a_ij
        key, value = f_j.unbind(1)
        logits = (f_i * key).sum(-1) + self.bias(e)
        return logits.unsqueeze(-1), value * self.gate(e).unflatten(1, (self.heads, -1)), envelope

    def aggregate(self, m_ij: Attended, i: Int[Tensor, " edges"], nodes: int) -> Queries:
        logits, values, envelope = m_ij
        return attend(logits, envelope, values, i, nodes)

    def update(self, f_i: Nodes, m_i: Queries) -> Nodes:
        f = f_i + self.mix(m_i.flatten(1))
        return f + self.feed_forward(self.norm_between(f))


class FrameTransformer(Backbone):
    r"""Transformer on coordinates with or without a cutoff, in any dimension.

    Returns ``width`` features and ``vectors`` vectors of each node, which turn in no way that is known: in the frame
    that a wrapper gives it they are scalars and vectors.

    Args:
        width: features of a node (512 in Vaswani et al.).
        layers: number of layers (6 in Vaswani et al.).
        cutoff: r_c in A, beyond which attention vanishes smoothly; None connects all pairs, and then nodes also know
            their positions from the centroid.
        heads: heads of attention, a divisor of the width (8 in Vaswani et al.).
        hidden: units of the feed-forward networks; None for twice the width (4 times in Vaswani et al.).
        scale: a, a typical distance of neighbours (A), which positions are divided by.
        vectors: vectors of a node among the outputs.
        dimension: n, the dimension of space.
        inputs: as of every model, :class:`~intertwine.nn.VectorInputs`.

    Raises:
        InputError: heads that do not divide the width.
    """

    CARD = ModelCard(
        message="nonlinear",
        geometry="vector",
        body_order=5,
        symmetry="T(n)",
        paper="Vaswani et al. 2017, arXiv:1706.03762; Pozdnyakov, Ceriotti 2023, arXiv:2305.19302",
    )
    PRESETS: ClassVar[dict[str, Preset]] = {
        "small": Preset({"width": 32, "layers": 2, "heads": 4}, source=OURS),
        "paper": Preset(
            {"width": 512, "layers": 6, "heads": 8, "hidden": 2048},
            source="arXiv:1706.03762, table 3: the base model (d_model, N, h, d_ff)",
        ),
    }
    irreps_out: Representation

    def __init__(
        self,
        width: int = 64,
        layers: int = 3,
        cutoff: float | None = 5.0,
        heads: int = 4,
        hidden: int | None = None,
        *,
        scale: float = 2.0,
        vectors: int = 1,
        dimension: int = 3,
        **inputs: Unpack[VectorInputs],
    ) -> None:
        super().__init__(cutoff, inputs)
        hidden = 2 * width if hidden is None else hidden
        check_sizes(width=width, layers=layers, heads=heads, hidden=hidden, dimension=dimension, vectors=1 + vectors)
        if width % heads:
            remedy = "give a divisor of the width."
            raise InputError(f"{heads} heads for {width} features", where="heads", remedy=remedy)
        self.dimension, self.scale = dimension, positive(scale)
        self.irreps_out = scalars_and_vectors(width, vectors, dimension)
        self.embedding = self.embed_nodes(width)
        placed = sum(self.vector_inputs.values()) + (cutoff is None)
        self.place = nn.Linear(dimension * placed, width, bias=False) if placed else None
        self.edges = None if cutoff is None else self.embed_edges()
        self.pairs = self.embed_pairs(self.scale) if cutoff is None else None
        seen = sum(part.width for part in (self.edges, self.pairs) if part is not None)
        self.relation = MLP([dimension + seen, width, width], last=True, xavier=False)
        self.layers = nn.ModuleList(FrameTransformerLayer(width, heads, hidden, width) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.outward = nn.Linear(width, dimension * vectors, bias=False) if vectors else None

    def features(self, graph: Graph) -> Float[Tensor, "nodes features"]:
        require_space(graph, self.dimension)
        f, a_ij = self.embedding(graph), self.relations(graph)
        if self.place is not None:
            here = [] if self.cutoff is not None else [centred(graph) / self.scale]
            f = f + self.place(torch.cat([*here, *vector_fields(graph, self.vector_inputs)], dim=-1))
        for layer in self.layers:
            f = layer(f, a_ij, graph.edge_index)
        f = self.norm(f)
        return f if self.outward is None else torch.cat([f, self.outward(f)], dim=-1)

    def relations(self, graph: Graph) -> Weighted:
        """e_ij (edges, width), and the envelope (edges,), None without a cutoff."""
        if self.pairs is not None:
            x_ij = edge_vectors(graph)
            return self.relation(torch.cat([x_ij / self.scale, self.pairs(graph, x_ij)], dim=-1)), None
        assert self.edges is not None
        edges = self.edges(graph)
        seen = torch.cat([edges.vectors / self.scale, edges.attributes], dim=-1)
        return self.relation(seen), edges.envelope.squeeze(-1)
