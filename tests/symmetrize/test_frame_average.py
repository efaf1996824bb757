"""Means over frames, one drawn frame, one learned frame, sorted sets: around networks of graphs and of points."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from ase.build import molecule
from networks import NETWORKS, Perceptron
from torch import Tensor, nn

from intertwine.certify import certify
from intertwine.geometry import Graph, act, centred, collate, connect
from intertwine.geometry.copies import in_frames, turned_rows
from intertwine.groups import Cartesian, Isometry, Orthogonal, Unchanged
from intertwine.models import FrameTransformer
from intertwine.numerics import Caution, InputError
from intertwine.o3 import Irreps
from intertwine.symmetrize import (
    BuiltFrames,
    Canonicalize,
    FrameAverage,
    FrameVectors,
    GridFrames,
    LearnedFrames,
    SortedAverage,
    SymmetrizedBackbone,
    gram_schmidt,
)
from intertwine.tasks import ForceField

DOUBLE: dict[str, Any] = {"dtypes": (torch.float64,), "quick": True}


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture
def ethanol() -> Graph:
    return Graph.from_ase(molecule("CH3CH2OH"))


class Vectors(nn.Module):
    """A vector of each node and an energy, from all coordinates of nine nodes."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(27, 16), nn.SiLU(), nn.Linear(16, 28))

    def forward(self, graph: Graph) -> dict[str, Tensor]:
        y = self.net(centred(graph).to(self.net[0].weight.dtype).reshape(-1, 27) / 4)
        return {"energy": y[:, 0], "vectors": y[:, 1:].reshape(-1, 3)}


REP = {"energy": None, "vectors": Cartesian(1)}


@pytest.mark.parametrize("chunk", [None, 3])
@pytest.mark.parametrize("group", ["E(3)", "SE(3)", "O(3)"])
@pytest.mark.parametrize("frames", ["pca", "minimal", "weighted"])
def test_graphs(ethanol: Graph, frames: str, group: str, chunk: int | None) -> None:
    mean = FrameAverage(Vectors(), frames, REP, group=group, chunk=chunk)
    certificate = certify(mean, ethanol, group=mean.group, **DOUBLE)
    assert certificate.verdict == "exact", certificate.summary()
    assert certify(mean.network, ethanol, group=mean.group, rep_out=mean.rep_out, **DOUBLE).verdict == "broken"


@pytest.mark.parametrize("frames", ["pca", "weighted"])
def test_sets_of_points(frames: str) -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(15, 8), nn.SiLU(), nn.Linear(8, 3))
    mean, x = FrameAverage(network, frames, Cartesian(1), points=True), torch.randn(4, 5, 3)
    certificate = certify(mean, x, quick=True)
    assert certificate.verdict == "exact", certificate.summary()
    assert torch.allclose(mean(x + 100.0), mean(x), atol=1e-4)
    each = torch.cat([mean(x[k : k + 1]) for k in range(4)])
    assert torch.allclose(each, mean(x), atol=1e-5)


def test_the_plane() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(10, 8), nn.SiLU(), nn.Linear(8, 2))
    mean = FrameAverage(network, "pca", Cartesian(1, dimension=2), group="SE(2)", points=True)
    assert certify(mean, torch.randn(4, 5, 2), quick=True).verdict == "exact"


def test_an_equivariant_network_is_left_unchanged(ethanol: Graph) -> None:
    def equivariant(graph: Graph) -> Tensor:
        x = centred(graph)
        return x * x.square().sum(-1, keepdim=True).tanh()

    for frames in ("pca", "weighted", GridFrames(order=1), LearnedFrames(FrameVectors().double())):
        mean = FrameAverage(equivariant, frames, Cartesian(1))
        assert torch.allclose(mean(ethanol), equivariant(ethanol), atol=1e-12)


def test_one_drawn_frame_is_equivariant_in_distribution(ethanol: Graph) -> None:
    mean = FrameAverage(Vectors(), "pca", REP, draw="always")
    assert certify(mean, ethanol, group=mean.group, **DOUBLE).verdict == "in distribution"
    assert mean.symmetry == "E(3) in distribution where frames are unique"
    with torch.no_grad():
        draws = torch.stack([mean(ethanol)["energy"] for _ in range(100)])
        exact = FrameAverage(mean.network, "pca", REP)(ethanol)["energy"]
        assert float((draws.mean(0) - exact).abs() / (draws.std(0) / 10)) < 5
        training = FrameAverage(mean.network, "pca", REP, draw="training")
        assert float((training(ethanol)["energy"] - exact).abs()) > 0
        assert torch.equal(training.eval()(ethanol)["energy"], exact)


def test_spread_is_the_deviation_between_frames(ethanol: Graph) -> None:
    mean = FrameAverage(Vectors(), "pca", REP)
    seen, once = mean.spread(ethanol), mean(ethanol)
    assert torch.allclose(seen["vectors"].mean, once["vectors"], atol=1e-6)
    assert float(seen["energy"].deviation) > 0


