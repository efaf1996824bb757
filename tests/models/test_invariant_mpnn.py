"""InvariantMPNN: the contract, its equations in loops, and what distances do not tell."""

from __future__ import annotations

import math

import pytest
import torch
from contract import ModelContract

from intertwine.geometry import Graph
from intertwine.models.invariant_mpnn import InvariantMPNN
from intertwine.nn import Backbone

SMALL = {"width": 6, "layers": 2, "cutoff": 2.5, "radial_size": 5}


class TestInvariantMPNN(ModelContract):
    @pytest.fixture
    def model(self) -> Backbone:
        return InvariantMPNN(**SMALL, species=(1, 6, 8)).double()

    def any_dimension(self, model: Backbone) -> bool:
        return True


class TestInvariantMPNNWithInputs(ModelContract):
    fields, species = ("vel", "charge"), ()

    @pytest.fixture
    def model(self) -> Backbone:
        inputs = {"node_inputs": ("charge", "speed"), "edge_inputs": ("charge_product",), "radial": "gaussian"}
        return InvariantMPNN(**SMALL, species=(), **inputs).double()

    def any_dimension(self, model: Backbone) -> bool:
        return True


def test_against_the_equations() -> None:
    model, x, z = InvariantMPNN(**SMALL, species=(1, 6, 8)).double(), torch.randn(6, 3).double(), [1, 6, 8, 1, 6, 8]
    f = [model.embedding.species.weight[(1, 6, 8).index(k)] for k in z]
    for layer in model.layers:
        first, second = layer.phi_m.first, layer.phi_m.second.layers[0]
        torch.nn.init.normal_(first.attributes.bias)
        matrix = torch.cat([first.received.weight, first.sent.weight, first.attributes.weight], dim=1)
        new = []
        for i in range(6):
            total = torch.zeros(6, dtype=torch.float64)
            for j in range(6):
                d = (x[j] - x[i]).norm()
                if j == i or d >= 2.5:
                    continue
                u = d / 2.5
                waves = torch.stack([math.sqrt(2 / 2.5) * torch.sin(k * math.pi * u) / d for k in range(1, 6)])
                hidden = torch.nn.functional.silu(matrix @ torch.cat([f[i], f[j], waves]) + first.attributes.bias)
                message = torch.nn.functional.silu(second.weight @ hidden + second.bias)
                total = total + message * (1 - 28 * u**6 + 48 * u**7 - 21 * u**8)
            a, b = layer.phi_f.layers
            new.append(
                f[i] + b.weight @ torch.nn.functional.silu(a.weight @ torch.cat([f[i], total]) + a.bias) + b.bias
            )
        f = new
    torch.testing.assert_close(model(Graph(x, z=z)), torch.stack(f), rtol=0, atol=1e-12)


def test_blind_to_angles_between_neighbours_that_do_not_see_each_other() -> None:
    """Body order 2: at a cutoff below the distance of two neighbours, their angle at the centre does not matter."""
    model, found = InvariantMPNN(**SMALL | {"cutoff": 1.2}, species=(1, 6, 8)).double(), []
    for turn in (1.8, 3.0):
        pos = torch.tensor([[0.0, 0, 0], [1, 0, 0], [math.cos(turn), math.sin(turn), 0]], dtype=torch.float64)
        found.append(model(Graph(pos, z=[6, 1, 1])))
    torch.testing.assert_close(*found, rtol=0, atol=1e-13)
