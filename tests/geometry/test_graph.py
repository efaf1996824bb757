"""Graphs: what they take, what they refuse, and that nothing is lost when they are copied, batched, cast or sent."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import torch
from torch_geometric.loader import DataLoader

from intertwine.geometry import Graph, collate, connect, edge_vectors
from intertwine.numerics import DataError, GeometryError

WATER = [[0.0, 0.0, 0.12], [0.0, 0.76, -0.48], [0.0, -0.76, -0.48]]


def water(**fields) -> Graph:
    return Graph(WATER, z=[8, 1, 1], energy=-76.4, forces=np.ones((3, 3)), **fields)


def same(a: Graph, b: Graph) -> bool:
    a, b = a.to_dict(), b.to_dict()
    return a.keys() == b.keys() and all(
        torch.equal(x, b[k]) if isinstance(x, torch.Tensor) else x == b[k] for k, x in a.items()
    )


@pytest.mark.parametrize(
    "pos",
    [
        WATER,
        np.array(WATER),
        np.array(WATER).astype(">f8"),
        torch.tensor(WATER, dtype=torch.float64),
        tuple(map(tuple, WATER)),
    ],
)
def test_positions_from_anything(pos) -> None:
    assert Graph(pos).pos.tolist() == WATER
    assert Graph(pos).pos.dtype == torch.float64


def test_precision_and_whole_numbers() -> None:
    assert Graph(np.zeros((2, 3), np.float32)).pos.dtype == torch.float32
    assert Graph([[0, 0, 1]]).pos.dtype == torch.float64
    assert Graph([[0, 0, 1]], forces=[[1, 2, 3]]).forces.dtype == torch.float64
    assert Graph([[0, 0, 1]], z=np.array([6.0])).z.tolist() == [6]
    assert Graph([[0, 0, 1], [0, 0, 0]], edge_index=np.array([[0], [1]], np.int32)).edge_index.dtype == torch.int64


def test_read_only_arrays_are_copied() -> None:
    array = np.zeros((2, 3))
    array.flags.writeable = False
    Graph(array).pos[0] = 1
    assert not array.any()


def test_gradients_reach_the_positions_given() -> None:
    x = torch.randn(2, 3, requires_grad=True)
    Graph(x).pos.square().sum().backward()
    assert torch.equal(x.grad, 2 * x.detach())


def test_graph_level_fields_get_their_leading_axis() -> None:
    graph = water(
        stress=np.eye(3), dipole=[1, 2, 3], cell=np.eye(3), pbc=[True, False, True], polarizability=torch.eye(3)
    )
    shapes = {
        name: tuple(graph[name].shape) for name in ("energy", "stress", "dipole", "cell", "pbc", "polarizability")
    }
    assert shapes == {
        "energy": (1,),
        "stress": (1, 3, 3),
        "dipole": (1, 3),
        "cell": (1, 3, 3),
        "pbc": (1, 3),
        "polarizability": (1, 3, 3),
    }
    assert graph.pbc.tolist() == [[True, False, True]]
    assert water(cell=np.eye(3)).pbc.tolist() == [[True] * 3]
    assert water(cell=np.eye(3), pbc=False).pbc.tolist() == [[False] * 3]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"pos": [0.0, 0.0, 0.0]}, "pos: positions have shape"),
        ({"pos": [[0.0, 0.0], [1.0]]}, "pos: not an array of numbers"),
        ({"pos": "water.xyz"}, "pos: not an array of numbers"),
        ({"pos": [["a", "b", "c"]]}, "pos: not an array of numbers"),
        ({"pos": np.zeros((2, 3), complex)}, "pos: complex"),
        ({"pos": None}, "pos: "),
        ({"z": [8, 1]}, r"z: shape \(2,\), for 3 nodes"),
        ({"z": [8, 1, 1.5]}, "z: numbers that are not whole"),
        ({"z": ["O", "H", "H"]}, "z: not an array of numbers"),
        ({"forces": np.ones((2, 3))}, "forces: shape"),
        ({"forces": np.ones((3, 2))}, r"forces: shape \(3, 2\) in 3 dimensions"),
        ({"vel": np.ones(3)}, "vel: shape"),
        ({"energy": [1.0, 2.0]}, "energy: shape"),
        ({"stress": np.ones(6)}, "stress: shape"),
        ({"cell": [1.0, 2.0, 3.0]}, "cell: shape"),
        ({"cell": np.eye(2)}, "cell: shape"),
        ({"cell": np.eye(3), "pbc": [True, False]}, "pbc: shape"),
        ({"pbc": True}, "pbc: periodic without a cell"),
        ({"edge_index": [[0, 1]]}, "edge_index: shape"),
        ({"edge_index": [[0, 3], [1, 0]]}, "edge_index: edges between nodes 0 to 3"),
        ({"edge_index": [[0, -1], [1, 0]]}, "edge_index: edges between nodes -1 to 1"),
        ({"edge_index": [[0, 1], [1, 0]], "shifts": [[0, 0, 0]]}, "shifts: shape"),
        ({"edge_index": [[0], [1]], "edge_attr": [[1.0], [2.0]]}, "edge_attr: shape"),
    ],
)
def test_refusals(arguments: dict, message: str) -> None:
    with pytest.raises(GeometryError, match=message):
        Graph(**({"pos": WATER, "z": [8, 1, 1]} | arguments))


COPIES = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "clone": lambda g: g.clone(),
    "pickle": lambda g: pickle.loads(pickle.dumps(g)),
    "to": lambda g: g.clone().to("cpu"),
    "cast": lambda g: g.cast(torch.float64),
    "loader": lambda g: next(iter(DataLoader([g], batch_size=1))).get_example(0),
    "batch of two": lambda g: next(iter(DataLoader([g, g], batch_size=2))).get_example(1),
}


@pytest.mark.parametrize("how", COPIES)
@pytest.mark.parametrize("cell", [None, np.eye(3) * 3])
def test_copies_are_equal(how: str, cell) -> None:
    graph = connect(water(cell=cell, quadrupole=torch.ones(1, 5), representations={"quadrupole": "2e"}), 2.5)
    twin = COPIES[how](graph)
    assert type(twin) is Graph
    assert same(twin, graph)
    assert str(twin.representation("quadrupole")) == "1x2e"


@pytest.mark.parametrize("how", ["deepcopy", "clone", "pickle"])
def test_deep_copies_share_nothing(how: str) -> None:
    graph = water()
    COPIES[how](graph).pos[0] = 7
    assert graph.pos.tolist() == WATER


def test_cast_changes_real_numbers_only_and_not_the_original() -> None:
    graph = connect(water(cell=np.eye(3)), 1.0)
    single = graph.cast(torch.float32)
    assert {single[k].dtype for k in ("pos", "energy", "forces", "cell")} == {torch.float32}
    assert {single[k].dtype for k in ("z", "edge_index", "shifts")} == {torch.int64}
    assert single.pbc.dtype == torch.bool
    assert graph.pos.dtype == torch.float64
    assert single.double().pos.dtype == torch.float64


def test_without_edges() -> None:
    graph = connect(water(), 2.0)
    bare = graph.without_edges()
    assert "edge_index" not in bare
    assert "shifts" not in bare
    assert "edge_index" in graph


def test_batches() -> None:
    graphs = [water(), Graph([[0.0, 0.0, 0.0]], z=[2], energy=-2.9, forces=[[0, 0, 0]]), water()]
    batch = next(iter(DataLoader(graphs, batch_size=3)))
    assert (batch.graphs, batch.num_nodes, batch.dimension) == (3, 7, 3)
    assert batch.membership().tolist() == [0, 0, 0, 1, 2, 2, 2]
    assert batch.energy.tolist() == [-76.4, -2.9, -76.4]
    assert graphs[0].graphs == 1
    assert graphs[0].membership().tolist() == [0, 0, 0]
    assert all(same(a, b) for a, b in zip(collate(graphs).to_data_list(), graphs, strict=True))


def test_a_batch_vector_of_the_users_own() -> None:
    graph = Graph(torch.zeros(4, 3), batch=[0, 0, 1, 1], energy=[1.0, 2.0])
    assert graph.graphs == 2
    assert graph.membership().tolist() == [0, 0, 1, 1]


def test_an_empty_graph() -> None:
    graph = Graph(torch.zeros(0, 3), z=torch.zeros(0, dtype=torch.int64))
    assert (graph.num_nodes, graph.graphs, graph.dimension) == (0, 1, 3)
    assert connect(graph, 1.0).edge_index.shape == (2, 0)
    assert collate([graph]).graphs == 1
    with pytest.raises(DataError, match="no graphs"):
        collate([])


def test_an_energy_is_one_number_per_graph() -> None:
    """A column (B, 1) minus a row (B,) would pair every graph with every other, silently."""
    assert Graph([[0.0, 0, 0]], z=[1], energy=[[1.5]]).energy.tolist() == [1.5]
    with pytest.raises(GeometryError, match="one number per graph"):
        Graph([[0.0, 0, 0]], z=[1], energy=[[1.0, 2.0]])


def test_edges_of_a_periodic_graph_need_shifts() -> None:
    graph = Graph([[0.0, 0, 0], [1.0, 0, 0]], z=[1, 1], cell=np.eye(3) * 3, edge_index=[[0, 1], [1, 0]])
    with pytest.raises(GeometryError, match="shifts"):
        edge_vectors(graph)
