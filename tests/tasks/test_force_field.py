"""Forces and stress are the derivatives of the energy, to all orders that training needs; references and losses are
exact.
"""

from __future__ import annotations

import pytest
import torch
from switches import as_users_run_it
from torch_geometric.data import Batch

from intertwine.certify import certify
from intertwine.geometry import Graph, collate, connect
from intertwine.numerics import DataError, GeometryError, InputError
from intertwine.o3 import Irreps
from intertwine.tasks import ForceField, References

NAMES = ["schnet", "egnn", "painn"]
H = 1e-5


def made(*arguments: object, **options: object) -> ForceField:
    return ForceField(*arguments, **options).double()


def moved(graph: Graph, pos: torch.Tensor) -> Graph:
    result = graph.clone()
    result.pos = pos
    return result


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("training", [False, True])
def test_forces_are_minus_the_gradient(name: str, training: bool, backbone, molecule) -> None:
    task, graph = made(backbone(name)).train(training), molecule()
    forces = task(graph)["forces"].detach()
    numeric = torch.zeros_like(forces)
    for k in range(forces.numel()):
        step = torch.zeros(forces.numel(), dtype=torch.float64)
        step[k] = H
        up, down = (task(moved(graph, graph.pos + s * step.view_as(graph.pos)))["energy"].detach() for s in (1, -1))
        numeric.view(-1)[k] = -(up - down).item() / (2 * H)
    assert torch.allclose(forces, numeric, rtol=1e-7, atol=1e-8 * forces.abs().max().item())


