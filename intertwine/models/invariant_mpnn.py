r"""InvariantMPNN: the non-linear convolution with invariant messages; what SchNet is not yet, and EGNN without vectors.

.. math::
    m_{ij} = \mathrm{silu}\big(\mathrm{MLP}(f_i, f_j, e(d_{ij}))\big)\, u(d_{ij}), \qquad
    f_i' = f_i + \mathrm{MLP}\big(f_i, \textstyle\sum_{j} m_{ij}\big)

Lecture 3.2, "Invariant message passing NNs": messages :math:`\mathrm{MLP}(f_i, f_j, \|x_j - x_i\|)` in the equations of
Gilmer et al., ICML 2017 (arXiv:1704.01212), eq. 1 and 2; lecture "Equivariant GNNs", invariant networks 1: distances,
1-hop, body order 2. The distance enters by radial functions e (invariants of the edge beside them), and the envelope u
takes the message to zero at the cutoff.

Departures from Gilmer et al., whose sizes the preset ``paper`` has: messages are a network of both ends and the
distance, not a matrix of the edge; updates are residual, not a GRU; each layer has weights of its own.
"""

from __future__ import annotations

from typing import ClassVar, Unpack

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from intertwine.geometry import Graph
from intertwine.nn import MLP, Backbone, MessagePassing, ModelCard, RadialInputs, check_sizes
from intertwine.nn.edge_mlp import EdgeMLP
from intertwine.nn.preset import OURS, Preset
from intertwine.nn.shapes import EdgePart, NodePart, Radial
from intertwine.o3 import Irreps


class InvariantLayer(MessagePassing):
    """One layer. The first linear map of the message's MLP is taken once per node, not per edge.

    Args:
        width: features F of a node.
        edge_width: radial functions and edge invariants that the message sees.
    """

    def __init__(self, width: int, edge_width: int) -> None:
        super().__init__()
        self.phi_m = EdgeMLP(width, width, edge_width, width, width)
        self.phi_f = MLP([2 * width, width, width])

    def prepare(self, f: Float[Tensor, "nodes width"]) -> tuple[NodePart, NodePart]:
        return self.phi_m.nodes(f, f)

    def message(self, f_i: EdgePart, f_j: EdgePart, a_ij: Radial) -> Float[Tensor, "edges width"]:
        attributes, envelope = a_ij
        return F.silu(self.phi_m(f_i, f_j, attributes)) * envelope

    def update(
        self, f_i: Float[Tensor, "nodes width"], m_i: Float[Tensor, "nodes width"]
    ) -> Float[Tensor, "nodes width"]:
        return f_i + self.phi_f(torch.cat([f_i, m_i], dim=-1))


class InvariantMPNN(Backbone):
    """Invariant message passing with any cutoff, species and invariant inputs, in any dimension.

    Args:
        width: features F of a node.
        layers: message passing layers.
        inputs: as of every model, :class:`~intertwine.nn.RadialInputs`; messages see the invariants of edges.
    """

    CARD = ModelCard(
        message="nonlinear",
        geometry="distance",
        body_order=2,
        symmetry="E(n)",
        paper="Gilmer et al. 2017, arXiv:1704.01212; lecture 3.2",
    )
    DEFAULTS = RadialInputs(radial_size=16)
    PRESETS: ClassVar[dict[str, Preset]] = {
        "small": Preset({"width": 64, "layers": 3, "radial_size": 16}, source=OURS),
        "paper": Preset(
            {"width": 50, "layers": 6},
            source="Gilmer et al.'s code: mpnn.py, default_hparams (node_dim, num_propagation_steps); the lecture "
            "gives no sizes",
        ),
    }

    def __init__(self, width: int = 64, layers: int = 3, cutoff: float = 5.0, **inputs: Unpack[RadialInputs]) -> None:
        super().__init__(cutoff, inputs)
        check_sizes(width=width, layers=layers)
        self.irreps_out = Irreps(f"{width}x0e")
        self.embedding, self.edges = self.embed_nodes(width), self.embed_edges()
        self.layers = nn.ModuleList(InvariantLayer(width, self.edges.width) for _ in range(layers))

    def features(self, graph: Graph) -> Float[Tensor, "nodes features"]:
        f, edges = self.embedding(graph), self.edges(graph)
        for layer in self.layers:
            f = layer(f, (edges.attributes, edges.envelope), graph.edge_index)
        return f
