"""Networks that have no symmetry of rotations: a perceptron of all coordinates, and a transformer of them."""

from __future__ import annotations

from typing import Unpack

import torch
from torch import Tensor, nn

from intertwine.geometry import Graph, centred, pair_list
from intertwine.models import PointNet
from intertwine.nn import Backbone, Inputs, ModelCard
from intertwine.numerics import InputError, segment
from intertwine.o3 import Irreps

NODES = 9  # of ethanol
SCALE = 4.0  # A: coordinates as the networks see them are below 1, so that quadratures of low order are near


class Perceptron(Backbone):
    """Of nine nodes in their order; scalars and a vector of each."""

    CARD = ModelCard(message="nonlinear", geometry="vector", body_order=5, symmetry="T(3)", paper="none")
    EDGES = False

    def __init__(self, width: int = 16, **inputs: Unpack[Inputs]) -> None:
        super().__init__(None, inputs)
        self.irreps_out = Irreps("5x0e + 1x1o")
        self.net = nn.Sequential(nn.Linear(3 * NODES, width), nn.SiLU(), nn.Linear(width, 8 * NODES))

    def features(self, graph: Graph) -> Tensor:
        counts = torch.bincount(graph.membership(), minlength=graph.graphs)
        if not len(counts) or bool((counts != NODES).any()):
            raise InputError(f"graphs of {counts.tolist()} nodes", where="Perceptron", remedy=f"give {NODES}.")
        order = graph.membership().argsort(stable=True)
        x = centred(graph)[order].reshape(-1, 3 * NODES) / SCALE
        return torch.empty_like(self.net(x).reshape(-1, 8)).index_copy(0, order, self.net(x).reshape(-1, 8))


class Transformer(Backbone):
    """One layer of attention among the nodes of each graph, of species and coordinates."""

    CARD = ModelCard(message="nonlinear", geometry="vector", body_order=5, symmetry="T(3)", paper="none")
    EDGES = False

    def __init__(self, width: int = 12, **inputs: Unpack[Inputs]) -> None:
        super().__init__(None, inputs)
        self.irreps_out = Irreps(f"{width}x0e")
        self.embedding = self.embed_nodes(width)
        self.place = nn.Linear(3, width)
        self.q, self.k, self.v = (nn.Linear(width, width) for _ in range(3))
        self.net = nn.Sequential(nn.Linear(width, width), nn.Tanh(), nn.Linear(width, width))

    def features(self, graph: Graph) -> Tensor:
        h = self.embedding(graph) + self.place(centred(graph) / SCALE)
        i, j = pair_list(graph).T
        weights = ((self.q(h)[i] * self.k(h)[j]).sum(1) / h.shape[1] ** 0.5).exp()
        total = segment.sum(weights, i, graph.num_nodes)
        h = h + segment.sum((weights / total[i]).unsqueeze(1) * self.v(h)[j], i, graph.num_nodes)
        return h + self.net(h)


def pointnet() -> PointNet:
    return PointNet(width=8, pooled=8, hidden=8, scale=SCALE)


NETWORKS = {"perceptron": Perceptron, "pointnet": pointnet, "transformer": Transformer}
