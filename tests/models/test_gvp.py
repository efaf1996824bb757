"""GVP: the contract, the paper's equations in loops, and what it tells apart."""

from __future__ import annotations

import math

import pytest
import torch
from contract import ModelContract
from torch import Tensor

from intertwine.geometry import Graph
from intertwine.models.gvp import GVP
from intertwine.nn import Backbone
from intertwine.numerics import InputError

CUTOFF = 2.5
SMALL = {
    "width": 4,
    "vectors": 2,
    "layers": 2,
    "cutoff": CUTOFF,
    "radial_size": 3,
    "edge_width": 2,
    "species": (1, 6, 8),
}


class TestGVP(ModelContract):
    @pytest.fixture(
        params=[{}, {"radial": "gaussian", "message_layers": 1, "layers": 1}, {"radial": "gaussian", "ends": True}],
        ids=["bessel", "gaussian", "ends"],
    )
    def model(self, request) -> Backbone:
        return GVP(**SMALL | request.param).double()


class TestGVPWithInputs(ModelContract):
    fields = ("vel", "charge")

    @pytest.fixture
    def model(self) -> Backbone:
        options = {"vector_inputs": ("vel",), "node_inputs": ("charge",), "edge_inputs": ("charge_product",)}
        return GVP(**SMALL | options | {"message_layers": 2, "layers": 1}).double()


def silu(x: Tensor) -> Tensor:
    return x / (1 + torch.exp(-x))


def soft(v: Tensor) -> Tensor:
    return ((v**2).sum(0) + 0.04).sqrt() - 0.2


def perceptron(w_h: Tensor, w_m: Tensor, b: Tensor, out, s: Tensor, v: Tensor, active: bool) -> tuple[Tensor, Tensor]:
    """Algorithm 1 for one node or edge; v is (3, vectors)."""
    v_h = torch.stack([w_h @ component for component in v])
    m = w_m @ torch.cat([s, soft(v_h)]) + b
    gate = 1 / (1 + torch.exp(-(out.gate.weight @ m + out.gate.bias)))
    v_mu = torch.stack([out.vector.weight @ component for component in v_h])
    return (silu(m) if active else m), gate * v_mu


def whole(layer, s: Tensor, v: Tensor, active: bool = True) -> tuple[Tensor, Tensor]:
    return perceptron(layer.hidden.weight, layer.scalar.weight, layer.scalar.bias, layer.out, s, v, active)


