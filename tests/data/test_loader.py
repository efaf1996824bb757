"""Every structure once an epoch, in an order that seed and epoch decide, the same for any number of processes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch_geometric.data import Batch

from intertwine.data import Loader
from intertwine.geometry import Graph, collate, connect
from intertwine.numerics import DataError, InputError


def graphs(n: int) -> list[Graph]:
    generator = torch.Generator().manual_seed(0)
    result = []
    for k in range(n):
        nodes = 2 + k % 4
        pos = torch.randn(nodes, 3, dtype=torch.float64, generator=generator)
        cell = {"cell": 9 * torch.eye(3, dtype=torch.float64), "pbc": True}
        result.append(
            connect(
                Graph(
                    pos, z=[1 + k] * nodes, energy=float(k), forces=pos.clone(), stress=torch.eye(3).double(), **cell
                ),
                2.0,
            )
        )
    return result


@pytest.mark.parametrize("n", [7, 10, 11, 30])
@pytest.mark.parametrize("batch_size", [1, 3, 10, 50])
def test_once_an_epoch_and_even(n: int, batch_size: int) -> None:
    loader = Loader(graphs(n), batch_size, seed=3)
    for epoch in range(3):
        loader.epoch = epoch
        seen = torch.cat([batch.energy for batch in loader]).long().tolist()
        assert sorted(seen) == list(range(n))
    sizes = [len(batch) for batch in loader.global_batches(0)]
    assert len(sizes) == len(loader) == -(-n // batch_size)
    assert max(sizes) <= batch_size
    assert max(sizes) - min(sizes) <= 1


def test_order_comes_from_seed_and_epoch_alone() -> None:
    def order(seed: int | None, epoch: int) -> list[int]:
        return np.concatenate(Loader(graphs(20), 5, seed=seed).global_batches(epoch)).tolist()

    fresh = Loader(graphs(20), 5, seed=1)
    fresh.epoch = 7
    first = [batch.energy.tolist() for batch in fresh]
    assert np.concatenate(first).tolist() == order(1, 7)
    assert order(1, 7) == order(1, 7)
    assert order(1, 7) != order(1, 8)
    assert order(1, 7) != order(2, 7)
    assert order(1, 0) != order(0, 1)
    assert order(None, 5) == list(range(20))


@pytest.mark.parametrize("n", [12, 13, 29])
def test_processes_see_together_what_one_sees(n: int) -> None:
    one = Loader(graphs(n), 6, seed=2)
    for processes in (2, 3):
        parts = [Loader(graphs(n), 6 // processes, seed=2, rank=rank, processes=processes) for rank in range(processes)]
        for epoch in (0, 4):
            for loader in (one, *parts):
                loader.epoch = epoch
            assert len({len(loader) for loader in (one, *parts)}) == 1
            for whole, *shares in zip(one.batches(), *(part.batches() for part in parts), strict=True):
                assert all(shares)
                assert sorted(k for share in shares for k in share) == sorted(whole)


def test_too_few_for_the_processes() -> None:
    with pytest.raises(InputError, match="1 structure for 2 processes"):
        Loader(graphs(1), 4, processes=2)
    assert [len(part) for part in Loader(graphs(3), 1, processes=2, rank=1).batches()] == [1]


def test_workers_give_the_same_batches() -> None:
    here, ahead = Loader(graphs(11), 4, seed=5), Loader(graphs(11), 4, seed=5, workers=1)
    for epoch in range(2):
        here.epoch = ahead.epoch = epoch
        assert [batch.energy.tolist() for batch in here] == [batch.energy.tolist() for batch in ahead]


def test_collate_is_pygs() -> None:
    items = graphs(5)
    ours, theirs = collate(items), Batch.from_data_list(items)
    for name, value in theirs.to_dict().items():
        if isinstance(value, torch.Tensor):
            assert torch.equal(ours[name], value), name
    assert ours.graphs == theirs.num_graphs == 5
    assert ours.num_nodes == theirs.num_nodes


def test_fields_must_agree() -> None:
    with pytest.raises(DataError, match="'energy'"):
        collate([Graph([[0.0, 0, 0]], z=[1], energy=1.0), Graph([[0.0, 0, 0]], z=[1])])
