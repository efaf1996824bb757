"""FrameTransformer: the contract of a model that knows translations only, and its equations by loops."""

from __future__ import annotations

import pytest
import torch
from contract import ModelContract
from torch import Tensor

from intertwine.geometry import Graph, act, collate
from intertwine.groups import Isometry
from intertwine.models import FrameTransformer
from intertwine.nn import Backbone
from intertwine.numerics import InputError

SMALL = {"width": 6, "layers": 2, "heads": 2, "cutoff": 2.5, "species": (1, 6, 8), "radial_size": 4}


class TestFrameTransformer(ModelContract):
    lacks = ("rotation", "reflection")

    @pytest.fixture
    def model(self) -> Backbone:
        torch.manual_seed(0)
        return FrameTransformer(**SMALL).double()


class TestFrameTransformerOfParticles(ModelContract):
    """All pairs, positions from the centroid at the nodes, velocities and charges."""

    fields, species, lacks = ("vel", "charge"), (), ("rotation", "reflection")

    @pytest.fixture
    def model(self) -> Backbone:
        torch.manual_seed(0)
        seen = {"species": (), "vector_inputs": ("vel",), "edge_inputs": ("charge_product",)}
        return FrameTransformer(**SMALL | {"cutoff": None} | seen).double()


class TestFrameTransformerOfThePlane(ModelContract):
    dimension, lacks = 2, ("rotation", "reflection")

    @pytest.fixture
    def model(self) -> Backbone:
        torch.manual_seed(0)
        return FrameTransformer(**SMALL, dimension=2, vectors=2).double()
