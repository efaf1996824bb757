"""Contestants of the charged particles that the library does not have: a network that is not equivariant, and the
radial field, both as in the comparison of Satorras et al. 2021.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from intertwine.geometry import Graph, edge_invariants, edge_vectors
from intertwine.models import MODELS
from intertwine.nn import MLP, Backbone, MessagePassing, ModelCard
from intertwine.numerics import safe, segment
from intertwine.o3 import Irreps


class PlainLayer(MessagePassing):
    r""":math:`m_{ij} = \phi_e(h_i, h_j, a_{ij})`, :math:`h_i' = h_i + \phi_h(h_i, \sum_j m_{ij})`.

    Args:
        width: features of a node and of a message. edge_width: columns of a_ij.
    """

    def __init__(self, width: int, edge_width: int) -> None:
        super().__init__()
        self.phi_e = MLP([2 * width + edge_width, width, width], last=True, xavier=False)
        self.phi_h = MLP([2 * width, width, width], xavier=False)

    def prepare(self, f: Tensor) -> tuple[Tensor, Tensor]:
        # the first layer of phi_e, once per node and not per edge
        first = cast(nn.Linear, self.phi_e.layers[0])
        of_i, of_j = first.weight[:, : 2 * f.shape[1]].chunk(2, dim=1)
        return F.linear(f, of_i, first.bias), F.linear(f, of_j)

    def message(self, f_i: Tensor, f_j: Tensor, a_ij: Tensor) -> Tensor:
        of_edge = cast(nn.Linear, self.phi_e.layers[0]).weight[:, -a_ij.shape[1] :]
        return self.phi_e.after_first(torch.addmm(f_i + f_j, a_ij, of_edge.T))

    def update(self, f_i: Tensor, m_i: Tensor) -> Tensor:
        return f_i + self.phi_h(torch.cat([f_i, m_i], dim=-1))


class PlainGNN(Backbone):
    r"""Message passing on coordinates as if they were invariants: :math:`h_i = W (x_i, v_i)`, layers of
    :class:`PlainLayer`, the displacement :math:`\phi(h_i)`. Weights start as torch's linear layers do, which the
    comparison's do too; with Xavier's weights and zero biases the error after 100 epochs is three times as large.

    Args:
        width, layers: sizes. edge_inputs: names of edge invariants, at least one.
    """

    CARD = ModelCard(
        message="nonlinear",
        geometry="vector",
        body_order=5,
        symmetry="S(n)",
        paper="the GNN of Satorras, Hoogeboom, Welling 2021, arXiv:2102.09844, section 5.1",
    )
    cutoff: ClassVar[None] = None

    def __init__(self, width: int = 64, layers: int = 4, edge_inputs: Sequence[str] = ("charge_product",)) -> None:
        super().__init__()
        self.edge_inputs, self.irreps_out = tuple(edge_inputs), Irreps("1o")
        self.embedding = nn.Linear(6, width)
        self.layers = nn.ModuleList(PlainLayer(width, len(self.edge_inputs)) for _ in range(layers))
        self.out = MLP([width, width, 3], xavier=False)

    def features(self, graph: Graph) -> Tensor:
        h = self.embedding(torch.cat([graph.pos.to(graph.precision), graph.vel], dim=-1))
        a = edge_invariants(graph, self.edge_inputs)
        for layer in self.layers:
            h = layer(h, a, graph.edge_index)
        return self.out(h)


class RadialField(Backbone):
    r"""Positions alone: :math:`x_i' = x_i + \frac{1}{N-1}\sum_j (x_i - x_j) \tanh \phi(d_{ij}, a_{ij}, D_{ij}^2) +
    \phi_v(|v_i|)\, v_i`, with d the distance now, and D and v the distance and the velocity at the start.

    Köhler, Klein, Noé 2019, arXiv:1910.00753, with the velocity and the hyperbolic tangent of section 5.1 of
    arXiv:2102.09844. As there, the last layer of :math:`\phi` has no bias and starts at Xavier's weights times 0.001:
    positions hardly move at first. The other weights start as torch's linear layers do.

    Args:
        width, layers: sizes. edge_inputs: names of edge invariants, a_ij.
    """

    CARD = ModelCard(
        message="nonlinear",
        geometry="distance",
        body_order=2,
        symmetry="E(n)",
        paper="Köhler, Klein, Noé 2019, arXiv:1910.00753",
    )
    cutoff: ClassVar[None] = None

    def __init__(self, width: int = 64, layers: int = 4, edge_inputs: Sequence[str] = ("charge_product",)) -> None:
        super().__init__()
        self.edge_inputs, self.irreps_out = tuple(edge_inputs), Irreps("1o")
        self.fields = nn.ModuleList(
            MLP([2 + len(self.edge_inputs), width], last=True, xavier=False) for _ in range(layers)
        )
        self.steps = nn.ModuleList(nn.Linear(width, 1, bias=False) for _ in range(layers))
        self.speeds = nn.ModuleList(MLP([1, width, 1], xavier=False) for _ in range(layers))
        for step in self.steps:
            nn.init.xavier_uniform_(cast(nn.Linear, step).weight, gain=0.001)

    def features(self, graph: Graph) -> Tensor:
        x_ij, (source, target) = edge_vectors(graph), graph.edge_index
        a = torch.cat([edge_invariants(graph, self.edge_inputs), x_ij.square().sum(-1, keepdim=True)], dim=-1)
        u, speed = torch.zeros_like(graph.vel), safe.norm(graph.vel, keepdim=True)
        for field, step, gate in zip(self.fields, self.steps, self.speeds):
            away = u[target] - u[source] - x_ij
            move = away * step(field(torch.cat([safe.norm(away, keepdim=True), a], dim=-1))).tanh()
            u = u + segment.mean(move, target, len(u)) + gate(speed) * graph.vel
        return u


#: For `intertwine.training`, under names of their own.
MODELS.update({"plain_gnn": PlainGNN, "radial_field": RadialField})
