"""Folding changes the description, not the structure."""

from __future__ import annotations

import pytest
import torch

from intertwine.geometry import Graph, collate, connect, edge_vectors, folded


@pytest.mark.parametrize("pbc", [(True, True, True), (True, False, True), (False, False, True), (False, False, False)])
def test_the_same_edges_with_small_numbers(pbc: tuple[bool, ...], generator: torch.Generator) -> None:
    cell = 4 * torch.eye(3, dtype=torch.float64) + 0.3 * torch.randn(3, 3, generator=generator, dtype=torch.float64)
    inside = torch.rand(5, 3, generator=generator, dtype=torch.float64) @ cell
    cells = torch.randint(-300, 300, (5, 3), generator=generator).double() * torch.tensor(pbc)
    graph = connect(Graph(inside + cells @ cell, cell=cell, pbc=pbc), 5.0)
    graph.pos.requires_grad_()
    home = folded(graph)
    torch.testing.assert_close(edge_vectors(home), edge_vectors(graph), rtol=0, atol=1e-11)
    assert home.pos.abs().max() < 20
    (slope,) = torch.autograd.grad(home.pos.sum(), graph.pos)
    assert torch.equal(slope, torch.ones_like(slope))


def test_batches_and_open_graphs(generator: torch.Generator) -> None:
    pos = torch.randn(4, 3, generator=generator, dtype=torch.float64) + 1e3
    cell = 3.0 * torch.eye(3, dtype=torch.float64)
    assert folded(alone := Graph(pos)) is alone
    pair = folded(collate([connect(Graph(pos, cell=cell), 3.5), connect(Graph(pos, cell=2 * cell), 3.5)]))
    for k, scale in enumerate((1, 2)):
        one = folded(connect(Graph(pos, cell=scale * cell), 3.5))
        assert torch.equal(pair[k].pos, one.pos)
        assert torch.equal(pair[k].shifts, one.shifts)
