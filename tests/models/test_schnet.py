"""SchNet keeps the contract, with and without inputs."""

from __future__ import annotations

import math

import pytest
import torch
from contract import ModelContract

from intertwine.geometry import Graph
from intertwine.models import SchNet
from intertwine.nn import Backbone
from intertwine.numerics import InputError

SMALL = {"width": 6, "layers": 2, "cutoff": 2.5, "species": (1, 6, 8)}


class TestSchNet(ModelContract):
    @pytest.fixture(
        params=[{}, {"radial": "bessel"}, {"gamma": 3.0, "filter_activation": True}],
        ids=["gaussian", "bessel", "paper"],
    )
    def model(self, request) -> Backbone:
        return SchNet(**SMALL, radial_size=5, **request.param).double()

    def any_dimension(self, model: Backbone) -> bool:
        return True


class TestSchNetWithInputs(ModelContract):
    fields, species = ("vel", "charge"), ()

    @pytest.fixture
    def model(self) -> Backbone:
        return SchNet(
            **SMALL | {"species": ()}, radial_size=5, node_inputs=("charge", "speed"), edge_inputs=("charge_product",)
        ).double()

    def any_dimension(self, model: Backbone) -> bool:
        return True


def softplus(x: torch.Tensor) -> torch.Tensor:
    return torch.log(0.5 * torch.exp(x) + 0.5)


@pytest.mark.parametrize("gamma", [0.5, 10.0, 40.0])
@pytest.mark.parametrize("activated", [False, True])
def test_against_the_equations(activated: bool, gamma: float, generator: torch.Generator) -> None:
    """Section 4.1 in loops: Gaussians exp(-gamma (d - mu)^2), the filter with or without its last softplus."""
    pos, z = torch.randn(4, 3, generator=generator, dtype=torch.float64), [1, 6, 8, 6]
    model = SchNet(**SMALL, radial_size=5, gamma=gamma, filter_activation=activated).double()
    for module in model.modules():  # biases that are not zero
        if isinstance(module, torch.nn.Linear) and module.bias is not None:
            module.bias.data.normal_(generator=generator)
    f = [model.embedding.species.weight[[1, 6, 8].index(number)] for number in z]
    for layer in model.layers:
        new = []
        for i in range(4):
            total = torch.zeros(6).double()
            for j in range(4):
                d, u = (pos[j] - pos[i]).norm(), float((pos[j] - pos[i]).norm()) / SMALL["cutoff"]
                if i == j or u >= 1:
                    continue
                radial = torch.stack([torch.exp(-gamma * (d - SMALL["cutoff"] * k / 4) ** 2) for k in range(5)])
                first, second = layer.filter.layers
                w = second.weight @ softplus(first.weight @ radial + first.bias) + second.bias
                w = softplus(w) if activated else w
                total = total + (layer.inward.weight @ f[j]) * w * (1 - 28 * u**6 + 48 * u**7 - 21 * u**8)
            first, second = layer.outward.layers
            new.append(f[i] + second.weight @ softplus(first.weight @ total + first.bias) + second.bias)
        f = new
    expected = torch.stack(f)
    assert ((model(Graph(pos, z=z)) - expected).abs().max() / expected.abs().max()).item() < 1e-13


def test_the_papers_gaussians() -> None:
    """300 centres from 0 to 30 A and gamma = 10 / A^2, whatever their spacing."""
    radial = SchNet(**SchNet.PRESETS["paper"]).edges.radial
    for d in (0.0, 1.1, 29.0):
        values = radial(torch.tensor([d], dtype=torch.float64))[0]
        for k in (0, 11, 299):
            expected = math.exp(-10 * (d - 30 * k / 299) ** 2)
            assert abs(float(values[k]) - expected) < 1e-14
    for gamma in (0.0, -1.0, math.inf):
        with pytest.raises(InputError, match="gamma"):
            SchNet(gamma=gamma)
    with pytest.raises(InputError, match="Gaussians"):
        SchNet(gamma=10.0, radial="bessel")