def norm(layer, s: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    s = (s - s.mean()) / (s.var(correction=0) + 1e-5).sqrt()
    return layer.scalar.weight * s + layer.scalar.bias, v / ((v**2).sum(0).mean() + 0.04).sqrt()


@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("vectors", [(), ("vel",)])
@pytest.mark.parametrize("ends", [False, True])
def test_against_the_equations(ends: bool, depth: int, vectors: tuple[str, ...], generator: torch.Generator) -> None:
    """GVPs of the concatenation (h_i, h_j, h_ij), edge by edge; then the feed-forward block; with both norms; with and
    without the blocks at the ends."""
    pos, vel = torch.randn(2, 6, 3, generator=generator, dtype=torch.float64)
    molecule, width, count = Graph(pos, z=[1, 6, 8, 1, 6, 8], vel=vel), 5, 3
    options = {"radial_size": 7, "vector_inputs": vectors, "message_layers": depth, "edge_width": 4, "ends": ends}
    model = GVP(width=width, vectors=count, layers=2, cutoff=CUTOFF, **options).double()
    for layer in model.layers:
        for part in layer.norms:
            torch.nn.init.normal_(part.scalar.weight)
            torch.nn.init.normal_(part.scalar.bias)
        torch.nn.init.normal_(layer.scalar.attributes.bias)
    s = [model.embedding.species.weight[int(z) - 1] for z in molecule.z]
    if ends:
        for part in (model.edge_norm.scalar, model.end_norm.scalar, model.begin[0]):
            torch.nn.init.normal_(part.weight)
            torch.nn.init.normal_(part.bias)
        first_norm, linear = model.begin
        s = [(x - x.mean()) / (x.var(correction=0) + 1e-5).sqrt() for x in s]
        s = [linear.weight @ (first_norm.weight * x + first_norm.bias) + linear.bias for x in s]
    speed = vel.norm(dim=-1, keepdim=True)
    first = vel * speed.asinh() / speed
    v = [
        torch.outer(first[i], model.start.linear.weight[:, 0]) if vectors else torch.zeros(3, 0, dtype=torch.float64)
        for i in range(6)
    ]
    for layer in model.layers:
        new = []
        parts = [
            part for part in (layer.hidden.received, layer.hidden.sent, layer.hidden.attributes) if part is not None
        ]
        w_h = torch.cat([part.weight for part in parts], dim=1)
        w_m = torch.cat([layer.scalar.received.weight, layer.scalar.sent.weight, layer.scalar.attributes.weight], dim=1)
        for i in range(6):
            ds, dv, fades = torch.zeros(width, dtype=torch.float64), torch.zeros(3, count, dtype=torch.float64), 1.0
            for j in range(6):
                x = pos[j] - pos[i]
                d = x.norm()
                if i == j or d >= CUTOFF:
                    continue
                u = d / CUTOFF
                c = 1 - 28 * u**6 + 48 * u**7 - 21 * u**8
                basis = torch.stack([math.sqrt(2 / CUTOFF) * torch.sin(k * math.pi * u) / d for k in range(1, 8)])
                h_e = (basis, (x / d)[:, None])
                s_e, v_e = whole(model.edge, *(norm(model.edge_norm, *h_e) if ends else h_e), active=False)
                m = torch.cat([s[i], s[j], s_e]), torch.cat([v[i], v[j], v_e], dim=1)
                m = perceptron(w_h, w_m, layer.scalar.attributes.bias, layer.first, *m, active=depth > 1)
                for k, gvp in enumerate(layer.rest):
                    m = whole(gvp, *m, active=k < len(layer.rest) - 1)
                ds, dv, fades = ds + c * m[0], dv + c * m[1], fades + c
            h = norm(layer.norms[0], s[i] + ds / fades, dv / fades + (v[i] if v[i].numel() else 0))
            ds, dv = whole(layer.narrow, *whole(layer.widen, *h), active=False)
            new.append(norm(layer.norms[1], h[0] + ds, h[1] + dv))
        s, v = [h[0] for h in new], [h[1] for h in new]
    if ends:
        new = [whole(model.end, *norm(model.end_norm, si, vi)) for si, vi in zip(s, v, strict=True)]
        s, v = [h[0] for h in new], [h[1] for h in new]
    expected = torch.stack([torch.cat([si, vi.T.flatten()]) for si, vi in zip(s, v, strict=True)])
    found = model(molecule)
    assert ((found - expected).abs().max() / expected.abs().max()).item() < 1e-13


def scalars(model: Backbone, points: list[tuple[float, float, float]]) -> Tensor:
    """Of the first node, a centre."""
    pos = torch.tensor([(0, 0, 0), *points], dtype=torch.float64)
    return model(Graph(pos, z=[6] * len(pos)))[0, :4]


def test_one_layer_tells_angles_apart() -> None:
    """The feed-forward block reads the norm of summed vectors: two neighbours under another angle, out of each other's
    reach.
    """
    model = GVP(**SMALL | {"layers": 1, "width": 32, "vectors": 8}).double()
    one, two = [(1.8, 0.0, 0.0), (0.0, 1.8, 0.0)], [(1.8, 0.0, 0.0), (-1.8, 0.0, 0.0)]
    assert (scalars(model, one) - scalars(model, two)).abs().max() > 1e-6


def test_blind_to_chirality() -> None:
    model = GVP(**SMALL | {"layers": 3}).double()
    hand = [(1.1, 0.0, 0.0), (0.0, 1.3, 0.0), (0.0, 0.0, 1.7), (-0.8, -0.9, -0.4)]
    torch.testing.assert_close(
        scalars(model, hand), scalars(model, [(x, y, -z) for x, y, z in hand]), rtol=0, atol=1e-12
    )


def test_dropout_drops_whole_vectors_in_training_only() -> None:
    layer = GVP(**SMALL, dropout=0.5).double().layers[0]
    s, v = layer.dropped(torch.ones(100, 4), torch.ones(100, 3, 2))
    assert set(s.unique().tolist()) == set(v.unique().tolist()) == {0.0, 2.0}
    assert torch.equal(v[:, 0], v[:, 1])
    assert layer.eval().dropped(s, v)[0] is s


@pytest.mark.parametrize("dropout", [-0.1, 1.0])
def test_bad_dropout(dropout: float) -> None:
    with pytest.raises(InputError, match="dropout"):
        GVP(dropout=dropout)


@pytest.mark.parametrize("name", GVP.PRESETS)
def test_presets(name: str) -> None:
    model = GVP(**GVP.PRESETS[name])
    assert model(Graph(torch.zeros(1, 3), z=[6])).shape == (1, model.irreps_out.dim)
