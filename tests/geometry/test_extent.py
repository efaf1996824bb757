"""A search for neighbours ends: with all of them, wherever the structure is written, or with a named error."""

from __future__ import annotations

import itertools
import warnings

import numpy as np
import pytest
import torch

from intertwine.geometry import Graph, connect, neighbour_list, quadruplets, triplets
from intertwine.geometry.extent import MOST_PAIRS
from intertwine.models import MODELS
from intertwine.numerics import GeometryError

PERIODIC = [(False, False, False), (True, False, False), (True, True, False), (True, True, True)]


def brute(pos: np.ndarray, cell: np.ndarray, pbc: tuple[bool, ...], cutoff: float, reach: int) -> set[tuple[int, ...]]:
    found = set()
    for cells in itertools.product(*[range(-reach, reach + 1) if p else [0] for p in pbc]):
        d = np.linalg.norm(pos[None] + np.array(cells) @ cell - pos[:, None], axis=-1)
        found |= {
            (int(j), int(i), *cells) for i, j in zip(*np.nonzero(d <= cutoff), strict=True) if i != j or any(cells)
        }
    return found


def listed(pos: torch.Tensor, cutoff: float, cell: torch.Tensor, pbc: tuple[bool, ...]) -> set[tuple[int, ...]]:
    pairs, shifts = neighbour_list(pos, cutoff, cell, pbc)
    found = [tuple(map(int, row)) for row in torch.cat([pairs.T, shifts], dim=1)]
    assert len(set(found)) == len(found)
    return set(found)


@pytest.mark.parametrize("pbc", PERIODIC, ids=str)
@pytest.mark.parametrize("cutoff", [2.9, 11.3, 23.1])
def test_complete_far_away_and_far_out(pbc: tuple[bool, ...], cutoff: float, generator: torch.Generator) -> None:
    """At cutoffs of several cells; moved by 1e4 A; with every node in a cell of its own, up to 500 away."""
    cell = 6.1 * torch.eye(3, dtype=torch.float64) + 0.4 * torch.randn(3, 3, generator=generator, dtype=torch.float64)
    pos = torch.rand(3, 3, generator=generator, dtype=torch.float64) @ cell
    expected = brute(pos.numpy(), cell.numpy(), pbc, cutoff, 6)
    cells = torch.randint(-500, 501, pos.shape, generator=generator) * torch.tensor(pbc)
    assert listed(pos, cutoff, cell, pbc) == expected
    assert listed(pos + 1e4, cutoff, cell, pbc) == expected
    moved = listed(pos + cells.double() @ cell, cutoff, cell, pbc)
    n = cells.tolist()
    assert {(j, i, *(s + a - b for s, a, b in zip(S, n[j], n[i], strict=True))) for j, i, *S in moved} == expected


@pytest.mark.parametrize("cutoff", [50.0, 2e3, 1e9])
def test_no_cutoff_is_too_long_for_a_molecule(cutoff: float, generator: torch.Generator) -> None:
    pos = 3 * torch.randn(9, 3, generator=generator, dtype=torch.float64)
    assert torch.equal(neighbour_list(pos, cutoff)[0], neighbour_list(pos, None)[0])
    assert neighbour_list(torch.zeros(3, 3), cutoff)[0].shape == (2, 6)  # at one place
    assert neighbour_list(torch.zeros(1, 3), cutoff)[0].shape == (2, 0)
    wire = neighbour_list(pos[:2], min(cutoff, 2e3), 4.0 * torch.eye(3, dtype=torch.float64), (False, True, False))[0]
    assert wire.shape[1] == pytest.approx(2 * 2 * 2 * min(cutoff, 2e3) / 4, rel=0.1)


def test_a_thousand_nodes_within_four(generator: torch.Generator) -> None:
    pos = 4 * torch.rand(1000, 3, generator=generator, dtype=torch.float64)
    graph = connect(Graph(pos), 7.0)
    assert graph.num_edges == 999_000
    for paths in (triplets, quadruplets):
        with pytest.raises(GeometryError, match=r"edge_index: .* paths of edges that meet, of 999,000 edges"):
            paths(graph)


@pytest.mark.parametrize("name", ["dimenet", "gemnet"])
def test_models_of_paths_refuse_dense_graphs(name: str, generator: torch.Generator) -> None:
    model = MODELS[name](**MODELS[name].PRESETS["small"])
    pos = 4 * torch.rand(600, 3, generator=generator, dtype=torch.float64)
    with pytest.raises(GeometryError, match="smaller cutoff"):
        model(Graph(pos, z=torch.ones(600, dtype=torch.int64)))


def box(*lengths: float) -> torch.Tensor:
    return torch.diag(torch.tensor(lengths, dtype=torch.float64))


TOO_MANY = {
    "cell of 0.01 A": (2, 5.0, box(0.01, 0.01, 0.01), (True, True, True)),
    "cell of 1e-30 A": (2, 5.0, box(1e-30, 1e-30, 1e-30), (True, True, True)),
    "thin cell": (2, 6.0, box(0.002, 0.02, 5.0), (True, True, True)),
    "slab of tiny cells": (3, 50.0, box(0.01, 0.01, 20.0), (True, True, False)),
    "wire of tiny cells": (3, 50.0, box(1.0, 1e-6, 1.0), (False, True, False)),
    "slab and a long cutoff": (9, 2e3, box(4.0, 4.0, 4.0), (True, True, False)),
    "crystal and a long cutoff": (9, 1e3, box(4.0, 4.0, 4.0), (True, True, True)),
    "crowd in a large cell": (40_000, 5.0, box(100.0, 100.0, 100.0), (True, True, True)),
    "crowd": (40_000, 5.0, None, (False, False, False)),
    "all pairs": (40_000, None, None, (False, False, False)),
}


@pytest.mark.parametrize(("nodes", "cutoff", "cell", "pbc"), TOO_MANY.values(), ids=TOO_MANY)
def test_too_many_pairs(
    nodes: int, cutoff: float | None, cell: torch.Tensor | None, pbc: tuple, generator: torch.Generator
) -> None:
    pos = 2 * torch.rand(nodes, 3, generator=generator, dtype=torch.float64)
    with pytest.raises(GeometryError, match=rf"(?s)cutoff: about .* pairs .* at most {MOST_PAIRS:,} pairs") as caught:
        neighbour_list(pos, cutoff, cell, pbc)
    assert "smaller cutoff" in str(caught.value)


def test_large_structures_are_not_too_large(generator: torch.Generator) -> None:
    """What counts is how many are near, not how many there are."""
    pos = torch.rand(20_000, 3, generator=generator, dtype=torch.float64) * torch.tensor([400.0, 20.0, 20.0])
    assert 0 < neighbour_list(pos, 3.0)[0].shape[1] < 1_000_000
    apart = torch.cat([pos, pos + 1e9])
    assert neighbour_list(apart, 1.0)[0].shape[1] > 0


@pytest.mark.parametrize("far", [1e13, 1e300, -1e38, float("inf")])
def test_lengths_that_cannot_be_meant(far: float) -> None:
    model = MODELS["schnet"](width=8, layers=1).double()
    graph = Graph([[0.0, 0, 0], [0, far, 0]], z=[1, 1])
    words = "position of node 1 is (not finite|.* A from the origin)"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for call in (lambda: connect(graph, 3.0), lambda: model(graph), lambda: connect(graph, None)):
            with pytest.raises(GeometryError, match=words):
                call()
        with pytest.raises(GeometryError, match="cell"):
            connect(Graph([[0.0, 0, 0]], cell=np.diag([far, 3.0, 3.0])), 3.0)
