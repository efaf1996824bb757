"""The contract, for every architecture in each of its modes."""

from __future__ import annotations

import pytest
import torch
from contract import ModelContract

from intertwine.geometry import Graph
from intertwine.models import EGNN, MODELS, PaiNN, SchNet
from intertwine.nn import Backbone

SMALL = {"width": 6, "layers": 2, "cutoff": 2.5, "species": (1, 6, 8)}


def lively(model: EGNN) -> EGNN:
    """Steps of ordinary size: the authors' start, a thousandth of it, would hide errors of the positions' part."""
    for layer in model.layers:
        torch.nn.init.xavier_uniform_(layer.step.weight, gain=0.5)
    return model


class TestSchNet(ModelContract):
    @pytest.fixture(params=[{}, {"radial": "bessel"}], ids=["gaussian", "bessel"])
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


class TestPaiNN(ModelContract):
    @pytest.fixture(params=[{}, {"radial": "gaussian"}], ids=["bessel", "gaussian"])
    def model(self, request) -> Backbone:
        return PaiNN(**SMALL, radial_size=5, **request.param).double()


class TestPaiNNWithVectors(ModelContract):
    fields = ("vel", "charge")

    @pytest.fixture
    def model(self) -> Backbone:
        options = {"vector_inputs": ("vel",), "node_inputs": ("charge",), "edge_inputs": ("charge_product",)}
        return PaiNN(**SMALL, radial_size=5, **options).double()


class TestEGNN(ModelContract):
    @pytest.fixture(params=[{}, {"bounded": True}, {"attention": True}], ids=["plain", "bounded", "attention"])
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


@pytest.mark.parametrize("name", MODELS)
def test_defaults_are_usable(name: str) -> None:
    """Every model of the command line can be made with no arguments and takes a molecule of any elements."""
    model = MODELS[name]()
    assert model(Graph(torch.zeros(1, 3), z=[92])).shape == (1, model.irreps_out.dim)


@pytest.mark.parametrize("cutoff", [0.0, -1.0, float("nan")])
@pytest.mark.parametrize("name", MODELS)
def test_cutoffs_are_checked_when_the_model_is_made(name: str, cutoff: float) -> None:
    from intertwine.numerics import InputError

    with pytest.raises(InputError, match="cutoff"):
        MODELS[name](cutoff=cutoff)


@pytest.mark.parametrize("argument", ["width", "layers"])
@pytest.mark.parametrize("name", MODELS)
def test_sizes_are_checked_when_the_model_is_made(name: str, argument: str) -> None:
    from intertwine.numerics import InputError

    with pytest.raises(InputError, match=argument):
        MODELS[name](**{argument: 0})


def test_painn_refuses_the_plane() -> None:
    from intertwine.numerics import GeometryError

    with pytest.raises(GeometryError, match="2 dimensions"):
        PaiNN(width=4)(Graph(torch.zeros(2, 2), z=[1, 1]))
