"""Contestants of the charged particles that the library does not have: a network that is not equivariant, and the
radial field.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from intertwine.geometry import Graph, edge_invariants, edge_vectors
from intertwine.models import MODELS
from intertwine.nn import MLP, Backbone, ModelCard
from intertwine.numerics import safe, segment
from intertwine.o3 import Irreps


class PlainGNN(Backbone):
    """Message passing on coordinates as if they were invariants: h = W (x, v), messages MLP(h_i, h_j, a_ij),
    displacement W' h.

    Args:
        width, layers: sizes. edge_inputs: names of edge invariants.
    """

    CARD = ModelCard(
        message="nonlinear",
        geometry="vector",
        body_order=2,
        symmetry="S(n)",
        paper="the GNN of Satorras, Hoogeboom, Welling 2021, arXiv:2102.09844, section 5.1",
    )
    cutoff: ClassVar[None] = None

    def __init__(self, width: int = 64, layers: int = 4, edge_inputs: Sequence[str] = ("charge_product",)) -> None:
        super().__init__()
        self.edge_inputs, self.irreps_out = tuple(edge_inputs), Irreps("1o")
        self.embedding = nn.Linear(6, width)
        self.messages = nn.ModuleList(
            MLP([2 * width + len(self.edge_inputs), width, width], last=True) for _ in range(layers)
        )
        self.updates = nn.ModuleList(MLP([2 * width, width, width]) for _ in range(layers))
        self.out = MLP([width, width, 3])

    def features(self, graph: Graph) -> Tensor:
        h = self.embedding(torch.cat([graph.pos.to(graph.precision), graph.vel], dim=-1))
        source, target = graph.edge_index
        a = edge_invariants(graph, self.edge_inputs)
        for message, update in zip(self.messages, self.updates):
            m = message(torch.cat([h[target], h[source], a], dim=-1))
            h = h + update(torch.cat([h, segment.sum(m, target, len(h))], dim=-1))
        return self.out(h)


class RadialField(Backbone):
    r"""Positions alone: :math:`x_i \leftarrow x_i + \frac{1}{N-1}\sum_j
    \frac{x_i - x_j}{1 + d_{ij}} \tanh \phi(d_{ij}, a_{ij}) + \phi_v(|v_i|)\, v_i`.

    Köhler, Klein, Noé 2019, arXiv:1910.00753, with the velocity as in section 5.1 of arXiv:2102.09844.

    Args:
        width, layers: sizes. edge_inputs: names of edge invariants.
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
        self.fields = nn.ModuleList(MLP([1 + len(self.edge_inputs), width, 1]) for _ in range(layers))
        self.speeds = nn.ModuleList(MLP([1, width, 1]) for _ in range(layers))

    def features(self, graph: Graph) -> Tensor:
        x_ij, a = edge_vectors(graph), edge_invariants(graph, self.edge_inputs)
        source, target = graph.edge_index
        u, speed = torch.zeros_like(graph.pos), safe.norm(graph.vel, keepdim=True)
        for field, gate in zip(self.fields, self.speeds):
            away = u[target] - u[source] - x_ij
            move = (
                away
                / (safe.norm(away, keepdim=True) + 1)
                * field(torch.cat([safe.norm(away, keepdim=True), a], dim=-1)).tanh()
            )
            u = u + segment.mean(move, target, len(u)) + gate(speed) * graph.vel
        return u


#: For `intertwine.training`, under names of their own.
MODELS.update({"plain_gnn": PlainGNN, "radial_field": RadialField})
