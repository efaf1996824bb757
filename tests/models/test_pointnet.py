"""PointNet: the contract of a model that knows translations only, and its equations by loops."""

from __future__ import annotations

import pytest
import torch
from contract import ModelContract

from intertwine.geometry import Graph, act, collate
from intertwine.groups import Isometry
from intertwine.models import PointNet
from intertwine.nn import Backbone
from intertwine.numerics import GeometryError, InputError

SMALL = {"width": 5, "pooled": 6, "hidden": 4, "scale": 2.0}


class TestPointNet(ModelContract):
    lacks = ("rotation", "reflection")

    @pytest.fixture
    def model(self) -> Backbone:
        torch.manual_seed(0)
        return PointNet(**SMALL, species=(1, 6, 8)).double()

    def structures(self, model: Backbone) -> dict[str, Graph]:
        return {name: self.graph(nodes) for name, nodes in (("molecule", 7), ("pair", 2), ("isolated", 1))}

    def test_supercell(self, model: Backbone) -> None:
        with pytest.raises(GeometryError, match="positions are periodic, so they have no centre"):
            model(self.crystal())


class TestPointNetOfThePlane(ModelContract):
    dimension, fields, species, lacks = 2, ("charge",), (), ("rotation", "reflection")

    @pytest.fixture
    def model(self) -> Backbone:
        torch.manual_seed(0)
        return PointNet(**SMALL, species=(), dimension=2, node_inputs=("charge",)).double()


class TestPointNetToBeSymmetrised(ModelContract):
    """Velocities among the inputs, vectors among the outputs, and no kink."""

    fields, species, lacks = ("vel",), (), ("rotation", "reflection")

    @pytest.fixture
    def model(self) -> Backbone:
        torch.manual_seed(0)
        more = {"vector_inputs": ("vel",), "vectors": 2, "pooling": "logsumexp"}
        return PointNet(**SMALL, species=(), **more).double()


def cloud(nodes: int, seed: int = 0) -> Graph:
    return Graph(torch.randn(nodes, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64))


def test_the_equations_by_loops() -> None:
    torch.manual_seed(0)
    model = PointNet(**SMALL, species=()).double()
    clouds = [cloud(4), cloud(7, 1)]
    for graph, f in zip(clouds, model(collate(clouds)).split([4, 7])):
        centre = graph.pos.mean(0)
        h = []
        for x in graph.pos:
            first = model.embedding.constant + model.place.weight @ (x - centre) / 2.0
            h.append(model.local(torch.nn.functional.silu(first)))
        g = torch.stack([model.whole(each) for each in h]).max(0).values
        torch.testing.assert_close(f, torch.stack([torch.cat([each, g]) for each in h]), rtol=0, atol=1e-13)


def test_the_smooth_maximum_has_no_kink() -> None:
    """Two points that trade places as the one whose feature is largest: the slope jumps with the maximum only."""
    jumps = {}
    for pooling in ("max", "logsumexp"):
        torch.manual_seed(0)
        model, slopes = PointNet(**SMALL, species=(), pooling=pooling).double(), []
        for step in (-1e-7, 1e-7):  # about a mirror image, at which points 0 and 1 have equal features
            pos = torch.tensor([[1.0, 0.2, 0.0], [1.0 + step, 0.2, 0.0], [-2.0, -0.4, 0.0]]).double().requires_grad_()
            (slope,) = torch.autograd.grad(model(Graph(pos))[2].square().sum(), pos)
            slopes.append(slope)
        jumps[pooling] = float((slopes[0] - slopes[1]).abs().max())
    assert jumps["max"] > 1e-5
    assert jumps["logsumexp"] < 1e-8


def test_no_edges_are_made_and_what_is_turned_is_something_else() -> None:
    torch.manual_seed(0)
    model, graph = PointNet(**SMALL, species=()).double(), cloud(6)
    assert model.ready(graph).get("edge_index") is None
    assert model.connected(graph).get("edge_index") is None
    quarter = Isometry(torch.tensor([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]]).double(), torch.zeros(3).double())
    assert (model(act(quarter, graph)) - model(graph)).abs().max() > 1e-3


def test_what_is_asked_for_wrongly_is_named() -> None:
    for wrong in ({"pooled": 0}, {"hidden": -1}, {"width": 0}):
        with pytest.raises(InputError, match=next(iter(wrong))):
            PointNet(**wrong)
    with pytest.raises(InputError, match="positive length"):
        PointNet(scale=0.0)
    with pytest.raises(InputError, match="pooling"):
        PointNet(pooling="mean")
    with pytest.raises(GeometryError, match="has no positions"):
        PointNet()(Graph.abstract(z=[6, 8]))
