"""Logarithms along edges against the group's own product, inverse and log; networks block by block, and drawn
neighbours.
"""

from __future__ import annotations

import pytest
import torch
from switches import as_users_run_it
from torch.autograd import gradcheck, gradgradcheck

from intertwine.groups import SE, SO, Affine, Group, ScaledRotation, T
from intertwine.nn import MLP
from intertwine.nn.blockwise import LEAST, ROWS, blockwise
from intertwine.nn.groups.lie_convolution import sample_neighbours
from intertwine.nn.groups.relative import relative_logarithms

GROUPS = [T(3), SO(2), SO(3), SE(2), SE(3), Affine(ScaledRotation())]


def pairs(nodes: int) -> torch.Tensor:
    return torch.cartesian_prod(torch.arange(nodes), torch.arange(nodes)).T


@pytest.mark.parametrize("group", GROUPS, ids=str)
def test_logarithms_are_those_of_the_group(group: Group) -> None:
    """Also of elements that coincide, and that almost do."""
    g = group.sample(6, torch.Generator().manual_seed(0))
    g = torch.cat([g, g[:1], group.product(g[1:2], group.exp(torch.full((1, group.dim), 1e-9, dtype=torch.float64)))])
    j, i = edge_index = pairs(8)
    expected = group.log(group.product(group.inverse(g)[j], g[i]))
    log = relative_logarithms(group, g, edge_index)
    torch.testing.assert_close(log, expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(group.exp(log), group.product(group.inverse(g)[j], g[i]), rtol=0, atol=1e-12)


@pytest.mark.parametrize("group", GROUPS, ids=str)
@pytest.mark.parametrize("check", [gradcheck, gradgradcheck])
def test_they_are_smooth_where_elements_coincide(group: Group, check) -> None:
    x = 0.5 * torch.randn(3, group.dim, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x[1] = x[0]
    edge_index = torch.tensor([[0, 1, 2, 0], [1, 0, 0, 0]])

    def function(x: torch.Tensor) -> torch.Tensor:
        return relative_logarithms(group, group.exp(x), edge_index)

    function(x)
    with as_users_run_it():
        assert check(function, x.requires_grad_())


@pytest.mark.parametrize("last", [False, True])
def test_block_by_block_is_the_network(last: bool) -> None:
    """Values, gradients and gradients of gradients; for rows that fill no whole number of blocks."""
    torch.manual_seed(0)
    network = MLP([3, 4, 4, 2], last=last).double()
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter)
    x = torch.randn(LEAST + ROWS // 3, 3, dtype=torch.float64, requires_grad=True)
    wanted, g = [x, *network.parameters()], torch.randn(len(x), 2, dtype=torch.float64)
    results = []
    for y in (blockwise(network, x), network(x)):
        first = torch.autograd.grad(y, wanted, g, retain_graph=True)
        again = torch.autograd.grad(y, wanted, g, create_graph=True)
        total = sum(value.sin().sum() for value in again)
        second = torch.autograd.grad(total, wanted, allow_unused=True, materialize_grads=True)
        results.append([y, *first, *again, *second])
    for ours, plain in zip(*results, strict=True):
        torch.testing.assert_close(ours, plain, rtol=1e-11, atol=1e-11)


def test_drawn_neighbours_are_as_many_as_asked_for_and_equally_likely() -> None:
    edge_index = torch.tensor([[0, 1, 2, 3, 4, 0, 1], [7, 7, 5, 7, 7, 5, 6]])
    torch.manual_seed(0)
    counts = torch.zeros(7)
    for _ in range(2000):
        kept = sample_neighbours(edge_index, 2)
        counts[kept] += 1
        assert torch.bincount(edge_index[1, kept], minlength=8).tolist() == [0, 0, 0, 0, 0, 2, 1, 2]
    assert (counts[[2, 5, 6]] == 2000).all()
    assert (counts[[0, 1, 3, 4]] - 1000).abs().max() < 150
