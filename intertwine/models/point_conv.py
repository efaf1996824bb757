r"""PointConv: convolution with a kernel of the relative position; it knows where things are, and which way is up.

.. math::
    m_{ij} = k(x_j - x_i)\, s_j f_j, \qquad f_i' = f_i + \mathrm{MLP}\Big(\sum_{j \in N(i)} m_{ij}\Big), \qquad
    k(x) = c(\|x\|) \sum_m \varphi_m(x)\, H_m

with :math:`\varphi = \mathrm{MLP}(x / r_c, e(\|x\|))` and an inverse-density scale
:math:`s_j = \sigma(\mathrm{MLP}(1/\rho_j))`, :math:`\rho_j = 1 + \sum_k c(d_{jk})`. Wu, Qi and Fuxin, CVPR 2019
(arXiv:1811.07246), eq. 2 to 5; lecture 3.2, "point convolutions".

Departures: no levels of ever fewer points, so the features are as many in each layer (128, then 256 and 1,024 in the
authors' classifier); neighbours within a cutoff, with an envelope, not a fixed number of nearest ones; the density is a
count within the cutoff, not a Gaussian estimate; radial functions join the kernel's input; no batch norms.

A kernel of x_j - x_i commutes with translations, T(n), and with nothing else: rotate the input and the output is
another one, not the rotated one. It would take a kernel of the distance alone (lecture 1.7), which is SchNet's. That
makes it the network to hold equivariant ones against, and certificates of it say so: "not claimed and not there:
rotation".
"""

from __future__ import annotations

from typing import ClassVar, Unpack

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from intertwine.geometry import Graph, vector_fields
from intertwine.nn import MLP, Backbone, ModelCard, VectorInputs, check_sizes
from intertwine.nn.checks import require_space
from intertwine.nn.kernel_convolution import KernelConvolution
from intertwine.nn.preset import OURS, Preset
from intertwine.nn.scalar_vector import scalars_and_vectors
from intertwine.numerics import segment

# of edges, envelope, 1 / density
Geometry = tuple[Float[Tensor, "edges inputs"], Float[Tensor, "edges 1"], Float[Tensor, "nodes 1"]]


class PointConvLayer(nn.Module):
    """One convolution, an MLP of its result, and the way round it.

    Args:
        width: features F of a node.
        inputs: numbers that the kernel sees of an edge: the relative position, radial functions, invariants.
        functions: hidden units of the kernel's network.
        density: weigh what a node sends by its inverse density.
    """

    def __init__(self, width: int, inputs: int, functions: int, density: bool) -> None:
        super().__init__()
        self.phi = MLP([inputs, functions, functions], last=True)
        self.convolution = KernelConvolution(width, functions)
        self.outward = MLP([width, width, width])
        self.scale = MLP([1, functions, 1], xavier=False) if density else None

    def forward(
        self, f: Float[Tensor, "nodes width"], a_ij: Geometry, edge_index: Int[Tensor, "2 edges"]
    ) -> Float[Tensor, "nodes width"]:
        attributes, envelope, inverse_density = a_ij
        sent = f if self.scale is None else f * self.scale(inverse_density).sigmoid()
        return f + self.outward(self.convolution(sent, self.phi(attributes) * envelope, edge_index))


class PointConv(Backbone):
    """PointConv with any cutoff, species and inputs, in any dimension.

    Its vectors are linear in the last features, component by component: nothing is known of how they turn.

    Args:
        width: features F of a node.
        layers: convolutions.
        functions: functions of the kernel (16 in the authors' code).
        density: the paper's inverse-density scale.
        vectors: vectors of a node among the outputs.
        dimension: n, the dimension of space.
        inputs: as of every model, :class:`~intertwine.nn.VectorInputs`; radial functions, which the kernel sees besides
            x_j - x_i, are sharper than coordinates at short range.
    """

    CARD = ModelCard(
        message="linear", geometry="vector", body_order=5, symmetry="T(n)", paper="Wu, Qi, Fuxin 2019, arXiv:1811.07246"
    )
    DEFAULTS = VectorInputs(radial_size=8)
    PRESETS: ClassVar[dict[str, Preset]] = {
        "small": Preset({"width": 32, "layers": 2}, source=OURS),
        "paper": Preset(
            {"width": 128, "layers": 3, "functions": 16},
            source="authors' code: model/pointconv.py (PointConvDensityClsSsg: three levels, 128 features after the "
            "first), utils/pointconv_util.py (WeightNet(3, 16))",
        ),
    }

    def __init__(
        self,
        width: int = 64,
        layers: int = 3,
        cutoff: float = 5.0,
        functions: int = 16,
        *,
        density: bool = True,
        vectors: int = 1,
        dimension: int = 3,
        **inputs: Unpack[VectorInputs],
    ) -> None:
        super().__init__(cutoff, inputs)
        check_sizes(width=width, layers=layers, functions=functions, dimension=dimension, vectors=1 + vectors)
        self.dimension = dimension
        self.irreps_out = scalars_and_vectors(width, vectors, dimension)
        self.embedding, self.edges = self.embed_nodes(width), self.embed_edges()
        self.inward = (
            nn.Linear(dimension * sum(self.vector_inputs.values()), width, bias=False) if self.vector_inputs else None
        )
        seen = dimension + self.edges.width
        self.layers = nn.ModuleList(PointConvLayer(width, seen, functions, density) for _ in range(layers))
        self.outward = nn.Linear(width, dimension * vectors, bias=False) if vectors else None

    def features(self, graph: Graph) -> Float[Tensor, "nodes features"]:
        require_space(graph, self.dimension)
        f, edges = self.embedding(graph), self.edges(graph)
        if self.inward is not None:
            f = f + self.inward(torch.cat(vector_fields(graph, self.vector_inputs), dim=-1))
        density = 1 + segment.sum(edges.envelope, graph.edge_index[1], graph.num_nodes)
        a_ij = (torch.cat([edges.vectors / self.cutoff, edges.attributes], dim=-1), edges.envelope, 1 / density)
        for layer in self.layers:
            f = layer(f, a_ij, graph.edge_index)
        return f if self.outward is None else torch.cat([f, self.outward(f)], dim=-1)
