"""EGNN keeps the contract: molecules, charged particles, points of the plane."""

from __future__ import annotations

import pytest
import torch
from contract import ModelContract
from torch import Tensor

from intertwine.geometry import Graph
from intertwine.models import EGNN
from intertwine.nn import Backbone
from intertwine.numerics import InputError

SMALL = {"width": 6, "layers": 2, "cutoff": 2.5, "species": (1, 6, 8)}


def lively(model: EGNN) -> EGNN:
    """Steps of ordinary size: the authors' start, a thousandth of it, would hide errors of the positions' part."""
    for layer in model.layers if model.moves else ():
        torch.nn.init.xavier_uniform_(layer.step.weight, gain=0.5)
    return model


class TestEGNN(ModelContract):
    @pytest.fixture(
        params=[{}, {"bounded": True}, {"attention": True}, {"moves": False, "initial": True, "attention": True}],
        ids=["plain", "bounded", "attention", "qm9"],
    )
    def model(self, request) -> Backbone:
        return lively(EGNN(**SMALL, **request.param)).double()


class TestEGNNOfParticles(ModelContract):
    """As in the paper's N-body experiment: velocities, charges, all pairs."""

    fields, species = ("vel", "charge"), ()

    @pytest.fixture
    def model(self) -> Backbone:
        options = SMALL | {"cutoff": None, "species": (), "node_inputs": ("speed",), "edge_inputs": ("charge_product",)}
        return lively(EGNN(**options, velocity=True)).double()


class TestEGNNInThePlane(ModelContract):
    dimension, fields = 2, ("vel",)

    @pytest.fixture
    def model(self) -> Backbone:
        return lively(EGNN(**SMALL, velocity=True, bounded=True, dimension=2)).double()


def silu(x: Tensor) -> Tensor:
    return x / (1 + torch.exp(-x))


def mlp(layers, x: Tensor, last: bool = False) -> Tensor:
    for number, layer in enumerate(layers):
        x = layer.weight @ x + layer.bias
        x = silu(x) if last or number < len(layers) - 1 else x
    return x


@pytest.mark.parametrize("nodes", [1, 2, 5])
@pytest.mark.parametrize("initial", [False, True])
@pytest.mark.parametrize("moves", [False, True])
def test_against_the_equations(moves: bool, initial: bool, nodes: int, generator: torch.Generator) -> None:
    """Eq. 3 to 8 one node and one edge at a time, all pairs; h^0 beside the sum of the messages, positions that stay
    or move."""
    pos, z = torch.randn(nodes, 3, generator=generator, dtype=torch.float64), [1, 6, 8, 6, 1][:nodes]
    options = {"width": 6, "layers": 3, "cutoff": None, "species": (1, 6, 8), "attention": True}
    model = lively(EGNN(**options, moves=moves, initial=initial)).double()
    first = [model.embedding.species.weight[[1, 6, 8].index(number)] for number in z]
    h, x = list(first), list(pos)
    for layer in model.layers:
        new_h, new_x = [], []
        for i in range(nodes):
            total, move = torch.zeros(6).double(), torch.zeros(3).double()
            for j in range(nodes):
                if i == j:
                    continue
                away = x[i] - x[j]
                m = mlp(layer.phi_e.layers, torch.cat([h[i], h[j], (away @ away)[None]]), last=True)
                m = m * torch.sigmoid(layer.attend.weight @ m + layer.attend.bias)
                total = total + m
                if moves:
                    step = layer.step.weight @ mlp(layer.phi_x.layers, m, last=True)
                    move = move + away * step / (nodes - 1)
            seen = [h[i], total] + ([first[i]] if initial else [])
            new_h.append(h[i] + mlp(layer.phi_h.layers, torch.cat(seen)))
            new_x.append(x[i] + move)
        h, x = new_h, new_x
    expected = torch.stack(h)
    if moves:
        expected = torch.cat([expected, torch.stack(x) - pos], dim=1)
    output = model(Graph(pos, z=z))
    assert output.shape == (nodes, model.irreps_out.dim)
    assert ((output - expected).abs().max() / expected.abs().max()).item() < 1e-13


def test_velocities_need_positions_that_move() -> None:
    for layers in (1, 2, 4):
        with pytest.raises(InputError, match="moves"):
            EGNN(layers=layers, velocity=True, moves=False)
