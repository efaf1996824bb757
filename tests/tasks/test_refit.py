"""The zero of energy of other data: references take what the network leaves of the labels, not the labels."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from intertwine.data import GraphStore
from intertwine.geometry import Graph
from intertwine.tasks import ForceField, Property
from intertwine.tasks.references import References


def labelled(task: ForceField | Property, graphs: list[Graph], name: str, shifts: dict[int, float]) -> GraphStore:
    """Labels that the network predicts exactly, but for another value of each species."""
    for graph in graphs:
        shift = sum(shifts.get(int(z), 0.0) for z in graph.z)
        graph[name] = (task(graph)[name] + shift).detach().reshape(1).double()
    return GraphStore.from_graphs(graphs)


@pytest.fixture
def field(backbone: Callable) -> ForceField:
    task = ForceField(backbone("painn")).double().eval()
    task.scale.fill_(3.0)
    task.references.values[[1, 6, 8]] = torch.tensor([-13.6, -1029.0, -2042.0], dtype=torch.float64)
    return task


def test_the_part_of_the_network_is_taken_off(field: ForceField, molecule: Callable) -> None:
    data = labelled(field, [molecule(n) for n in (3, 4, 5, 6, 7, 8)], "energy", {1: 0.25, 6: -7.0, 8: 40.0})
    scale = field.scale.clone()
    field.refit(data)
    found = field.references.values[[1, 6, 8]]
    torch.testing.assert_close(found, torch.tensor([-13.35, -1036.0, -2002.0], dtype=torch.float64), rtol=0, atol=1e-9)
    assert torch.equal(field.scale, scale)  # the network was trained under it
    for k in range(len(data)):
        torch.testing.assert_close(field(data[k])["energy"], data[k].energy, rtol=0, atol=1e-9)


def test_where_compositions_decide_nothing_references_move_as_little_as_will_do(
    field: ForceField, generator: torch.Generator
) -> None:
    """One molecule with a new species: it takes the energy that is left, and species that are not there keep theirs."""
    z = [1, 1, 1, 7]
    graphs = [Graph(1.5 * torch.randn(4, 3, generator=generator, dtype=torch.float64), z=z) for _ in range(5)]
    before = field.references.values.clone()
    data = labelled(field, graphs, "energy", {7: -1480.0})
    field.refit(data)
    after = field.references.values
    assert torch.equal(after[[6, 8]], before[[6, 8]])
    torch.testing.assert_close(after[1], before[1], rtol=0, atol=1e-9)
    torch.testing.assert_close(after[7], after.new_tensor(-1480.0), rtol=0, atol=1e-8)


def test_an_isolated_atom_gives_its_reference(field: ForceField, molecule: Callable) -> None:
    atom = Graph(torch.zeros(1, 3, dtype=torch.float64), z=[8])
    data = labelled(field, [molecule(5), molecule(6), atom], "energy", {1: 1.0, 6: 2.0, 8: 3.0})
    field.refit(data)
    torch.testing.assert_close(field(data[2])["energy"], data[2].energy, rtol=0, atol=1e-10)


def test_fitting_afresh_is_what_it_was() -> None:
    """``moved`` from nothing is the fit from nothing; and a fit forgets what was there."""
    generator = torch.Generator().manual_seed(0)
    counts = torch.zeros(9, 119, dtype=torch.float64)
    counts[:, [1, 6, 8]] = torch.randint(1, 5, (9, 3), generator=generator).double()
    y = torch.randn(9, generator=generator, dtype=torch.float64)
    new, moved, again = References(), References(), References()
    again.values.fill_(5.0)
    rest = new.fit(counts, y)
    torch.testing.assert_close(moved.fit(counts, y, moved=True), rest, rtol=0, atol=1e-12)
    assert torch.equal(again.fit(counts, y), rest)
    assert torch.equal(again.values, new.values)


@pytest.mark.parametrize("readout", ["sum", "mean"])
def test_a_property_moves_its_references_or_mean(backbone: Callable, molecule: Callable, readout: str) -> None:
    task = Property(backbone("schnet"), "homo", readout=readout).double().eval()
    task.scale.fill_(0.3)
    graphs = [molecule(n) for n in (3, 4, 5, 6, 7)]
    data = labelled(task, graphs, "homo", {1: 0.5, 6: -1.0, 8: 2.0} if readout == "sum" else {})
    if readout == "mean":
        data.fields["homo"] += 4.0
    task.refit(data)
    for k in range(len(data)):
        torch.testing.assert_close(task(data[k])["homo"], data[k].homo, rtol=0, atol=1e-10)


def test_sizes_of_the_loss_are_those_of_the_data(field: ForceField, molecule: Callable) -> None:
    """The loss measures forces by the new data also where the network keeps its scale."""
    graphs = [molecule(5, energy=torch.zeros(1).double(), forces=torch.full((5, 3), 7.0).double()) for _ in range(2)]
    field.fit(graphs)
    field.scale.fill_(3.0)
    assert float(field.scale_of("forces")) == 7.0
    assert "force_scale" not in field.state_dict()
