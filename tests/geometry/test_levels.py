"""Rows of every level: how many, whose, and where they go when nodes are listed anew or graphs are batched."""

from __future__ import annotations

import pytest
import torch
from torch_geometric.data import Batch

from intertwine.geometry import LEVELS, Graph, act, collate, connect, pair_list, permute
from intertwine.groups import Isometry
from intertwine.numerics import DataError, GeometryError, InputError


def graph(generator: torch.Generator, nodes: int, points: int, pairs: list[list[int]] | None = None) -> Graph:
    """Fields at every level, of which those of pairs and points say where they belong: numbers of the row's nodes, or
    of the row.
    """
    listed = {} if pairs is None else {"pairs": pairs}
    result = Graph(
        torch.randn(nodes, 3, generator=generator, dtype=torch.float64),
        points=torch.randn(points, 3, generator=generator, dtype=torch.float64),
        **listed,
    )
    result.q = torch.arange(nodes)
    rows = pair_list(result)
    result.names = 100 * rows[:, 0] + rows[:, 1]
    result.density = torch.arange(points).double()
    result.levels = {"q": "node", "names": "pair", "density": "point"}
    return result


def three(generator: torch.Generator, listed: bool) -> list[Graph]:
    pairs = [[[1, 0], [0, 1]], [[0, 0], [3, 1], [1, 2]], [[2, 2]]] if listed else [None] * 3
    return [graph(generator, n, p, each) for n, p, each in zip((2, 4, 3), (3, 1, 2), pairs, strict=True)]


@pytest.mark.parametrize("listed", [False, True], ids=["all pairs", "listed pairs"])
@pytest.mark.parametrize("together", [collate, Batch.from_data_list], ids=["collate", "PyG"])
def test_a_batch_has_the_rows_of_its_graphs(generator: torch.Generator, listed: bool, together) -> None:
    graphs = three(generator, listed)
    batch = together(graphs)
    values = {"q": batch.q, "names": batch.names, "density": batch.density}
    for name, value in values.items():
        level = LEVELS[str(batch.level(name))]
        assert level.rows(batch) == len(value) == sum(level.rows(each) for each in graphs)
        assert torch.equal(level.owner(batch), batch.rows(name))
        for k, part in enumerate(level.parts(value, graphs)):
            assert torch.equal(part, graphs[k][name])
            assert torch.equal(part, value[level.owner(batch) == k])
    starts = batch.ptr[batch.rows("names")].unsqueeze(1)
    local = pair_list(batch) - starts
    assert torch.equal(100 * local[:, 0] + local[:, 1], batch.names)
    again = batch.to_data_list()[1]
    assert torch.equal(pair_list(again), pair_list(graphs[1]))
    assert torch.equal(again.points, graphs[1].points)
    assert again.level("names") == "pair"
    assert [len(part) for part in LEVELS["graph"].parts(torch.zeros(3, 5), graphs)] == [5, 5, 5]


def test_both_ways_of_batching_are_one(generator: torch.Generator) -> None:
    graphs = three(generator, listed=True)
    ours, theirs = collate(graphs), Batch.from_data_list(graphs)
    for name, value in theirs.to_dict().items():
        assert torch.equal(ours[name], value) if isinstance(value, torch.Tensor) else ours[name] == value


@pytest.mark.parametrize("listed", [False, True], ids=["all pairs", "listed pairs"])
def test_a_batch_listed_anew_keeps_what_every_row_is_of(generator: torch.Generator, listed: bool) -> None:
    """Nodes of three graphs in random order: each row of pairs still names its own nodes, points stay."""
    batch = collate(three(generator, listed))
    order = torch.randperm(batch.num_nodes, generator=generator)
    mixed = permute(order, batch)
    assert torch.equal(mixed.q, batch.q[order])
    assert torch.equal(mixed.density, batch.density)
    i, j = pair_list(mixed).T
    assert torch.equal(100 * mixed.q[i] + mixed.q[j], mixed.names)  # q is the number of a node in its own graph
    assert torch.equal(mixed.batch[i], mixed.batch[j])
    assert torch.equal(LEVELS["pair"].owner(mixed), mixed.batch[i])
    assert torch.equal(mixed.rows("q"), mixed.batch)
    back = permute(torch.argsort(order), mixed)
    assert torch.equal(back.names, batch.names)


