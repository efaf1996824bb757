"""Scalars and vectors of molecules."""

from __future__ import annotations

import pytest
import torch
from torch_geometric.data import Batch

from intertwine.certify import certify
from intertwine.geometry import Graph
from intertwine.numerics import DataError, InputError
from intertwine.tasks import Property


def made(*arguments: object, **options: object) -> Property:
    return Property(*arguments, **options).double()


def zeroed(task: Property) -> Property:
    """The task whose network says zero."""
    with torch.no_grad():
        for p in task.head.parameters():
            p.zero_()
    return task


def test_a_sum_starts_from_references(backbone, molecule) -> None:
    graphs = [molecule(n) for n in (3, 4, 5, 6, 7)]
    for graph in graphs:
        graph.y = (graph.z.double() * 3.25).sum().view(1)
    task = zeroed(made(backbone("schnet"), target="y", readout="sum", unit="eV")).eval()
    task.fit(iter(graphs))
    for graph in graphs:
        assert task(graph)["y"].item() == pytest.approx(graph.y.item(), rel=1e-12)
    assert task.metrics["y"] == ("meV", 1e3)


def test_a_mean_starts_from_the_mean(backbone, molecule) -> None:
    graphs = [molecule(n, homo=torch.tensor([float(n)], dtype=torch.float64)) for n in (3, 4, 8)]
    task = zeroed(made(backbone("painn"), target="homo", readout="mean")).eval()
    task.fit(graphs)
    batch = Batch.from_data_list(graphs)
    assert torch.allclose(task(batch)["homo"], torch.full((3,), 5.0, dtype=torch.float64))
    assert task.scale.item() == pytest.approx((14 / 3) ** 0.5)
    assert torch.allclose(
        task.residuals(task(batch), batch)["homo"], torch.tensor([2.0, 1.0, -3.0], dtype=torch.float64)
    )
    ((loss, count),) = task.losses(task(batch), batch).values()
    assert count == 3
    assert loss.item() == pytest.approx(6 / (14 / 3) ** 0.5)


@pytest.mark.parametrize("readout", ["sum", "mean", "set2set"])
def test_readout_of_two_copies(readout: str, backbone, molecule) -> None:
    """Two molecules beyond each other's reach: a sum doubles, a mean stays, and so does what is asked of the set."""
    graph = molecule(4)
    far = graph.pos + torch.tensor([100.0, 0, 0], dtype=torch.float64)
    double = Graph(torch.cat([graph.pos, far]), z=torch.cat([graph.z, graph.z]))
    task = made(backbone("painn"), target="y", readout=readout).eval()
    one, two = task(graph)["y"].item(), task(double)["y"].item()
    assert two == pytest.approx((2 if readout == "sum" else 1) * one, rel=1e-12)


@pytest.mark.parametrize("name", ["egnn", "painn"])
def test_a_vector_turns_with_the_molecule(name: str, backbone, molecule) -> None:
    graphs = [molecule(n, dipole=torch.randn(1, 3, dtype=torch.float64)) for n in (3, 5)]
    task = made(backbone(name), target="dipole", representation="1o", unit="D")
    task.fit(graphs)
    batch = Batch.from_data_list(graphs)
    prediction = task(batch)
    assert prediction["dipole"].shape == (2, 3)
    assert task.losses(prediction, batch)["dipole"][1] == 6
    certificate = certify(task, graphs, quick=True, dtypes=(torch.float64,))
    assert certificate.passed, certificate.summary()


def test_large_values_keep_their_digits(backbone, molecule) -> None:
    """A float32 network beside a mean of 1e5: the mean is kept in float64, wherever the task is moved."""
    graphs = [molecule(3, y=torch.tensor([123456.789012345 + k], dtype=torch.float64)) for k in (-1, 1)]
    task = zeroed(made(backbone("schnet"), target="y", readout="mean"))
    task.fit(graphs)
    task = task.double().float().eval()
    assert task(graphs[0])["y"].item() == pytest.approx(123456.789012345, rel=1e-14)


def test_what_it_refuses(backbone, molecule) -> None:
    with pytest.raises(InputError, match="needs 1o"):
        made(backbone("schnet"), target="dipole", representation="1o")
    with pytest.raises(InputError, match="needs 2e"):
        made(backbone("painn"), representation="2e")
    with pytest.raises(InputError, match="reads scalars"):
        made(backbone("painn"), representation="1o", readout="set2set")
    with pytest.raises(InputError, match="unknown readout"):
        made(backbone("painn"), readout="max")
    with pytest.raises(DataError, match="3 components, not 1") as error:
        made(backbone("painn"), target="dipole").fit([molecule(3, dipole=torch.zeros(1, 3, dtype=torch.float64))])
    assert '"1o"' in str(error.value)
    with pytest.raises(DataError, match="no 'homo'"):
        made(backbone("painn"), target="homo").fit([molecule(3)])
    with pytest.raises(DataError, match="empty"):
        made(backbone("painn"), target="homo").fit([])
