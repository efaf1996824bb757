"""FAENet: the contract of a model that knows translations only, and its equations by loops."""

from __future__ import annotations

import pytest
import torch
from contract import ModelContract

from intertwine.geometry import Graph, connect
from intertwine.models import FAENet
from intertwine.nn import Backbone
from intertwine.numerics import InputError

SMALL = {"width": 5, "layers": 2, "cutoff": 2.5, "filters": 4, "radial_size": 3}


class TestFAENet(ModelContract):
    lacks = ("rotation", "reflection")

    @pytest.fixture
    def model(self) -> Backbone:
        torch.manual_seed(0)
        return FAENet(**SMALL, species=(1, 6, 8)).double()


class TestFAENetOfThePlane(ModelContract):
    dimension, fields, species, lacks = 2, ("vel", "charge"), (), ("rotation", "reflection")

    @pytest.fixture
    def model(self) -> Backbone:
        torch.manual_seed(0)
        seen = {"vector_inputs": ("vel",), "node_inputs": ("charge",)}
        return FAENet(**SMALL, species=(), dimension=2, skip=False, vectors=0, **seen).double()


def silu(x: torch.Tensor) -> torch.Tensor:
    return x / (1 + torch.exp(-x))


def dense(layer: torch.nn.Linear, x: torch.Tensor) -> torch.Tensor:
    return silu(layer.weight @ x + layer.bias)


@pytest.mark.parametrize("graph_norm", [False, True])
@pytest.mark.parametrize("skip", [False, True])
def test_the_equations_by_loops(skip: bool, graph_norm: bool) -> None:
    torch.manual_seed(0)
    model = FAENet(**SMALL, species=(1, 6, 8), scale=1.5, skip=skip, graph_norm=graph_norm).double()
    for parameter in model.parameters():  # also those that begin as one or zero
        torch.nn.init.normal_(parameter, std=0.5)
    z, graph = [1, 6, 8, 6, 1], Graph(torch.randn(5, 3, dtype=torch.float64), z=[1, 6, 8, 6, 1])
    h, e, c = [model.embedding.species.weight[(1, 6, 8).index(number)] for number in z], {}, {}
    h = [dense(model.first.layers[1], dense(model.first.layers[0], each)) for each in h]
    for j, i in connect(graph, 2.5).edge_index.T.tolist():
        x_ij = graph.pos[j] - graph.pos[i]
        d = x_ij.norm()[None]
        first = torch.cat([model.place.weight @ (x_ij / 1.5) + model.place.bias, model.far(model.edges.radial(d))[0]])
        e[i, j], c[i, j] = dense(model.relation.layers[0], silu(first)), model.edges.envelope(d)[0]
    every = [h]
    for layer in model.layers:
        weight = [part.weight for part in (layer.filter.attributes, layer.filter.sent, layer.filter.received)]
        m = [torch.zeros(4).double() for _ in range(5)]
        for i, j in e:
            f = silu(weight[0] @ e[i, j] + layer.filter.attributes.bias + weight[1] @ h[j] + weight[2] @ h[i])
            m[i] = m[i] + c[i, j] * dense(layer.down.layers[0], h[j]) * f
        if graph_norm:
            centred = [each - layer.norm.mean_scale * torch.stack(m).mean(0) for each in m]
            variance = torch.stack(centred).square().mean(0) + 1e-5
            m = [layer.norm.scale * each / variance.sqrt() + layer.norm.shift for each in centred]
        h = [old + dense(layer.up.layers[1], dense(layer.up.layers[0], silu(each))) for old, each in zip(h, m)]
        every.append(h)
    if skip:
        h = [dense(model.join.layers[0], torch.cat([each[i] for each in every])) for i in range(5)]
    expected = torch.cat([torch.stack(h), torch.stack(h) @ model.outward.weight.T], dim=1)
    assert ((model(graph) - expected).abs().max() / expected.abs().max()).item() < 1e-13


def test_the_norm_makes_far_molecules_feel_each_other() -> None:
    """With GraphNorm the features of a molecule depend on another one 50 A away, without it they do not."""
    graph = Graph(torch.randn(4, 3, generator=torch.Generator().manual_seed(0)).double(), z=[1, 6, 8, 1])
    both = Graph(torch.cat([graph.pos, 1.1 * graph.pos + 50]), z=[1, 6, 8, 1] * 2)
    moved = []
    for graph_norm in (False, True):
        torch.manual_seed(0)
        model = FAENet(**SMALL, species=(1, 6, 8), graph_norm=graph_norm).double()
        moved.append(float((model(both)[:4] - model(graph)).abs().max()))
    assert moved[0] < 1e-13
    assert moved[1] > 1e-3


def test_what_is_asked_for_wrongly_is_named() -> None:
    for name, value in (("filters", 0), ("vectors", -1), ("dimension", 0)):
        with pytest.raises(InputError, match=name):
            FAENet(**{name: value})
    with pytest.raises(InputError, match="positive length"):
        FAENet(scale=-1.0)
