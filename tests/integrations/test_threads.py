"""One calculator in many places: threads, copies, processes, and torch's modes without derivatives."""

from __future__ import annotations

import copy
import os
import pickle
import select
import signal
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.calculator import Calculator as AseCalculator
from ase.calculators.calculator import all_changes
from switches import as_users_run_it

from intertwine.integrations import Calculator, run_dynamics
from intertwine.numerics import CheckpointError, DataError, GeometryError
from intertwine.training.evaluation import inputs_of


def crowd(count: int) -> list[Atoms]:
    """Molecules of several kinds, crystals among them, no two the same."""
    kinds = [molecule("H2O"), molecule("CH3CH2OH"), molecule("CO2"), bulk("C", "diamond", a=3.57), molecule("CH4")]
    frames = []
    for k in range(count):
        atoms = kinds[k % len(kinds)].copy()
        atoms.rattle(0.1, seed=k)
        frames.append(atoms)
    return frames


def answer(atoms: Atoms, calculator: AseCalculator) -> tuple[float, np.ndarray]:
    atoms = atoms.copy()
    atoms.calc = calculator
    return atoms.get_potential_energy(), atoms.get_forces()


@pytest.mark.parametrize("name", ["painn", "schnet", "mace"])
def test_eight_threads_with_twenty_molecules_each(name: str, force_field) -> None:
    calculator, frames = Calculator(force_field(name)), crowd(160)
    first = [answer(atoms, Calculator(force_field(name))) for atoms in frames[:3]]  # with annotations checked
    with as_users_run_it():
        expected = first + [answer(atoms, calculator) for atoms in frames[3:]]
    gate = threading.Barrier(8)

    def work(number: int) -> list[tuple[float, np.ndarray]]:
        gate.wait()
        return [answer(atoms, calculator) for atoms in frames[number::8]]

    with as_users_run_it(), ThreadPoolExecutor(8) as pool:
        found = list(pool.map(work, range(8)))
    for number, answers in enumerate(found):
        for (energy, forces), (e, f) in zip(answers, expected[number::8], strict=True):
            assert energy == e
            assert np.array_equal(forces, f)


def test_dynamics_in_two_threads_is_that_of_one(force_field) -> None:
    def work(calculator: Calculator, seed: int) -> np.ndarray:
        atoms = molecule("CH3CH2OH")
        atoms.calc = calculator
        run_dynamics(atoms, 15, ensemble="nvt", seed=seed)
        return atoms.positions

    alone = [work(Calculator(force_field()), seed) for seed in range(4)]
    shared = Calculator(force_field())
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda seed: work(shared, seed), range(4)))
    assert all(np.array_equal(a, b) for a, b in zip(alone, together, strict=True))


def test_another_thread_sees_the_last_results(force_field) -> None:
    """A thread that writes what another one calculated finds it, and its own calculation leaves the other's alone."""
    atoms, other = molecule("H2O"), molecule("CO2")
    atoms.calc = calculator = Calculator(force_field())
    energy = atoms.get_potential_energy()
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(lambda: calculator.results["energy"]).result() == energy
        assert pool.submit(lambda: calculator.calculation_required(atoms, ["energy"])).result() is False
        assert pool.submit(answer, other, calculator).result()[0] != energy
    assert calculator.results["energy"] == energy
    assert len(calculator.atoms) == 3
    assert calculator.rebuilds == 1


@pytest.mark.parametrize(
    "make", [copy.deepcopy, copy.copy, lambda c: pickle.loads(pickle.dumps(c))], ids=["deepcopy", "copy", "pickle"]
)
def test_copies_answer_for_themselves(make, force_field) -> None:
    calculator, frames = Calculator(force_field(), skin=0.3), crowd(6)
    first = [answer(atoms, calculator) for atoms in frames]
    again = make(calculator)
    assert again.results["energy"] == calculator.results["energy"]
    assert again.skin == 0.3
    for atoms, (energy, forces) in zip(frames, first, strict=True):
        other = answer(atoms, again)
        assert other[0] == energy
        assert np.array_equal(other[1], forces)
    atoms = frames[0].copy()
    atoms.calc = calculator
    twin = copy.deepcopy(atoms)
    twin.positions[0] += 0.1
    assert twin.get_potential_energy() != atoms.get_potential_energy()
    assert atoms.get_potential_energy() == first[0][0]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no processes of this kind")
