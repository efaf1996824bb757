"""Small structures and models with random weights."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from intertwine.geometry import Graph
from intertwine.models import MODELS
from intertwine.nn import Backbone

SMALL = {
    "schnet": {"width": 8, "layers": 1, "cutoff": 3.5, "radial_size": 6},
    "egnn": {"width": 8, "layers": 2, "cutoff": 3.5},
    "painn": {"width": 8, "layers": 2, "cutoff": 3.5, "radial_size": 6},
}


@pytest.fixture
def backbone() -> Callable[..., Backbone]:
    """Makes a model of random weights by name, in float64."""

    def make(name: str, **arguments: object) -> Backbone:
        torch.manual_seed(1)
        return MODELS[name](**(SMALL[name] | arguments)).double()

    return make


def random_molecule(generator: torch.Generator, nodes: int = 5, **fields: object) -> Graph:
    """Atoms of H, C and O at random places about 1.5 A apart."""
    pos = 1.5 * torch.randn(nodes, 3, generator=generator, dtype=torch.float64)
    z = torch.tensor([1, 6, 8])[torch.randint(3, (nodes,), generator=generator)]
    return Graph(pos, z=z, **fields)


def random_crystal(generator: torch.Generator, nodes: int = 3) -> Graph:
    """Atoms in a skew cell that is smaller than the cutoff."""
    cell = 3.0 * torch.eye(3, dtype=torch.float64) + 0.3 * torch.randn(3, 3, generator=generator, dtype=torch.float64)
    pos = torch.rand(nodes, 3, generator=generator, dtype=torch.float64) @ cell
    return Graph(pos, z=[1, 6, 8][:nodes], cell=cell)


@pytest.fixture
def molecule(generator: torch.Generator) -> Callable[..., Graph]:
    return lambda nodes=5, **fields: random_molecule(generator, nodes, **fields)


@pytest.fixture
def crystal(generator: torch.Generator) -> Graph:
    return random_crystal(generator)


@pytest.fixture
def make_crystal(generator: torch.Generator) -> Callable[[int], Graph]:
    return lambda nodes: random_crystal(generator, nodes)
