"""Models of images and of crystals, averaged over turns."""

from __future__ import annotations

import pytest
import torch
from ase.build import bulk

from intertwine.certify import certify
from intertwine.geometry import Graph, raster_positions
from intertwine.models import CNN, SchNet
from intertwine.numerics import InputError
from intertwine.symmetrize import BuiltFrames, ImageInFrames, InkFrames, SymmetrizedBackbone
from intertwine.symmetrize.images import on_grid
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


@pytest.mark.parametrize("rule", ["pca", "weighted"])
def test_images_in_frames_of_their_ink(rule: str) -> None:
    """Exact under quarter turns, which take pixels to pixels."""
    torch.manual_seed(0)
    framed = ImageInFrames(CNN(width=2, layers=2, strides=()), InkFrames(rule)).double()
    assert framed.card.symmetry == ("C_4" if rule == "weighted" else "C_4 where frames are unique")
    task = Classification(framed, classes=3)
    graphs = [Graph(raster_positions(7, 7).double(), x=torch.rand(49, 1, dtype=torch.float64)) for _ in range(2)]
    certificate = certify(task, graphs, symmetry=framed.card.symmetry, quick=True, dtypes=(torch.float64,))
    assert certificate.verdict.startswith("exact"), certificate.summary()


def test_turned_pixels_are_put_on_their_grid() -> None:
    """An image that is not turned is left as it is, in any order of its pixels, and a quarter turn only moves them."""
    pos, x = raster_positions(5, 5).double(), torch.rand(25, 1, dtype=torch.float64)
    shuffled = torch.randperm(25)
    assert torch.equal(on_grid(Graph(pos[shuffled], x=x[shuffled])).x, x)
    quarter = torch.tensor([[0.0, -1.0], [1.0, 0.0]], dtype=torch.float64)
    turned = on_grid(Graph(pos @ quarter.T, x=x))
    assert torch.equal(turned.pos, pos)
    there = (pos.unsqueeze(1) == pos @ quarter.T).all(-1).to(torch.float64)
    assert torch.equal(turned.x, there @ x)


def test_images_without_ink_are_refused() -> None:
    framed = ImageInFrames(CNN(width=2, layers=1, strides=()), InkFrames())
    with pytest.raises(InputError, match=r"no values x in 2 dimensions"):
        framed(Graph(raster_positions(4, 4)))
    with pytest.raises(InputError, match=r"frames of SE\(2\)"):
        ImageInFrames(framed.network, BuiltFrames("pca", "SE(2)"))


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
