"""EGNN keeps the contract: molecules, charged particles, points of the plane."""

from __future__ import annotations

import pytest
import torch
from contract import ModelContract

from intertwine.models import EGNN
from intertwine.nn import Backbone

SMALL = {"width": 6, "layers": 2, "cutoff": 2.5, "species": (1, 6, 8)}


def lively(model: EGNN) -> EGNN:
    """Steps of ordinary size: the authors' start, a thousandth of it, would hide errors of the positions' part."""
    for layer in model.layers:
        torch.nn.init.xavier_uniform_(layer.step.weight, gain=0.5)
    return model


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
