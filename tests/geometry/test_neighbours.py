"""Neighbour lists against all pairs and all images in plain loops."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from intertwine.geometry import Graph, collate, connect, edge_vectors, neighbour_list, plain
from intertwine.geometry.ghosts import ghost_search
from intertwine.numerics import GeometryError, InputError

CELLS = {
    "cubic": np.eye(3) * 6.0,
    "orthorhombic": np.diag([4.0, 7.0, 9.0]),
    "triclinic": np.array([[5.0, 0.0, 0.0], [2.0, 6.0, 0.0], [-1.5, 2.5, 4.5]]),
    "sheared": np.array([[3.0, 0.0, 0.0], [8.0, 3.5, 0.0], [0.5, -7.0, 4.0]]),
    "small": np.eye(3) * 1.7,
    "left-handed": np.array([[0.0, 4.0, 0.0], [4.0, 0.0, 0.5], [0.0, 0.0, 5.0]]),
}
PBC = list(itertools.product([False, True], repeat=3))


def brute_force(points: np.ndarray, cutoff: float, cell: np.ndarray, pbc: tuple[bool, ...]) -> set[tuple[int, ...]]:
    """(j, i, S) by looking at every image that could matter, generously."""
    inverse = np.linalg.inv(cell)
    spread = np.ptp(points @ inverse, axis=0) if len(points) else np.zeros(3)
    reach = [int(np.ceil(cutoff * np.linalg.norm(inverse[:, k]) + spread[k])) + 1 if pbc[k] else 0 for k in range(3)]
    shifts = np.array(list(itertools.product(*[range(-r, r + 1) for r in reach])))
    found = set()
    for i, j in itertools.product(range(len(points)), repeat=2):
        d = np.linalg.norm(points[j] + shifts @ cell - points[i], axis=1)
        for s in shifts[d <= cutoff]:
            if i != j or s.any():
                found.add((j, i, *s.tolist()))
    return found


def listed(pairs: torch.Tensor, shifts: torch.Tensor) -> set[tuple[int, ...]]:
    rows = torch.cat([pairs.T, shifts], dim=1).tolist()
    assert len(set(map(tuple, rows))) == len(rows), "a pair is listed twice"
    assert rows == sorted(rows, key=lambda row: (row[1], row[0], *row[2:])), "not sorted"
    return set(map(tuple, rows))


@pytest.mark.parametrize("pbc", PBC, ids=["".join("FT"[p] for p in pbc) for pbc in PBC])
@pytest.mark.parametrize("cell", CELLS, ids=list(CELLS))
def test_against_brute_force(cell: str, pbc: tuple[bool, bool, bool]) -> None:
    """Points up to two cells outside of the cell; the cutoff is larger than some of the cells."""
    rng = np.random.default_rng(0)
    box, cutoff = CELLS[cell], 3.1
    points = rng.uniform(-2, 3, (5, 3)) @ box
    points[4] = points[3] + np.array([0.3, 0.2, 0.1])
    expected = brute_force(points, cutoff, box, pbc)
    assert expected
    assert listed(*neighbour_list(torch.tensor(points), cutoff, torch.tensor(box), pbc)) == expected
    i, j, shifts = ghost_search(points, box, np.array(pbc), cutoff)
    assert set(map(tuple, np.column_stack([j, i, shifts]).tolist())) == expected
    assert len(i) == len(expected)


def test_many_images() -> None:
    """One atom in a cell of 1 A with a cutoff of 4.2 A sees itself some three hundred times; nothing is capped."""
    pairs, shifts = neighbour_list(
        torch.zeros(1, 3, dtype=torch.float64), 4.2, torch.eye(3, dtype=torch.float64), (True, True, True)
    )
    expected = sum(0 < a * a + b * b + c * c <= 4.2**2 for a, b, c in itertools.product(range(-5, 6), repeat=3))
    assert len(shifts) == expected > 300
    assert not pairs.any()


def test_a_crowd_is_not_capped() -> None:
    pairs, _ = neighbour_list(
        0.01 * torch.randn(120, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64), 5.0
    )
    assert pairs.shape == (2, 120 * 119)


@pytest.mark.parametrize("n", [1, 2, 3, 4])
@pytest.mark.parametrize("cutoff", [1.1, None])
def test_open_systems_of_any_dimension(n: int, cutoff: float | None, generator: torch.Generator) -> None:
    x = torch.randn(12, n, generator=generator, dtype=torch.float64)
    near = torch.cdist(x, x) <= (cutoff or np.inf)
    expected = {(j, i, 0, 0, 0) for i, j in itertools.permutations(range(12), 2) if near[i, j]}
    assert listed(*neighbour_list(x, cutoff)) == expected


@pytest.mark.parametrize("pbc", [(False, False, False), (True, True, True)])
@pytest.mark.parametrize("where", [0.0, 100.0])
def test_coincident_atoms_are_neighbours(pbc: tuple[bool, bool, bool], where: float) -> None:
    pairs, shifts = neighbour_list(
        torch.full((3, 3), where, dtype=torch.float64), 0.5, torch.eye(3, dtype=torch.float64), pbc
    )
    assert listed(pairs, shifts) == {(j, i, 0, 0, 0) for i, j in itertools.permutations(range(3), 2)}


@pytest.mark.parametrize("nodes", [0, 1])
@pytest.mark.parametrize("n", [2, 3])
@pytest.mark.parametrize("cutoff", [2.0, None])
def test_no_or_one_atom(nodes: int, n: int, cutoff: float | None) -> None:
    pairs, shifts = neighbour_list(torch.zeros(nodes, n), cutoff)
    assert pairs.shape == (2, 0)
    assert shifts.shape == (0, 3)
    assert pairs.dtype == shifts.dtype == torch.int64


@pytest.mark.parametrize("far", [[0.0, 0.0, 1e7], [1e5, 1e5, 0.0], [1e7, -1e8, 1e9], [3e3, 3e3, 0.0]])
def test_atoms_very_far_apart(far: list[float]) -> None:
    """vesin 0.6.2 ends the process by a division by zero where the cells of a flat or long system are too many."""
    x = torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.5, 0.0], far], dtype=torch.float64)
    assert listed(*neighbour_list(x, 0.9)) == {(0, 1, 0, 0, 0), (1, 0, 0, 0, 0)}


@pytest.mark.parametrize("pbc", [(True, True, False), (True, False, False)])
def test_atoms_very_far_apart_along_the_open_directions(pbc: tuple[bool, bool, bool]) -> None:
    x = torch.tensor([[0.0, 0.0, 0.0], [2.5, 0.0, 0.5], [0.0, 0.0, 1e7]], dtype=torch.float64)
    pairs, shifts = neighbour_list(x, 1.0, 3 * torch.eye(3, dtype=torch.float64), pbc)
    assert listed(pairs, shifts) == {(1, 0, -1, 0, 0), (0, 1, 1, 0, 0)}


def test_a_large_plane() -> None:
    """More than 1e5 cells, all in one plane (also what an embedding of two dimensions looks like)."""
    x = torch.rand(4000, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 400
    d = torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist").fill_diagonal_(9.0)
    pairs, _ = neighbour_list(x, 1.0)
    assert torch.equal(pairs.flip(0).T, (d <= 1.0).nonzero())


@pytest.mark.parametrize("axes", [[2], [1, 2], [0, 1]])
def test_open_directions_without_a_lattice_vector(axes: list[int]) -> None:
    """Slabs and wires whose file leaves the vectors of the open directions zero."""
    rng = np.random.default_rng(1)
    pbc = tuple(k not in axes for k in range(3))
    full, x = CELLS["triclinic"].copy(), rng.uniform(-3, 8, (6, 3))
    gappy = full.copy()
    gappy[axes] = 0
    assert listed(*neighbour_list(torch.tensor(x), 3.0, torch.tensor(gappy), pbc)) == brute_force(x, 3.0, full, pbc)


def test_a_long_thin_cell_is_not_singular() -> None:
    pairs, _ = neighbour_list(
        torch.zeros(1, 3).double(), 2.0, torch.diag(torch.tensor([1.5, 1.5, 5000.0])).double(), (True, True, True)
    )
    assert pairs.shape[1] == 4


@pytest.mark.parametrize(
    ("changes", "kind", "message"),
    [
        ({"cutoff": 0.0}, InputError, "cutoff is 0.0"),
        ({"cutoff": -1.0}, InputError, "cutoff is -1.0"),
        ({"cutoff": float("nan")}, InputError, "cutoff is nan"),
        ({"cutoff": float("inf")}, InputError, "cutoff is inf"),
        ({"pos": [[0.0, 0.0, 0.0], [0.0, float("nan"), 0.0]]}, GeometryError, "node 1 is not finite"),
        ({"pos": [[0.0, 0.0, float("inf")]]}, GeometryError, "node 0 is not finite"),
        ({"cell": None}, GeometryError, "periodic without a cell"),
        ({"cell": [[1.0, 0.0, 0.0], [2.0, 0.0, 0.0], [0.0, 0.0, 1.0]]}, GeometryError, "singular"),
        ({"cell": [[0.0] * 3] * 3}, GeometryError, "singular"),
        ({"cell": [[float("nan")] * 3] * 3}, GeometryError, "not finite"),
        ({"cutoff": None}, InputError, "infinitely many"),
        ({"pos": [[0.0, 0.0]]}, GeometryError, "2 dimensions"),
    ],
)
def test_errors(changes: dict, kind: type[Exception], message: str) -> None:
    arguments = {
        "pos": [[0.0, 0.0, 0.0]],
        "cutoff": 2.0,
        "cell": [[3.0, 0.0, 0.0], [0.0, 3.0, 0.0], [0.0, 0.0, 3.0]],
    } | changes
    pos, cell = torch.tensor(arguments["pos"]), None if arguments["cell"] is None else torch.tensor(arguments["cell"])
    with pytest.raises(kind, match=message):
        neighbour_list(pos, arguments["cutoff"], cell, (True, True, True))


def molecules() -> list[Graph]:
    generator = torch.Generator().manual_seed(0)
    return [
        Graph(torch.randn(n, 3, generator=generator, dtype=torch.float64), z=[1] * n, cell=np.eye(3) * 4)
        for n in (3, 1, 5, 0)
    ]


def test_connect_a_batch_is_to_connect_its_graphs() -> None:
    graphs = molecules()
    whole = connect(collate(graphs), 3.0)
    singles = collate([connect(graph, 3.0) for graph in graphs])
    assert torch.equal(whole.edge_index, singles.edge_index)
    assert torch.equal(whole.shifts, singles.shifts)
    for one, graph in zip(whole.to_data_list(), graphs, strict=True):
        assert torch.equal(one.edge_index, connect(graph, 3.0).edge_index)
        assert torch.equal(one.shifts, connect(graph, 3.0).shifts)


def test_connect_again_forgets_the_old_edges() -> None:
    batch = collate([connect(graph, 1.0) for graph in molecules()])
    again = connect(batch, 3.0)
    assert torch.equal(again.edge_index, connect(collate(molecules()), 3.0).edge_index)
    assert again.get_example(2).edge_index.max() < 5
    assert batch.edge_index.shape[1] < again.edge_index.shape[1], "the input must not change"


def test_connect_names_the_graph_of_a_batch() -> None:
    graphs = molecules()
    graphs[2].pos[4, 1] = float("nan")
    with pytest.raises(GeometryError, match=r"graph 2 of the batch, pos: position of node 4 is not finite"):
        connect(collate(graphs), 3.0)


def test_every_edge_vector_is_within_the_cutoff() -> None:
    graph = connect(collate(molecules()), 3.0)
    assert edge_vectors(graph).norm(dim=1).max() <= 3.0


def test_order_of_the_atoms_does_not_matter(generator: torch.Generator) -> None:
    x, box = torch.randn(8, 3, generator=generator, dtype=torch.float64), torch.tensor(CELLS["triclinic"])
    order = torch.randperm(8, generator=generator)
    pairs, shifts = neighbour_list(x[order], 3.0, box, (True, True, False))
    renamed = {(int(order[j]), int(order[i]), *s) for (j, i), s in zip(pairs.T.tolist(), shifts.tolist(), strict=True)}
    assert renamed == listed(*neighbour_list(x, 3.0, box, (True, True, False)))


@pytest.mark.parametrize("periodic", [False, True])
@pytest.mark.parametrize("count", [1, 3])
def test_a_plain_graph_is_connected_as_the_graph_is(count: int, periodic: bool, generator: torch.Generator) -> None:
    pos = 4 * torch.rand(6, 3, generator=generator, dtype=torch.float64)
    cell = {"cell": 4.0 * torch.eye(3, dtype=torch.float64), "pbc": True} if periodic else {}
    graph = collate([Graph(pos, z=[6] * 6, **cell)] * count)
    wanted, found = connect(graph, 2.5), connect(plain(graph), 2.5)
    assert wanted.num_edges > 0
    assert torch.equal(found.edge_index, wanted.edge_index)
    assert torch.equal(found.shifts, wanted.shifts)
