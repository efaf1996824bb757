"""Structures far outside of the training data are called that by the calculator, by relaxations and by dynamics."""

from __future__ import annotations

import pickle
import warnings
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator

from intertwine.data import GraphStore, ethanol
from intertwine.data.suspicion import Domain, Frames, Seen
from intertwine.geometry import Graph, connect, distances, edge_vectors
from intertwine.integrations import Calculator, relax, run_dynamics
from intertwine.integrations.observed import Dynamics
from intertwine.integrations.simulate import outside
from intertwine.numerics import Caution
from intertwine.training import load_run, train


def rattled(atoms: Atoms, count: int, size: float) -> list[Graph]:
    graphs = []
    for seed in range(count):
        moved = atoms.copy()
        moved.rattle(size, seed=seed)
        moved.calc = EMT()
        labels = {"energy": moved.get_potential_energy(), "forces": moved.get_forces()}
        periodic = {"cell": np.array(moved.cell), "pbc": moved.pbc} if moved.pbc.any() else {}
        graphs.append(Graph(moved.positions, z=moved.numbers, **labels, **periodic))
    return graphs


def words(domain: Domain, atoms: Atoms, cutoff: float = 5.0, **labels: object) -> list[str]:
    graph = connect(Graph.from_ase(atoms), cutoff)
    return domain.departures(
        graph.z.numpy(), graph.edge_index.numpy(), distances(edge_vectors(graph)).numpy(), cutoff, **labels
    )


@pytest.fixture(scope="module")
def water() -> Domain:
    return Domain.of(Frames.of_store(GraphStore.from_graphs(rattled(molecule("H2O"), 30, 0.05))))


@pytest.fixture(scope="module")
def copper() -> Domain:
    return Domain.of(Frames.of_store(GraphStore.from_graphs(rattled(bulk("Cu", cubic=True), 20, 0.05))))


def test_what_was_trained_on_and_its_like_are_within(water: Domain, copper: Domain) -> None:
    for domain, atoms in ((water, molecule("H2O")), (copper, bulk("Cu", cubic=True)), (copper, bulk("Cu") * 2)):
        for seed in range(5):
            like = atoms.copy()
            like.rattle(0.08, seed=100 + seed)
            like.calc = EMT()
            assert words(domain, like, energy=like.get_potential_energy(), forces=like.get_forces()) == []


@pytest.mark.parametrize("factor", [0.2, 0.4, 0.5])
def test_atoms_nearer_than_any(water: Domain, copper: Domain, factor: float) -> None:
    squeezed = molecule("H2O")
    squeezed.positions[1] = squeezed.positions[0] + factor * (squeezed.positions[1] - squeezed.positions[0])
    line = words(water, squeezed)[0]
    assert "atoms 0 and 1 (O, H) are" in line
    assert "in training no nearer than 0.7" in line
    dense = bulk("Cu", cubic=True)
    dense.set_cell(factor * dense.cell[:], scale_atoms=True)
    assert "(Cu, Cu) are" in words(copper, dense, cutoff=3.0)[0]


@pytest.mark.parametrize("distance", [2.5, 4.0, 30.0])
def test_atoms_that_left(water: Domain, distance: float) -> None:
    apart = molecule("H2O")
    apart.positions[1] *= distance / np.linalg.norm(apart.positions[1])
    assert "atom 1 (H)" in words(water, apart)[0]
    assert "atom 1 (H)" in words(water, apart, cutoff=2.0)[0]  # no neighbour at all


@pytest.mark.parametrize("off", [-5.8e8, -30.0, 40.0])
def test_energies_far_from_all(water: Domain, copper: Domain, off: float) -> None:
    for domain, atoms in ((water, molecule("H2O")), (copper, bulk("Cu", cubic=True) * (2, 1, 1))):
        atoms.calc = EMT()
        energy = atoms.get_potential_energy()
        assert words(domain, atoms, energy=energy) == []
        (line,) = words(domain, atoms, energy=energy + off * len(atoms))
        assert line.startswith("the energy is")
        assert "eV/atom from what its composition has" in line