@pytest.mark.parametrize("name", NAMES)
def test_gradient_of_the_force_loss_by_the_weights(name: str, backbone, molecule) -> None:
    """The second derivatives that training on forces needs, along random directions in the space of weights."""
    task = made(backbone(name), force_weight=1.0)
    graphs = [molecule(n, energy=0.1 * n, forces=torch.ones(n, 3, dtype=torch.float64)) for n in (4, 6)]
    batch = Batch.from_data_list(graphs)
    weights = [p for p in task.parameters() if p.requires_grad]

    def loss() -> torch.Tensor:
        return sum(value for value, _ in task.losses(task(batch), batch).values())

    gradient = torch.autograd.grad(loss(), weights, allow_unused=True)
    generator = torch.Generator().manual_seed(3)
    for _ in range(2):
        direction = [torch.randn(p.shape, generator=generator, dtype=p.dtype) for p in weights]
        exact = sum((g * d).sum() for g, d in zip(gradient, direction, strict=True) if g is not None).item()
        values = []
        for sign in (1, -1):
            with torch.no_grad():
                for p, d in zip(weights, direction, strict=True):
                    p.add_(sign * H * d)
            values.append(loss().item())
            with torch.no_grad():
                for p, d in zip(weights, direction, strict=True):
                    p.sub_(sign * H * d)
        assert exact == pytest.approx((values[0] - values[1]) / (2 * H), rel=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_stress_is_the_derivative_by_strain(name: str, backbone, crystal: Graph) -> None:
    """sigma_ab = (1/V) dE/d(eps_ab), in a cell smaller than the cutoff."""
    task = made(backbone(name)).eval()
    stress = task(crystal)["stress"]
    assert stress.shape == (1, 3, 3)
    assert torch.equal(stress, stress.transpose(1, 2))
    volume = torch.linalg.det(crystal.cell[0]).abs().item()
    for a in range(3):
        for b in range(a, 3):
            strain = torch.zeros(3, 3, dtype=torch.float64)
            strain[a, b] += 0.5 * H
            strain[b, a] += 0.5 * H
            energies = []
            for sign in (1, -1):
                deformation = torch.eye(3, dtype=torch.float64) + sign * strain
                graph = Graph(crystal.pos @ deformation, z=crystal.z, cell=crystal.cell @ deformation)
                energies.append(task(graph)["energy"].item())
            numeric = (energies[0] - energies[1]) / (2 * H) / volume
            assert stress[0, a, b].item() == pytest.approx(numeric, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_stress_of_a_slab_is_the_derivative_of_its_area(name: str, backbone, crystal: Graph) -> None:
    """V sigma_ab = dE/d(eps_ab) for a, b in the plane, with the volume of the cell as given: a larger vacuum, a smaller
    number.
    """
    task = made(backbone(name)).eval()
    cell = torch.tensor([[4.1, 0.3, 0.0], [0.2, 4.6, 0.0], [0.0, 0.0, 15.0]], dtype=torch.float64)
    slab = Graph(crystal.pos, z=crystal.z, cell=cell, pbc=[True, True, False])
    stress = task(slab)["stress"]
    for a, b in ((0, 0), (1, 1), (0, 1)):
        strain = torch.zeros(3, 3, dtype=torch.float64)
        strain[a, b] += 0.5 * H
        strain[b, a] += 0.5 * H
        energies = []
        for sign in (1, -1):
            deformation = torch.eye(3, dtype=torch.float64) + sign * strain
            graph = Graph(slab.pos @ deformation, z=slab.z, cell=cell @ deformation, pbc=[True, True, False])
            energies.append(task(graph)["energy"].item())
        numeric = (energies[0] - energies[1]) / (2 * H) / torch.linalg.det(cell).abs().item()
        assert stress[0, a, b].item() == pytest.approx(numeric, rel=1e-6, abs=1e-9)
    thick = Graph(slab.pos, z=slab.z, cell=torch.cat([cell[:2], 2 * cell[2:]]), pbc=[True, True, False])
    assert torch.allclose(task(thick)["stress"], stress / 2, rtol=1e-12, atol=0)


def test_absent_labels_are_no_targets(backbone, molecule) -> None:
    """NaN in a label is a label that is not there; NaN in a prediction is an error that must be seen."""
    task = made(backbone("painn"))
    atom = Graph(
        torch.zeros(1, 3, dtype=torch.float64),
        z=[6],
        energy=-1.0,
        forces=torch.full((1, 3), float("nan"), dtype=torch.float64),
    )
    whole = molecule(3, energy=-3.0, forces=torch.ones(3, 3, dtype=torch.float64))
    task.fit([atom, whole])
    assert float(task.references.values[6]) == -1.0
    total, entries = task.train().losses(task(collate([atom, whole])), collate([atom, whole]))["forces"]
    assert entries == 9
    assert torch.isfinite(total)
    prediction = {name: value * float("nan") for name, value in task(whole).items()}
    assert all(torch.isnan(r).all() and len(r) for r in task.residuals(prediction, whole).values())
    whole.forces[1, 0] = float("nan")
    with pytest.raises(DataError, match="'forces' is not finite"):
        task.fit([whole])


def test_stress_of_a_batch_is_that_of_each(backbone, make_crystal) -> None:
    task = made(backbone("painn")).eval()
    graphs = [make_crystal(n) for n in (2, 3, 1)]
    together = task(Batch.from_data_list(graphs))
    for k, graph in enumerate(graphs):
        alone = task(graph)
        assert torch.allclose(together["stress"][k], alone["stress"][0], rtol=1e-12, atol=1e-14)
        assert torch.allclose(together["energy"][k], alone["energy"][0], rtol=1e-13)


def test_stress_only_where_it_has_a_meaning(backbone, molecule, crystal: Graph) -> None:
    task = made(backbone("painn")).eval()
    assert "stress" not in task(molecule())
    slab, wire = (
        Graph(crystal.pos, z=crystal.z, cell=crystal.cell[0], pbc=[True, two, False]) for two in (True, False)
    )
    assert "stress" in task(slab)
    assert "stress" not in task(wire)
    assert "stress" not in task.train()(crystal)  # not trained on
    assert "stress" in made(backbone("painn"), stress_weight=1.0).train()(crystal)


def test_mixed_sizes_with_and_without_edges(backbone, molecule) -> None:
    task = made(backbone("painn")).eval()
    graphs = [molecule(n) for n in (1, 2, 7)]
    batch = Batch.from_data_list(graphs)
    together, connected = task(batch), task(connect(batch, task.cutoff))
    for name in ("energy", "forces"):
        assert torch.equal(together[name], connected[name])
        alone = torch.cat([task(graph)[name] for graph in graphs])
        assert torch.allclose(together[name], alone, rtol=1e-12, atol=1e-13)
    assert torch.equal(task(graphs[0])["forces"], torch.zeros(1, 3, dtype=torch.float64))


def test_references_are_exact_on_extensive_data(backbone, molecule) -> None:
    """Energies that composition explains come back to the last digit, in a float32 network."""
    exact = {1: -13.6, 6: -1029.4, 8: -2042.7}
    graphs = []
    for n in (3, 4, 5, 6, 7, 8):
        graph = molecule(n)
        graph.energy = torch.tensor([sum(exact[z] for z in graph.z.tolist())], dtype=torch.float64)
        graph.forces = torch.zeros(n, 3, dtype=torch.float64)
        graphs.append(graph)
    task = made(backbone("painn")).float().eval()
    task.fit(graphs)
    for z, value in exact.items():
        assert task.references.values[z].item() == pytest.approx(value, rel=1e-12)
    assert task.references.values.count_nonzero() == 3
    with torch.no_grad():
        for p in task.head.parameters():
            p.zero_()
    for graph in graphs:
        prediction = task(graph)
        assert prediction["energy"].dtype == torch.float64
        assert prediction["forces"].dtype == torch.float32
        assert prediction["energy"].item() == pytest.approx(graph.energy.item(), rel=1e-13)
        assert task.residuals(prediction, graph)["energy"].abs().item() < 1e-6


def test_references_of_a_single_composition() -> None:
    """Underdetermined: the smallest solution, which explains the mean."""
    references = References()
    counts = torch.zeros(4, 119, dtype=torch.float64)
    counts[:, 1], counts[:, 6], counts[:, 8] = 6, 2, 1
    y = torch.tensor([-4209.0, -4210.0, -4211.0, -4208.0], dtype=torch.float64)
    rest = references.fit(counts, y)
    assert torch.allclose(rest, y - y.mean(), atol=1e-9)
    ratio = y.mean() / (36 + 4 + 1)
    assert torch.allclose(references.values[[1, 6, 8]], ratio * torch.tensor([6.0, 2.0, 1.0], dtype=torch.float64))
    assert references.values.count_nonzero() == 3


@pytest.mark.parametrize(
    "convert", [lambda t: t.float(), lambda t: t.double(), lambda t: t.to(torch.float32), lambda t: t.half().float()]
)
def test_references_stay_in_float64(convert, backbone) -> None:
    task = made(backbone("painn"))
    task.references.values[8] = -2042.6123456789012
    task = convert(task)
    assert task.references.values.dtype == torch.float64
    assert task.references.values[8].item() == -2042.6123456789012
    assert "references.values" in task.state_dict()


def test_scales_come_from_the_training_set(backbone, molecule) -> None:
    graphs = [
        molecule(4, energy=float(k), forces=torch.full((4, 3), 2.0 * (-1) ** k, dtype=torch.float64)) for k in range(4)
    ]
    for graph in graphs:
        graph.z = torch.tensor([1, 1, 6, 8])
    task = made(backbone("painn"))
    task.fit(iter(graphs))
    assert task.scale.item() == pytest.approx(2.0)
    assert task.energy_scale.item() == pytest.approx(2.0)  # per atom, over 1 A, whatever the spread of the energies
    alone = made(backbone("painn"), force_weight=0.0)
    alone.fit(iter(graphs))
    per_atom = torch.tensor([-1.5, -0.5, 0.5, 1.5], dtype=torch.float64) / 4
    assert alone.scale.item() == pytest.approx(per_atom.square().mean().sqrt().item())
    assert alone.energy_scale.item() == alone.scale.item()
    relaxed = made(backbone("painn"))
    relaxed.fit([graph.replaced(forces=torch.zeros(4, 3, dtype=torch.float64)) for graph in graphs])
    assert relaxed.energy_scale.item() == relaxed.scale.item() == alone.scale.item()
    still = made(backbone("painn"))
    still.fit([Graph(g.pos, z=g.z, energy=0.0, forces=torch.zeros(4, 3)) for g in graphs])
    assert still.scale.item() == still.energy_scale.item() == 1.0  # nothing to divide by


def test_losses_are_sums_with_counts(backbone, molecule) -> None:
    task = made(backbone("painn"), energy_loss_weight=1.0, force_weight=10.0)
    graphs = [molecule(n, energy=1.0, forces=torch.zeros(n, 3, dtype=torch.float64)) for n in (3, 5)]
    batch = Batch.from_data_list(graphs)
    prediction = task(batch)
    losses = task.losses(prediction, batch)
    assert {name: count for name, (_, count) in losses.items()} == {"energy": 2, "forces": 24}
    residual = (prediction["energy"] - 1.0) / torch.tensor([3.0, 5.0])
    assert torch.allclose(losses["energy"][0], residual.square().sum())
    assert torch.allclose(losses["forces"][0], prediction["forces"].square().sum())
    alone = [task.losses(task(graph), graph) for graph in graphs]
    for name in losses:  # what makes several processes the same as one
        assert torch.allclose(sum(part[name][0] for part in alone), losses[name][0], rtol=1e-12)


def test_targets_without_labels_or_weight_are_left_out(backbone, molecule) -> None:
    task = made(backbone("painn"), force_weight=0.0)
    graph = molecule(4, energy=0.0, forces=torch.zeros(4, 3, dtype=torch.float64))
    assert set(task.losses(task(graph), graph)) == {"energy"}
    assert set(task(graph)) == {"energy"}  # in training forces of no weight are not even computed
    assert set(task.residuals(task.eval()(graph), graph)) == {"energy", "forces"}
    assert task.residuals(task(molecule()), molecule()) == {}


def crystals() -> Graph:
    """A bulk cell, a wire and a bulk cell, in one batch, with stress labels."""
    generator = torch.Generator().manual_seed(3)
    stress = torch.ones(1, 3, 3, dtype=torch.float64)
    graphs = []
    for k, pbc in enumerate([(True, True, True), (True, False, False), (True, True, True)]):
        positions = torch.rand(3, 3, generator=generator, dtype=torch.float64) * 4
        labels = {"energy": float(k), "forces": torch.zeros(3, 3, dtype=torch.float64), "stress": stress}
        graphs.append(Graph(positions, z=[6, 8, 1], cell=torch.eye(3) * (4.0 + k), pbc=pbc, **labels))
    return collate(graphs)


def test_stress_does_not_depend_on_the_batch(backbone) -> None:
    """A wire among bulk cells has no stress and takes none from them."""
    task, batch = made(backbone("painn"), stress_weight=1.0), crystals()
    together = task.eval()(batch)["stress"]
    assert torch.isnan(together[1]).all()
    for k in (0, 2):
        torch.testing.assert_close(together[k], task(batch[k])["stress"][0], rtol=1e-10, atol=1e-12)
    assert "stress" not in task(batch[1])
    total, entries = task.train().losses(task(batch), batch)["stress"]
    assert entries == 18
    total.backward()
    assert all(torch.isfinite(p.grad).all() for p in task.parameters() if p.grad is not None)


def test_fit_refuses_stress_of_wires_and_takes_forces_alone(backbone) -> None:
    batch = crystals()
    with pytest.raises(DataError, match="nothing has a stress"):
        ForceField(backbone("painn"), stress_weight=1.0).fit([batch[1]])
    alone = ForceField(backbone("painn"), energy_loss_weight=0.0)
    graph = Graph(
        torch.randn(3, 3, dtype=torch.float64), z=[6, 8, 1], forces=torch.full((3, 3), 2.0, dtype=torch.float64)
    )
    alone.fit([graph])
    assert float(alone.scale) == 2.0
    assert not alone.references.values.any()


def test_evaluation_is_detached_and_training_is_not(backbone, molecule) -> None:
    task, graph = made(backbone("painn")), molecule()
    assert all(value.requires_grad for value in task.train()(graph).values())
    assert not any(value.requires_grad for value in task.eval()(graph).values())
    with torch.no_grad():  # forces need their own gradient, whatever the caller does with his
        assert torch.allclose(task(graph)["forces"], task.train()(graph)["forces"].detach(), rtol=1e-12, atol=1e-14)
    assert not graph.pos.requires_grad


def test_what_it_refuses(backbone, molecule) -> None:
    with pytest.raises(DataError, match="no 'forces'") as error:
        made(backbone("painn")).fit([molecule(3, energy=0.0)])
    assert "graph 0 of the training set" in str(error.value)
    with pytest.raises(DataError, match="'energy' is not finite"):
        made(backbone("painn"), force_weight=0.0).fit([molecule(3, energy=float("nan"))])
    with pytest.raises(DataError, match="empty"):
        made(backbone("painn")).fit([])
    with pytest.raises(InputError, match="did you mean 'huber'"):
        made(backbone("painn"), loss="hubber")
    with pytest.raises(GeometryError, match="needs atoms"):
        made(backbone("painn")).eval()(Graph(torch.zeros(2, 3)))
    vectors_only = backbone("painn")
    vectors_only.irreps_out = Irreps("8x1o")
    with pytest.raises(InputError, match="needs 0e"):
        ForceField(vectors_only)


@pytest.mark.parametrize("name", NAMES)
def test_certificate_of_a_crystal(name: str, backbone, crystal: Graph, molecule) -> None:
    task = made(backbone(name), stress_weight=1.0).float()
    with as_users_run_it():  # hundreds of evaluations of what the other tests run with annotations checked
        certificate = certify(task, [crystal, molecule()], symmetry="E(3)", quick=True)
    assert certificate.passed, certificate.summary()
    assert any(line.test == "stress against strain" and line.verdict == "passed" for line in certificate.lines)