def test_degenerate_structures_are_named() -> None:
    mean = FrameAverage(lambda graph: centred(graph)[:, 0].exp(), "pca")
    graphs = [Graph.from_ase(molecule(name)) for name in ("CH4", "C6H6", "CO2", "H2O")]
    told = mean.undefined(collate(graphs))
    assert [bool(reason) for reason in told] == [True, True, True, False]
    assert "below 0.01" in told[0]
    certificate = certify(mean, graphs, group=mean.group, **DOUBLE)
    assert certificate.verdict == "exact where frames are unique", certificate.summary()
    assert "input 0 (gap" in certificate.summary()
    assert certify(mean, graphs[0], group=mean.group, **DOUBLE).verdict == "broken"  # of which nothing was measured
    weighted = FrameAverage(mean.network, "weighted")
    assert certify(weighted, graphs, group=weighted.group, **DOUBLE).verdict == "exact"


VERDICTS = {"frames": "exact", "weighted": "exact", "canonical": "exact", "average": "within approximation"}


@pytest.mark.parametrize("method", VERDICTS)
@pytest.mark.parametrize("network", NETWORKS)
def test_energies_and_forces_of_ethanol(ethanol: Graph, network: str, method: str) -> None:
    """All tests of the certificate, forces against differences among them."""
    # a maximum has no band limit: the mean of PointNet converges slowly
    options: dict[str, Any] = {"order": 4, "claimed_error": 0.5 if network == "pointnet" else 1e-2}
    task = ForceField(SymmetrizedBackbone(NETWORKS[network](), method, **(options if method == "average" else {})))
    words = " of listed nodes" if network == "perceptron" else ""
    certificate = certify(task, ethanol, symmetry=task.backbone.card.symmetry + words, **DOUBLE)
    assert certificate.verdict.startswith(VERDICTS[method]), certificate.summary()
    compared = [line for line in certificate.lines if line.test == "forces against differences"]
    assert compared
    assert all(line.verdict == "passed" for line in compared)
    assert certify(ForceField(NETWORKS[network]()), ethanol, symmetry="E(3)", **DOUBLE).verdict == "broken"


@pytest.mark.parametrize("method", ["frames", "weighted"])
def test_forces_through_detached_frames_are_not_the_gradient(ethanol: Graph, method: str) -> None:
    with pytest.warns(Caution, match="not the gradient"):
        task = ForceField(SymmetrizedBackbone(Perceptron(), method, detached=True))
    certificate = certify(task, ethanol, symmetry=f"{task.backbone.card.symmetry} of listed nodes", **DOUBLE)
    assert "forces against differences" in certificate.failed


def test_gram_schmidt() -> None:
    vectors = torch.randn(5, 2, 3, dtype=torch.float64, requires_grad=True)
    rotation, _ = gram_schmidt(vectors)
    assert torch.allclose(rotation.mT @ rotation, torch.eye(3, dtype=torch.float64), atol=1e-14)
    assert torch.allclose(torch.linalg.det(rotation), torch.ones(5, dtype=torch.float64))
    assert torch.autograd.gradcheck(lambda v: gram_schmidt(v)[0], (vectors,))
    g = Orthogonal(3, special=True).sample(1, torch.Generator().manual_seed(0))[0]
    assert torch.allclose(gram_schmidt(vectors @ g.T)[0], g @ rotation, atol=1e-14)
    short, lengths = gram_schmidt(torch.zeros(1, 2, 3, dtype=torch.float64))
    assert torch.allclose(short, torch.eye(3, dtype=torch.float64))
    assert float(lengths.max()) == 0.0
    with pytest.raises(InputError, match="n - 1 vectors"):
        gram_schmidt(torch.randn(2, 3, 3))


def test_a_learned_frame(ethanol: Graph) -> None:
    mean = Canonicalize(Vectors(), rep_out=REP)
    assert certify(mean, ethanol, group=mean.group, **DOUBLE).verdict == "exact"
    bare = Canonicalize(Vectors(), lambda graph: centred(graph)[:2][None], rep_out=REP, group="SE(3)")
    assert certify(bare, ethanol, group=bare.group, **DOUBLE).verdict == "exact"
    points = Canonicalize(nn.Sequential(nn.Flatten(), nn.Linear(15, 1)), group="SE(3)", points=True, least=1e-4)
    x = torch.randn(2, 5, 3)
    assert certify(points, x, rep_out=Unchanged(points.group), **DOUBLE).verdict == "exact"


def test_symmetric_structures_are_equivariant_up_to_their_own_symmetry() -> None:
    """Methane has no frame of its own: it is named, and what is given is finite."""
    mean = Canonicalize(lambda graph: centred(graph).square()[:, 0], FrameVectors().double())
    methane = Graph.from_ase(molecule("CH4"))
    assert "up to its own symmetry" in mean.undefined(methane)[0]
    assert bool(torch.isfinite(mean(methane)).all())
    certificate = certify(mean, [methane], group=mean.group, **DOUBLE)
    assert certificate.verdict == "broken"  # nothing is claimed, and nothing measured
    assert [line.verdict for line in certificate.lines] == ["exact where frames are unique"]


