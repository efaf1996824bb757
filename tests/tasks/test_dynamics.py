"""Positions later from positions and velocities now."""

from __future__ import annotations

import pytest
import torch
from torch_geometric.data import Batch

from intertwine.certify import certify
from intertwine.geometry import Graph
from intertwine.numerics import DataError, GeometryError, InputError
from intertwine.tasks import Dynamics


def made(*arguments: object, **options: object) -> Dynamics:
    return Dynamics(*arguments, **options).double()


def particles(generator: torch.Generator, nodes: int = 5, dimension: int = 3) -> Graph:
    """Charged particles with velocities."""
    draw = [torch.randn(nodes, dimension, generator=generator, dtype=torch.float64) for _ in range(3)]
    charge = torch.tensor([1.0, -1.0], dtype=torch.float64)[torch.randint(2, (nodes,), generator=generator)]
    return Graph(draw[0], vel=0.5 * draw[1], charge=charge, target_pos=draw[0] + 2 * draw[2])


EGNN = {"cutoff": None, "velocity": True, "species": (), "node_inputs": ("speed",), "edge_inputs": ("charge_product",)}
PAINN = {
    "cutoff": 20.0,
    "species": (),
    "node_inputs": ("speed",),
    "edge_inputs": ("charge_product",),
    "vector_inputs": ("vel",),
}


@pytest.mark.parametrize(("name", "arguments"), [("egnn", EGNN), ("painn", PAINN)])
def test_equivariant_and_the_same_in_a_batch(name: str, arguments: dict, backbone, generator) -> None:
    graphs = [particles(generator, n) for n in (5, 5, 3)]
    task = made(backbone(name, **arguments))
    task.fit(graphs)
    certificate = certify(task, graphs, symmetry="E(3)", quick=True)
    assert certificate.passed, certificate.summary()
    task.eval()
    together = task(Batch.from_data_list(graphs))["pos"]
    assert torch.allclose(together, torch.cat([task(graph)["pos"] for graph in graphs]), rtol=1e-12, atol=1e-12)


def test_egnn_displacement_is_taken_as_it_is(backbone, generator) -> None:
    """EGNN's own vector is the displacement (its paper), so nothing scales it; PaiNN's is in units of the
    typical one.
    """
    graphs = [particles(generator) for _ in range(4)]
    egnn, painn = made(backbone("egnn", **EGNN)).eval(), made(backbone("painn", **PAINN)).eval()
    for task in (egnn, painn):
        task.fit(graphs)
    displacement = torch.stack([(g.target_pos - g.pos).square().mean() for g in graphs]).mean().sqrt()
    assert egnn.scale.item() == 1.0
    assert painn.scale.item() == pytest.approx(displacement.item())
    graph = graphs[0]
    features = egnn.backbone(graph).detach()
    assert torch.equal(egnn(graph)["pos"], graph.pos + features[:, -3:])
    assert not list(egnn.head.parameters())


def test_losses_count_particles_and_coordinates(backbone, generator) -> None:
    graphs = [particles(generator, n) for n in (2, 5)]
    task, batch = made(backbone("egnn", **EGNN)), Batch.from_data_list(graphs)
    prediction = task(batch)
    ((loss, count),) = task.losses(prediction, batch).values()
    assert count == 21
    assert torch.allclose(loss, (prediction["pos"] - batch.target_pos).square().sum())
    del graphs[0].target_pos
    assert task.residuals(task(graphs[0]), graphs[0]) == {}


def test_what_it_refuses(backbone, generator) -> None:
    with pytest.raises(InputError, match="needs 1o") as error:
        made(backbone("schnet"))
    assert "PaiNN and EGNN have vectors" in str(error.value)
    still = particles(generator)
    del still.vel
    with pytest.raises(GeometryError, match="no velocities"):
        made(backbone("egnn", **EGNN)).eval()(still)
    del still.target_pos
    with pytest.raises(DataError, match="no 'target_pos'"):
        made(backbone("egnn", **EGNN)).fit([still])
    with pytest.raises(DataError, match="empty"):
        made(backbone("egnn", **EGNN)).fit([])
