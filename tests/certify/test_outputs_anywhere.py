"""Outputs of edges, of pairs, listed or all, and at points of space: right ones pass, and each way of being wrong is
found.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from certify.subjects import Output, crystal, molecules
from torch import Tensor, nn

from intertwine.certify import Certificate, certify
from intertwine.geometry import Graph, connect, edge_vectors, pair_list
from intertwine.groups import Cartesian
from intertwine.nn import envelope
from intertwine.numerics import InputError, safe, segment
from intertwine.o3 import Irreps, SphericalHarmonics

IRREPS = Irreps("0e+1o")
CUTOFF = 3.0


class Between(nn.Module):
    r""":math:`y_{ji} = e^{-d^2/4} c(d)\,(Z_i\, Y_0, Y_1(r_{ji}))` of edges as given, or of pairs, with one fault at
    most.

    Args:
        level: "edge" or "pair".
        fault: "order" (rows by place in the list), "turn" (the vector in a fixed frame), "mix" (the batch's mean),
            "jump" (no envelope).
    """

    cutoff = CUTOFF

    def __init__(self, level: str, fault: str = "") -> None:
        super().__init__()
        self.level, self.fault = level, fault
        self.outputs = {"hop": Output(IRREPS, level)}
        self.envelope, self.harmonics = envelope("polynomial", CUTOFF), SphericalHarmonics(IRREPS, normalize=False)

    def forward(self, graph: Graph) -> dict[str, Tensor]:
        if self.level == "edge":
            r, i = edge_vectors(graph), graph.edge_index[1]
        else:
            (j, i) = pair_list(graph).T
            r = graph.pos[j] - graph.pos[i]
        d = safe.norm(r)
        y = self.harmonics(r) * torch.stack([graph.z[i].to(r), *[torch.ones_like(d)] * 3], dim=1)
        y = y * (torch.exp(-d * d / 4) * (self.envelope(d) if self.fault != "jump" else (d < CUTOFF))).unsqueeze(1)
        if self.fault == "order":
            y = y * (1 + torch.arange(len(y)).to(y).unsqueeze(1) / len(y))
        if self.fault == "turn":
            y = y + 0.1 * y[:, :1] * y.new_tensor([0.0, 0.0, 1.0, 0.0])
        if self.fault == "mix":
            y = y - y.mean(0)
        return {"hop": y}


class Cloud(nn.Module):
    """The sum over atoms of a Gaussian about each, at points, and the point that each is drawn to, with one fault at
    most.
    """

    cutoff = None

    def __init__(self, fault: str = "") -> None:
        super().__init__()
        self.fault = fault
        self.outputs = {
            "density": Output(Cartesian(0), "point"),
            "drawn": Output(Cartesian(1), "point", "A", affine=True),
        }

    def forward(self, graph: Graph) -> dict[str, Tensor]:
        mine = graph.rows("points").unsqueeze(1) == graph.membership()
        point, atom = (torch.ones_like(mine) if self.fault == "mix" else mine).nonzero().T
        r = graph.pos[atom] - graph.points[point]
        weight = graph.z[atom].to(r) * torch.exp(-(r * r).sum(1))
        if self.fault == "order":
            weight = weight * (1 + 0.1 * atom)
        density = segment.sum(weight, point, len(graph.points))
        if self.fault == "place":
            density = density * (1 + 0.1 * graph.points[:, 0].sin())
        pull = segment.sum(weight.unsqueeze(1) * r, point, len(graph.points))
        return {"density": density, "drawn": (graph.points if self.fault != "lost" else 0.0) + pull}


def with_pairs(graphs: list[Graph]) -> list[Graph]:
    """Every second of all pairs, as a list."""
    result = [graph.clone() for graph in graphs]
    for graph in result:
        graph.pairs = pair_list(graph)[::2]
    return result


def with_points(graphs: list[Graph], generator: torch.Generator) -> list[Graph]:
    """Each with a number of points of its own."""
    result = [graph.clone() for graph in graphs]
    for k, graph in enumerate(result):
        graph.points = graph.pos[torch.randint(len(graph.pos), (3 + k,), generator=generator)]
        graph.points = graph.points + torch.randn(3 + k, 3, generator=generator, dtype=torch.float64)
    return result


def measured(certificate: Certificate) -> set[str]:
    return {line.test for line in certificate.lines if line.verdict == "passed"}


EVERYWHERE = {
    "random rotations",
    "reflections",
    "translations",
    "permutations",
    "batch against single",
    "unsorted batch",
    "single atom",
}


@pytest.mark.parametrize(
    ("level", "listed"), [("edge", False), ("pair", False), ("pair", True)], ids=["edges", "all pairs", "listed pairs"]
)
def test_what_is_between_nodes_passes(level: str, listed: bool) -> None:
    graphs = with_pairs(molecules()) if listed else molecules()
    certificate = certify(Between(level), [*graphs, *([crystal()] if level == "edge" else [])])
    assert certificate.passed, certificate.summary()
    assert EVERYWHERE | {"unsorted edges", "value at the cutoff", "slope at the cutoff"} <= measured(certificate)
    assert level == "pair" or "lattice image" in measured(certificate)


def test_what_is_at_points_passes(generator: torch.Generator) -> None:
    certificate = certify(Cloud(), with_points(molecules(), generator))
    assert certificate.passed, certificate.summary()
    assert measured(certificate) >= EVERYWHERE
    assert {line.output for line in certificate.lines if line.test == "translations"} == {"density", "drawn"}


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ("order", {"permutations"}),
        ("turn", {"random rotations", "special rotations", "reflections"}),
        ("mix", {"batch against single", "gradient across graphs"}),
        ("jump", {"value at the cutoff", "slope at the cutoff"}),
    ],
)
@pytest.mark.parametrize("level", ["edge", "pair"])
def test_a_fault_between_nodes_is_found(level: str, fault: str, expected: set[str]) -> None:
    if level == "edge" and fault == "order":
        expected = {"unsorted edges"}  # the order of edges stays where nodes are listed anew
    certificate = certify(Between(level, fault), molecules()[:2], dtypes=(torch.float64,), quick=True)
    assert expected <= set(certificate.failed), certificate.summary()
    assert {line.output for line in certificate.lines if line.test in expected and line.verdict == "failed"} <= {
        "hop",
        "",
    }


@pytest.mark.parametrize(
    ("fault", "expected"),
    [("order", "permutations"), ("place", "translations"), ("lost", "translations"), ("mix", "batch against single")],
)
def test_a_fault_at_points_is_found(fault: str, expected: str, generator: torch.Generator) -> None:
    certificate = certify(Cloud(fault), with_points(molecules()[:2], generator), dtypes=(torch.float64,), quick=True)
    assert expected in certificate.failed, certificate.summary()
    wrong = {line.output for line in certificate.lines if line.test == expected and line.verdict == "failed"}
    assert "drawn" in wrong if fault == "lost" else "density" in wrong


def test_a_level_that_is_not_said_is_found(generator: torch.Generator) -> None:
    def function(graph: Graph) -> dict[str, Tensor]:
        return {"all": (graph.pos[:, 0] * 0)[pair_list(graph)[:, 0]], "here": graph.points[:, 0] * 0}

    certificate = certify(
        function, with_points(molecules()[:2], generator), irreps_out={"all": "0e", "here": "0e"}, quick=True
    )
    assert certificate.passed, certificate.summary()


def test_a_wrong_number_of_rows_names_the_output_and_the_level() -> None:
    class Short(Between):
        def forward(self, graph: Graph) -> dict[str, Tensor]:
            return {"hop": super().forward(graph)["hop"][:-1]}

    assert "hop has 8 rows, expected one per pair: 9" in certify(Short("pair"), molecules()[2:3]).summary()
    edges = connect(molecules()[2], CUTOFF).edge_index.shape[1]
    assert (
        f"hop has {edges - 1} rows, expected one per edge: {edges}"
        in certify(Short("edge"), molecules()[2:3]).summary()
    )
    short: Any = lambda graph: graph.pos[:2]  # noqa: E731
    assert (
        "output has 2 rows; the graph has 9 of nodes, 1 of graphs, 81 of pairs"
        in certify(short, molecules()[:1], irreps_out="1o").summary()
    )
    with pytest.raises(InputError, match="unknown level 'bond'"):
        certify(Between("bond"), molecules())