def test_the_prior_draws_frames_to_the_axes_of_the_coordinates(ethanol: Graph) -> None:
    mean = Canonicalize(Vectors(), group="SE(3)")
    generator = torch.Generator().manual_seed(0)
    ethanol.pos += 0.3 * torch.randn(9, 3, generator=generator, dtype=torch.float64)  # out of its mirror plane
    turned = collate([act(Isometry.random(3, generator=generator), ethanol) for _ in range(4)])
    optimizer = torch.optim.Adam(mean.framing.parameters(), lr=0.02)
    before = float(mean.prior(ethanol).detach())
    for _ in range(60):
        optimizer.zero_grad()
        mean.prior(ethanol).backward()
        optimizer.step()
    assert float(mean.prior(ethanol).detach()) < 0.2 * before
    assert float(mean.prior(turned).detach()) > 0.1  # which no equivariant network can align


def test_sorted_sets() -> None:
    network, x = nn.Sequential(nn.Flatten(), nn.Linear(12, 5), nn.SiLU(), nn.Linear(5, 3)), torch.randn(3, 4, 3)
    inner = nn.Sequential(nn.Flatten(), nn.Linear(12, 8), nn.Unflatten(1, (4, 2)))

    def first(x: Tensor) -> Tensor:
        return x[..., 0]

    for _ in range(2):
        assert certify(SortedAverage(network, 4, first), x, quick=True).verdict == "exact"
        assert certify(SortedAverage(inner, 4, first, rows=True), x, quick=True).verdict == "exact"
        x[:, 1, 0] = x[:, 2, 0]  # ties: all of their orders
    with pytest.raises(InputError, match="tie"):
        SortedAverage(network, 4, first, ties="refuse")(x)


@pytest.mark.parametrize("frames", ["pca", "minimal", "weighted"])
@pytest.mark.parametrize("atoms", [1, 3])
def test_one_atom_and_atoms_in_one_place(frames: str, atoms: int) -> None:
    mean = FrameAverage(lambda g: g.pos.square().sum(-1), frames)
    graph = Graph(torch.tensor([[1.0, 2.0, 3.0]] * atoms, dtype=torch.float64, requires_grad=True))
    (gradient,) = torch.autograd.grad(mean(graph).sum(), graph.pos)
    assert float(mean(graph).abs().max()) < 1e-20
    assert bool(torch.isfinite(gradient).all())


def test_copies_are_the_moved_graphs(ethanol: Graph) -> None:
    ethanol.update({"q": torch.randn(9, 5, dtype=torch.float64), "vel": torch.randn(9, 3, dtype=torch.float64)})
    ethanol.representations = {"q": "2e"}
    rotation, centre = Orthogonal(3).sample(2, torch.Generator().manual_seed(0)), torch.randn(1, 3, dtype=torch.float64)
    copies = in_frames(ethanol, rotation[None], centre)
    for k in range(2):
        moved = act(Isometry(rotation[k].T, -(rotation[k].T @ centre[0])), ethanol)
        for name in ("pos", "vel", "q"):
            assert torch.allclose(copies[name][9 * k : 9 * (k + 1)], moved[name], atol=1e-14)


def test_rows_turned_each_by_its_own_matrix() -> None:
    irreps, rotation = Irreps("2x0e + 1x0o + 1x1o + 2x2e"), Orthogonal(3).sample(2, torch.Generator().manual_seed(0))
    x = torch.randn(2, irreps.dim, dtype=torch.float64)
    assert torch.allclose(turned_rows(irreps, rotation, x), irreps.transform(rotation, x), atol=1e-14)
    tensor = torch.randn(2, 4, 3, 3, dtype=torch.float64)
    expected = torch.einsum("nab,ncbd,ned->ncae", rotation, tensor, rotation)
    assert torch.allclose(turned_rows(Cartesian(2), rotation, tensor), expected, atol=1e-14)
    axes = torch.randn(3, 3, dtype=torch.float64, requires_grad=True)

    def turned(axes: Tensor) -> Tensor:
        return turned_rows(irreps, torch.linalg.qr(axes)[0].expand(2, 3, 3), x)

    assert torch.autograd.gradcheck(turned, (axes,))


def test_a_framing_says_what_it_claims() -> None:
    assert BuiltFrames("weighted").claim == "E(n)"
    assert BuiltFrames("pca", "SE(3)").claim == "SE(3) where frames are unique"
    assert GridFrames("SE(n)").claim == "SE(n) within approximation"
    assert GridFrames(samples=4).claim == "E(n) in distribution"


@pytest.mark.parametrize("name", ["pca", "weighted", "minimal"])
@pytest.mark.parametrize("count", [1, 3])
def test_around_a_model_that_connects_its_graphs_itself(name: str, count: int, ethanol: Graph) -> None:
    """Each frame has a plain graph, which is as good a graph to look for neighbours in."""
    model = FrameTransformer(width=8, layers=1, heads=2, cutoff=3.0).double().eval()
    graph = collate([ethanol] * count)
    mean = FrameAverage(model, name)
    torch.testing.assert_close(mean(graph), mean(connect(graph, 3.0)), rtol=1e-10, atol=1e-12)
