"""ScalarVector: the contract, the lecture's equations in loops, and what it tells apart."""

from __future__ import annotations

import math

import pytest
import torch
from contract import ModelContract
from torch import Tensor

from intertwine.geometry import Graph
from intertwine.models.scalar_vector import ScalarVector
from intertwine.nn import Backbone
from intertwine.numerics import GeometryError, InputError

CUTOFF = 2.5
SMALL = {"width": 4, "layers": 2, "cutoff": CUTOFF, "radial_size": 3, "species": (1, 6, 8)}


class TestScalarVector(ModelContract):
    @pytest.fixture(params=[{}, {"radial": "gaussian"}], ids=["bessel", "gaussian"])
    def model(self, request) -> Backbone:
        return ScalarVector(**SMALL, **request.param).double()


class TestScalarVectorWithInputs(ModelContract):
    fields = ("vel", "charge")

    @pytest.fixture
    def model(self) -> Backbone:
        options = {"vector_inputs": ("vel",), "node_inputs": ("charge",), "edge_inputs": ("charge_product",)}
        return ScalarVector(**SMALL, **options).double()


def silu(x: Tensor) -> Tensor:
    return x / (1 + torch.exp(-x))


def two_layers(mlp, x: Tensor) -> Tensor:
    a, b = mlp.layers
    return b.weight @ silu(a.weight @ x + a.bias) + b.bias


def edge_function(mlp, f_i: Tensor, f_j: Tensor, a_ij: Tensor) -> Tensor:
    first, second = mlp.first, mlp.second.layers[0]
    weight = torch.cat([first.received.weight, first.sent.weight, first.attributes.weight], dim=1)
    return second.weight @ silu(weight @ torch.cat([f_i, f_j, a_ij]) + first.attributes.bias) + second.bias


def soft(v: Tensor) -> Tensor:
    return ((v**2).sum(0) + 0.01).sqrt() - 0.1


@pytest.mark.parametrize("vectors", [(), ("vel",)])
def test_against_the_equations(vectors: tuple[str, ...], generator: torch.Generator) -> None:
    """The lecture's m_i and vec m_i, term by term; where there are no vectors the terms with v are absent."""
    pos, vel = torch.randn(2, 6, 3, generator=generator, dtype=torch.float64)
    molecule, size = Graph(pos, z=[1, 6, 8, 1, 6, 8], vel=vel), 4
    model = ScalarVector(
        width=size, layers=3, cutoff=CUTOFF, radial_size=7, vector_inputs=vectors, average_degree=4.0
    ).double()
    s = [model.embedding.species.weight[int(z) - 1] for z in molecule.z]
    speed = vel.norm(dim=-1, keepdim=True)
    first = vel * speed.asinh() / speed
    v = [torch.outer(first[i], model.vectors.linear.weight[:, 0]) if vectors else None for i in range(6)]
    for layer in model.layers:
        new_s, new_v = [], []
        for i in range(6):
            if v[i] is None:
                m, w = two_layers(layer.f13, s[i]), torch.zeros(3, size, dtype=torch.float64)
            else:
                f1, f3 = two_layers(layer.f13, torch.cat([s[i], soft(v[i])])).split(size)
                m, w = f1, f3 * v[i]
            for j in range(6):
                x = pos[j] - pos[i]
                d = x.norm()
                if i == j or d >= CUTOFF:
                    continue
                u, hat = d / CUTOFF, (x / d)[:, None]
                c = 1 - 28 * u**6 + 48 * u**7 - 21 * u**8
                basis = torch.stack([math.sqrt(2 / CUTOFF) * torch.sin(k * math.pi * u) / d for k in range(1, 8)])
                if v[i] is None:
                    f2, f5 = (c * edge_function(layer.f245, s[i], s[j], basis)).split(size)
                    f4_term = 0
                else:
                    products = torch.cat([basis, (hat * v[j]).sum(0), (hat * v[i]).sum(0), (v[i] * v[j]).sum(0)])
                    f2, f4, f5 = (c * edge_function(layer.f245, s[i], torch.cat([s[j], soft(v[j])]), products)).split(
                        size
                    )
                    f4_term = f4 * v[j]
                m, w = m + f2 / 2, w + (f4_term + f5 * hat) / 2  # sqrt(average_degree) = 2
            new_s.append(s[i] + m)
            new_v.append(w if v[i] is None else v[i] + w)
        s, v = new_s, new_v
    expected = torch.stack([torch.cat([si, vi.T.flatten()]) for si, vi in zip(s, v, strict=True)])
    found = model(molecule)
    assert ((found - expected).abs().max() / expected.abs().max()).item() < 1e-13


def total(model: Backbone, points: list[tuple[float, float, float]]) -> Tensor:
    """Scalars of the first node, a centre."""
    pos = torch.tensor([(0, 0, 0), *points], dtype=torch.float64)
    return model(Graph(pos, z=[6] * len(pos)))[0, : model.width]


def test_tells_angles_apart() -> None:
    """Two neighbours at the same distances under another angle, themselves out of each other's reach."""
    one, two = [(2.0, 0.0, 0.0), (0.0, 2.0, 0.0)], [(2.0, 0.0, 0.0), (-2.0, 0.0, 0.0)]
    blind = ScalarVector(**SMALL | {"layers": 1}).double()
    # its scalars have not seen its vectors yet
    assert torch.allclose(total(blind, one), total(blind, two), rtol=0, atol=1e-13)
    seeing = ScalarVector(**SMALL).double()
    assert (total(seeing, one) - total(seeing, two)).abs().max() > 1e-4


def test_blind_to_chirality() -> None:
    """Inner products of polar vectors have no sign of handedness."""
    model = ScalarVector(**SMALL | {"layers": 3}).double()
    hand = [(1.1, 0.0, 0.0), (0.0, 1.3, 0.0), (0.0, 0.0, 1.7), (-0.8, -0.9, -0.4)]
    mirrored = [(x, y, -z) for x, y, z in hand]
    torch.testing.assert_close(total(model, hand), total(model, mirrored), rtol=0, atol=1e-12)


def test_bad_arguments_are_named() -> None:
    with pytest.raises(InputError, match="smoothing"):
        ScalarVector(smoothing=0.0)
    with pytest.raises(InputError, match="neighbours on average"):
        ScalarVector(average_degree=0.0)
    with pytest.raises(GeometryError, match="vel"):
        ScalarVector(width=4, vector_inputs=("vel",))(Graph(torch.zeros(2, 3), z=[1, 1]))


@pytest.mark.parametrize("name", ScalarVector.PRESETS)
def test_presets(name: str) -> None:
    model = ScalarVector(**ScalarVector.PRESETS[name])
    assert model(Graph(torch.zeros(1, 3), z=[6])).shape == (1, model.irreps_out.dim)
