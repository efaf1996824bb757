"""Models of images and of crystals, averaged over turns."""

from __future__ import annotations

import torch
from ase.build import bulk

from intertwine.certify import certify
from intertwine.geometry import Graph
from intertwine.models import CNN, SchNet
from intertwine.symmetrize import SymmetrizedBackbone
from intertwine.tasks import Classification, ForceField
from intertwine.training import trial_graphs


def test_images_in_right_angles_and_mirrors() -> None:
    torch.manual_seed(0)
    network = CNN(width=2, layers=2, strides=())
    task = Classification(SymmetrizedBackbone(network, "average", group="D_4"), classes=3)
    assert SymmetrizedBackbone(network, "average").card.symmetry == "T(2) x C_4"
    graphs = trial_graphs(task)[:2]
    certificate = certify(task, graphs, symmetry="T(2) x D_4", quick=True, dtypes=(torch.float64,))
    assert certificate.verdict == "exact", certificate.summary()
    alone = Classification(network, classes=3)
    assert certify(alone, graphs, symmetry="T(2) x D_4", quick=True, dtypes=(torch.float64,)).verdict == "broken"


def test_a_crystal_is_turned_with_its_cell() -> None:
    """An invariant model is left unchanged, stress and all: edges go through the turned cell."""
    torch.manual_seed(0)
    network = SchNet(width=8, layers=1, cutoff=4.0).double()
    copper = bulk("Cu", cubic=True)
    copper.rattle(0.1, seed=0)
    graph = Graph.from_ase(copper)
    alone = ForceField(network).double()
    mean = ForceField(SymmetrizedBackbone(network, "average", order=1, group="SE(n)")).double()
    mean.load_state_dict(alone.state_dict(), strict=False)
    mean.head.load_state_dict(alone.head.state_dict())
    expected, got = alone.eval()(graph), mean.eval()(graph)
    for name in ("energy", "forces", "stress"):
        assert torch.allclose(got[name], expected[name], atol=1e-12)
    assert float(expected["stress"].abs().max()) > 1e-4
