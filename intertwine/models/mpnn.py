r"""MPNN: message passing on any graph, with a network that turns what is known of an edge into a matrix.

.. math::
    m_i^{t+1} = \sum_{j \in N(i)} A(e_{ij})\, h_j^t, \qquad h_i^{t+1} = \mathrm{GRU}(h_i^t, m_i^{t+1})

with the same A and GRU at every step t, and a readout by set2set (:class:`intertwine.nn.set2set.SetHead`). Gilmer et
al., ICML 2017 (arXiv:1704.01212), eq. 1 to 3 and section 5; lecture 3.2, the framework before geometry:
:math:`m_{ij} = \phi_m(f_i, f_j, a_{ij})`, :math:`f_i' = \phi_f(f_i, \sum_j m_{ij})`.

All it is equivariant to is the order of the nodes, S(n), and it needs no more: it does not look at coordinates, so
nothing done to them can change what it says, nor can it tell a molecule from its mirror image, or cis from trans. With
a ``cutoff`` the distance joins e_ij, as in the paper's section 5.2, and it becomes a model of structures, invariant
under E(n).
"""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar, Unpack

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from intertwine.geometry import Graph, edge_invariants
from intertwine.nn import MLP, Backbone, ModelCard, RadialInputs, check_sizes
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

    def forward(
        self, h: Float[Tensor, "nodes width"], phi: Float[Tensor, "edges functions"], edge_index: Int[Tensor, "2 edges"]
    ) -> Float[Tensor, "nodes width"]:
        return self.gru(self.convolution(h, phi, edge_index), h)


class MPNN(Backbone):
    """MPNN on graphs with or without coordinates.

    Without a cutoff the edges are those of the graph (bonds, friendships), with their features ``edge_attr``; a graph
    without ``edge_index`` is taken as complete. :meth:`intertwine.geometry.Graph.abstract` makes graphs without
    coordinates.

    Args:
        width: features F of a node (200 in the paper).
        layers: steps T (3 to 8 in the paper).
        cutoff: None does not look at positions; a length r_c in A connects what is nearer and gives the edges radial
            functions.
        edge_width: hidden units of the edge network.
        inputs: as of every model, :class:`~intertwine.nn.RadialInputs`; A sees radial functions if there is a cutoff.
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
        **inputs: Unpack[RadialInputs],
    ) -> None:
        super().__init__(cutoff, inputs)
        check_sizes(width=width, layers=layers, edge_width=edge_width)
        self.steps = layers
        self.irreps_out = Irreps(f"{width}x0e")
        self.embedding = self.embed_nodes(width)
        self.edges = None if cutoff is None else self.embed_edges()
        columns = sum(self.edge_inputs.values()) if self.edges is None else self.edges.width
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
            GeometryError: the edges' invariants have another number of columns than the model, or distances are asked
                of nodes without positions.
        """
        if self.edges is not None:
            edges = self.edges(graph)
            attributes, envelope = edges.attributes, edges.envelope
        else:
            attributes = edge_invariants(graph, self.edge_inputs)
            envelope = attributes.new_ones(attributes.shape[0], 1)
        return (
            envelope
            if self.network is None
            else torch.cat([self.network(attributes), torch.ones_like(envelope)], dim=-1) * envelope
        )
