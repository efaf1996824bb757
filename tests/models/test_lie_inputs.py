"""LieConv on inputs that have few points or none, and what it refuses."""

from __future__ import annotations

import pytest
import torch

from intertwine.geometry import Graph, connect
from intertwine.groups import SE, SO, Lorentz, cyclic
from intertwine.models.lie_conv import LieConv
from intertwine.numerics import GeometryError, InputError

SMALL = {"width": 6, "layers": 2, "cutoff": 2.5, "functions": 5, "radial_size": 4, "species": (1, 6, 8)}
PLANE = {"dimension": 2, "species": (1, 6, 8), "width": 6, "layers": 2, "functions": 5, "radial_size": 4}
FLAT = {"species": (), "dimension": 2, "vector_inputs": ("vel",), "node_inputs": ("charge",)}


def molecule(nodes: int = 6, dimension: int = 3, seed: int = 0) -> Graph:
    generator = torch.Generator().manual_seed(seed)
    pos = 1.2 * torch.randn(nodes, dimension, generator=generator, dtype=torch.float64)
    return Graph(pos, z=torch.tensor([1, 6, 8])[torch.arange(nodes) % 3])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"group": "C_4"}, "no group with exponential map.*RegularGroupCNN"),
        ({"group": "octahedral"}, "RegularGroupCNN"),
        ({"group": "SE(2)"}, "of dimension 3"),
        ({"group": "SE(3)"}, "infinitely many lifts.*lifts=4"),
        ({"group": "SO(3)"}, "infinitely many lifts"),
        ({"group": "SE(3)", "lifts": 0}, "0 lifts"),
        ({"group": "T(3)", "lifts": 4}, "one lift"),
        ({"group": cyclic(4), "dimension": 2}, "C_4 can't be taken.*no exponential map.*RegularGroupCNN"),
        ({"group": SO(4), "dimension": 4}, "can't be taken"),
        ({"group": SE(2)}, "moves points of dimension 2"),
        ({"group": Lorentz(), "dimension": 4, "lifts": 2}, "orbits is not known|can't be taken"),
        ({"neighbours": 0}, "neighbours"),
        ({"functions": 0}, "functions"),
        ({"alpha": 1.0}, "alpha"),
        ({"vectors": -2}, "vectors"),
        ({"group": "R+(3)", "vector_inputs": ("vel",)}, "no finite length"),
    ],
    ids=str,
)
def test_what_can_not_be_is_named(arguments: dict, message: str) -> None:
    with pytest.raises(InputError, match=f"(?s){message}"):
        LieConv(**SMALL | arguments)


def test_a_crystal_has_no_centre() -> None:
    graph = molecule(3)
    graph.cell, graph.pbc = 4 * torch.eye(3, dtype=torch.float64)[None], torch.ones(1, 3, dtype=torch.bool)
    model = LieConv(**SMALL | {"group": "SO(3)", "lifts": 1}).double()
    for structure in (graph, connect(graph, 2.5)):
        with pytest.raises(GeometryError, match="a periodic structure has none"):
            model(structure)


@pytest.mark.parametrize(("group", "lifts"), [("T(n)", None), ("SE(3)", 2), ("SO(3)", 2), ("R+(3)", None)])
def test_no_points_and_a_single_one(group: str, lifts: int | None) -> None:
    model = LieConv(**SMALL | {"group": group, "lifts": lifts}).double().eval()
    assert model(molecule(0)).shape == (0, model.irreps_out.dim)
    assert model(molecule(1)).isfinite().all()