def test_energies_of_other_compositions_have_a_constant_of_their_own(water: Domain) -> None:
    hydroxide = molecule("OH")
    assert words(water, hydroxide, energy=-1e4) == []
    assert words(water, molecule("CH4"), energy=-1e4) == []  # carbon, which is refused elsewhere


@pytest.mark.parametrize("size", [3e2, 1e3, 1e9])
def test_forces_larger_than_all(water: Domain, size: float) -> None:
    forces = np.zeros((3, 3))
    forces[2, 0] = size
    (line,) = words(water, molecule("H2O"), forces=forces)
    assert "a force is" in line
    assert "in training at most" in line


def test_wild_labels_and_coincident_atoms_do_not_widen_it() -> None:
    graphs = rattled(molecule("H2O"), 30, 0.05)
    graphs[3].energy, graphs[4].forces = graphs[3].energy + 5e3, graphs[4].forces * 1e5
    graphs[5].pos[1] = graphs[5].pos[0]
    domain = Domain.of(Frames.of_store(GraphStore.from_graphs(graphs)))
    assert np.abs(domain.residuals).max() < 3
    assert domain.force[0] < 100
    assert domain.nearest.min() > 0.7


def test_few_or_no_labels_say_nothing() -> None:
    few = GraphStore.from_graphs(rattled(molecule("H2O"), 3, 0.05))
    assert len(Domain.of(Frames.of_store(few)).energies) == 0
    bare = Domain.of(Frames.of_store(few.only()))  # of the distances alone
    assert len(bare.energies) == 0
    assert np.isinf(bare.force).all()
    assert words(bare, molecule("H2O"), energy=-1e9, forces=np.full((3, 3), 1e9)) == []


def test_it_is_kept_and_a_damaged_or_former_file_has_none(tmp_path: Path, water: Domain) -> None:
    seen = Seen.of(Frames.of_store(GraphStore.from_graphs(rattled(molecule("H2O"), 30, 0.05))))
    seen.save(tmp_path / "seen.npz")
    again = Seen.load(tmp_path / "seen.npz")
    for name, value in water.arrays().items():
        assert np.array_equal(again.domain.arrays()[name], value)
    arrays = seen.domain.arrays()
    assert Domain.from_arrays({k: v for k, v in arrays.items() if k != "domain_force"}) is None
    assert Domain.from_arrays(arrays | {"domain_nearest": np.zeros((1, 1))}) is None


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = ethanol()
    settings = {
        "model": {"name": "schnet", "width": 8, "layers": 1},
        "training": {"epochs": 1, "certify": False, "threads": 1},
        "data": {"source": "ethanol", "train": 40, "validation": 5, "test_size": 5},
    }
    return train(settings, run=tmp_path_factory.mktemp("domain") / "run", store=store, progress=False)


@pytest.fixture
def ethanol_atoms() -> Atoms:
    graph = ethanol()[0]
    return Atoms(graph.z.numpy(), graph.pos.numpy())


def test_a_calculator_warns_once_and_remembers_the_last(run: Path, ethanol_atoms: Atoms) -> None:
    ethanol_atoms.calc = Calculator(run)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ethanol_atoms.get_forces()
    assert ethanol_atoms.calc.departures == []
    start = ethanol_atoms.positions.copy()
    ethanol_atoms.positions[0] = start[1] + [0.3, 0.0, 0.0]
    with pytest.warns(Caution, match=r"far outside of the training data.*A apart.*train on structures like it"):
        ethanol_atoms.get_forces()
    assert ethanol_atoms.calc.departures
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ethanol_atoms.positions[0] = start[1] + [0.31, 0.0, 0.0]
        ethanol_atoms.get_forces()
        assert pickle.loads(pickle.dumps(ethanol_atoms.calc)).departures
        ethanol_atoms.positions[:] = start
        ethanol_atoms.get_forces()
    assert ethanol_atoms.calc.departures == []
    assert Calculator(load_run(run).task).domain is None


class Falling(EMT):
    """Two atoms that attract each other without end, and say when they are nearer than 1 A."""

    implemented_properties = ("energy", "forces")

    def calculate(self, atoms=None, properties=("energy",), system_changes=()) -> None:
        vector = atoms.positions[1] - atoms.positions[0]
        length = np.linalg.norm(vector)
        self.atoms, self.departures = atoms.copy(), ["atoms are near"] if length < 1 else []
        self.results = {"energy": length**2 / 2, "forces": np.stack([vector, -vector])}


