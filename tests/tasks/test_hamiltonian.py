"""Hamiltonians: blocks that PySCF computes, learned, certified, scored, drawn, and back in PySCF."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from intertwine import o3
from intertwine.certify import certify
from intertwine.data.matrices import matrix_store
from intertwine.geometry import Graph, collate
from intertwine.models import MACE, NequIP, PaiNN
from intertwine.nn.pair_guess import GUESSES
from intertwine.numerics import DataError, InputError
from intertwine.orbitals import matrix_rotation, orbital_matrix, overlap_matrix, reordered, spectrum
from intertwine.orbitals.basis import HARTREE
from intertwine.orbitals.named import pyscf_basis
from intertwine.tasks import TASKS, Hamiltonian
from intertwine.training import load_run, train

gto, scf = pytest.importorskip("pyscf.gto"), pytest.importorskip("pyscf.scf")
WATER = torch.tensor([8, 1, 1])
SHAPE = [[0.0, 0.0, 0.0], [0.0, 0.76, 0.59], [0.0, -0.76, 0.59]]


def geometries(count: int, seed: int = 0) -> torch.Tensor:
    noise = torch.randn(count, 3, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return torch.tensor(SHAPE, dtype=torch.float64) + 0.05 * noise


def molecule(pos, basis: str = "sto-3g", **options):
    return gto.M(atom=list(zip(WATER.tolist(), np.asarray(pos), strict=True)), basis=basis, verbose=0, **options)


def hartree_fock(pos, basis: str = "sto-3g") -> np.ndarray:
    method = scf.RHF(molecule(pos, basis))
    method.conv_tol = 1e-13
    method.kernel()
    return method.get_fock(dm=method.make_rdm1())


@pytest.fixture(scope="module")
def store():
    pos = geometries(24)
    fock = torch.tensor(np.stack([hartree_fock(x) for x in pos]))
    return matrix_store(pyscf_basis("sto-3g", [1, 8]), WATER, pos, fock, name="water in sto-3g")


def task(basis: str = "sto-3g", backbone=None, **options) -> Hamiltonian:
    torch.manual_seed(0)
    backbone = backbone or NequIP(width=8, layers=1, outputs="0e+1o+2e", species=[1, 8])
    return Hamiltonian(backbone, pyscf_basis(basis, [1, 8]).to_json(), width=8, hidden=24, **options)


@pytest.mark.parametrize("basis", ["def2-svp", "def2-tzvp", "6-31g**"])
def test_predictions_turn_with_the_molecule_and_are_symmetric(basis: str) -> None:
    """H(Rx) = D H D^T to 1e-10, of rotations and mirrors; H = H^T to the last bit."""
    model = task(basis).double().eval()
    isometry = -o3.rand_matrix(dtype=torch.float64)
    pos = geometries(1)[0]
    matrices = [model.matrix(WATER, model(Graph(x, z=WATER))["hamiltonian"]) for x in (pos, pos @ isometry.T)]
    assert torch.equal(matrices[0], matrices[0].T)
    D = matrix_rotation(model.basis, WATER, isometry)
    assert float((D @ matrices[0] @ D.T - matrices[1]).abs().max()) < 1e-10
    assert float(matrices[0].abs().max()) > 0.1


@pytest.mark.parametrize("number", range(20))
def test_hartree_fock_of_rotated_water_turns_as_our_orbitals(number: int) -> None:
    """What PySCF computes of a turned molecule, to 1e-7 Eh: 20 of them, each turned otherwise."""
    torch.manual_seed(number)
    basis, pos = pyscf_basis("def2-svp", [1, 8]), geometries(20)[number]
    degrees = [shell.degree for z in WATER.tolist() for shell in basis.of(z)]
    isometry = o3.rand_matrix(dtype=torch.float64)
    fock = [
        reordered(torch.tensor(hartree_fock(x, "def2-svp")), degrees, "pyscf", "intertwine")
        for x in (pos, pos @ isometry.T)
    ]
    D = matrix_rotation(basis, WATER, isometry)
    assert float((D @ fock[0] @ D.T - fock[1]).abs().max()) < 1e-7


@pytest.mark.parametrize("backbone", [MACE, PaiNN])
def test_any_model_with_tensors_serves(store, backbone) -> None:
    features = {} if backbone is PaiNN else {"outputs": "0e+1o"}
    model = task(backbone=backbone(width=8, layers=1, species=[1, 8], **features)).double().eval()
    model.fit([store[k] for k in range(4)])
    isometry = -o3.rand_matrix(dtype=torch.float64)
    here, there = (model(Graph(x, z=WATER))["hamiltonian"] for x in (store[0].pos, store[0].pos @ isometry.T))
    D = model.layout.irreps.D_from_matrix(isometry)
    assert float((here @ D.T - there).abs().max()) < 1e-10


def test_the_task_is_certified(store) -> None:
    """Symmetry, batches, the cutoff of pairs; atoms alone, and a molecule of other atoms."""
    model = task(backbone=PaiNN(width=8, layers=1, species=[1, 8])).double().eval()
    model.fit([store[k] for k in range(4)])
    hydrogen = Graph([[0.0, 0, 0], [0, 0, 0.8]], z=[1, 1])
    report = certify(model, [store[0], hydrogen])
    assert report.verdict == "exact", report.summary()


def test_the_guess_is_exact_where_two_centres_say_all(store) -> None:
    """The overlap of two atoms is a function of two centres: the fit of the guess leaves little of it."""
    basis, pos = pyscf_basis("sto-3g", [1, 8]), geometries(40)
    S = overlap_matrix(basis, WATER, pos)
    degrees = [shell.degree for z in WATER.tolist() for shell in basis.of(z)]
    data = matrix_store(basis, WATER, pos, reordered(S, degrees, "intertwine", "pyscf"), name="overlaps")
    model = task()
    model.fit([data[k] for k in range(40)])
    assert float(model.spread) < 0.005 * HARTREE


def test_guesses_by_name(store) -> None:
    """What a guess leaves is less, the more it says; every one of them turns with the molecule."""
    graphs, left = [store[k] for k in range(20)], []
    isometry = -o3.rand_matrix(dtype=torch.float64)
    for guess in GUESSES:
        model = task(guess=guess).double().eval()
        model.fit(graphs)
        left.append(float(model.spread))
        here, there = (model(Graph(x, z=WATER))["hamiltonian"] for x in (store[0].pos, store[0].pos @ isometry.T))
        assert float((here @ model.layout.irreps.D_from_matrix(isometry).T - there).abs().max()) < 1e-10, guess
    assert GUESSES == ("pairs", "atoms", "none")
    assert left[0] < 0.2 * left[1] < 0.2 * left[2]
    with pytest.raises(InputError, match="unknown guess 'minao'"):
        task(guess="minao")


def test_nothing_is_said_of_distances_never_seen(store) -> None:
    """Distances of a kind of pair have mean 0 and variance 1; beyond those of the training set blocks fade to zero,
    twice differentiable, and pairs of elements that were never together have none."""
    model = task().double().eval()
    model.fit([store[k] for k in range(24)])
    guess, pos = model.head.guess, torch.stack([store[k].pos for k in range(24)])
    d, hydrogens = (pos[:, 1] - pos[:, 2]).norm(dim=1), torch.zeros(24, dtype=torch.int64)
    values = guess.standardised(hydrogens, guess.functions(hydrogens, d)[0])
    assert float(values[:, 0].mean().abs()) < 0.1
    assert 0.8 < float(values[:, 0].std()) < 1.2
    far = float(d.max()) + torch.tensor([-0.5, 0.2, 0.45, 0.7, 3.0], dtype=torch.float64)
    values = guess.standardised(torch.zeros(5, dtype=torch.int64), guess.radial(far))
    assert float(values.abs().max()) <= 8
    fades = lambda x: guess.functions(torch.zeros(len(x), dtype=torch.int64), x)[1]  # noqa: E731
    assert fades(far)[3:].abs().max() == 0 < fades(far)[2] < fades(far)[1]
    assert torch.autograd.gradgradcheck(fades, (far + 1e-3).requires_grad_())  # not on the joints
    apart = torch.tensor([[0.0, 0, 0], [0, 0.76, 0.59], [0, -0.76, 0.59], [0, 0, 3.0], [0, 0.76, 3.6], [0, -0.76, 3.6]])
    z, one = WATER.repeat(2), torch.arange(6) // 3
    made = orbital_matrix(model.layout, z, model(Graph(apart.double(), z=z))["hamiltonian"])
    rows = torch.arange(6).repeat_interleave(torch.tensor([5, 1, 1, 5, 1, 1]))
    oxygens = (z[rows] == 8).unsqueeze(1) & (z[rows] == 8) & (one[rows].unsqueeze(1) != one[rows])
    assert float(made[oxygens].abs().max()) == 0.0


def test_losses_and_errors_are_those_of_whole_matrices(store) -> None:
    model = task(energy_weight=0.5).double()
    graphs = [store[k] for k in range(5)]
    model.fit(graphs)
    batch = collate(graphs)
    prediction = model.eval()(batch)
    errors = model.residuals(prediction, batch)
    made, true = (
        orbital_matrix(model.layout, WATER, y.view(5, 9, -1)) for y in (prediction["hamiltonian"], batch.hamiltonian)
    )
    assert float(errors["hamiltonian"].abs().sum()) == pytest.approx(float((made - true).abs().sum()), rel=1e-10)
    assert errors["hamiltonian"].numel() == 5 * 7 * 7
    S = overlap_matrix(model.basis, WATER, batch.pos.view(5, 3, 3))
    levels = [spectrum(H, S).energies for H in (made, true)]
    torch.testing.assert_close(errors["occupied_energies"].view(5, 5), (levels[0] - levels[1])[:, :5])
    torch.testing.assert_close(errors["gap"], (levels[0] - levels[1])[:, 5] - (levels[0] - levels[1])[:, 4])
    assert float(model.residuals({"hamiltonian": batch.hamiltonian}, batch)["orbitals"].abs().max()) < 1e-12
    losses = model.train().losses(model(batch), batch)
    (losses["hamiltonian"][0] + losses["occupied_energies"][0]).backward()
    assert all(p.grad is None or bool(p.grad.isfinite().all()) for p in model.parameters())


def test_a_run_learns_water_and_begins_pyscfs_iterations(store, tmp_path: Path) -> None:
    from intertwine.integrations.scf import compare_guesses, energy_and_forces, predicted

    assert TASKS["hamiltonian"].suits(store, None)
    store.task = "hamiltonian"
    sections = {
        "model": {"width": 8, "layers": 1},
        "training": {"epochs": 40, "batch_size": 4, "certify": False, "threads": 1},
    }
    train(sections, store=store, run=tmp_path / "run", progress=False)
    trained = load_run(tmp_path / "run")
    pictures = {"matrix.png", "orbital_energies.png", "block_errors.png"}
    assert pictures <= {file.name for file in (tmp_path / "run").iterdir()}
    unseen = [molecule(x) for x in geometries(3, seed=9)]
    answer = predicted(trained, unseen)[0]
    assert np.abs(answer.fock - answer.fock.T).max() < 1e-14
    assert np.trace(answer.density @ answer.overlap) == pytest.approx(10, abs=1e-9)
    assert np.abs(answer.fock - hartree_fock(geometries(3, seed=9)[0])).mean() < 2e-3
    for usual, ours in compare_guesses(trained, unseen, scf.RHF):
        assert usual.converged
        assert ours.converged
        assert ours.energy == pytest.approx(usual.energy, abs=1e-8)
        assert ours.iterations < usual.iterations
    energy, forces = energy_and_forces(scf.RHF(unseen[0]), answer)
    exact = scf.RHF(unseen[0]).run(conv_tol=1e-12)
    assert -1e-9 < energy - exact.e_tot < 1e-3
    assert np.abs(forces + exact.nuc_grad_method().kernel()).max() < 0.02
    with pytest.raises(InputError, match="charge 1"):
        predicted(trained, [molecule(SHAPE, charge=1, spin=1)])
    with pytest.raises(DataError, match="its basis is not"):
        predicted(trained, [molecule(SHAPE, "6-31g")])
    with pytest.raises(DataError, match="unknown species"):
        predicted(trained, [gto.M(atom="C 0 0 0; O 0 0 1.1", basis="sto-3g", verbose=0)])


def test_bad_input_of_hamiltonians(store) -> None:
    with pytest.raises(InputError, match="no basis"):
        Hamiltonian(NequIP(width=4, layers=1, species=[1, 8]))
    other = matrix_store(
        pyscf_basis("6-31g", [1, 8]), WATER, geometries(1), torch.tensor(hartree_fock(geometries(1)[0], "6-31g"))[None]
    )
    with pytest.raises(DataError, match="do not mix matrices"):
        task().fit([store[0], other[0]])
    radical = Graph([[0.0, 0, 0], [0, 0, 1.0]], z=[8, 1], hamiltonian=torch.zeros(4, store[0].hamiltonian.shape[1]))
    with pytest.raises(DataError, match="its shell is open"):
        task().fit([radical])
    carbon = Graph([[0.0, 0, 0]], z=[6], hamiltonian=torch.zeros(1, store[0].hamiltonian.shape[1]))
    with pytest.raises(DataError):
        task().fit([carbon])
    basis, lopsided = pyscf_basis("sto-3g", [1, 8]), torch.arange(49.0).view(1, 7, 7)
    with pytest.raises(DataError, match="not symmetric"):
        matrix_store(basis, WATER, geometries(1), lopsided)
    with pytest.raises(DataError, match="not finite"):
        matrix_store(basis, WATER, geometries(1), torch.full((1, 28), torch.nan))
    with pytest.raises(DataError, match="7 orbitals"):
        matrix_store(basis, WATER, geometries(1), torch.zeros(1, 8, 8))
