r"""FAENet: messages that read the relative position as it is, in whatever frame; of no symmetry but T(n).

.. math::
    e_{ij} &= \sigma\big(W_2\, \sigma(W_1 (x_{ij} / a) \oplus W_r\, r(d_{ij}, a_{ij}))\big), \qquad
    h_i = \sigma(W \sigma(W E_i)) \\
    f_{ij} &= \sigma\big(W_f (e_{ij} \oplus h_j \oplus h_i)\big), \qquad
    m_i = \sum_j c_{ij}\, \sigma(W_\downarrow h_j) \odot f_{ij} \\
    h_i &\leftarrow h_i + \sigma\big(W_o\, \sigma(W_\uparrow\, \sigma(\mathrm{norm}(m_i)))\big)

with radial functions r, invariants of the edges :math:`a_{ij}`, an embedding E of species and inputs, :math:`\sigma` =
SiLU and, as in the authors' code, a linear map after each concatenation :math:`\oplus`. The result is
:math:`\sigma(W (h_i^0 \oplus \dots \oplus h_i^L))` with ``skip``, else the last features.

Duval, Schmidt, Hernandez-Garcia, Miret, Malliaros, Bengio and Rolnick, ICML 2023 (arXiv:2305.05577), section 4.2 and
the authors' code (``faenet/model.py``: ``updownscale_base``, ``concat_atom``). The authors average it over frames of
the structure, or draw one (stochastic frame averaging); it is a network to be symmetrised from outside.

Departures: an envelope :math:`c_{ij}` takes messages to zero at the cutoff, where theirs end; the normalisation over
the nodes of a graph (GraphNorm) is an option that is off, since with it far atoms act on each other and energies do not
add up; no embeddings of period, group, tags and properties of elements beside that of the species; there may be vectors
(``vector_inputs``) among the inputs, and there are among the outputs (``vectors``), linear in the last features, where
the authors' force decoder is a network.
"""

from __future__ import annotations

from typing import ClassVar, Unpack

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from intertwine.geometry import Graph, vector_fields
from intertwine.groups import Representation
from intertwine.nn import MLP, Backbone, MessagePassing, ModelCard, VectorInputs, check_sizes
from intertwine.nn.checks import require_space
from intertwine.nn.cutoff import positive
from intertwine.nn.edge_mlp import EdgeLinear
from intertwine.nn.preset import OURS, Preset
from intertwine.nn.scalar_vector import scalars_and_vectors
from intertwine.nn.shapes import EdgePart, NodePart, Radial
from intertwine.numerics import segment

Nodes = Float[Tensor, "nodes width"]
NORM_EPSILON = 1e-5  # added to variances


