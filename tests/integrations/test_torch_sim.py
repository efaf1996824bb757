"""A model of torch-sim passes its own validation, says what ASE says, and moves many structures at once."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
import torch
from ase.build import molecule
from engines_beside_ase import AGREEMENT, ase, assert_conserved, ethanol, silicon, spring, triclinic

from intertwine.integrations import Calculator, torch_sim_model
from intertwine.integrations.engines import torchsim
from intertwine.numerics import DataError, GeometryError, InputError

__all__ = ["spring"]
CPU = torch.device("cpu")


@pytest.fixture
def ts() -> Any:
    """torch-sim."""
    return pytest.importorskip("torch_sim")


def test_its_own_validation(ts, force_field) -> None:
    from torch_sim.models.interface import ModelInterface, validate_model_outputs

    model = torch_sim_model(force_field())
    assert isinstance(model, ModelInterface)
    validate_model_outputs(model, CPU, torch.float64)


def test_a_batch_says_what_ase_says(ts, force_field) -> None:
    task, systems = force_field(scale=5.0), [triclinic(), silicon()]
    model = torch_sim_model(task)
    state = ts.io.atoms_to_state(systems, CPU, torch.float64)
    for turn in range(3):
        state.positions = state.positions + 0.02 * turn
        state.positions[0] += 0.05
        output, start = model(state), 0
        for k, atoms in enumerate(systems):
            rows = slice(start, start + len(atoms))
            expected, start = ase(task, atoms), start + len(atoms)
            expected.positions = state.positions[rows].numpy()
            assert abs(output["energy"][k].item() - expected.get_potential_energy()) < AGREEMENT
            assert np.abs(output["forces"][rows].numpy() - expected.get_forces()).max() < AGREEMENT
            assert np.abs(output["stress"][k].numpy() - expected.get_stress(voigt=False)).max() < AGREEMENT


def test_molecules_have_no_stress(ts, force_field) -> None:
    task, systems = force_field(), [ethanol(), molecule("H2O"), molecule("H2O")[:1]]
    output = torch_sim_model(task)(ts.io.atoms_to_state(systems, CPU, torch.float64))
    for k, atoms in enumerate(systems):
        assert output["energy"][k].item() == pytest.approx(ase(task, atoms).get_potential_energy(), abs=AGREEMENT)
    assert output["stress"].isnan().all()
    assert output["forces"].shape == (13, 3)


def test_the_list_follows_whatever_changes(ts, force_field) -> None:
    """Another batch, a system fewer, a cell that grows and an atom that moves: as with no list kept."""
    task = force_field(scale=5.0)
    kept, fresh = torch_sim_model(task, skin=0.5), torch_sim_model(task, skin=0.0)
    both = ts.io.atoms_to_state([triclinic(), silicon()], CPU, torch.float64)
    grown = both.clone()
    grown.cell = grown.cell * 1.05
    moved = grown.clone()
    moved.positions[3] += 0.1
    far = moved.clone()
    far.positions[3] += 0.3
    for state in (both, both[0], both[1], grown, moved, far, both):
        one, other = kept(state), fresh(state)
        assert all(torch.equal(one[name], other[name]) for name in ("energy", "forces", "stress"))
    assert kept.rebuilds == 6 < fresh.rebuilds + 1
    assert fresh.rebuilds == 7


def test_energy_is_conserved_in_two_thousand_steps(ts, spring) -> None:
    model, systems = torch_sim_model(spring), [silicon(), silicon()]
    systems[1].rattle(0.05, seed=5)
    begin, step = ts.nve(model=model, dt=torch.tensor(0.001 * ts.units.MetalUnits.time), kT=torch.tensor(0.02585))
    state = begin(ts.initialize_state(systems, CPU, torch.float64), seed=1)
    rows = []
    for k in range(2001):
        if k % 20 == 0:
            kinetic = 0.5 * (state.momenta.square().sum(1) / state.masses)
            total = state.energy + state.energy.new_zeros(2).index_add(0, state.system_idx, kinetic)
            rows.append(torch.stack([total, state.energy]).numpy())
        state = step(state)
    for k in range(2):
        assert_conserved(*np.array(rows)[:, :, k].T)
    assert model.rebuilds < 2001 / 4  # a list serves for several steps


def test_relaxations_in_batches_of_any_size(ts, spring) -> None:
    systems = [triclinic(), silicon(), triclinic()]
    systems[2].rattle(0.03, seed=9)
    model = torch_sim_model(spring)
    start = [ase(spring, atoms).get_potential_energy() for atoms in systems]
    ends = []
    for batcher in (False, ts.InFlightAutoBatcher(model, memory_scales_with="n_atoms", max_memory_scaler=9)):
        found = ts.optimize(
            systems, model, optimizer=ts.optimizers.fire, max_steps=400, autobatcher=batcher,
            convergence_fn=ts.generate_force_convergence_fn(0.05, include_cell_forces=False),
        )  # fmt: skip
        ends.append(found.energy.numpy())
        assert found.n_systems == 3
        assert (ends[-1] < start).all()
    assert np.allclose(ends[0][[0, 2]], ends[1][[0, 2]], atol=0.02)  # which have a minimum nearby


def test_float32_states_and_networks(ts, force_field) -> None:
    task = force_field(scale=5.0)
    model = torch_sim_model(task, dtype=torch.float32)
    assert model.dtype == torch.float32
    state = ts.io.atoms_to_state([silicon()], CPU, torch.float32)
    output = model(state)
    assert {value.dtype for value in output.values()} == {torch.float32}
    expected = ase(task, silicon())
    assert np.abs(output["forces"].numpy() - expected.get_forces()).max() < 1e-4


def test_what_is_wrong_is_named(ts, force_field, monkeypatch: pytest.MonkeyPatch) -> None:
    calculator = Calculator(force_field())
    calculator.species = (6,)
    state = ts.io.atoms_to_state([silicon()], CPU, torch.float64)
    with pytest.raises(DataError, match="Si"):
        torch_sim_model(calculator)(state)
    state.positions[5] = 1e200
    with pytest.raises(GeometryError):
        torch_sim_model(force_field())(state)
    charged = Calculator(force_field("painn", node_inputs=("charge",)))
    with pytest.raises(InputError, match="reads charge, which a state of torch-sim has not"):
        torch_sim_model(charged)
    torchsim._model_class.cache_clear()
    monkeypatch.setitem(sys.modules, "torch_sim.models.interface", None)
    with pytest.raises(InputError, match=r"torch-sim is missing[\s\S]*pip install torch-sim-atomistic"):
        torch_sim_model(force_field())
    torchsim._model_class.cache_clear()
