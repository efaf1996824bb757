"""Steps of compiled loops beside torch's evaluation of the same tables, and tables beside the networks."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule
from deployed_files import force_field

from intertwine.data import to_graph
from intertwine.geometry import connect, from_voigt, six
from intertwine.integrations.frozen import Moving, deviation, stepper_of
from intertwine.models import MODELS
from intertwine.nn.frozen_radial import FrozenRadial, frozen
from intertwine.numerics import InputError
from intertwine.tasks import ForceField


def structures() -> dict[str, Atoms]:
    """Open and periodic, small and very small."""
    ethanol = molecule("CH3CH2OH")
    ethanol.rattle(0.05, seed=1)
    diamond = bulk("C", "diamond", a=3.4)  # two atoms, which see images of themselves
    diamond.rattle(0.05, seed=2)
    slab = diamond.repeat((2, 2, 1))
    slab.numbers[::3] = 8
    slab.pbc = (True, True, False)
    slab.center(vacuum=5.0, axis=2)
    return {
        "ethanol": ethanol, "diamond": diamond, "slab": slab, "one atom": Atoms("O"),
        "far atoms": Atoms("OHH", [[0, 0, 0], [0, 0, 0.9], [50, 0, 0]]),
    }  # fmt: skip


MODELS_TRIED = {
    "mace": {},
    "mace without a first residual": {"first_residual": False, "hidden_lmax": 0},
    "nequip": {},
    "nequip without first self-interaction": {"first_self_interaction": False, "gate": "sigmoid", "layers": 3},
}


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("name", MODELS_TRIED)
def test_steps_are_what_torch_computes(name: str, dtype: torch.dtype) -> None:
    task = frozen(force_field(name.split()[0], knots=64, **MODELS_TRIED[name]).to(dtype), 64)
    stepper = stepper_of(task)
    assert stepper is not None
    moving, bound = Moving(stepper, 0.5), {torch.float64: 1e-11, torch.float32: 2e-5}[dtype]
    for words, atoms in structures().items():
        graph = connect(to_graph(atoms), 3.0)
        step, _ = moving(atoms)
        assert deviation(step, task, graph) <= bound, words
        if words in ("diamond", "slab"):
            stress = from_voigt(six(task(graph)["stress"].double().numpy()))
            expected = stress * abs(np.linalg.det(atoms.cell.array))
            assert np.abs(step.virial - expected).max() <= bound * max(1.0, np.abs(expected).max()), words


def test_a_list_is_made_again_when_atoms_have_moved_and_not_before() -> None:
    task = frozen(force_field("mace", knots=64).double(), 64)
    stepper = stepper_of(task)
    assert stepper is not None
    moving, atoms = Moving(stepper, 0.4), structures()["diamond"].repeat((2, 1, 1))
    made = []
    for size in (0.0, 0.02, 0.05, 0.25, 0.0):
        atoms.positions[0, 0] += size
        step, new = moving(atoms)
        made.append(new)
        assert deviation(step, task, connect(to_graph(atoms), 3.0)) <= 1e-11
    assert made == [True, False, False, True, False]


def test_tables_of_a_network_that_was_trained_at_as_many_knots_are_that_network() -> None:
    task = force_field("mace", knots=64).double()
    graph = connect(to_graph(structures()["ethanol"]), 3.0)
    network, table = task(graph), frozen(task, 64)(graph)
    assert (network["forces"] - table["forces"]).abs().max() <= 1e-12 * network["forces"].abs().max()


def test_tables_converge_to_the_network_with_the_fourth_power_of_their_spacing() -> None:
    task = force_field("nequip").double()
    graph = connect(to_graph(structures()["ethanol"]), 3.0)
    energy = task(graph)["energy"]
    coarse, fine = (float((frozen(task, knots)(graph)["energy"] - energy).abs()) for knots in (128, 512))
    assert fine < coarse / 60  # 4^4 = 256, as far as the sums go


def test_a_table_keeps_float64_and_refuses_half_precision() -> None:
    task = frozen(force_field("mace", knots=64).double(), 64)
    table = task.float().backbone.layers[0].radial
    assert isinstance(table, FrozenRadial)
    assert table.table.dtype is torch.float64
    with pytest.raises(InputError, match=r"table of radial functions in torch\.bfloat16"):
        task.to(torch.bfloat16)(connect(to_graph(structures()["ethanol"]), 3.0))


def test_models_without_tables_have_no_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    assert stepper_of(ForceField(MODELS["painn"](width=4, layers=1))) is None
    assert stepper_of(force_field("mace", knots=64)) is None  # its networks are asked
    monkeypatch.setenv("INTERTWINE_KERNELS", "reference")
    assert stepper_of(frozen(force_field("mace", knots=64), 64)) is None
