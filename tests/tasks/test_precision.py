"""Single precision is for features: positions keep their own, wherever in space a structure is written."""

from __future__ import annotations

import pytest
import torch

from intertwine.geometry import Graph, collate, connect
from intertwine.models import EGNN, PaiNN
from intertwine.numerics import InputError
from intertwine.tasks import Dynamics, ForceField, Property

BOUND = 2e-5  # of the rms: docs/design.md, a model in float32


def moved(graph: Graph, step: torch.Tensor | float) -> Graph:
    result = graph.clone()
    result.pos = graph.pos + step
    return result


def close(one: torch.Tensor, other: torch.Tensor) -> None:
    torch.testing.assert_close(one, other, rtol=0, atol=BOUND * float(other.double().square().mean().sqrt()))


def steps(graph: Graph, generator: torch.Generator) -> list[torch.Tensor]:
    """1e4 A; and for crystals 500 cells, together and every atom on its own way."""
    found = [torch.full_like(graph.pos, 1e4), torch.tensor([30.0, -1e4, 3e3], dtype=torch.float64).expand_as(graph.pos)]
    if graph.get("cell") is not None:
        cells = torch.randint(-500, 501, graph.pos.shape, generator=generator).double()
        found += [(500 * graph.cell[0, 1]).expand_as(graph.pos), cells @ graph.cell[0]]
    return found


@pytest.mark.parametrize("name", ["schnet", "egnn", "painn"])
def test_force_field(name: str, backbone, molecule, crystal, generator) -> None:
    task = ForceField(backbone(name)).float().eval()
    for graph in (molecule(8), crystal):
        expected = task(graph)
        assert expected["forces"].dtype == torch.float32
        for step in steps(graph, generator):
            found = task(moved(graph, step))
            for key, value in expected.items():
                close(found[key], value)
        single = task(graph.cast(torch.float32))  # rounds the positions, by 6e-8 of their size
        torch.testing.assert_close(single["forces"], expected["forces"], rtol=0, atol=1e-4)


def test_gradients_of_training_far_away(backbone, molecule) -> None:
    graph, gradients = molecule(6, forces=torch.ones(6, 3)), []
    for place in (graph, moved(graph, 1e4)):
        task = ForceField(backbone("painn")).float().train()
        sum(loss for loss, _ in task.losses(task(place), place).values()).backward()
        gradients.append(torch.cat([p.grad.flatten() for p in task.parameters() if p.grad is not None]))
    close(gradients[1], gradients[0])


@pytest.mark.parametrize("representation", ["0e", "1o"])
def test_properties(representation: str, backbone, molecule, generator) -> None:
    task, graph = Property(backbone("painn"), representation=representation).float().eval(), molecule(7)
    for step in steps(graph, generator):
        close(task(moved(graph, step))["energy"], task(graph)["energy"])


@pytest.mark.parametrize(
    "model",
    [
        EGNN(width=8, layers=2, cutoff=None, velocity=True, species=(), node_inputs=("speed",)),
        PaiNN(width=8, layers=2, cutoff=9.0, species=(), node_inputs=("speed",), vector_inputs=("vel",)),
    ],
    ids=["egnn", "painn"],
)
def test_particles_far_away(model, generator) -> None:
    """The new position is the old one, in its own precision, plus a displacement; so is what the loss sees."""
    pos, vel = (torch.randn(5, 3, generator=generator, dtype=torch.float64) for _ in range(2))
    task, graph = Dynamics(model).eval(), Graph(pos, vel=vel, target_pos=pos + 0.1 * vel)
    far = moved(graph, 1e4)
    far.target_pos = graph.target_pos + 1e4
    near, away = task(graph)["pos"], task(far)["pos"]
    assert away.dtype == torch.float64
    close(away - far.pos, near - graph.pos)
    close(task.residuals({"pos": away}, far)["pos"], task.residuals({"pos": near}, graph)["pos"])


def test_precisions_mix(backbone, molecule) -> None:
    """Positions of less precision than the network are raised, exactly; a batch of near and far ones keeps both."""
    task, graph = ForceField(backbone("painn")).double().eval(), molecule(5)
    single = graph.cast(torch.float32)
    for key, value in task(single).items():
        assert torch.equal(value, task(single.double())[key])
    task = task.float()
    pair = task(collate([graph, moved(graph, -1e4)]))["forces"]
    close(pair[5:], pair[:5])
    ready = connect(graph, task.cutoff).in_precision(torch.float32)
    assert (ready.pos.dtype, ready.precision) == (torch.float64, torch.float32)
    assert ready.in_precision(torch.float32) is ready
    assert ready.clone().precision == torch.float32


@pytest.mark.parametrize("mode", [torch.inference_mode, torch.no_grad])
def test_modes_without_gradients(mode, backbone, molecule, crystal) -> None:
    """Forces are derivatives: they are taken outside of inference mode, also of tensors made in it."""
    for task in (ForceField(backbone("painn")), Property(backbone("painn"), representation="1o")):
        for graph in (molecule(4), crystal):
            expected = task.double().eval()(graph)
            with mode():
                inside, made_inside = task(graph), task(Graph(graph.pos + 0.0, z=graph.z + 0, cell=graph.get("cell")))
                copied = graph.clone()
            for found in (inside, made_inside, task(copied)):
                assert all(torch.equal(found[key], value) for key, value in expected.items())


def test_weights_made_in_inference_mode(molecule) -> None:
    with torch.inference_mode():
        task = ForceField(PaiNN(width=8, layers=1)).eval()
        with pytest.raises(InputError, match=r"made under torch\.inference_mode"):
            task(molecule(3))