def test_a_forked_process(force_field) -> None:
    calculator, frames = Calculator(force_field()), crowd(5)
    expected = [answer(atoms, calculator) for atoms in frames]
    receive, send = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            # as torch's own workers do: the threads of its parent are not in a child, and OpenMP would wait for them
            torch.set_num_threads(1)
            found = [answer(atoms, calculator) for atoms in frames[::-1]]
            os.write(send, pickle.dumps(found))
        finally:
            os._exit(0)
    os.close(send)
    answered = bool(select.select([receive], [], [], 120.0)[0])
    if not answered:
        os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert answered, "the child did not answer"
    with os.fdopen(receive, "rb") as file:
        found = pickle.loads(file.read())[::-1]
    for (energy, forces), (e, f) in zip(found, expected, strict=True):
        assert energy == e
        assert np.array_equal(forces, f)


@pytest.mark.parametrize("mode", [torch.inference_mode, torch.no_grad])
@pytest.mark.parametrize("name", ["painn", "mace", "egnn"])
def test_without_derivatives_around_it(mode, name: str, force_field) -> None:
    """The mode may begin anywhere: around everything, the calculation, or a part of a trajectory."""
    frames = [molecule("CH3CH2OH"), *([bulk("C", "diamond", a=3.57)] if name != "egnn" else [])]
    for atoms in frames:
        energy, forces = answer(atoms, Calculator(force_field(name)))
        with mode():
            inner = Calculator(force_field(name))
            assert answer(atoms, inner)[0] == energy
        assert np.array_equal(answer(atoms, inner)[1], forces)
        moved = atoms.copy()
        moved.positions[0] += 1e-3
        with mode():
            third = answer(moved, inner)
        assert np.array_equal(third[1], answer(moved, Calculator(force_field(name)))[1])


def test_inputs_come_from_the_structure(force_field) -> None:
    """By the name that the keys give them, or from what ASE keeps; and a change of them is seen."""
    task = force_field(node_inputs=("charge",))
    assert inputs_of(task) == ("charge",)
    atoms = molecule("H2O")
    with pytest.raises(DataError, match="'charge', and the structure has none"):
        answer(atoms, Calculator(task))
    atoms.set_initial_charges([-0.8, 0.4, 0.4])
    energy, _ = answer(atoms, Calculator(task))
    named = molecule("H2O")
    named.arrays["q"] = np.array([-0.8, 0.4, 0.4])
    named.calc = Calculator(task, keys={"charge": "q"})
    assert named.get_potential_energy() == energy
    named.arrays["q"] = np.array([0.8, -0.4, -0.4])
    assert named.get_potential_energy() != energy
    named.arrays["q"][:] = [-0.8, 0.4, 0.4]  # in place
    assert named.get_potential_energy() == energy
    moving = molecule("H2O")
    moving.set_momenta(np.ones((3, 3)))
    moving.calc = Calculator(force_field(vector_inputs=("vel",)))
    before = moving.get_potential_energy()
    moving.set_momenta(2 * np.ones((3, 3)))
    assert moving.get_potential_energy() != before


def test_what_is_not_finite_is_said(force_field) -> None:
    task = force_field()
    with torch.no_grad():
        next(task.parameters())[0] = torch.nan
    with pytest.raises(CheckpointError, match="the weights are not finite"):
        answer(molecule("H2O"), Calculator(task))
    task = force_field()
    task.scale.fill_(1e308)
    atoms = molecule("H2O")
    with pytest.raises(GeometryError, match=r"the predicted \w+ is not finite"):
        answer(atoms, Calculator(task))
    atoms.calc = Calculator(task)
    with pytest.raises(GeometryError, match="step 0 of the dynamics"):
        run_dynamics(atoms, 3)
    assert set(all_changes) == set(Calculator(force_field()).check_state(atoms))
