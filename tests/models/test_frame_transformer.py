"""FrameTransformer: the contract of a model that knows translations only, and its equations by loops."""

from __future__ import annotations

import pytest
import torch
from contract import ModelContract
from torch import Tensor

from intertwine.geometry import Graph, act, collate
from intertwine.groups import Isometry
from intertwine.models import FrameTransformer
from intertwine.nn import Backbone
from intertwine.numerics import InputError

SMALL = {"width": 6, "layers": 2, "heads": 2, "cutoff": 2.5, "species": (1, 6, 8), "radial_size": 4}


class TestFrameTransformer(ModelContract):
    lacks = ("rotation", "reflection")

    @pytest.fixture
    def model(self) -> Backbone:
        torch.manual_seed(0)
        return FrameTransformer(**SMALL).double()


class TestFrameTransformerOfParticles(ModelContract):
    """All pairs, positions from the centroid at the nodes, velocities and charges."""

    fields, species, lacks = ("vel", "charge"), (), ("rotation", "reflection")

    @pytest.fixture
    def model(self) -> Backbone:
        torch.manual_seed(0)
        seen = {"species": (), "vector_inputs": ("vel",), "edge_inputs": ("charge_product",)}
        return FrameTransformer(**SMALL | {"cutoff": None} | seen).double()


class TestFrameTransformerOfThePlane(ModelContract):
    dimension, lacks = 2, ("rotation", "reflection")

    @pytest.fixture
    def model(self) -> Backbone:
        torch.manual_seed(0)
        return FrameTransformer(**SMALL, dimension=2, vectors=2).double()


def normal(layer: torch.nn.LayerNorm, x: Tensor) -> Tensor:
    return (x - x.mean()) / ((x - x.mean()).square().mean() + layer.eps).sqrt() * layer.weight + layer.bias


def silu(x: Tensor) -> Tensor:
    return x / (1 + torch.exp(-x))


def network(layers: torch.nn.ModuleList, x: Tensor, last: bool = False) -> Tensor:
    for number, layer in enumerate(layers):
        x = layer.weight @ x + layer.bias
        x = silu(x) if last or number < len(layers) - 1 else x
    return x


@pytest.mark.parametrize("cutoff", [2.5, None])
def test_the_equations_by_loops(cutoff: float | None) -> None:
    """One node, one edge and one head at a time; with a cutoff the softmax has an edge to nowhere."""
    torch.manual_seed(0)
    model = FrameTransformer(**SMALL | {"cutoff": cutoff}, scale=1.5).double()
    pos, z = torch.randn(5, 3, dtype=torch.float64), [1, 6, 8, 6, 1]
    f, x = [model.embedding.species.weight[(1, 6, 8).index(number)] for number in z], pos - pos.mean(0)
    f = [f[i] + model.place.weight @ (x[i] / 1.5) for i in range(5)] if cutoff is None else f
    e, c = {}, {}
    for i in range(5):
        for j in range(5):
            d = (x[j] - x[i]).norm()
            if i != j and (cutoff is None or d < cutoff):
                seen = model.pairs.radial(d[None] / (d + 1.5)) if cutoff is None else model.edges.radial(d[None])
                e[i, j] = network(model.relation.layers, torch.cat([(x[j] - x[i]) / 1.5, seen[0]]), last=True)
                c[i, j] = torch.ones(()) if cutoff is None else model.edges.envelope(d[None])[0]
    for layer in model.layers:
        hat, new = [normal(layer.norm, each) for each in f], []
        for i in range(5):
            heads = []
            for h in range(2):
                rows, others = slice(3 * h, 3 * h + 3), [j for j in range(5) if (i, j) in e]
                query = (layer.query.weight @ hat[i] + layer.query.bias)[rows]
                below, above = torch.tensor(0.0 if cutoff is None else 1.0).double(), torch.zeros(3).double()
                for j in others:
                    key, value = (layer.key_value.weight @ hat[j] + layer.key_value.bias).split(6)
                    p = c[i, j] * torch.exp(query @ key[rows] / 3**0.5 + layer.bias.weight[h] @ e[i, j])
                    gate = (layer.gate.weight @ e[i, j] + layer.gate.bias)[rows]
                    below, above = below + p, above + p * value[rows] * gate
                heads.append(above / below)
            y = f[i] + layer.mix.weight @ torch.cat(heads) + layer.mix.bias
            new.append(y + network(layer.feed_forward.layers, normal(layer.norm_between, y)))
        f = new
    expected = torch.stack([normal(model.norm, each) for each in f])
    expected = torch.cat([expected, expected @ model.outward.weight.T], dim=1)
    torch.testing.assert_close(model(Graph(pos, z=z)), expected, rtol=0, atol=1e-13)


def test_what_is_turned_is_something_else_and_crystals_are_taken() -> None:
    torch.manual_seed(0)
    model = FrameTransformer(**SMALL).double()
    graph = Graph(torch.randn(6, 3, dtype=torch.float64), z=[1, 6, 8, 1, 6, 8])
    quarter = Isometry(torch.tensor([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]]).double(), torch.zeros(3).double())
    turned = model.irreps_out.transform(quarter.rotation, model(graph))
    assert (model(act(quarter, graph)) - turned).abs().max() > 1e-2
    # far molecules do not feel each other: the energy of both is the sum
    far = act(Isometry(torch.eye(3).double(), torch.full((3,), 50.0).double()), graph)
    both = Graph(torch.cat([graph.pos, far.pos]), z=[1, 6, 8, 1, 6, 8] * 2)
    torch.testing.assert_close(model(both), model(collate([graph, far])), rtol=0, atol=1e-13)


def test_what_is_asked_for_wrongly_is_named() -> None:
    wrong = [({"heads": 5}, "heads"), ({"hidden": 0}, "hidden"), ({"vectors": -1}, "vectors"), ({"heads": 0}, "heads")]
    for arguments, name in wrong:
        with pytest.raises(InputError, match=name):
            FrameTransformer(**arguments)
    with pytest.raises(InputError, match="positive length"):
        FrameTransformer(scale=0.0)
