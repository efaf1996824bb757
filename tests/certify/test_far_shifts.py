"""What loses digits far from the origin, or over many cells, is found; what can't be given digits is spared."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from certify.subjects import crystal, molecules
from torch import Tensor, nn

from intertwine.certify import certify
from intertwine.geometry import Graph, connect, distances, edge_vectors
from intertwine.numerics import segment

CUTOFF = 4.5


class Sum(nn.Module):
    """A sum over pairs of smooth functions of the distance, computed after ``prepare`` had the graph."""

    irreps_out, cutoff = "0e", CUTOFF

    def __init__(self, prepare: Callable[[Graph], Graph]) -> None:
        super().__init__()
        self.prepare, self.weight = prepare, nn.Parameter(torch.ones(()))

    def forward(self, graph: Graph) -> Tensor:
        graph = self.prepare(connect(graph, CUTOFF) if graph.get("edge_index") is None else graph)
        d = distances(edge_vectors(graph)).to(self.weight.dtype)
        values = self.weight * (
            (1 - d / CUTOFF).clamp(min=0) ** 3 * d.cos() * graph.z.index_select(0, graph.edge_index[0])
        )
        return segment.sum(values, graph.membership().index_select(0, graph.edge_index[1]), graph.graphs).unsqueeze(-1)


def cast_first(graph: Graph) -> Graph:
    return graph.cast(torch.float32)


def centre_in_single(graph: Graph) -> Graph:
    result = graph.clone()
    result.pos = graph.pos.float() - graph.pos.float().mean(0)
    return result.cast(torch.float32)


def only_one_cell_around(graph: Graph) -> Graph:
    """A table of 27 images, as many programs have it."""
    result = graph.clone()
    result.shifts = graph.shifts.clamp(-1, 1)
    return result


def refuses_two_precisions(graph: Graph) -> Graph:
    if graph.get("shifts") is not None and graph.pos.dtype != graph.precision:
        raise TypeError("one precision only")
    return graph


@pytest.mark.parametrize("prepare", [lambda graph: graph, refuses_two_precisions], ids=["sound", "refuses"])
def test_sound(prepare) -> None:
    certificate = certify(Sum(prepare), [*molecules(), crystal()], symmetry="E(3)", quick=True)
    assert certificate.passed, certificate.summary()


@pytest.mark.parametrize(
    ("prepare", "expected"),
    [
        (cast_first, {"translations"}),
        (centre_in_single, {"translations"}),
        (only_one_cell_around, {"lattice image"}),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_lost_digits_are_found(prepare, expected: set[str]) -> None:
    certificate = certify(Sum(prepare), [*molecules(), crystal()], dtypes=(torch.float32,), symmetry="E(3)", quick=True)
    assert expected <= set(certificate.failed), certificate.summary()
