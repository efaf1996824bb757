"""FrameAveragedGNN: the contract where its frames are defined, its equations by loops, and where they are not."""

from __future__ import annotations

import pytest
import torch
from contract import ModelContract

from intertwine.geometry import Graph
from intertwine.models import FrameAveragedGNN
from intertwine.nn import Backbone
from intertwine.numerics import GeometryError, InputError

SMALL = {"width": 8, "layers": 2, "species": (1, 6, 8), "radial_size": 4}



class TestFrameAveragedGNN(ModelContract):
    @pytest.fixture
    def model(self) -> Backbone:
        torch.manual_seed(0)
        return FrameAveragedGNN(**SMALL).double()


class TestFrameAveragedGNNOfParticles(ModelContract):
    fields, species = ("vel", "charge"), ()

    def structures(self, model: Backbone) -> dict[str, Graph]:
        """Three particles have axes; the frames of two, and of one, do not turn with their velocities."""
        return {name: self.graph(nodes) for name, nodes in (("molecule", 7), ("plane", 3))}

    @pytest.fixture
    def model(self) -> Backbone:
        torch.manual_seed(0)
        seen = {"species": (), "vector_inputs": ("vel",), "edge_inputs": ("charge_product",)}
        return FrameAveragedGNN(**SMALL | {"vectors": 2, "scale": None} | seen).double()


class TestFrameAveragedGNNOfHands(ModelContract):
    lacks = ("reflection",)

    @pytest.fixture
    def model(self) -> Backbone:
        torch.manual_seed(0)
        return FrameAveragedGNN(**SMALL, reflections=False).double()
