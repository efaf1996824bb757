r"""SchNet: an invariant network; linear convolution with a continuous filter of the distance.

.. math::
    m_{ij} = (W_1 f_j) \circ W(d_{ij})\, c(d_{ij}), \qquad f_i' = f_i + W_3\,\sigma\big(W_2 \textstyle\sum_j m_{ij}\big)

with c the envelope, which takes messages to zero at the cutoff; the paper has none.

Schütt et al., NeurIPS 2017 (arXiv:1706.08566), eq. 1 and 2, figure 2; lecture 3.2, "point convolutions" with k(||x_j - x_i||).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor, nn

from intertwine.geometry import Graph
from intertwine.nn import MLP, Backbone, EdgeEmbedding, MessagePassing, NodeEmbedding, shifted_softplus
from intertwine.nn.card import ModelCard
from intertwine.nn.checks import check_sizes
from intertwine.nn.shapes import Radial
from intertwine.o3 import Irreps


class SchNetLayer(MessagePassing):
    """One interaction block.

    Args:
        width: features F of a node.
        edge_width: radial functions and edge invariants that the filter sees.
    """

    def __init__(self, width: int, edge_width: int) -> None:
        super().__init__()
        self.filter = MLP([edge_width, width, width], shifted_softplus)
        self.inward = nn.Linear(width, width, bias=False)
        self.outward = MLP([width, width, width], shifted_softplus)
        nn.init.xavier_uniform_(self.inward.weight)

    def prepare(self, f: Float[Tensor, "nodes width"]) -> tuple[None, Float[Tensor, "nodes width"]]:
        return None, self.inward(f)  # W_1 once per node, not per edge

    def message(self, f_i: None, f_j: Float[Tensor, "edges width"], a_ij: Radial) -> Float[Tensor, "edges width"]:
        attributes, envelope = a_ij
        return f_j * (self.filter(attributes) * envelope)  # (W_1 f_j) o W(d_ij)

    def update(self, f_i: Float[Tensor, "nodes width"], m_i: Float[Tensor, "nodes width"]) -> Float[Tensor, "nodes width"]:
        return f_i + self.outward(m_i)


class SchNet(Backbone):
    """SchNet with any cutoff, species and invariant inputs.

    Args:
        width: features F of a node (64 in the paper, 128 in later work).
        layers: interaction blocks.
        cutoff: r_c in A.
        radial_size: number of radial functions.
        radial: "gaussian" (the paper's) or "bessel".
        cutoff_function: "polynomial" (forces without a kink) or "cosine".
        species: atomic numbers known; None for all, () for nodes that are not atoms.
        node_inputs: names of node invariants to embed (``geometry.NODE_INVARIANTS``).
        edge_inputs: names of edge invariants that the filter sees (``geometry.EDGE_INVARIANTS``).
    """

    CARD = ModelCard(
        message="linear",
        geometry="distance",
        body_order=2,
        symmetry="E(n)",
        paper="Schütt et al. 2017, arXiv:1706.08566",
    )
    PRESETS: ClassVar[dict[str, dict[str, object]]] = {
        "small": {"width": 64, "layers": 3, "radial_size": 32},
        "paper": {"width": 64, "layers": 3, "radial_size": 300, "cutoff": 30.0},
    }

    def __init__(
        self,
        width: int = 128,
        layers: int = 4,
        cutoff: float = 5.0,
        radial_size: int = 50,
        radial: str = "gaussian",
        cutoff_function: str = "polynomial",
        species: Sequence[int] | None = None,
        node_inputs: Sequence[str] = (),
        edge_inputs: Sequence[str] = (),
    ) -> None:
        super().__init__()
        check_sizes(width=width, layers=layers, radial_size=radial_size)
        self.cutoff = cutoff
        self.irreps_out = Irreps(f"{width}x0e")
        self.embedding = NodeEmbedding(width, species, node_inputs)
        self.edges = EdgeEmbedding(cutoff, radial_size, radial, cutoff_function, edge_inputs)
        self.layers = nn.ModuleList(SchNetLayer(width, self.edges.width) for _ in range(layers))

    def features(self, graph: Graph) -> Float[Tensor, "nodes features"]:
        f, edges = self.embedding(graph), self.edges(graph)
        for layer in self.layers:
            f = layer(f, (edges.attributes, edges.envelope), graph.edge_index)
        return f
