r"""MPNN: message passing on any graph, with a network that turns what is known of an edge into a matrix.

.. math::
    m_i^{t+1} = \sum_{j \in N(i)} A(e_{ij})\, h_j^t, \qquad h_i^{t+1} = \mathrm{GRU}(h_i^t, m_i^{t+1})

with the same A and GRU at every step t, and a readout by set2set (:class:`intertwine.nn.set2set.SetHead`). Gilmer et al., ICML
2017 (arXiv:1704.01212), eq. 1 to 3 and section 5; lecture 3.2, the framework before geometry:
:math:`m_{ij} = \phi_m(f_i, f_j, a_{ij})`, :math:`f_i' = \phi_f(f_i, \sum_j m_{ij})`.

All it is equivariant to is the order of the nodes, S(n), and it needs no more: it does not look at coordinates, so nothing
done to them can change what it says, nor can it tell a molecule from its mirror image, or cis from trans. With a ``cutoff`` the
distance joins e_ij, as in the paper's section 5.2, and it becomes a model of structures, invariant under E(n).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from intertwine.geometry import Graph, edge_invariants
from intertwine.nn import MLP, Backbone, EdgeEmbedding, NodeEmbedding
from intertwine.nn.card import ModelCard
from intertwine.nn.checks import check_edge_inputs, check_sizes
from intertwine.nn.kernel_convolution import KernelConvolution
from intertwine.nn.recurrent import GRUCell
from intertwine.o3 import Irreps


class MPNNLayer(nn.Module):
    """One step: messages A(e) h, and the GRU.

    Args:
        width: features F of a node.
        functions: hidden units of the edge network's last layer, the constant included.
    """

    def __init__(self, width: int, functions: int) -> None:
        super().__init__()
        self.convolution = KernelConvolution(width, functions)
        self.gru = GRUCell(width, width)

    def forward(self, h, phi, edge_index):
        return self.gru(self.convolution(h, phi, edge_index), h)


class MPNN(Backbone):
    """MPNN on graphs with or without coordinates.

    Without a cutoff the edges are those of the graph (bonds, friendships), with their features ``edge_attr``; a graph without
    ``edge_index`` is taken as complete. :meth:`intertwine.geometry.Graph.abstract` makes graphs without coordinates.

    Args:
        width: features F of a node (200 in the paper).
        layers: steps T (3 to 8 in the paper).
        cutoff: None does not look at positions; a length r_c in A connects what is nearer and gives the edges radial functions.
        edge_width: hidden units of the edge network.
        radial_size: number of radial functions, with a cutoff.
        radial: "bessel" or "gaussian".
        cutoff_function: "polynomial" (forces without a kink) or "cosine".
        species: atomic numbers known; None for all, () for nodes that are not atoms.
        node_inputs: names of node invariants to embed (``geometry.NODE_INVARIANTS``), or "x".
        edge_inputs: names of edge invariants that A sees (``geometry.EDGE_INVARIANTS``), or "edge_attr".
        node_columns: number of columns of the node inputs in all; needed where "x" is among them.
        edge_columns: number of columns of the edge inputs in all; needed where "edge_attr" is among them.
    """

    CARD = ModelCard(
        message="linear",
        domain="graph",
        geometry="none",
        body_order=2,
        symmetry="S(n)",
        paper="Gilmer et al. 2017, arXiv:1704.01212",
    )
    PRESETS: ClassVar[dict[str, dict[str, object]]] = {
        "small": {"width": 32, "layers": 3},
        "paper": {"width": 200, "layers": 6, "edge_width": 200},
    }

    def __init__(
        self,
        width: int = 64,
        layers: int = 3,
        cutoff: float | None = None,
        edge_width: int = 32,
        radial_size: int = 20,
        radial: str = "bessel",
        cutoff_function: str = "polynomial",
        species: Sequence[int] | None = None,
        node_inputs: Sequence[str] = (),
        edge_inputs: Sequence[str] = (),
        node_columns: int | None = None,
        edge_columns: int | None = None,
    ) -> None:
        super().__init__()
        check_sizes(width=width, layers=layers, edge_width=edge_width, radial_size=radial_size)
        self.cutoff, self.steps = cutoff, layers
        self.irreps_out = Irreps(f"{width}x0e")
        self.embedding = NodeEmbedding(width, species, node_inputs, node_columns)
        self.edge_inputs, self.edge_columns = check_edge_inputs(edge_inputs), len(edge_inputs) if edge_columns is None else edge_columns
        self.edges = None if cutoff is None else EdgeEmbedding(cutoff, radial_size, radial, cutoff_function, edge_inputs, edge_columns)
        columns = self.edge_columns if self.edges is None else self.edges.width
        self.network = MLP([columns, edge_width, edge_width], last=True) if columns else None
        self.layer = MPNNLayer(width, 1 + (edge_width if columns else 0))

    @property
    def card(self) -> ModelCard:
        if self.cutoff is None:
            return self.CARD
        return replace(self.CARD, symmetry="E(n)", domain="R^d", geometry="distance")

    def features(self, graph: Graph) -> Float[Tensor, "nodes features"]:
        h, phi = self.embedding(graph), self.edge_functions(graph)
        for _ in range(self.steps):
            h = self.layer(h, phi, graph.edge_index)
        return h

    def edge_functions(self, graph: Graph) -> Float[Tensor, "edges functions"]:
        r""":math:`(\varphi(e_{ij}), 1)\, c(d_{ij})`, of which A is a linear function; without a cutoff c = 1.

        Raises:
            GeometryError: the edges' invariants have another number of columns than the model, or distances are asked of nodes
                without positions.
        """
        if self.edges is not None:
            edges = self.edges(graph)
            attributes, envelope = edges.attributes, edges.envelope
        else:
            attributes = edge_invariants(graph, self.edge_inputs, self.edge_columns)
            envelope = attributes.new_ones(attributes.shape[0], 1)
        return envelope if self.network is None else torch.cat([self.network(attributes), torch.ones_like(envelope)], dim=-1) * envelope