def test_a_relaxation_that_fell_is_none() -> None:
    atoms = Atoms("H2", [[0, 0, 0], [0, 0, 1.2]], calculator=Falling())
    fell = relax(atoms, fmax=2.0, steps=5)  # at once: forces are small enough
    assert fell.converged
    assert fell.departures == []
    assert fell
    fell = relax(atoms, fmax=0.1, steps=50)
    assert fell.departures == ["atoms are near"]
    assert not fell


def test_dynamics_say_when_they_left() -> None:
    atoms = Atoms("H2", [[0, 0, 0], [0, 0, 1.05]], calculator=Falling(), masses=[1, 1])
    said: list[str] = []
    record = run_dynamics(atoms, 40, temperature=0.0, timestep=0.25, every=2, say=said.append)
    assert said[0].startswith(f"from step {record.left[0]}")
    assert "(atoms are near), so means and drift say nothing. Energies and forces mean nothing there" in said[0]
    assert "--timestep" not in said[0]
    assert not any("mean temperature" in line for line in said)
    step, time, departures = record.left
    assert departures == ["atoms are near"]
    assert 0 < step < 40
    assert time == pytest.approx(step * 0.25e-3)
    calm = Atoms("H", calculator=SinglePointCalculator(Atoms("H"), energy=0.0, forces=np.zeros((1, 3))))
    assert run_dynamics(calm, 2, temperature=0.0, every=1).left is None


@pytest.mark.parametrize("steps", [30, 60, 100])
def test_a_resumed_run_remembers_since_when_it_is_outside(steps: int, tmp_path: Path) -> None:
    """And not since its resumption: its table is of all steps."""
    said: list[str] = []

    def go(count: int, **options: Path) -> Dynamics:
        atoms = Atoms("H2", [[0, 0, 0], [0, 0, 1.05]], calculator=Falling(), masses=[1, 1])
        files = {"trajectory": tmp_path / "a.traj", "log": tmp_path / "a.csv"}
        return run_dynamics(atoms, count, temperature=0.0, timestep=0.25, every=2, say=said.append, **files, **options)

    first = go(24)
    again = go(24 + steps, resume=tmp_path / "a.traj")
    assert first.left is not None
    assert again.left == first.left
    assert first.left[0] < 24
    assert sum(line.startswith(f"from step {first.left[0]} (") for line in said) == 2


@pytest.mark.parametrize(
    ("kelvin", "timestep", "hot", "fast"),
    [(5000.0, 2.0, True, True), (500.0, 0.5, True, False), (310.0, 2.0, False, False)],
)
def test_a_run_that_left_names_its_temperature_and_its_time_step(
    kelvin: float, timestep: float, hot: bool, fast: bool
) -> None:
    """Whether it fell apart, and what it may have fallen apart by."""
    record = Dynamics(2, time=[0.0, 0.1], temperature=[kelvin, kelvin], left=(10, 0.02, ["atoms are near"]))
    (line,) = outside(record, 300.0, timestep)
    assert (f"The mean temperature is {kelvin:,.0f} K, where 300 K were asked for." in line) is hot
    assert (f", take a smaller time step than {timestep:g} fs (--timestep), or train" in line) is fast
    assert outside(Dynamics(2), 300.0, timestep) == []


@pytest.mark.parametrize(
    ("ensemble", "asked", "words"),
    [("nve", False, "where it was 40 K at the start"), ("nvt", False, "where the bath has 300 K"),
     ("nve", True, "where 300 K were asked for"), ("nvt", True, "where 300 K were asked for")],
)  # fmt: skip
def test_a_temperature_that_nobody_asked_for_is_not_said_to_be_meant(ensemble: str, asked: bool, words: str) -> None:
    record = Dynamics(2, time=[0.0, 0.1], temperature=[40.0, 5000.0], left=(10, 0.02, ["atoms are near"]))
    (line,) = outside(record, 300.0, 2.0, ensemble, asked)
    assert f"K, {words}." in line
