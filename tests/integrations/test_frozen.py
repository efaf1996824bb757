"""Steps of compiled loops beside torch's evaluation of the same tables, and tables beside the networks."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule
from deployed_files import force_field
from switches import default_precision

from intertwine.data import to_graph
from intertwine.geometry import connect, from_voigt, six
from intertwine.integrations import from_mace, from_nequip
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


def converted(name: str, dtype: torch.dtype) -> ForceField:
    """A force field of random weights of another package."""
    torch.manual_seed(0)
    if name == "nequip":
        from nequip.model import NequIPGNNModel
        from nequip.utils.global_state import set_global_state

        set_global_state()
        scales = {"H": 1.5, "C": 0.5, "O": 2.0}
        return from_nequip(
            NequIPGNNModel(
                seed=0, model_dtype=str(dtype).removeprefix("torch."), r_max=3.0, type_names=list(scales),
                avg_num_neighbors=4.0, num_layers=2, l_max=2, num_features=4, radial_mlp_depth=1, radial_mlp_width=8,
                per_type_energy_scales=scales, per_type_energy_shifts={"H": -1.0, "C": 2.0, "O": 3.0},
            )
        )  # fmt: skip
    from e3nn import o3 as theirs
    from mace import modules

    hidden = {"mace": ("4x0e+4x1o", "8x0e"), "mace of scalars": ("6x0e", "5x0e")}[name]
    return from_mace(
        modules.ScaleShiftMACE(
            r_max=3.0, num_bessel=4, num_polynomial_cutoff=5, max_ell=2, num_interactions=2, num_elements=3,
            atomic_numbers=[1, 6, 8], atomic_energies=np.array([-1.0, 2.0, 3.0]), avg_num_neighbors=4.0, correlation=3,
            gate=torch.nn.functional.silu, hidden_irreps=theirs.Irreps(hidden[0]),
            MLP_irreps=theirs.Irreps(hidden[1]), atomic_inter_scale=1.7, atomic_inter_shift=0.3,
            interaction_cls_first=modules.RealAgnosticInteractionBlock,
            interaction_cls=modules.RealAgnosticResidualInteractionBlock,
        ).to(dtype)
    )  # fmt: skip


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("name", ["mace", "mace of scalars", "nequip"])
def test_models_of_other_packages_have_steps(name: str, dtype: torch.dtype) -> None:
    """With a readout of each layer, and a scale of each species."""
    with default_precision(torch.float32):  # which the packages change
        task = frozen(converted(name, dtype), 256)
        stepper = stepper_of(task)
        assert stepper is not None
        for words, atoms in structures().items():
            graph = connect(to_graph(atoms), 3.0)
            step, _ = Moving(stepper, 0.5)(atoms)
            assert deviation(step, task, graph) <= {torch.float64: 1e-11, torch.float32: 2e-5}[dtype], words
            energies = task.atomic_energies(graph).detach().numpy()
            references = task.references.values.numpy()[atoms.numbers]
            assert step.energies + references == pytest.approx(energies, rel={torch.float64: 1e-11}.get(dtype, 1e-5))


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
