r"""MPNN: message passing on any graph, with a network that turns what is known of an edge into a matrix.

.. math::
    m_i^{t+1} = \sum_{j \in N(i)} A(e_{ij})\, h_j^t, \qquad h_i^{t+1} = \mathrm{GRU}(h_i^t, m_i^{t+1})

with the same A and GRU at every step t, and a readout by set2set (:class:`intertwine.nn.set2set.SetHead`). Gilmer et
al., ICML 2017 (arXiv:1704.01212), eq. 1 to 3 and section 5; lecture 3.2, the framework before geometry:
:math:`m_{ij} = \phi_m(f_i, f_j, a_{ij})`, :math:`f_i' = \phi_f(f_i, \sum_j m_{ij})`.

With k ``towers`` (section 5.4) the features are k copies of d = F / k, each with messages and a GRU of its own, which a
network g of the node mixes after every step:

.. math::
    \tilde h_i^{t+1, c} = \mathrm{GRU}_c\Big(h_i^{t, c}, \sum_j A_c(e_{ij})\, h_j^{t, c}\Big), \qquad
    (h_i^{t+1, 1}, \dots, h_i^{t+1, k}) = g(\tilde h_i^{t+1, 1}, \dots, \tilde h_i^{t+1, k})

All it is equivariant to is the order of the nodes, S(n), and it needs no more: it does not look at coordinates, so
nothing done to them can change what it says, nor can it tell a molecule from its mirror image, or cis from trans. With
a ``cutoff`` the distance joins e_ij, as in the paper's section 5.2, and it becomes a model of structures, invariant
under E(n).

Departures: one message of F features along each edge where the authors' code has two of them, for edges that come in
and that go out, and a bias; SiLU for ReLU in the edge network; the towers' edge networks share their hidden layers (the
matrices are their own), g has one hidden layer; no virtual edges or master node. The paper searched sizes for each
target, 3 to 8 steps and 1 to 12 questions of the readout: the preset has the defaults of the authors' code.
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
from intertwine.nn.preset import OURS, Preset
from intertwine.nn.recurrent import GRUCell
from intertwine.numerics import InputError
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


class Towers(nn.Module):
    """One step of k towers of F / k features each, and the network g that mixes them.

    Args:
        width: features F of a node.
        functions: hidden units of the edge network's last layer, the constant included.
        towers: k, a divisor of F.
    """

    def __init__(self, width: int, functions: int, towers: int) -> None:
        super().__init__()
        self.towers = nn.ModuleList(MPNNLayer(width // towers, functions) for _ in range(towers))
        self.mix = MLP([width, width, width])

    def forward(
        self, h: Float[Tensor, "nodes width"], phi: Float[Tensor, "edges functions"], edge_index: Int[Tensor, "2 edges"]
    ) -> Float[Tensor, "nodes width"]:
        parts = h.chunk(len(self.towers), dim=-1)
        return self.mix(torch.cat([tower(part, phi, edge_index) for tower, part in zip(self.towers, parts)], dim=-1))


class MPNN(Backbone):
    """MPNN on graphs with or without coordinates.

    Without a cutoff the edges are those of the graph (bonds, friendships), with their features ``edge_attr``; a graph
    without ``edge_index`` is taken as complete. :meth:`intertwine.geometry.Graph.abstract` makes graphs without
    coordinates.

    Args:
        width: features F of a node (50 in the authors' code).
        layers: steps T (3 to 8 in the paper, 6 in the code).
        cutoff: None does not look at positions; a length r_c in A connects what is nearer and gives the edges radial
            functions.
        edge_width: hidden units of the edge network (50 in the authors' code).
        edge_layers: hidden layers of the edge network (4 in the authors' code).
        towers: parts of the features with messages of their own, a divisor of ``width`` (8 in the paper's table of
            them); 1 for none.
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
    PRESETS: ClassVar[dict[str, Preset]] = {
        "small": Preset({"width": 32, "layers": 3}, source=OURS),
        "paper": Preset(
            {"width": 50, "layers": 6, "edge_width": 50, "edge_layers": 4},
            source="authors' code: mpnn.py, default_hparams; arXiv:1704.01212, section 7, searched sizes by target",
        ),
    }

    def __init__(
        self,
        width: int = 64,
        layers: int = 3,
        cutoff: float | None = None,
        edge_width: int = 32,
        *,
        edge_layers: int = 2,
        towers: int = 1,
        **inputs: Unpack[RadialInputs],
    ) -> None:
        super().__init__(cutoff, inputs)
        check_sizes(width=width, layers=layers, edge_width=edge_width, edge_layers=edge_layers, towers=towers)
        if width % towers:
            raise InputError(f"{towers} towers of {width} features", where="towers", remedy="give a divisor of width.")
        self.steps = layers
        self.irreps_out = Irreps(f"{width}x0e")
        self.embedding = self.embed_nodes(width)
        self.edges = None if cutoff is None else self.embed_edges()
        columns = sum(self.edge_inputs.values()) if self.edges is None else self.edges.width
        self.network = MLP([columns] + [edge_width] * edge_layers, last=True) if columns else None
        functions = 1 + (edge_width if columns else 0)
        self.layer = MPNNLayer(width, functions) if towers == 1 else Towers(width, functions, towers)

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
