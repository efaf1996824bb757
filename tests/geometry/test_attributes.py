"""Attributes of edges: values and derivatives in positions and cell."""

from __future__ import annotations

import math

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

from intertwine.geometry import (
    Graph,
    collate,
    connect,
    directions,
    distances,
    edge_invariants,
    edge_vectors,
    node_invariants,
)
from intertwine.numerics import GeometryError, InputError


def crystal() -> Graph:
    generator = torch.Generator().manual_seed(0)
    cell = 3 * torch.eye(3, dtype=torch.float64) + 0.2 * torch.randn(3, 3, generator=generator, dtype=torch.float64)
    pos = 2 * torch.randn(3, 3, generator=generator, dtype=torch.float64)
    return connect(Graph(pos, cell=cell, charge=[1.0, -2.0, 3.0], vel=[[1.0] * 3] * 3), 2.6)


def test_vectors_point_from_destination_to_the_image_of_the_source() -> None:
    graph, vectors = crystal(), edge_vectors(crystal())
    for e, (j, i) in enumerate(graph.edge_index.T.tolist()):
        expected = graph.pos[j] + graph.shifts[e].double() @ graph.cell[0] - graph.pos[i]
        torch.testing.assert_close(vectors[e], expected, rtol=0, atol=1e-14)


def test_derivatives_in_positions_and_cell() -> None:
    graph = crystal()

    def function(pos: torch.Tensor, cell: torch.Tensor) -> tuple[torch.Tensor, ...]:
        moved = graph.clone()
        moved.pos, moved.cell = pos, cell
        vectors = edge_vectors(moved)
        return vectors, distances(vectors), directions(vectors)

    inputs = (graph.pos.clone().requires_grad_(), graph.cell.clone().requires_grad_())
    assert gradcheck(function, inputs)
    assert gradgradcheck(function, inputs)


def test_strain_deforms_every_vector_alike() -> None:
    graph, strained = crystal(), crystal()
    strain = torch.eye(3, dtype=torch.float64) + 0.1 * torch.randn(3, 3, dtype=torch.float64)
    strained.pos, strained.cell = graph.pos @ strain, graph.cell @ strain
    torch.testing.assert_close(edge_vectors(strained), edge_vectors(graph) @ strain, rtol=0, atol=1e-13)


def test_each_graph_of_a_batch_has_its_own_cell() -> None:
    small = connect(Graph(torch.zeros(1, 3).double(), cell=torch.eye(3), charge=[1.0], vel=torch.zeros(1, 3)), 1.0)
    batch = collate([crystal(), small])
    torch.testing.assert_close(
        edge_vectors(batch), torch.cat([edge_vectors(crystal()), edge_vectors(small)]), rtol=0, atol=0
    )


def test_shifts_without_a_cell_are_refused() -> None:
    graph = crystal()
    del graph["cell"]
    with pytest.raises(GeometryError, match="shifts"):
        edge_vectors(graph)


def test_missing_edges_are_named() -> None:
    with pytest.raises(GeometryError, match="edge_index: the graph has no edges"):
        edge_vectors(Graph(torch.zeros(2, 3)))


def test_named_invariants() -> None:
    graph = crystal()
    assert node_invariants(graph, ("charge", "speed")).tolist() == [
        [1.0, math.sqrt(3)],
        [-2.0, math.sqrt(3)],
        [3.0, math.sqrt(3)],
    ]
    j, i = graph.edge_index
    assert torch.equal(edge_invariants(graph, ("charge_product",))[:, 0], graph.charge[j] * graph.charge[i])
    assert node_invariants(graph, ()).shape == (3, 0)
    graph.x = torch.ones(3, 4)
    assert node_invariants(graph, ("x", "charge")).shape == (3, 5)
    assert node_invariants(graph, ("x",)).dtype == torch.float64


def test_invariants_of_a_graph_without_nodes_or_edges() -> None:
    empty = connect(Graph(torch.zeros(0, 3), charge=torch.zeros(0), x=torch.zeros(0, 2)), 1.0)
    assert node_invariants(empty, ("charge", "x")).shape == (0, 3)
    assert edge_invariants(empty, ("charge_product",)).shape == (0, 1)


def test_wrong_names_and_missing_fields() -> None:
    with pytest.raises(InputError, match="did you mean 'speed'"):
        node_invariants(crystal(), ("sped",))
    with pytest.raises(GeometryError, match="charge: the model needs this field"):
        node_invariants(Graph(torch.zeros(2, 3)), ("charge",))
    with pytest.raises(GeometryError, match="x: the model needs this field"):
        node_invariants(Graph(torch.zeros(2, 3)), ("x",))