class GraphNorm(nn.Module):
    r""":math:`\gamma \odot (x_i - \alpha \odot \mu) / \sqrt{v + \epsilon} + \beta`, :math:`\mu` the mean over the nodes
    of the graph and v the mean square of the numerator.

    Cai, Luo, Xu, He, Liu, Wang 2021 (arXiv:2009.03294), eq. 7.

    Args:
        width: features.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.scale, self.shift = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))
        self.mean_scale = nn.Parameter(torch.ones(width))

    def forward(self, x: Nodes, membership: Int[Tensor, " nodes"], graphs: int) -> Nodes:
        x = x - self.mean_scale * segment.mean(x, membership, graphs).index_select(0, membership)
        variance = segment.mean(x.square(), membership, graphs).index_select(0, membership)
        return self.scale * x * (variance + NORM_EPSILON).rsqrt() + self.shift


class FAENetLayer(MessagePassing):
    """Message and update on h (nodes, F), beside which the graph is handed on, for its normalisation.

    Args:
        width: features F.
        filters: features of an edge, and of a node while it is sent.
        normalise: whether the sums are normalised over the nodes of a graph.
    """

    def __init__(self, width: int, filters: int, normalise: bool) -> None:
        super().__init__()
        self.filter = EdgeLinear(width, width, filters, filters)
        self.down, self.up = MLP([width, filters], last=True), MLP([filters, width, width], last=True)
        self.norm = GraphNorm(filters) if normalise else None

    def prepare(self, f: tuple[Nodes, Graph]) -> tuple[NodePart, tuple[NodePart, NodePart]]:
        received, sent = self.filter.nodes(f[0], f[0])
        return received, (sent, self.down(f[0]))

    def message(
        self, f_i: EdgePart, f_j: tuple[EdgePart, Float[Tensor, "edges filters"]], a_ij: Radial
    ) -> Float[Tensor, "edges filters"]:
        (sent, value), (e, envelope) = f_j, a_ij
        return value * F.silu(self.filter(f_i, sent, e)) * envelope

    def update(self, f_i: tuple[Nodes, Graph], m_i: Float[Tensor, "nodes filters"]) -> Nodes:
        h, graph = f_i
        m = m_i if self.norm is None else self.norm(m_i, graph.membership(), graph.graphs)
        return h + self.up(F.silu(m))


class FAENet(Backbone):
    r"""FAENet with any species and inputs, in any dimension.

    Returns ``width`` features and ``vectors`` vectors of each node, which turn in no way that is known: in the frame
    that a wrapper gives it they are scalars and vectors.

    Args:
        width: features F of a node (400 for QM9 in the authors' configuration).
        layers: interaction blocks (5).
        cutoff: r_c in A, beyond which messages vanish smoothly (6).
        filters: features of an edge, and of a node while it is sent (480).
        scale: a, a typical distance of neighbours (A), which x_ij is divided by; 1 for the authors' numbers.
        graph_norm: normalise the sums over the nodes of each graph. Far atoms then act on each other, and the energy of
            two molecules is not the sum of theirs.
        skip: the result is a layer on the features of all blocks, not the last ones.
        vectors: vectors of a node among the outputs.
        dimension: n, the dimension of space.
        inputs: as of every model, :class:`~intertwine.nn.VectorInputs`.
    """

    CARD = ModelCard(
        message="nonlinear",
        geometry="vector",
        body_order=5,
        symmetry="T(n)",
        paper="Duval, Schmidt, Hernandez-Garcia et al. 2023, arXiv:2305.05577",
    )
    DEFAULTS = VectorInputs(radial="gaussian")
    PRESETS: ClassVar[dict[str, Preset]] = {
        "small": Preset({"width": 32, "layers": 2, "filters": 32}, source=OURS),
        "paper": Preset(
            {
                "width": 400,
                "layers": 5,
                "cutoff": 6.0,
                "filters": 480,
                "scale": 1.0,
                "graph_norm": True,
                "skip": False,
                "radial_size": 100,
            },
            source="arXiv:2305.05577, section 5; code of arXiv:2305.05577: configs/models/faenet.yaml (qm9)",
        ),
    }
    irreps_out: Representation

    def __init__(
        self,
        width: int = 64,
        layers: int = 3,
        cutoff: float = 5.0,
        filters: int = 64,
        *,
        scale: float = 2.0,
        graph_norm: bool = False,
        skip: bool = True,
        vectors: int = 1,
        dimension: int = 3,
        **inputs: Unpack[VectorInputs],
    ) -> None:
        super().__init__(cutoff, inputs)
        check_sizes(width=width, layers=layers, filters=filters, dimension=dimension, vectors=1 + vectors)
        self.dimension, self.scale = dimension, positive(scale)
        self.irreps_out = scalars_and_vectors(width, vectors, dimension)
        self.embedding, self.edges = self.embed_nodes(width), self.embed_edges()
        inward = sum(self.vector_inputs.values())
        self.inward = nn.Linear(dimension * inward, width, bias=False) if inward else None
        self.first = MLP([width, width, width], last=True)
        half = (filters + 1) // 2
        self.place, self.far = nn.Linear(dimension, half), nn.Linear(self.edges.width, half)
        self.relation = MLP([2 * half, filters], last=True)
        self.layers = nn.ModuleList(FAENetLayer(width, filters, graph_norm) for _ in range(layers))
        self.join = MLP([(layers + 1) * width, width], last=True) if skip else None
        self.outward = nn.Linear(width, dimension * vectors, bias=False) if vectors else None

    def features(self, graph: Graph) -> Float[Tensor, "nodes features"]:
        require_space(graph, self.dimension)
        edges, h = self.edges(graph), self.embedding(graph)
        if self.inward is not None:
            h = h + self.inward(torch.cat(vector_fields(graph, self.vector_inputs), dim=-1))
        seen = [self.place(edges.vectors / self.scale), self.far(edges.attributes)]
        e, h = self.relation(F.silu(torch.cat(seen, dim=-1))), self.first(h)
        every = [h]
        for layer in self.layers:
            every.append(layer((every[-1], graph), (e, edges.envelope), graph.edge_index))
        h = every[-1] if self.join is None else self.join(torch.cat(every, dim=-1))
        return h if self.outward is None else torch.cat([h, self.outward(h)], dim=-1)
