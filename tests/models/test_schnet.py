"""SchNet keeps the contract, with and without inputs."""

from __future__ import annotations

import pytest
from contract import ModelContract

from intertwine.models import SchNet
from intertwine.nn import Backbone

SMALL = {"width": 6, "layers": 2, "cutoff": 2.5, "species": (1, 6, 8)}


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
