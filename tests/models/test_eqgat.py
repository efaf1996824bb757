"""EQGAT: the contract with and without cross products, the paper's equations in loops, and chirality."""

from __future__ import annotations

import math

import pytest
import torch
from contract import ModelContract
from torch import Tensor

from intertwine.geometry import Graph
from intertwine.models.eqgat import EQGAT
from intertwine.nn import Backbone

CUTOFF = 2.5
SMALL = {"width": 4, "vectors": 2, "layers": 2, "cutoff": 3.5, "radial_size": 3, "species": (1, 6, 8)}


class TestEQGATWithoutCrossProducts(ModelContract):
    @pytest.fixture(params=[{}, {"radial": "gaussian"}], ids=["bessel", "gaussian"])
    def model(self, request) -> Backbone:
        return EQGAT(**SMALL, cross_product=False, **request.param).double()

    def test_symmetry(self, model: Backbone) -> None:
        assert (model.card.symmetry, EQGAT.CARD.symmetry) == ("E(3)", "SE(3)")


class TestEQGAT(ModelContract):
    """The paper's, with cross products: rotations, not reflections."""

    lacks = ("reflection",)

    @pytest.fixture
    def model(self) -> Backbone:
        return EQGAT(**SMALL).double()


class TestEQGATWithInputs(TestEQGAT):
    fields = ("vel", "charge")

    @pytest.fixture
    def model(self) -> Backbone:
        options = {"vector_inputs": ("vel",), "node_inputs": ("charge",), "edge_inputs": ("charge_product",)}
        torch.manual_seed(0)
        return EQGAT(**SMALL | options | {"layers": 1}).double()  # the vectors given bring in every term


def silu(x: Tensor) -> Tensor:
    return x / (1 + torch.exp(-x))


def edge_function(mlp, f_i: Tensor, f_j: Tensor, a_ij: Tensor) -> Tensor:
    first, second = mlp.first, mlp.second.layers[0]
    weight = torch.cat([first.received.weight, first.sent.weight, first.attributes.weight], dim=1)
    return second.weight @ silu(weight @ torch.cat([f_i, f_j, a_ij]) + first.attributes.bias) + second.bias


@pytest.mark.parametrize("cross", [False, True])
@pytest.mark.parametrize("vectors", [(), ("vel",)])
def test_against_the_equations(cross: bool, vectors: tuple[str, ...], generator: torch.Generator) -> None:
    """Messages of one node, with the softmax of its channels over the neighbours and the edge to nowhere; then the
    gated block.
    """
    pos, vel = torch.randn(2, 6, 3, generator=generator, dtype=torch.float64)
    molecule, width, count = Graph(pos, z=[1, 6, 8, 1, 6, 8], vel=vel), 5, 3
    options = {"radial_size": 7, "vector_inputs": vectors, "cross_product": cross}
    model = EQGAT(width=width, vectors=count, layers=3, cutoff=CUTOFF, **options).double()
    s = [model.embedding.species.weight[int(z) - 1] for z in molecule.z]
    speed = vel.norm(dim=-1, keepdim=True)
    first = vel * speed.asinh() / speed
    v = [torch.outer(first[i], model.start.linear.weight[:, 0]) if vectors else None for i in range(6)]
    for layer in model.layers:
        new_s, new_v = [], []
        for i in range(6):
            top, bottom, fades = torch.zeros(width, dtype=torch.float64), torch.ones(width, dtype=torch.float64), 1.0
            vector = torch.zeros(3, count, dtype=torch.float64)
            for j in range(6):
                x = pos[j] - pos[i]
                d = x.norm()
                if i == j or d >= CUTOFF:
                    continue
                u = d / CUTOFF
                c = 1 - 28 * u**6 + 48 * u**7 - 21 * u**8
                basis = torch.stack([math.sqrt(2 / CUTOFF) * torch.sin(k * math.pi * u) / d for k in range(1, 8)])
                a, *b = edge_function(layer.edge, s[i], s[j], basis).split([width, *[count] * layer.terms])
                top = top + c * torch.exp(a) * (layer.value.weight @ s[j] + layer.value.bias)
                bottom = bottom + c * torch.exp(a)
                m = torch.outer(x / d, b[0])
                if v[i] is not None:
                    w = v[j] @ layer.mix.weight.T
                    m = m + b[1] * w
                    if cross:
                        m = m + b[2] * torch.stack(
                            [torch.linalg.cross(v[i][:, k], w[:, k]) for k in range(count)], dim=1
                        )
                vector, fades = vector + c * m, fades + c
            si = s[i] + top / bottom
            vi = vector / fades if v[i] is None else v[i] + vector / fades
            u_v, v_v = (vi @ layer.gated.mix.weight.T).split(count, dim=1)
            first, second = layer.gated.mlp.layers
            norms = ((v_v**2).sum(0) + 0.01).sqrt() - 0.1
            gate, ds = (second.weight @ silu(first.weight @ torch.cat([si, norms]) + first.bias) + second.bias).split(
                [count, width]
            )
            new_s.append(si + ds)
            new_v.append(vi + (gate * u_v) @ layer.gated.out.weight.T)
        s, v = new_s, new_v
    expected = torch.stack([torch.cat([si, vi.T.flatten()]) for si, vi in zip(s, v, strict=True)])
    found = model(molecule)
    assert ((found - expected).abs().max() / expected.abs().max()).item() < 1e-13


HAND = [(0.0, 0.0, 0.0), (1.1, 0.0, 0.0), (0.0, 1.3, 0.0), (0.0, 0.0, 1.7), (-0.8, -0.9, -0.4)]


@pytest.mark.parametrize("cross", [False, True])
def test_chirality(cross: bool) -> None:
    """Scalars of a molecule and of its mirror image differ if and only if there are cross products."""
    model = EQGAT(**SMALL | {"layers": 4}, cross_product=cross).double()
    one, two = (
        torch.tensor(HAND, dtype=torch.float64) * torch.tensor([1, 1, sign], dtype=torch.float64) for sign in (1, -1)
    )
    difference = (model(Graph(one, z=[6, 1, 8, 1, 6]))[:, :4] - model(Graph(two, z=[6, 1, 8, 1, 6]))[:, :4]).abs().max()
    assert difference > 1e-5 if cross else difference < 1e-12


def test_attention_is_bounded() -> None:
    """Scalars are averaged, not summed: more copies of a neighbour change the message by less and less."""
    model = EQGAT(**SMALL | {"layers": 1}).double()
    found = []
    for copies in (64, 128):
        pos = torch.tensor([(0.0, 0.0, 0.0)] + [(1.2, 0.0, 0.0)] * copies, dtype=torch.float64)
        edges = torch.stack([torch.arange(1, copies + 1), torch.zeros(copies, dtype=torch.int64)])
        found.append(model(Graph(pos, z=[6] + [1] * copies, edge_index=edges))[0])
    assert (found[0] - found[1]).abs().max() < 0.05 * found[0].abs().max()


@pytest.mark.parametrize("name", EQGAT.PRESETS)
def test_presets(name: str) -> None:
    model = EQGAT(**EQGAT.PRESETS[name])
    assert model(Graph(torch.zeros(1, 3), z=[6])).shape == (1, model.irreps_out.dim)
