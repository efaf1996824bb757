"""PaiNN keeps the contract, with and without vectors as inputs."""

from __future__ import annotations

import pytest
import torch
from contract import ModelContract

from intertwine.geometry import Graph
from intertwine.models import PaiNN
from intertwine.nn import Backbone
from intertwine.numerics import GeometryError

SMALL = {"width": 6, "layers": 2, "cutoff": 2.5, "species": (1, 6, 8)}


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


def test_painn_refuses_the_plane() -> None:
    with pytest.raises(GeometryError, match="2 dimensions"):
        PaiNN(width=4)(Graph(torch.zeros(2, 2), z=[1, 1]))
