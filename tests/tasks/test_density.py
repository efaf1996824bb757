"""Densities: coefficients that turn with the molecule, a charge that is exact, NMAPE, the floor, a run."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from intertwine import o3
from intertwine.certify import certify
from intertwine.data.matrices import matrix_store
from intertwine.data.water import BASIS, occupied_density, water
from intertwine.geometry import Graph, collate
from intertwine.models import NequIP, PaiNN, SchNet
from intertwine.numerics import DataError, InputError
from intertwine.orbitals import Basis, BlockLayout, Shell, matrix_rotation, orbital_matrix, overlap_matrix, purified
from intertwine.orbitals.basis import BOHR
from intertwine.orbitals.density import molecular_charges
from intertwine.orbitals.quadrature import molecular_quadrature
from intertwine.orbitals.values import expanded_density, matrix_density
from intertwine.tasks import TASKS, Density
from intertwine.tasks.compositions import check_blocks
from intertwine.tasks.density import SCORED
from intertwine.training import load_run, train

WATER = torch.tensor([8, 1, 1])


def small_auxiliary() -> str:
    """Few functions, up to d, for tests that train."""
    oxygen = [(0, 0.5 * 3.5**k) for k in range(8)] + [(1, 0.5 * 3.0**k) for k in range(4)] + [(2, 1.0), (2, 3.0)]
    hydrogen = [(0, 0.3), (0, 1.0), (0, 4.0), (1, 0.6), (1, 2.0)]
    shells = {z: tuple(Shell(l, (a,), (1.0,)) for l, a in ones) for z, ones in ((1, hydrogen), (8, oxygen))}
    return Basis("small", shells).to_json()


SMALL = small_auxiliary()


@pytest.fixture(scope="module")
def store():
    return water(target="density")


def task(backbone=None, ratio: float = 4.0, **options) -> Density:
    torch.manual_seed(0)
    backbone = backbone or NequIP(width=8, layers=1, outputs="0e+1o+2e", species=[1, 8])
    return Density(backbone, BASIS.read_text(), ratio=ratio, width=8, hidden=16, **options)


def test_the_charge_is_exact_and_predictions_turn_with_the_molecule(store) -> None:
    """Of a network with random weights: charge to 1e-10 e, C(Rx) = D C(x) to 1e-10, of rotations and mirrors."""
    model = task().double().eval()
    model.fit([store[k] for k in range(4)])
    dimer = Graph(torch.cat([store[0].pos, store[1].pos + 3.0]), z=WATER.repeat(2))
    isometry = -o3.rand_matrix(dtype=torch.float64)
    for graph in (store[7], dimer):
        c = model(graph)["coefficients"]
        q = molecular_charges(model.form.basis, graph.z)
        assert float((model.form.layout.to_orbitals(graph.z, c) @ q - graph.z.sum()).abs()) < 1e-10
        turned = model(Graph(graph.pos @ isometry.T, z=graph.z))["coefficients"]
        D = model.form.layout.orbitals.D_from_matrix(isometry)
        assert float((c @ D.T - turned).abs().max()) < 1e-10
    assert not c[1:3][:, ~model.form.layout.mask(torch.tensor([1]))[0]].any()


def test_a_turned_molecule_has_the_turned_density(store) -> None:
    """At R r, of the molecule R x, the value is that at r of x: NMAPE of one prediction beside the other."""
    model = task().double().eval()
    model.fit([store[k] for k in range(4)])
    isometry, pos = -o3.rand_matrix(dtype=torch.float64), store[5].pos
    grid = molecular_quadrature(pos.unsqueeze(0))
    both = [
        expanded_density(
            model.form.basis, WATER, (pos @ R.T).unsqueeze(0),
            model.form.layout.to_orbitals(WATER, model(Graph(pos @ R.T, z=WATER))["coefficients"]).unsqueeze(0),
            grid.points @ R.T,
        )
        for R in (torch.eye(3, dtype=torch.float64), isometry)
    ]  # fmt: skip
    assert 100 * float((grid.weights * (both[0] - both[1]).abs()).sum() / (grid.weights * both[0]).sum()) < 1e-6


@pytest.mark.parametrize("form", ["linear", "quadratic"])
def test_the_task_is_certified(store, form: str) -> None:
    options = {"auxiliary": SMALL} if form == "linear" else {}
    model = task(PaiNN(width=8, layers=1, species=[1, 8]), form=form, **options).double().eval()
    model.fit([store[k] for k in range(4)])
    hydrogen = Graph([[0.0, 0, 0], [0, 0, 0.8]], z=[1, 1])
    report = certify(model, [store[0], hydrogen])
    assert report.verdict == "exact", report.summary()


def test_means_and_components_span_what_is_seen(store) -> None:
    """Coefficients of the training set are the mean and components times numbers of size one."""
    model = task()
    graphs = [store[k] for k in range(12)]
    model.fit(graphs)
    batch = collate(graphs)
    floor = float(model.floor)
    assert 0.001 < floor < 0.2  # few functions
    with torch.no_grad():
        mean = model.residuals({"coefficients": model.form.mean(batch)}, batch)
    assert float(mean["density"].mean()) > floor
    assert float(mean["electrons"].abs().max()) < 1e-10
    sizes = model.form.head.mixing[model.form.head.species(torch.tensor([8]))[0]]
    assert bool(sizes.isfinite().all())
    assert float(sizes.abs().max()) > 0.01


def test_the_dipole_in_the_loss_is_that_of_the_errors(store) -> None:
    """Squares of what the residuals say, in D, and derivatives that reach the coefficients."""
    model = task(dipole_weight=0.3).double().train()
    model.fit([store[k] for k in range(4)])
    batch = collate([store[k] for k in (5, 6, 9)])
    for _ in range(2):  # the second time labels' dipoles are known
        prediction = model(batch)
        total, count = model.losses(prediction, batch)["dipole_moment"]
        errors = model.residuals(prediction, batch)["dipole_moment"] * model.metrics["dipole_moment"].factor
        assert count == 3
        assert float(total) == pytest.approx(float(errors.square().sum()), rel=1e-10)
    (slope,) = torch.autograd.grad(total, prediction["coefficients"])
    assert float(slope.abs().max()) > 0
    assert "dipole_moment" not in task().double().losses(prediction, batch)


@pytest.mark.parametrize("weight", [-1.0, float("nan"), float("inf")])
def test_a_weight_of_the_dipole_is_refused(weight: float) -> None:
    with pytest.raises(InputError, match="dipole_weight"):
        task(dipole_weight=weight)


def test_errors_are_those_of_space(store) -> None:
    """The NMAPE beside a finer quadrature, and the dipole of the true matrix beside the integral of its density."""
    model = task().double().eval()
    graph = store[3]
    model.fit([store[k] for k in range(3)])
    prediction = {"coefficients": model.form.mean(graph)}
    errors = model.residuals(prediction, graph)
    grid, pos = molecular_quadrature(graph.pos.unsqueeze(0), 60, 29), graph.pos.unsqueeze(0)
    D = orbital_matrix(model.orbitals, WATER, graph.density).unsqueeze(0)
    c = model.form.layout.to_orbitals(WATER, prediction["coefficients"]).unsqueeze(0)
    true = matrix_density(model.basis, WATER, pos, D, grid.points)
    made = expanded_density(model.form.basis, WATER, pos, c, grid.points)
    assert float((grid.weights * true).sum()) == pytest.approx(10, abs=1e-4)
    nmape = float((grid.weights * (made - true).abs()).sum()) / 10
    assert float(errors["density"]) == pytest.approx(nmape, rel=0.03)
    dipole = (grid.weights.unsqueeze(2) * (true - made).unsqueeze(2) * grid.points / BOHR).sum((0, 1))
    torch.testing.assert_close(errors["dipole_moment"], dipole, rtol=0, atol=1e-3)
    r = (grid.points - (WATER.unsqueeze(1) * graph.pos).sum(0) / 10) / BOHR  # about the centre of the nuclei
    traceless = 1.5 * r.unsqueeze(3) * r.unsqueeze(2) - 0.5 * r.square().sum(2)[..., None, None] * torch.eye(3)
    quadrupole = ((grid.weights * (true - made))[..., None, None] * traceless).sum((0, 1))
    torch.testing.assert_close(errors["quadrupole"].reshape(3, 3), quadrupole, rtol=0, atol=1e-2)
    assert float(errors["quadrupole"].reshape(3, 3).trace()) == pytest.approx(0, abs=1e-12)
    assert float(errors["negative_density"]) == max(0.0, -float(made_at(model, graph, c).min()))


def made_at(model: Density, graph: Graph, c: torch.Tensor) -> torch.Tensor:
    """The density at the points that errors are measured at."""
    grid = molecular_quadrature(graph.pos.unsqueeze(0), *SCORED)
    return expanded_density(model.form.basis, WATER, graph.pos.unsqueeze(0), c, grid.points)


def twelve_steps(model: Density, batch: Graph) -> list[float]:
    """The losses of a few steps, each of which reaches every weight of the head."""
    optimizer, seen = torch.optim.Adam(model.parameters(), 5e-3), []
    for _ in range(12):
        total, count = model.losses(model(batch), batch)["density"]
        optimizer.zero_grad()
        (total / count).backward()
        assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in model.form.head.parameters())
        optimizer.step()
        seen.append(float(total.detach()))
    return seen


@pytest.mark.parametrize("loss", ["l2", "l1", "coefficients", "both"])
def test_the_loss_falls_and_reaches_every_weight(store, loss: str) -> None:
    model = task(loss=loss)
    graphs = [store[k] for k in range(4)]
    model.fit(graphs)
    batch = collate(graphs)
    seen = twelve_steps(model, batch)
    assert seen[-1] < 0.9 * seen[0]
    assert int(model.step) == 12


def test_density_matrices_of_the_package(store) -> None:
    """Trace with the overlap: ten electrons; idempotent."""
    assert "hamiltonian" not in store.fields
    assert TASKS["density"].suits(store, "density")
    basis = Basis.from_json(BASIS.read_text())
    D = orbital_matrix(BlockLayout(basis), WATER, store[11].density)
    S = overlap_matrix(basis, WATER, store[11].pos)
    assert float((D * S).sum()) == pytest.approx(10, abs=1e-9)
    torch.testing.assert_close(D @ S @ D, 2 * D, rtol=0, atol=1e-9)
    assert occupied_density(basis, WATER, store[11].pos[None], torch.eye(24, dtype=torch.float64)[None]).shape == (
        1,
        24,
        24,
    )


def test_a_run_learns_densities(store, tmp_path: Path) -> None:
    sections = {
        "data": {"target": "density", "train": 40, "validation": 10, "test_size": 20},
        "task": {"auxiliary": SMALL},
        "model": {"width": 8, "layers": 1},
        "training": {"epochs": 10, "batch_size": 4, "certify": False, "threads": 1},
    }
    train(sections, store=store, run=tmp_path / "run", progress=False)
    trained = load_run(tmp_path / "run")
    assert isinstance(trained.task, Density)
    assert {"density.png", "density_error.png"} <= {file.name for file in (tmp_path / "run").iterdir()}
    batch = collate([store[k] for k in range(1000, 1010)])
    errors = trained.task.residuals(trained.task(batch), batch)
    mean = trained.task.residuals({"coefficients": trained.task.form.mean(batch)}, batch)
    floor, mean_error = float(trained.task.floor), float(mean["density"].mean())
    assert floor < mean_error
    assert float(errors["density"].mean()) - floor < 0.2 * (mean_error - floor)
    assert float(errors["electrons"].abs().max()) < 1e-10


def test_bad_input_of_densities_that_are_learned(store) -> None:
    with pytest.raises(InputError, match="no basis"):
        Density(NequIP(width=4, layers=1, species=[1, 8]))
    with pytest.raises(InputError, match="huber"):
        task(loss="huber")
    with pytest.raises(InputError, match="NequIP"):
        task(SchNet(width=8, layers=1, species=[1, 8]))
    with pytest.raises(InputError, match=r"ratio of 0\.5"):
        task(ratio=0.5)
    width = store[0].density.shape[1]
    with pytest.raises(DataError, match="do not mix matrices"):
        task().fit([Graph(store[0].pos, z=WATER, density=torch.zeros(9, width + 1), levels={"density": "pair"})])
    radical = Graph([[0.0, 0, 0], [0, 0, 1.0]], z=[8, 1], density=torch.zeros(4, width), levels={"density": "pair"})
    with pytest.raises(DataError, match="its shell is open"):
        task().fit([radical])
    with pytest.raises(DataError, match="the training set is empty"):
        task().fit([])
    with pytest.raises(InputError, match="unknown matrix 'overlap'"):
        matrix_store(
            Basis.from_json(BASIS.read_text()), WATER, torch.zeros(1, 3, 3), torch.zeros(1, 24, 24), field="overlap"
        )
    with pytest.raises(DataError, match="no shells for element 6"):
        task().form.layout.places(6)


@pytest.mark.parametrize("loss", ["l2", "coefficients", "both"])
def test_a_density_matrix_of_whole_pairs_is_learned(store, loss: str) -> None:
    """Idempotent, with the charge to 1e-10 and no negative density, before a step and after; the error falls."""
    model = task(form="quadratic", loss=loss)
    graphs = [store[k] for k in range(6)]
    model.fit(graphs)
    assert float(model.floor) < 1e-12  # the labels have this form
    batch = collate(graphs)
    seen = twelve_steps(model, batch)
    assert seen[-1] < 0.9 * seen[0]
    model.eval()
    errors = model.residuals(model(batch), batch)
    assert float(errors["electrons"].abs().max()) < 1e-10
    assert float(errors["negative_density"].abs().max()) == 0.0
    mean = model.residuals({"density_matrix": model.form.mean(batch)}, batch)
    assert float(mean["electrons"].abs().max()) < 1e-10
    assert float(errors["density"].mean()) < float(mean["density"].mean())


def test_a_density_matrix_turns_with_the_molecule(store) -> None:
    """Of random weights, of a dimer that was not seen: D(Rx) = D(R) D(x) D(R)^T, and NMAPE of 1e-6 % at most."""
    model = task(form="quadratic").double().eval()
    model.fit([store[k] for k in range(4)])
    dimer = Graph(torch.cat([store[0].pos, store[1].pos + 3.0]), z=WATER.repeat(2))
    isometry = -o3.rand_matrix(dtype=torch.float64)
    turned = dimer.replaced(pos=dimer.pos @ isometry.T)
    D, DR = (orbital_matrix(model.orbitals, dimer.z, model(graph)["density_matrix"]) for graph in (dimer, turned))
    there = matrix_rotation(model.basis, dimer.z, isometry)
    assert float((DR - there @ D @ there.T).abs().max()) < 1e-9
    S = overlap_matrix(model.basis, dimer.z, dimer.pos)
    whole = purified(D, S, 20)
    torch.testing.assert_close(whole @ S @ whole, 2 * whole, rtol=0, atol=1e-6)
    assert float((whole * S).sum()) == pytest.approx(20, abs=1e-10)
    points = molecular_quadrature(dimer.pos.unsqueeze(0)).points[0]
    one = model.values(dimer, model(dimer)["density_matrix"], points)
    other = model.values(turned, model(turned)["density_matrix"], points @ isometry.T)
    assert 100 * float((one - other).abs().sum() / one.sum()) < 1e-6


def test_more_electrons_than_functions_are_refused() -> None:
    """Of density matrices and of Hamiltonians: a basis of one s function holds two electrons of oxygen's eight."""
    tiny = Basis("tiny", {z: (Shell(0, (1.0,), (1.0,)),) for z in (1, 8)})
    layout = BlockLayout(tiny)
    graph = Graph(torch.rand(3, 3), z=WATER, density=torch.ones(9, layout.irreps.dim), levels={"density": "pair"})
    with pytest.raises(DataError, match="10 electrons, and its orbitals in tiny hold 6"):
        check_blocks(graph.density, layout, graph, "here")
    with pytest.raises(DataError, match="10 electrons in 3 orbitals"):
        purified(torch.eye(3), torch.eye(3), 10)


def test_an_auxiliary_basis_by_name(store) -> None:
    pytest.importorskip("pyscf")
    model = task(auxiliary="def2-universal-jfit")
    assert model.form.basis.name == "def2-universal-jfit"
    assert sorted(model.form.basis.shells) == [1, 8]
    model.fit([store[k] for k in range(3)])
    assert 0.005 < float(model.floor) < 0.05  # made for Coulomb integrals, not for densities
    with pytest.raises(InputError, match="does not know the basis 'no-such-basis'"):
        task(auxiliary="no-such-basis")