@pytest.mark.parametrize("listed", [False, True], ids=["all pairs", "listed pairs"])
def test_some_nodes_keep_what_is_between_them(generator: torch.Generator, listed: bool) -> None:
    whole = graph(generator, 4, 2, [[0, 0], [3, 1], [1, 3], [1, 2]] if listed else None)
    few = permute(torch.tensor([3, 1]), whole)
    i, j = pair_list(few).T
    assert torch.equal(100 * few.q[i] + few.q[j], few.names)
    assert few.names.tolist() == ([301, 103] if listed else [303, 301, 103, 101])
    assert len(few.points) == 2


def test_edges_keep_their_order(generator: torch.Generator) -> None:
    ring = connect(graph(generator, 4, 1), None)
    ring.kind = torch.arange(12)
    ring.levels = ring.levels | {"kind": "edge"}
    order = torch.tensor([2, 0, 3, 1])
    assert permute(order, ring).kind.tolist() == list(range(12))
    assert torch.equal(order[permute(order, ring).edge_index], ring.edge_index)
    few = permute(torch.tensor([2, 0]), ring)
    assert torch.equal(torch.tensor([2, 0])[few.edge_index], ring.edge_index[:, few.kind])
    assert LEVELS["edge"].owner(collate([ring, ring])).tolist() == [0] * 12 + [1] * 12


def test_an_isometry_moves_points_and_turns_labels_of_pairs(generator: torch.Generator) -> None:
    g = Isometry.random(generator=generator, improper=True, shift=3.0)
    given = Graph(
        torch.randn(2, 3, generator=generator, dtype=torch.float64),
        points=torch.randn(5, 3, generator=generator, dtype=torch.float64),
        hop=torch.randn(4, 3, generator=generator, dtype=torch.float64), levels={"hop": "pair"},
        representations={"hop": "1o"},
    )  # fmt: skip
    moved = act(g, given)
    torch.testing.assert_close(moved.points, g(given.points), rtol=0, atol=1e-14)
    torch.testing.assert_close(moved.hop, given.hop @ g.rotation.T, rtol=0, atol=1e-14)
    single = given.cast(torch.float64).in_precision(torch.float32)
    assert single.points.dtype == torch.float64  # points of space keep their digits


def test_what_does_not_fit_is_named() -> None:
    pos = torch.zeros(2, 3)
    with pytest.raises(GeometryError, match=r"names: shape \(3,\), for 4 pairs"):
        Graph(pos, names=[1, 2, 3], levels={"names": "pair"})
    with pytest.raises(GeometryError, match=r"names: shape \(3,\), for 1 pair"):
        Graph(pos, names=[1, 2, 3], pairs=[[0, 1]], levels={"names": "pair"})
    with pytest.raises(GeometryError, match=r"pairs: shape \(1, 2\), of a graph of 2 nodes"):
        Graph(pos, pairs=[[0, 2]])
    with pytest.raises(GeometryError, match=r"density: shape \(3,\), for 4 points"):
        Graph(pos, points=torch.zeros(4, 3), density=[1, 2, 3], levels={"density": "point"})
    with pytest.raises(InputError, match="unknown level 'bond'"):
        Graph(pos, names=[1], levels={"names": "bond"})
    with pytest.raises(GeometryError, match="graph 0 does not say how many rows it has"):
        LEVELS["point"].parts(torch.zeros(3), [Graph(pos)])
    with pytest.raises(DataError, match="levels: graph 1 says"):
        collate([Graph(pos, a=[1, 2], levels={"a": "node"}), Graph(pos, a=[1, 2], levels={"a": "point"})])
