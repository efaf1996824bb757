"""Whoever batches graphs, nothing that a graph says is lost: it is in the batch, or a named error tells what
differs.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch_geometric.data import Batch, Data, InMemoryDataset
from torch_geometric.loader import DataLoader

from intertwine.geometry import Graph, collate, connect
from intertwine.models import PaiNN
from intertwine.numerics import DataError
from intertwine.tasks import ForceField


def loaded(graphs: list[Graph]) -> Graph:
    (batch,) = DataLoader(graphs, batch_size=len(graphs))
    return batch


def loaded_by_workers(graphs: list[Graph]) -> Graph:
    (batch,) = DataLoader(graphs, batch_size=len(graphs), num_workers=1)
    return batch


class Stored(InMemoryDataset):
    def __init__(self, graphs: list[Graph]) -> None:
        super().__init__(None)
        self.data, self.slices = self.collate(graphs)


def stored(graphs: list[Graph]) -> Graph:
    return Batch.from_data_list(list(Stored(graphs)))


WAYS: dict[str, Callable[[list[Graph]], Graph]] = {
    "collate": collate,
    "from_data_list": Batch.from_data_list,
    "loader": loaded,
    "in memory": stored,
}
ways = pytest.mark.parametrize("batched", WAYS.values(), ids=WAYS)


def water(shift: float = 0.0, **fields: object) -> Graph:
    return Graph([[shift, 0, 0], [0.76, 0.59, 0], [-0.76, 0.59, 0]], z=[8, 1, 1], **fields)


def crystal(**fields: object) -> Graph:
    return Graph([[0.0, 0, 0], [1.8, 1.7, 1.6]], z=[6, 8], cell=3.4 * np.eye(3), **fields)


@ways
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2), (1, 2, 0)])
@pytest.mark.parametrize("edges", [False, True], ids=["bare", "connected"])
def test_open_and_periodic_graphs_together(batched, order: tuple[int, ...], edges: bool) -> None:
    torch.manual_seed(0)
    task = ForceField(PaiNN(width=8, layers=1, cutoff=3.0)).double().eval()
    slab = crystal(pbc=(True, True, False))
    graphs = [connect(graph, 3.0) if edges else graph for graph in (water(), crystal(), slab)]
    graphs = [graphs[k] for k in order]
    batch, names = batched(graphs), [graph.keys() for graph in graphs]
    singles, together = [task(graph) for graph in graphs], task(batch)
    for key in ("energy", "forces"):
        torch.testing.assert_close(together[key], torch.cat([one[key] for one in singles]), rtol=1e-13, atol=1e-13)
    assert [graph.keys() for graph in graphs] == names  # what was lent is given back
    for graph, back in zip(graphs, batch.to_data_list(), strict=True):
        for name, value in graph.to_dict().items():
            assert torch.equal(back[name], value)
        assert torch.equal(task(back)["energy"], task(graph)["energy"])


@ways
def test_open_graphs_stay_without_a_cell(batched) -> None:
    batch = batched([water(), water(0.1)])
    assert set(batch.keys()) == {"pos", "z", "batch", "ptr"}
    assert all(set(graph.keys()) == {"pos", "z"} for graph in batch.to_data_list())
    assert "cell" not in batch


def test_edges_given_without_shifts() -> None:
    open_one, periodic = water(edge_index=[[0, 1], [1, 0]]), connect(crystal(), 3.0)
    for graphs in ([open_one, periodic], [periodic, open_one]):
        for batched in (collate, loaded):
            assert batched(graphs).shifts.shape == (2 + periodic.num_edges, 3)


EXTRA = {
    "energy": [-1.0],
    "forces": np.zeros((3, 3)),
    "x": np.ones((3, 2)),
    "charge": np.ones(3),
    "vel": np.ones((3, 3)),
    "dipole": np.ones(3),
    "of_their_own": torch.ones(3),
    "name": "water",
    "edge_index": [[0, 1], [1, 0]],
    "representations": {"spin": "1e"},
}


@ways
@pytest.mark.parametrize("name", EXTRA)
@pytest.mark.parametrize("first", [False, True], ids=["later", "first"])
def test_a_field_that_only_some_have(batched, name: str, first: bool) -> None:
    graphs = [water(), water(**{name: EXTRA[name]})][:: -1 if first else 1]
    with pytest.raises(DataError, match=rf"{name}: graph 1 {'lacks' if first else 'has'} '{name}', unlike graph 0"):
        batched(graphs)


def test_edge_attributes_that_only_some_have() -> None:
    edges = {"edge_index": [[0, 1], [1, 0]]}
    for batched in (collate, loaded):
        with pytest.raises(DataError, match="graph 2 has 'edge_attr'"):
            batched([water(**edges), water(**edges), water(**edges, edge_attr=np.ones((2, 4)))])


@ways
@pytest.mark.parametrize(
    ("one", "other", "words"),
    [
        (water(x=np.ones((3, 2))), water(x=np.ones((3, 4))), r"x: graph 1 has shape \(3, 4\), graph 0 \(3, 2\)"),
        (water(), Graph(np.zeros((3, 2)), z=[1, 1, 1]), r"pos: graph 1 has shape \(3, 2\)"),
        (water(tag="a"), water(tag=torch.ones(1)), "tag: graph 1 has a Tensor, graph 0 a str"),
        (
            water(spin=np.ones((3, 3)), representations={"spin": "1e"}),
            water(spin=np.ones((3, 3)), representations={"spin": "1o"}),
            "representations: graph 1 says {'spin': '1o'}, graph 0 {'spin': '1e'}",
        ),
    ],
    ids=["columns", "dimension", "kind", "representation"],
)
def test_fields_that_differ_in_kind(batched, one: Graph, other: Graph, words: str) -> None:
    with pytest.raises(DataError, match=words):
        batched([one, other])


def test_errors_come_home_from_workers() -> None:
    assert loaded_by_workers([water(), crystal()]).cell.shape == (2, 3, 3)
    with pytest.raises(DataError, match="graph 1 has 'energy'"):
        loaded_by_workers([water(), water(energy=[1.0])])


@ways
def test_indices_of_their_own_are_counted_on(batched) -> None:
    """By PyG's habit a field whose name speaks of an index counts nodes, in a batch and back."""
    graphs = [water(pair_index=torch.tensor([[0, 1], [2, 2]])), water(pair_index=torch.tensor([[0], [1]]))]
    batch = batched(graphs)
    assert batch.pair_index.tolist() == [[0, 1, 3], [2, 2, 4]]
    assert [graph.pair_index.tolist() for graph in batch.to_data_list()] == [
        graph.pair_index.tolist() for graph in graphs
    ]


def test_batches_of_batches() -> None:
    open_ones, periodic = collate([water(), water(0.1)]), collate([crystal(), crystal()])
    assert Batch.from_data_list([open_ones, periodic]).cell.shape == (4, 3, 3)
    with pytest.raises(DataError, match="graph 1 has 'energy'"):
        Batch.from_data_list([open_ones, collate([water(energy=[1.0])])])


def test_objects_of_another_kind_are_named_where_lists_mix_them() -> None:
    """PyG's own loader raises a KeyError, which says what is wrong and how to mend it; what it says to do works."""
    graph, data = Graph(torch.zeros(2, 3), z=[1, 1]), Data(pos=torch.zeros(2, 3), z=torch.tensor([1, 1]))
    with pytest.raises(KeyError, match=r"list of intertwine.Graph holds an object of another kind.*Graph.from_dict"):
        next(iter(DataLoader([graph, data], batch_size=2)))
    batch = next(iter(DataLoader([graph, Graph.from_dict(data.to_dict())], batch_size=2)))
    assert batch.num_graphs == 2
    assert batch.keys() == ["pos", "z", "batch", "ptr"]
