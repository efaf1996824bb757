"""FAENet: the contract of a model that knows translations only, and its equations by loops."""

from __future__ import annotations

import pytest
import torch
from contract import ModelContract

from intertwine.geometry import Graph, connect
from intertwine.models import FAENet
from intertwine.nn import Backbone
from intertwine.numerics import InputError

SMALL = {"width": 5, "layers": 2, "cutoff": 2.5, "filters": 4, "radial_size": 3}


class TestFAENet(ModelContract):
    lacks = ("rotation", "reflection")

    @pytest.fixture
    def model(self) -> Backbone:
        torch.manual_seed(0)
        return FAENet(**SMALL, species=(1, 6, 8)).double()


class TestFAENetOfThePlane(ModelContract):
    dimension, fields, species, lacks = 2, ("vel", "charge"), (), ("rotation", "reflection")

    @pytest.fixture
    def model(self) -> Backbone:
        torch.manual_seed(0)
        seen = {"vector_inputs": ("vel",), "node_inputs": ("charge",)}
        return FAENet(**SMALL, species=(), dimension=2, skip=False, vectors=0, **seen).double()
