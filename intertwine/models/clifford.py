r"""Clifford network: scalars, and multivectors of Cl(3, 0) that are multiplied with each other.

A multivector of three dimensions is a scalar, a vector, a bivector and a pseudoscalar: :math:`0e + 1o + 1e + 0o`. With
:math:`I = e_1 e_2 e_3` every one is :math:`M = (s + I p) + (v + I b)`, and the geometric product is

.. math::
    s'' &= s s' - p p' + v \cdot v' - b \cdot b', &
    v'' &= s v' + v s' - p b' - b p' - v \times b' - b \times v', \\
    p'' &= s p' + p s' + v \cdot b' + b \cdot v', &
    b'' &= s b' + b s' + p v' + v p' + v \times v' - b \times b'.

These are the twenty paths that couple four irreps with four. :math:`\circ` is the product with a weight for each path
and channel, which starts as the geometric one. A layer on scalars s and multivectors M is

.. math::
    \hat s &= \mathrm{LN}(s), \qquad
    \hat M = M \big/ \textstyle\sqrt{\operatorname{mean}_c \|M_c\|^2 + \epsilon^2} \\
    D_{ij} &= A \hat M_i + B \hat M_j + a\, \hat x_{ij} \\
    h_{ij} &= c(d_{ij})\, \sigma\big(W_1 (\hat s_i, \hat s_j, e(d_{ij}), \|D_{ij}\|^2) + b\big), \qquad
    (u_{ij}, t_{ij}) = W_2 h_{ij} \\
    (m_i, N_i) &= \textstyle\frac{1}{\sqrt{\bar n}} \sum_j \big(h_{ij},\;
    (C \hat M_j) (u_{ij} + t_{ij}\, \hat x_{ij})\big) \\
    P_i &= \big(E \hat M_i + F N_i\big) \circ \big(G \hat M_i + H N_i\big) \\
    (v_i, g_i) &= \mathrm{MLP}(\hat s_i, m_i, Q_i), \qquad
    s_i' = s_i + v_i, \qquad M_i' = M_i + U (g_i P_i) + V N_i

where capital letters but M, N, P and Q are matrices of the channels, one for each grade; the squares are of each grade
and channel; Q are scalars that have weights of the product of their own; and e are radial functions and invariants of
the edge. The envelope c takes messages smoothly to zero at the cutoff; without a cutoff all pairs interact, and there
is no c. The first multivectors are made of scalars, of the position relative to the centre of the graph, and of vectors
of the nodes.

Ruhe, Brandstetter, Forré, "Clifford group equivariant neural networks", NeurIPS 2023, arXiv:2305.11141, section 3 (maps
and products with weights for each grade); Liu, Ruhe, Forré, "Multivector neurons", 2024, arXiv:2406.04052 (scalars
beside multivectors), whose sizes and training the preset ``particles`` and ``benchmarks/papers/nbody.py`` take.

Departures: layers are arranged otherwise than in both papers. Messages multiply the multivector of a neighbour with a
scalar and a vector of the edge, in one kernel with the sum, and products of two learned multivectors are taken at the
nodes; messages look at the squares of a multivector of the edge, which has half of the channels; normalisation comes
before a layer.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import ClassVar, Unpack

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from intertwine.geometry import Graph, centred, directions, edge_vectors, vector_fields
from intertwine.kernels.convolution.fused import Fused
from intertwine.kernels.plan import Operand, Plan, Table
from intertwine.nn import MLP, Backbone, ModelCard, VectorInputs
from intertwine.nn.checks import check_degree, check_sizes, check_smoothing, require_space
from intertwine.nn.embedding import AnyDistance, EdgeEmbedding
from intertwine.nn.irreps.channel_product import ChannelProduct
from intertwine.nn.preset import OURS, Preset
from intertwine.nn.scalar_vector import join
from intertwine.numerics import InputError, choose, safe, segment
from intertwine.o3 import Irreps

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"silu": F.silu, "relu": F.relu}
#: Gain of the weights of what a layer adds to the multivectors, and of those of the squares.
SMALL = 0.3
SIZES = {"width": 64, "channels": 16, "layers": 4, "cutoff": None, "average_degree": 4.0, "activation": "relu"}
SOURCE = (
    "authors' code: mvn/models/nbody_mvn.py of arXiv:2406.04052 (4 layers, 64 scalars, 16 multivectors; training: "
    "mvn/configs/nbody_mvn.yaml)"
)
GRADES = ("0e", "1o", "1e", "0o")
GRADE = (0, 1, 1, 1, 2, 2, 2, 3)  # of each component
ROOT2, ROOT3 = 2**0.5, 3**0.5
#: Weights of the paths (first, second, result) that make a product with weights the geometric product: the sign of the
#: path in the module's docstring, and what takes a coupling in component normalisation to products of numbers.
GEOMETRIC = {
    ("0e", "0e", "0e"): 1.0, ("0o", "0o", "0e"): -1.0, ("1o", "1o", "0e"): ROOT3, ("1e", "1e", "0e"): -ROOT3,
    ("0e", "0o", "0o"): 1.0, ("0o", "0e", "0o"): 1.0, ("1o", "1e", "0o"): ROOT3, ("1e", "1o", "0o"): ROOT3,
    ("0e", "1o", "1o"): 1.0, ("1o", "0e", "1o"): 1.0, ("0o", "1e", "1o"): -1.0, ("1e", "0o", "1o"): -1.0,
    ("1o", "1e", "1o"): -ROOT2, ("1e", "1o", "1o"): -ROOT2,
    ("0e", "1e", "1e"): 1.0, ("1e", "0e", "1e"): 1.0, ("0o", "1o", "1e"): 1.0, ("1o", "0o", "1e"): 1.0,
    ("1o", "1o", "1e"): ROOT2, ("1e", "1e", "1e"): -ROOT2,
}  # fmt: skip


def multivectors(channels: int) -> Irreps:
    """The representation of multivectors: scalars, vectors, bivectors (as pseudovectors), pseudoscalars."""
    return Irreps([(channels, ir) for ir in GRADES])


def geometric_product(channels: int, invariants: int = 0, dtype: torch.dtype | None = None) -> ChannelProduct:
    """The geometric product of multivectors, channel by channel, in ``ir_mul``: with weights that may change.

    Args:
        channels: of the multivectors.
        invariants: further blocks of scalars before the result, with random weights.
        dtype: of the weights.
    """
    grades = multivectors(channels)
    product = ChannelProduct(grades, grades, Irreps([(channels, "0e")] * invariants) + grades, dtype=dtype)
    with torch.no_grad():
        for weight, (a, b, to) in zip(product.weight, product.paths, strict=True):
            if to >= invariants:
                weight.fill_(GEOMETRIC[GRADES[a], GRADES[b], GRADES[to - invariants]])
    return product


@cache
def cayley_table() -> Float[np.ndarray, "8 8 8"]:
    r"""T of :math:`(M M')_k = \sum_{ij} T_{ijk} M_i M'_j`."""
    product, blades = geometric_product(1, dtype=torch.float64), torch.eye(8, dtype=torch.float64)
    with torch.no_grad():
        values = product(torch.cat([blades.repeat_interleave(8, 0), blades.repeat(8, 1)], dim=1))
    return values.round().view(8, 8, 8).numpy()


def times_vector(channels: int) -> Plan:
    """The geometric products of multivectors with a scalar and with a vector, each with a weight for each channel."""
    whole, table = Operand.of([(channels, 8)], "ir_mul"), cayley_table()
    tables = (table[:, :1], table[:, 1:4])
    paths = [(0, block, 0, "uvu", True, 1.0, Table.of(table)) for block, table in enumerate(tables)]
    return Plan.of(whole, Operand.of([(1, 1), (1, 3)]), whole, paths)


class GradeLinear(nn.Module):
    r""":math:`M'_{k c'} = \sum_c M_{k c} W^{g(k)}_{c c'}` with a matrix W for the grade g of each component k.

    The map of ``o3.Linear``, in one batched product for all grades: they have one number of channels here.

    Args:
        inputs, outputs: channels.
        gain: of the initial weights, which are uniform.
    """

    component: Tensor

    def __init__(self, inputs: int, outputs: int, gain: float = 1.0) -> None:
        super().__init__()
        bound = gain * (3 / inputs) ** 0.5
        self.weight = nn.Parameter(torch.empty(len(GRADES), inputs, outputs).uniform_(-bound, bound))
        self.register_buffer("component", torch.tensor(GRADE), persistent=False)

    def forward(self, m: Float[Tensor, "nodes 8 inputs"]) -> Float[Tensor, "8 nodes outputs"]:
        """The components come first."""
        return torch.bmm(m.transpose(0, 1), self.weight.index_select(0, self.component))


class CliffordLayer(nn.Module):
    """Message, sum and update on s (nodes, F) and M (nodes, 8, C).

    Args:
        width: scalars F.
        channels: multivectors C.
        edge_width: attributes of an edge.
        average_degree: average number of neighbours.
        smoothing: epsilon of the norm.
        activation: sigma.
    """

    component: Tensor
    places: Tensor

    def __init__(
        self,
        width: int,
        channels: int,
        edge_width: int,
        average_degree: float,
        smoothing: float,
        activation: Callable[[Tensor], Tensor],
    ) -> None:
        super().__init__()
        self.smoothing, self.activation, self.scale = smoothing, activation, average_degree**-0.5
        self.compared = max(1, channels // 2)
        self.norm = nn.LayerNorm(width)
        self.first = GradeLinear(channels, 2 * self.compared + channels)  # A, B and C
        self.first_scalars = nn.Linear(width, 2 * width)
        self.first_attributes = nn.Linear(edge_width, width, bias=False)
        self.first_squares = nn.Parameter(SMALL * channels**-0.5 * torch.randn(len(GRADES), self.compared, width))
        self.direction = nn.Parameter(torch.randn(self.compared))
        self.second = nn.Linear(width, 2 * channels)
        self.fused = Fused(times_vector(channels))
        self.factors = GradeLinear(2 * channels, 2 * channels)  # E to H
        self.product = geometric_product(channels, invariants=1)
        self.mlp = MLP([2 * width + channels, width, width + len(GRADES) * channels])
        self.out = GradeLinear(2 * channels, channels, SMALL)  # U and V
        self.register_buffer("component", torch.tensor(GRADE), persistent=False)
        self.register_buffer("places", torch.eye(3, 8).roll(1, 1).unsqueeze(2), persistent=False)

    def forward(
        self,
        s: Float[Tensor, "nodes width"],
        m: Float[Tensor, "nodes 8 channels"],
        attributes: Float[Tensor, "edges k"],
        vectors: Float[Tensor, "edges 3"],
        envelope: Float[Tensor, "edges 1"] | None,
        edge_index: Int[Tensor, "2 edges"],
    ) -> tuple[Float[Tensor, "nodes width"], Float[Tensor, "nodes 8 channels"]]:
        j, i, nodes, channels = edge_index[0], edge_index[1], s.shape[0], m.shape[2]
        t = self.norm(s)
        n = m * (m.square().sum(1, keepdim=True).mean(2, keepdim=True) + self.smoothing**2).rsqrt()
        ends, sent = self.first(n).split([2 * self.compared, channels], dim=2)
        h = self.messages(t, ends, attributes, vectors, i, j)
        h = h if envelope is None else h * envelope
        received = segment.sum(h, i, nodes) * self.scale
        with_one = F.pad(vectors, (1, 0), value=1.0) * self.scale
        x = sent.transpose(0, 1).flatten(1)
        moved = self.fused.convolve(x, with_one, self._weights(h, envelope), j, i, nodes)
        moved = moved.unflatten(1, (8, channels))
        pairs = self.factors(torch.cat([n, moved], dim=2)).unflatten(2, (2, channels))
        scalars, p = self.product(pairs.permute(1, 2, 0, 3).flatten(1)).split([channels, 8 * channels], dim=1)
        change, gate = self.mlp(torch.cat([t, received, scalars], dim=1)).split([s.shape[1], 4 * channels], dim=1)
        p = p.unflatten(1, (8, channels)) * gate.unflatten(1, (4, channels)).index_select(1, self.component)
        return s + change, m + self.out(torch.cat([p, moved], dim=2)).transpose(0, 1)

    def messages(
        self,
        s: Float[Tensor, "nodes width"],
        ends: Float[Tensor, "8 nodes ends"],
        attributes: Float[Tensor, "edges k"],
        vectors: Float[Tensor, "edges 3"],
        i: Int[Tensor, " edges"],
        j: Int[Tensor, " edges"],
    ) -> Float[Tensor, "edges width"]:
        """h without its envelope; the linear maps of both ends are taken once per node."""
        m_i, m_j = ends.unflatten(2, (2, self.compared)).permute(2, 1, 0, 3).flatten(2).unbind()
        s_i, s_j = self.first_scalars(s).chunk(2, dim=1)
        d = m_i.index_select(0, i) + m_j.index_select(0, j)
        d = torch.addmm(d, vectors, (self.places * self.direction).flatten(1))
        h = s_i.index_select(0, i) + s_j.index_select(0, j) + self.first_attributes(attributes)
        # a row of weights for each component sums the squares over a grade
        weights = self.first_squares.index_select(0, self.component).flatten(0, 1)
        return self.activation(torch.addmm(h, d.square(), weights))

    def _weights(
        self, h: Float[Tensor, "edges width"], envelope: Float[Tensor, "edges 1"] | None
    ) -> Float[Tensor, "edges weights"]:
        """u and t, whose bias vanishes at the cutoff, too."""
        if envelope is None:
            return self.second(h)
        return torch.addmm(envelope * self.second.bias, h, self.second.weight.T)


class Clifford(Backbone):
    """Clifford network with any cutoff or none, any species and inputs.

    Args:
        width: scalars of a node.
        channels: multivectors of a node; multiples of 16 fill the processor's vectors.
        layers: messages and updates.
        cutoff: r_c in A; None connects all pairs (the papers' particles).
        average_degree: average number of neighbours; sums are divided by its square root.
        scale: without a cutoff, a typical distance.
        smoothing: epsilon of the norm of multivectors, in units of the features.
        activation: of the messages, "silu", or "relu", whose forces have kinks.
        centred: whether positions relative to the mean of their graph are among the first vectors.
        inputs: as of every model, :class:`~intertwine.nn.VectorInputs`; messages see the invariants of edges.

    Raises:
        InputError: a size or scale that is not positive, an unknown activation, centred with a cutoff.
    """

    CARD = ModelCard(
        message="nonlinear",
        geometry="vector",
        body_order=3,
        symmetry="E(3)",
        paper="Ruhe et al. 2023, arXiv:2305.11141; Liu et al. 2024, arXiv:2406.04052",
    )

    DEFAULTS = VectorInputs(radial_size=12)
    PRESETS: ClassVar[dict[str, Preset]] = {
        "small": Preset({"width": 32, "channels": 16, "layers": 2}, source=OURS),
        "paper": Preset(SIZES, source=SOURCE),
        "particles": Preset(
            SIZES
            | {
                "species": (),
                "node_inputs": ("speed",),
                "edge_inputs": ("charge_product",),
                "vector_inputs": ("vel",),
                "centred": True,
            },
            source=SOURCE,
        ),
    }

    def __init__(
        self,
        width: int = 64,
        channels: int = 16,
        layers: int = 3,
        cutoff: float | None = 5.0,
        *,
        average_degree: float = 12.0,
        scale: float = 2.0,
        smoothing: float = 0.1,
        activation: str = "silu",
        centred: bool = False,
        **inputs: Unpack[VectorInputs],
    ) -> None:
        super().__init__(cutoff, inputs)
        check_sizes(width=width, channels=channels, layers=layers)
        check_degree(average_degree)
        check_smoothing(smoothing)
        chosen = ACTIVATIONS[choose(activation, ACTIVATIONS, kind="activation", where="activation")]
        if centred and cutoff is not None:
            raise InputError(
                "the centre of a graph is no local quantity",
                where="centred",
                remedy="leave it out, or set cutoff = None.",
            )
        self.channels, self.centred = channels, centred
        self.irreps_out = Irreps(f"{width}x0e+{channels}x1o")
        self.embedding = self.embed_nodes(width)
        self.edges: EdgeEmbedding | AnyDistance = self.embed_pairs(scale) if cutoff is None else self.embed_edges()
        vectors = sum(self.vector_inputs.values()) + centred
        self.scalars = nn.Linear(width, channels)
        self.vectors = nn.Linear(vectors, channels, bias=False) if vectors else None
        self.layers = nn.ModuleList(
            CliffordLayer(width, channels, self.edges.width, average_degree, smoothing, chosen) for _ in range(layers)
        )

    def features(self, graph: Graph) -> Float[Tensor, "nodes features"]:
        require_space(graph)
        if isinstance(self.edges, AnyDistance):
            x_ij, envelope = edge_vectors(graph), None
            attributes, x_ij = self.edges(graph, x_ij), directions(x_ij)
        else:
            _, _, x_ij, attributes, envelope = self.edges(graph)
        s = self.embedding(graph)
        m = self.first_multivectors(s, graph)
        for layer in self.layers:
            s, m = layer(s, m, attributes, x_ij, envelope, graph.edge_index)
        return join(s, m[:, 1:4], vectors=self.channels)

    def first_multivectors(self, s: Float[Tensor, "nodes width"], graph: Graph) -> Float[Tensor, "nodes 8 channels"]:
        """Scalars from s; vectors from the position relative to the centre and from the inputs; nothing else."""
        m = self.scalars(s).unsqueeze(1)
        if self.vectors is not None:
            fields = [*vector_fields(graph, self.vector_inputs), *([centred(graph)] if self.centred else [])]
            m = torch.cat([m, self.vectors(torch.stack([safe.compress(u) for u in fields], dim=-1))], dim=1)
        return F.pad(m, (0, 0, 0, 8 - m.shape[1]))
