"""``act`` is a group action on graphs, ``permute`` another, and they commute."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from intertwine.geometry import Graph, act, collate, connect, distances, edge_vectors, permute
from intertwine.groups import Isometry
from intertwine.numerics import InputError

FIELDS = (
    "pos",
    "vel",
    "forces",
    "stress",
    "dipole",
    "polarizability",
    "cell",
    "target_pos",
    "charge",
    "x",
    "energy",
    "quadrupole",
    "spin",
)


def graph(seed: int = 0, nodes: int = 5) -> Graph:
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    plain = Graph(
        normal(nodes, 3), z=[6] * nodes, cell=4 * torch.eye(3) + 0.1 * normal(3, 3), vel=normal(nodes, 3),
        forces=normal(nodes, 3), stress=normal(3, 3), dipole=normal(3), polarizability=normal(3, 3),
        target_pos=normal(nodes, 3), charge=normal(nodes), x=normal(nodes, 3), energy=normal(1),
        quadrupole=normal(nodes, 5), spin=normal(nodes, 3), representations={"quadrupole": "2e", "spin": "1e"},
    )  # fmt: skip
    return connect(plain, 3.0)


def close(a: Graph, b: Graph) -> None:
    for name in FIELDS:
        torch.testing.assert_close(a[name], b[name], rtol=0, atol=1e-13, msg=lambda text, name=name: f"{name}: {text}")
    assert torch.equal(a.edge_index, b.edge_index)
    assert torch.equal(a.shifts, b.shifts)


@pytest.fixture(params=[(False, False), (True, False), (True, True)], ids=["proper", "mixed", "improper"])
def pair(request) -> tuple[Isometry, Isometry]:
    generator = torch.Generator().manual_seed(3)
    first, second = request.param
    return Isometry.random(generator=generator, improper=first, shift=2.0), Isometry.random(
        generator=generator, improper=second, shift=2.0
    )


def test_product(pair: tuple[Isometry, Isometry]) -> None:
    g, h = pair
    close(act(g, act(h, graph())), act(g @ h, graph()))


def test_inverse_and_identity(pair: tuple[Isometry, Isometry]) -> None:
    close(act(pair[0].inverse(), act(pair[0], graph())), graph())
    close(act(Isometry.identity(), graph()), graph())


def test_each_field_moves_as_it_should(pair: tuple[Isometry, Isometry]) -> None:
    g, old = pair[0], graph()
    new, q, t = act(g, old), g.rotation, g.translation
    expected = {
        "pos": old.pos @ q.T + t, "target_pos": old.target_pos @ q.T + t, "vel": old.vel @ q.T,
        "forces": old.forces @ q.T, "dipole": old.dipole @ q.T, "stress": q @ old.stress @ q.T,
        "polarizability": q @ old.polarizability @ q.T, "cell": old.cell @ q.T, "charge": old.charge, "x": old.x,
        "energy": old.energy, "spin": torch.linalg.det(q).round() * old.spin @ q.T,
    }  # fmt: skip
    for name, value in expected.items():
        torch.testing.assert_close(new[name], value, rtol=0, atol=1e-13)


def test_edge_vectors_move_with_the_graph(pair: tuple[Isometry, Isometry]) -> None:
    moved = act(pair[0], graph())
    torch.testing.assert_close(edge_vectors(moved), edge_vectors(graph()) @ pair[0].rotation.T, rtol=0, atol=1e-13)
    torch.testing.assert_close(distances(edge_vectors(moved)), distances(edge_vectors(graph())), rtol=0, atol=1e-13)


def test_the_input_is_left_alone(pair: tuple[Isometry, Isometry]) -> None:
    old = graph()
    act(pair[0], old).pos[0] = 9
    close(old, graph())


def test_a_batch_moves_as_its_graphs(pair: tuple[Isometry, Isometry]) -> None:
    graphs = [graph(0), graph(1, 1), graph(2, 3)]
    moved = act(pair[0], collate(graphs))
    close(moved, collate([act(pair[0], one) for one in graphs]))
    assert moved.graphs == 3
    close(moved.get_example(2), act(pair[0], graphs[2]))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_precision_is_kept_and_the_arithmetic_is_in_double(dtype: torch.dtype, pair: tuple[Isometry, Isometry]) -> None:
    small = Graph(torch.randn(4, 3).to(dtype))
    moved = act(pair[0], small)
    assert moved.pos.dtype == dtype
    assert torch.equal(moved.pos, pair[0](small.pos.double()).to(dtype))


@pytest.mark.parametrize("n", [1, 2, 4])
def test_other_dimensions(n: int, generator: torch.Generator) -> None:
    g = Isometry.random(n, generator=generator, improper=True, shift=1.0)
    x = torch.randn(5, n, generator=generator, dtype=torch.float64)
    moved = act(g, Graph(x, vel=x))
    torch.testing.assert_close(moved.pos, g(x))
    torch.testing.assert_close(moved.vel, x @ g.rotation.T)
    with pytest.raises(InputError, match="an isometry of dimension 5"):
        act(Isometry.identity(5), Graph(x))


def test_permutations(generator: torch.Generator) -> None:
    old, order = graph(), torch.randperm(5, generator=generator)
    new = permute(order, old)
    for name in ("pos", "vel", "forces", "charge", "x", "quadrupole", "spin", "z"):
        assert torch.equal(new[name], old[name][order])
    for name in ("cell", "energy", "stress"):
        assert torch.equal(new[name], old[name])
    assert torch.equal(edge_vectors(new), edge_vectors(old)), "the same edges in the same order, under new names"
    torch.testing.assert_close(permute(torch.argsort(order), new).pos, old.pos, rtol=0, atol=0)
    assert torch.equal(permute(torch.argsort(order), new).edge_index, old.edge_index)


def test_permuting_leaves_unknown_edge_fields_and_batch_pointers_alone() -> None:
    ring = Graph(torch.randn(3, 3), edge_index=[[0, 1, 2], [1, 2, 0]], edge_kind=[5, 6, 7])
    assert permute(torch.tensor([2, 0, 1]), ring).edge_kind.tolist() == [5, 6, 7]
    batch = collate([Graph(np.zeros((1, 3))), Graph(np.ones((2, 3)))])  # 3 nodes, and 3 pointers
    assert permute(torch.tensor([0, 2, 1]), batch).ptr.tolist() == [0, 1, 3]


def test_permutation_and_isometry_commute(pair: tuple[Isometry, Isometry]) -> None:
    order = torch.tensor([3, 1, 4, 0, 2])
    close(act(pair[0], permute(order, graph())), permute(order, act(pair[0], graph())))
