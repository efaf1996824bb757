"""Codes of molecules: invariance, equivariance, symmetric molecules, learning a few of them, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from ase.build import molecule

from intertwine.certify import certify
from intertwine.data import GraphStore, open_dataset
from intertwine.geometry import Graph, act, collate, permute
from intertwine.groups import Isometry
from intertwine.models import EGNN, PaiNN, SchNet, SteerableCNN
from intertwine.numerics import DataError, GeometryError, InputError
from intertwine.tasks import TASKS, PointAutoencoder

SYMMETRIC = ("CH4", "C6H6", "H2O", "CO2", "H")
SPECIES = [1, 6, 7, 8]


def of(name: str) -> Graph:
    made = molecule(name)
    return Graph(torch.tensor(made.positions), z=made.numbers)


def chiral(seed: int = 0, atoms: int = 6) -> Graph:
    """Atoms anywhere, without symmetry."""
    generator = torch.Generator().manual_seed(seed)
    pos = 1.2 * torch.randn(atoms, 3, generator=generator, dtype=torch.float64)
    return Graph(pos, z=torch.tensor(SPECIES)[torch.randint(4, (atoms,), generator=generator)])


def make(model: type = PaiNN, dtype: torch.dtype = torch.float64, **options: Any) -> PointAutoencoder:
    torch.manual_seed(0)
    sizes = {"code": 6, "most": 12, "channels": 6, "hidden": 16}
    species, layers = options.pop("species", SPECIES), options.pop("layers", 2)
    return PointAutoencoder(model(width=8, layers=layers, species=species), **sizes | options).to(dtype).eval()


def moved(graph: Graph, seed: int = 1) -> tuple[Graph, Isometry, torch.Tensor]:
    """A graph turned, shifted and in another order."""
    generator = torch.Generator().manual_seed(seed)
    g = Isometry.random(3, generator=generator, shift=2.0)
    order = torch.randperm(graph.num_nodes, generator=generator)
    return permute(order, act(g, graph)), g, order


@pytest.mark.parametrize(("dtype", "bound"), [(torch.float32, 2e-5), (torch.float64, 1e-10)])
def test_the_code_is_invariant(dtype: torch.dtype, bound: float) -> None:
    task = make(dtype=dtype)
    for graph in (chiral(), *map(of, SYMMETRIC), of("CH3CONH2")):
        still, other = task(graph)["code"], task(moved(graph)[0])["code"]
        assert float((other - still).abs().max()) <= bound * float(still.square().mean().sqrt())


@pytest.mark.parametrize("model", [PaiNN, EGNN, SchNet])
def test_the_motion_and_the_order_follow_the_molecule(model: type) -> None:
    """Also of a network that has scalars alone."""
    task, graph = make(model), chiral()
    there, g, order = moved(graph)
    still, other = task(graph), task(there)
    assert task.undefined(graph) == [""]
    assert still["open"].tolist() == [0.0]
    torch.testing.assert_close(other["rotation"], still["rotation"] @ g.rotation.T, rtol=0, atol=1e-9)
    assert torch.equal(other["place"], still["place"][order])
    assert sorted(still["place"].tolist()) == list(range(6))
    torch.testing.assert_close(
        other["reconstruction"], act(g, Graph(still["reconstruction"])).pos[order], rtol=0, atol=1e-9
    )
    torch.testing.assert_close(other["canonical"], still["canonical"], rtol=0, atol=1e-9)


def test_a_molecule_and_its_mirror_image_have_two_codes() -> None:
    mirror = Isometry(-torch.eye(3, dtype=torch.float64), torch.zeros(3, dtype=torch.float64))
    task, graph = make(), chiral()
    code, other = task(graph)["code"], task(act(mirror, graph))["code"]
    assert float((other - code).abs().max()) > 1e-6 * float(code.abs().max())
    plane = of("CH3CH2OH")  # its own mirror image
    torch.testing.assert_close(task(act(mirror, plane))["code"], task(plane)["code"], rtol=0, atol=1e-10)


def test_symmetric_molecules_are_told_and_do_no_harm() -> None:
    task = make()
    batch = collate([of(name) for name in SYMMETRIC] + [chiral()])
    reasons = task.undefined(batch)
    assert [bool(reason) for reason in reasons] == [True] * 5 + [False]
    assert all("symmetric" in reason for reason in reasons[:5])
    prediction = task.train()(batch)
    losses = task.losses(prediction, batch)
    assert set(losses) == {"rmsd", "elements", "atoms", "clear"}
    sum(loss for loss, _ in losses.values()).backward()  # type: ignore[union-attr]
    assert all(bool(p.grad.isfinite().all()) for p in task.parameters() if p.grad is not None)
    assert all(bool(value.isfinite().all()) for value in task.eval()(batch).values())


def test_a_symmetric_molecule_made_rightly_is_not_called_wrong() -> None:
    """Methane turned anyhow, with its hydrogens in any order, is methane; with two atoms exchanged it is not."""
    task, graph = make(), of("CH4")
    there, _, _ = moved(graph, seed=3)
    there = there.replaced(pos=there.pos[torch.argsort(there.z, descending=True, stable=True)], z=graph.z)
    place = torch.arange(5, dtype=torch.float64)
    logits = torch.full((1, 12, 4), -9.0, dtype=torch.float64)
    logits[0, torch.arange(5), torch.tensor([1, 0, 0, 0, 0])] = 9.0
    size = torch.nn.functional.one_hot(torch.tensor([4]), 12).double()
    made = {"reconstruction": there.pos, "place": place, "species": logits, "size": size}
    found = task.residuals({**task(graph), **made}, graph)
    assert float(found["rmsd"].max()) < 1e-9
    assert {name: float(found[name].sum()) for name in ("order", "elements", "atoms")} == {
        "order": 0.0, "elements": 0.0, "atoms": 0.0,
    }  # fmt: skip
    exchanged = there.pos[[1, 0, 2, 3, 4]]
    found = task.residuals({**task(graph), **made, "reconstruction": exchanged}, graph)
    assert float(found["rmsd"].max()) > 0.5


def test_the_loss_is_that_of_the_equation() -> None:
    task, graph = make(), chiral()
    task.fit([graph])
    prediction = task(graph)
    losses = task.losses(prediction, graph)
    assert prediction["open"].tolist() == [0.0]
    squares = (prediction["reconstruction"] - graph.pos).square().sum() / task.spread**2
    assert float(losses["rmsd"][0]) == pytest.approx(float(squares), rel=1e-9)
    logits = prediction["species"][0, prediction["place"].long()]
    surprise = torch.nn.functional.cross_entropy(logits, task.table(graph.z), reduction="sum")  # type: ignore[misc]
    assert float(losses["elements"][0]) == pytest.approx(float(surprise), rel=1e-9)
    assert losses["rmsd"][1] == graph.num_nodes
    soft = task.train()(graph)
    expected = torch.zeros((), dtype=torch.float64)
    order = torch.argsort(soft["place"])
    for k in range(6):
        for i in range(6):
            apart = soft["reconstruction"][order[k]] - graph.pos[order[i]]
            expected = expected + soft["probability"][0, k, i] * apart.square().sum() / task.spread**2
    assert float(task.losses(soft, graph)["rmsd"][0].detach()) == pytest.approx(float(expected.detach()), rel=1e-9)


def test_a_few_molecules_are_learned() -> None:
    graphs = [chiral(seed, 4) for seed in range(3)] + [of("CH4")]
    task = make(dtype=torch.float32, hidden=64, code=16, layers=1)
    task.gather(graphs)
    batch, optimizer = collate(graphs), torch.optim.Adam(task.parameters(), 3e-3)
    before = float(task.residuals(task(batch), batch)["rmsd"].mean())
    task.train()
    for _ in range(60):
        losses = task.losses(task(batch), batch)
        loss = sum(task.weights[name] * value / count for name, (value, count) in losses.items())
        optimizer.zero_grad()
        loss.backward()  # type: ignore[union-attr]
        optimizer.step()
    found = task.eval().residuals(task(batch), batch)
    assert float(found["rmsd"].max()) < 0.1 * before
    assert all(float(found[name].sum()) == 0 for name in ("order", "elements", "atoms"))


def test_clouds_have_no_species() -> None:
    graphs = [Graph(chiral(seed, 5).pos) for seed in range(2)]
    task = make(species=())
    task.gather(graphs)
    batch = collate(graphs)
    assert set(task.metrics) == {"rmsd", "order", "atoms"}
    assert set(task.losses(task(batch), batch)) == {"rmsd", "atoms"}
    assert task.residuals(task(batch), batch)["order"].shape == (10,)
    wishes = PointAutoencoder.suggest(GraphStore.from_graphs(graphs), None, PaiNN, {})
    assert wishes["task"] == {"most": 5}
    assert wishes["model"]["species"] == ()


def test_the_task_is_certified() -> None:
    task = make(dtype=torch.float32)
    certificate = certify(task, [chiral(k) for k in range(2)], symmetry=task.symmetry, quick=True)
    assert not [line for line in certificate.lines if line.verdict == "failed"], certificate.summary()
    (beyond,) = (line for line in certificate.lines if line.test == "value at the cutoff")
    assert beyond.verdict == "skipped"
    assert "beyond its cutoff" in beyond.worst
    tried = {line.output for line in certificate.lines if line.verdict == "passed" and line.symmetry}
    assert tried >= {"code", "rotation", "place", "reconstruction"}


def test_what_does_not_fit_is_refused_by_name() -> None:
    task = make(most=5)
    with pytest.raises(GeometryError, match="6 atoms, and the code is of 5 at most"):
        task(chiral())
    with pytest.raises(GeometryError, match="6 atoms"):
        task.undefined(collate([of("CH4"), chiral()]))
    with pytest.raises(InputError, match="SteerableCNN has no features of points"):
        PointAutoencoder(SteerableCNN(width=4, layers=2, kernel=3, strides=(), level="node"))
    with pytest.raises(InputError, match="loss 'l1'"):
        make(loss="l1")
    with pytest.raises(DataError, match="no molecule of the training set has two atoms"):
        make().fit([of("H")])
    with pytest.raises(DataError, match="training set is empty"):
        make().fit([])
    with pytest.raises(InputError, match="no sets of points"):
        TASKS["point_autoencoder"].suggest(open_dataset("digits", progress=False), None, PaiNN, {})


def test_a_model_that_claims_too_much_is_refused_before_training() -> None:
    class Liar(PaiNN):
        def features(self, graph: Graph) -> torch.Tensor:
            return super().features(graph) + graph.pos[:, :1]

    task = make(Liar)
    with pytest.raises(InputError, match=r"Liar is not equivariant to SE\(3\): a rotation changes the code"):
        task.gather([chiral()])


@pytest.mark.parametrize("name", ["CO2", "C2H2", "HCN", "C6H6", "CH4", "C2H6"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_what_rounding_leaves_of_a_vector_is_no_direction(name: str, dtype: torch.dtype) -> None:
    """Turned anyhow, a symmetric molecule is open, and derivatives stay small."""
    for seed in range(5):
        g = Isometry.random(3, generator=torch.Generator().manual_seed(seed), shift=1.0)
        graph = act(g, of(name))
        task = make(dtype=dtype)
        task.spread.fill_(1.5)
        assert float(task(graph)["open"]) == 1
        losses = task.train().losses(task(graph), graph)
        sum(value / count for value, count in losses.values()).backward()  # type: ignore[union-attr]
        norm = torch.stack([p.grad.norm() for p in task.parameters() if p.grad is not None]).norm()
        assert float(norm) < 1e3
