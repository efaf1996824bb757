"""A molecule in a periodic box is as symmetric as without: folding atoms into the cell takes no digits."""

from __future__ import annotations

import pytest
import torch

from intertwine.certify import certify
from intertwine.geometry import Graph
from intertwine.models import PaiNN
from intertwine.tasks import ForceField

WATER = torch.tensor([[0.0, 0.0, 0.119], [0.0, 0.763, -0.477], [0.0, -0.763, -0.477]], dtype=torch.float64)


@pytest.mark.parametrize("box", [15.0, 50.0, 400.0])
@pytest.mark.parametrize("place", [0.0, 0.5, 0.999])
def test_a_box_costs_no_digits(box: float, place: float) -> None:
    torch.manual_seed(0)
    task = ForceField(PaiNN(width=8, layers=1, species=[1, 8]))
    cell = box * torch.eye(3, dtype=torch.float64)
    graph = Graph(WATER + place * box, z=[8, 1, 1], cell=cell[None], pbc=torch.ones(1, 3, dtype=torch.bool))
    inside, alone = task(graph.cast(torch.float32)), task(Graph(graph.pos, z=[8, 1, 1]).cast(torch.float32))
    size = float(alone["forces"].square().mean().sqrt())
    assert float((inside["forces"] - alone["forces"]).abs().max()) <= 2e-6 * size
    certificate = certify(task, [graph], dtypes=(torch.float32,), rotations=2, quick=True)
    assert certificate.passed, certificate.summary()
