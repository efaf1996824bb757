"""Claims in words: point groups, with translations or without, and in distribution; networks of images and of draws."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from certify.subjects import molecules
from torch import Tensor, nn

from intertwine.certify import Certificate, certify, tried_on
from intertwine.certify.claims import claims
from intertwine.data.trials import KINDS, clouds, images, made_for, signals
from intertwine.geometry import Graph, rasters
from intertwine.groups import SO, Cartesian, DirectSum
from intertwine.numerics import InputError, segment
from intertwine.o3 import Irreps

DOUBLE = (torch.float64,)


@pytest.mark.parametrize(
    ("words", "dimension", "names", "point"),
    [
        ("E(3)", 3, {"translation", "rotation", "reflection", "permutation"}, None),
        ("SO(3)", 3, {"rotation", "permutation"}, None),
        (" SE ( n ) ", 2, {"translation", "rotation", "permutation"}, None),
        ("T(3) x octahedral", 3, {"translation", "permutation", "point group"}, "O"),
        ("T(n) x icosahedral with inversion", 3, {"translation", "permutation", "point group"}, "Ih"),
        ("T(2) x C_4", 2, {"translation", "permutation", "point group"}, "C_4"),
        ("T(2) x D_8", 2, {"translation", "permutation", "point group"}, "D_8"),
        ("T(2) x O(2)", 2, {"translation", "rotation", "reflection", "permutation"}, None),
        ("T(2) x R+", 2, {"translation", "permutation", "point group"}, "R+(2)"),
        ("T(2) x R+ x SO(2)", 2, {"translation", "permutation", "point group"}, "R+ x SO(2)"),
        ("tetrahedral", 3, {"permutation", "point group"}, "T"),
    ],
)
def test_words(words: str, dimension: int, names: set[str], point: str | None) -> None:
    for text, random in ((words, False), (f"{words} in distribution", True)):
        claim = claims(text, dimension)
        assert set(claim.names) == names
        assert (None if claim.point is None else claim.point.name) == point
        assert claim.random is random


@pytest.mark.parametrize(
    ("words", "dimension", "match"),
    [
        ("U(1)", 3, "unknown symmetry"),
        ("T(3) x cubic", 3, "unknown symmetry"),
        ("T(2) x octahedral", 3, "dimension 3"),
        ("T(3) x C_4", 3, "group of dimension 2"),
        ("octahedral", 2, "group of dimension 3"),
        ("E(2)", 3, "dimension 3"),
        ("in distribution", 3, "unknown symmetry"),
        ("T(2) x C_0", 2, "C_0"),
    ],
)
def test_wrong_words_are_named(words: str, dimension: int, match: str) -> None:
    with pytest.raises(InputError, match=match):
        claims(words, dimension)


def verdicts(certificate: Certificate, symmetry: str) -> set[str]:
    return {line.verdict for line in certificate.lines if line.symmetry == symmetry}


class Cubes(nn.Module):
    """A function of the coordinates that the symmetries of a cube leave as it is, and no other rotation."""

    irreps_out = "0e"

    def __init__(self, power: int = 4) -> None:
        super().__init__()
        self.power = power

    def forward(self, graph: Graph) -> Tensor:
        owner, count = graph.membership(), graph.graphs
        centred = graph.pos - segment.mean(graph.pos, owner, count)[owner]
        return segment.sum(centred.pow(self.power).sum(1, keepdim=True), owner, count)


def test_a_point_group_is_tested_and_the_larger_one_is_information() -> None:
    certificate = certify(Cubes(), molecules()[:2], symmetry="T(3) x octahedral with inversion", quick=True)
    assert certificate.passed, certificate.summary()
    assert certificate.verdict == "exact"
    assert verdicts(certificate, "point group") == {"passed"}
    assert verdicts(certificate, "rotation") == verdicts(certificate, "reflection") == {"not claimed"}
    assert "Not claimed and not there: rotation (by" in certificate.summary()
    broken = certify(Cubes(3), molecules()[:2], symmetry="T(3) x octahedral", quick=True, dtypes=DOUBLE)
    assert "point group" in broken.broken
    assert "degrees about (" in broken.summary()
    assert not [line for line in certify(Cubes(2), molecules()[:1], quick=True).lines if line.symmetry == "point group"]


class Pixels(nn.Module):
    """Four turned kernels, or one; a mean over the pixels."""

    trials, level, cutoff = "images", "graph", None
    irreps_out = DirectSum(((3, Cartesian(0, dimension=2)),))

    def __init__(self, turns: int = 4, level: str = "graph") -> None:
        super().__init__()
        torch.manual_seed(0)
        self.weight, self.turns, self.level = nn.Parameter(torch.randn(3, 1, 3, 3)), turns, level

    def rows(self, n: int = 2) -> dict[str, tuple[int, ...]]:
        return {"x": (1,)}

    def forward(self, graph: Graph) -> Tensor:
        image = rasters(graph, graph.x)
        turned = [torch.rot90(self.weight, k, (2, 3)) for k in range(self.turns)]
        maps = torch.stack([F.conv2d(image.values, w, padding=1).tanh() for w in turned]).sum(0)
        return maps.mean((2, 3)) if self.level == "graph" else image.at_nodes(maps)


@pytest.mark.parametrize("level", ["graph", "node"])
def test_networks_of_images(level: str) -> None:
    graphs = images(1, (12, 12), 2)
    certificate = certify(Pixels(4, level), graphs, symmetry="T(2) x C_4", quick=True, dtypes=DOUBLE)
    assert certificate.passed, certificate.summary()
    assert verdicts(certificate, "point group") == {"passed"}
    lines = [line for line in certificate.lines if line.test == "random rotations"]
    assert "there and back" in lines[0].worst
    assert lines[0].error is not None
    assert {line.verdict for line in certificate.lines if "atom" in line.test} == {"skipped"}
    plain = certify(Pixels(1, level), graphs, symmetry="T(2) x C_4", quick=True, dtypes=DOUBLE)
    assert plain.broken == ("point group",)
    assert "270 degrees" in plain.summary() or "90 degrees" in plain.summary() or "180 degrees" in plain.summary()
    if level == "node":  # these images are too small for 45 degrees
        small = certify(Pixels(4, level), graphs, symmetry="T(2) x C_8", quick=True, dtypes=DOUBLE)
        assert any("some elements: interpolation" in line.worst for line in small.lines)
    eight = certify(Pixels(4, level), images(1, (24, 24), 1), symmetry="T(2) x C_8", quick=True, dtypes=DOUBLE)
    stated = certify(Pixels(4, level), images(1, (24, 24), 1), symmetry="T(2) x C_8", quick=True, dtypes=DOUBLE,
                     approximation=9.0)  # fmt: skip
    assert stated.verdict == "within approximation"
    assert eight.verdict == ("broken" if level == "node" else "within approximation")  # the mean forgives much


class Smooth(Pixels):
    """An isotropic filter: rotations hold within what interpolation does."""

    def forward(self, graph: Graph) -> Tensor:
        r = torch.arange(-4, 5).to(graph.x)
        kernel = torch.exp(-(r[:, None] ** 2 + r**2) / 4).expand(3, 1, 9, 9) / 12
        return F.conv2d(rasters(graph, graph.x).values, kernel, padding=4).square().mean((2, 3))


def test_rotations_of_images_hold_within_approximation() -> None:
    certificate = certify(Smooth(), images(1, (20, 20), 1), symmetry="T(2) x SO(2)", quick=True, dtypes=DOUBLE)
    assert certificate.verdict == "within approximation", certificate.summary()
    assert verdicts(certificate, "rotation") == {"passed", "within approximation", "skipped"}


class Drawn(nn.Module):
    """Points turned at random, by one turn until it is told to draw anew, and a perceptron of each."""

    irreps_out = "0e"

    def __init__(self, biased: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.net, self.biased = nn.Sequential(nn.Linear(3, 6), nn.Tanh(), nn.Linear(6, 1)), biased
        self.redraw(0)

    def redraw(self, seed: int) -> None:
        self.turn = SO(3).sample(1, torch.Generator().manual_seed(0 if self.biased else seed))[0]

    def forward(self, graph: Graph) -> Tensor:
        owner, count = graph.membership(), graph.graphs
        centred = graph.pos - segment.mean(graph.pos, owner, count)[owner]
        return segment.sum(self.net((centred @ self.turn.to(centred).T).to(self.net[0].weight)), owner, count)


def test_in_distribution() -> None:
    graphs = molecules()[2:3]
    options = {"quick": True, "dtypes": DOUBLE, "draws": 10}
    certificate = certify(Drawn(), graphs, symmetry="SE(3) in distribution", **options)
    assert certificate.passed, certificate.summary()
    assert certificate.verdict == "in distribution"
    assert verdicts(certificate, "rotation") == {"in distribution"}
    assert verdicts(certificate, "translation") == {"passed"}
    assert "one draw deviates by" in next(line.worst for line in certificate.lines if line.test == "random rotations")
    assert certify(Drawn(), graphs, symmetry="SE(3)", **options).broken == ("rotation",)
    biased = certify(Drawn(biased=True), graphs, symmetry="SE(3) in distribution", **options)
    assert biased.broken == ("rotation",)
    assert "every draw is the same" in biased.summary()


def test_what_is_made_in_code() -> None:
    first, again = images(2, (9, 9)), images(2, (9, 9))
    assert all(torch.equal(a.x, b.x) and a.x.shape == (81, 2) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0].x, first[1].x)
    edge = rasters(images(1)[0], images(1)[0].x).values[0, 0, 0].abs().max()
    assert float(edge) < 0.1 * float(images(1)[0].x.abs().max())
    assert clouds()[0].get("z") is None
    assert signals("2x1o")[0].signal.shape == (1, 6)
    assert signals("2x1o")[0].representation("signal") == Irreps("2x1o")
    for kind in KINDS:
        assert len(made_for(kind, Pixels())) >= 2
    assert made_for("voxels", Pixels())[0].dimension == 3
    with pytest.raises(InputError, match="trials"):
        made_for("films", Pixels())


def test_what_a_function_is_tried_on() -> None:
    class Task(nn.Module):
        def __init__(self, trials: str) -> None:
            super().__init__()
            self.trials, self.backbone = trials, Pixels()

    assert tried_on(lambda graph: graph) == "molecules"
    assert tried_on(Pixels()) == tried_on(Task("molecules")) == "images"
    assert tried_on(Task("particles")) == "particles"
