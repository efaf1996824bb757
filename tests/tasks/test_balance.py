"""The balance of the force field's loss: by default and of former configurations; the advice where one target is left
behind.
"""

from __future__ import annotations

import inspect
import math
from typing import Any

import pytest
import torch

from intertwine.geometry import Graph
from intertwine.integrations.mace import MACEForceField
from intertwine.integrations.nequip import NequIPForceField
from intertwine.numerics import InputError
from intertwine.tasks import TASKS, ForceField, Task
from intertwine.tasks.verdict import compared_with
from intertwine.training import parse_settings

DOUBLE = torch.float64
Errors = dict[str, tuple[float, float]]  # MAE, RMSE by target, in meV/atom, meV/A, meV/A^3
SILICON: Errors = {"energy": (262.0, 306.0), "forces": (551.0, 874.0), "stress": (11.0, 12.0)}  # of the baselines
ETHANOL: Errors = {"energy": (15.0, 22.0), "forces": (841.0, 1156.0)}
MATERIALS: Errors = {"energy": (570.0, 980.0), "forces": (200.0, 1270.0)}  # of many compositions, most at rest
CASES: dict[str, tuple[Errors, Errors, list[str]]] = {
    "silicon, energies forgotten": ({"energy": (17.0, 22.0), "forces": (38.1, 60.0)}, SILICON, ["energy"]),
    "silicon, balanced": ({"energy": (3.9, 5.0), "forces": (37.9, 60.0)}, SILICON, []),
    "silicon, forces forgotten": ({"energy": (1.0, 1.3), "forces": (500.0, 800.0)}, SILICON, ["forces"]),
    "silicon, stress forgotten": (
        {"energy": (3.9, 5.0), "forces": (37.9, 60.0), "stress": (9.0, 10.0)},
        SILICON,
        ["stress"],
    ),
    "ethanol": ({"energy": (0.36, 0.46), "forces": (17.0, 25.0)}, ETHANOL, []),
    "ethanol, energies forgotten": ({"energy": (6.0, 8.0), "forces": (17.0, 25.0)}, ETHANOL, ["energy"]),
    "materials": ({"energy": (20.0, 40.0), "forces": (45.0, 90.0)}, MATERIALS, []),
    "energies a little better beside theirs": ({"energy": (80.0, 100.0), "forces": (200.0, 300.0)}, SILICON, []),
    "untrained, energies near their baseline": ({"energy": (300.0, 330.0), "forces": (900.0, 1100.0)}, SILICON, []),
    "untrained, energies far off": ({"energy": (2e5, 3e5), "forces": (900.0, 1100.0)}, SILICON, []),
    "untrained, forces far off": ({"energy": (20.0, 30.0), "forces": (1e5, 2e5)}, ETHANOL, []),
    "untrained, stress far off": (
        {"energy": (262.0, 306.0), "forces": (551.0, 874.0), "stress": (1e3, 1e3)},
        SILICON,
        [],
    ),
    "a step or two, forces hardly below zero": (
        {"energy": (403.3, 833.1), "forces": (1594.0, 2819.0)},
        {"energy": (122.3, 136.6), "forces": (1887.0, 3061.0)},
        [],
    ),
    "copper and nickel, stress lags": (
        {"energy": (6.0, 8.1), "forces": (30.0, 44.0), "stress": (4.1, 5.5)},
        {"energy": (25.0, 30.0), "forces": (330.0, 440.0), "stress": (5.0, 6.9)},
        ["stress"],
    ),
    "all lag alike": (
        {"energy": (16.0, 18.0), "forces": (200.0, 260.0), "stress": (4.1, 5.5)},
        {"energy": (25.0, 30.0), "forces": (330.0, 440.0), "stress": (5.0, 6.9)},
        [],
    ),
    "a stress that is learnt, and forces better": (
        {"energy": (1.0, 1.5), "forces": (15.0, 22.0), "stress": (1.0, 1.4)},
        {"energy": (25.0, 30.0), "forces": (330.0, 440.0), "stress": (5.0, 6.9)},
        [],
    ),
    "forces learnt, energies worse than nothing": (
        {"energy": (2041.0, 2500.0), "forces": (38.1, 60.0)},
        SILICON,
        ["energy"],
    ),
}


def compared(name: str) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """The errors of that case as a report has them, and the targets left behind."""
    own, blind, expected = CASES[name]
    errors = {}
    for target, (mae, rmse) in own.items():
        e = {"mae": mae, "rmse": rmse, "unit": ""}
        errors[target] = e | compared_with("mean", e, *blind[target])
    return errors, expected


def spread_out(spread: float, molecule: Any, generator: torch.Generator) -> list[Graph]:
    """Molecules whose energies per atom have this standard deviation (eV); forces of 0.8 eV/A."""
    return [
        molecule(
            n,
            energy=n * spread * torch.randn(1, generator=generator, dtype=DOUBLE),
            forces=0.8 * torch.randn(n, 3, generator=generator, dtype=DOUBLE),
        )
        for n in (2, 3, 4, 5, 6, 7, 3, 4, 5, 6) * 2
    ]


@pytest.mark.parametrize("name", CASES)
def test_a_target_that_is_left_behind_is_named(name: str, backbone: Any) -> None:
    errors, expected = compared(name)
    lines = ForceField(backbone("painn"), stress_weight=1.0).left_behind(errors)
    assert [line.partition(":")[0] for line in lines] == expected
    wanted = {
        "energy": "task.energy_loss_weight=100",
        "forces": "task.force_weight=10",
        "stress": "task.stress_weight=10",
    }
    assert all(line.endswith(f"--set {wanted[target]}") for line, target in zip(lines, expected, strict=True))
    unwanted = ForceField(backbone("painn"), energy_loss_weight=0.0, stress_weight=0.0)
    lines = unwanted.left_behind(errors)  # forces alone are trained on
    assert all("not trained, for its weight in the loss is 0; give it one, --set task." in line for line in lines)
    poor = [target for target in ("energy", "stress") if errors.get(target, {}).get("ratio", {}).get("rmse", 0) >= 0.9]
    assert [line.partition(":")[0] for line in lines] == poor


@pytest.mark.parametrize(
    "name", ["silicon, energies forgotten", "silicon, forces forgotten", "silicon, stress forgotten"]
)
@pytest.mark.parametrize("share", [1e-4, 0.02, 0.5, 1.0, 30.0])
def test_no_advice_is_below_the_default(name: str, share: float, backbone: Any) -> None:
    """Whatever the weights were: ten times as much, and what a run of these data takes by itself at least."""
    default = {"energy_loss_weight": 10.0, "force_weight": 1.0, "stress_weight": 0.1}
    given = {setting: share * value for setting, value in default.items()}
    errors, expected = compared(name)
    (line,) = ForceField(backbone("painn"), **given).left_behind(errors)
    assert line.startswith(f"{expected[0]}: left behind")
    setting, _, value = line.rpartition("--set task.")[2].partition("=")
    assert float(value) == pytest.approx(max(10 * given[setting], default[setting]))
    assert parse_settings([f"task.{setting}={value}"])["task"][setting] == float(value)


@pytest.mark.parametrize("weight", [1.0, 100.0, 1000.0])
def test_the_weight_of_former_versions_is_answered_by_the_balance_of_today(weight: float, backbone: Any) -> None:
    task = ForceField(backbone("painn"), energy_weight=weight)
    (line,) = task.left_behind(compared("silicon, energies forgotten")[0])
    assert "--set task.energy_weight=none" in line
    assert "--set task.force_weight=1" in line
    assert line.endswith("task.energy_loss_weight=10")
    (caution,) = task.cautions()
    assert caution.startswith(f"task.energy_weight={weight:g} ")
    assert ", 10 by default" in caution
    assert ForceField(backbone("painn"), energy_loss_weight=weight).cautions() == []


@pytest.mark.parametrize("spread", [0.02, 0.3, 3.0], ids=lambda spread: f"{spread} eV per atom")
@pytest.mark.parametrize("weight", [1.0, 20.0, 1000.0])
def test_the_weight_of_former_versions_means_what_it_meant(
    weight: float, spread: float, backbone: Any, molecule: Any, generator: torch.Generator
) -> None:
    """Errors of the energies per atom in units of their root mean square beyond the references."""
    graphs = spread_out(spread, molecule, generator)
    task, alone = ForceField(backbone("painn"), energy_weight=weight), ForceField(backbone("painn"), force_weight=0.0)
    task.gather(iter(graphs))
    alone.gather(iter(graph.replaced(forces=None) for graph in graphs))
    size = float(alone.scale)  # without forces it is that of the energies
    assert size != pytest.approx(float(task.scale), rel=0.01)
    graph = graphs[0]
    off = {"energy": graph.energy + graph.num_nodes * 0.01, "forces": graph.forces}
    loss, n = task.losses(off, graph)["energy"]
    assert task.weights["energy"] * float(loss) / n == pytest.approx(weight * (0.01 / size) ** 2, rel=1e-5)


@pytest.mark.parametrize("new", [1.0, 100.0, 1e4])
def test_two_weights_of_the_energies_contradict(new: float, backbone: Any) -> None:
    with pytest.raises(InputError, match=r"(?s)energy_weight=1, .*task\.energy_weight=none") as error:
        ForceField(backbone("painn"), energy_loss_weight=new, energy_weight=1.0)
    assert error.value.where == "task.energy_loss_weight"
    with pytest.raises(TypeError, match="positional"):  # which would not say which of the two it is
        ForceField(backbone("painn"), new)  # type: ignore[misc]


@pytest.mark.parametrize("kind", [ForceField, MACEForceField, NequIPForceField])
def test_every_force_field_has_both_weights(kind: type[ForceField]) -> None:
    names = inspect.signature(kind).parameters
    assert names["energy_loss_weight"].default == 10.0
    assert names["energy_weight"].default is None
    assert set(kind.loss_arguments) <= names.keys()


@pytest.mark.parametrize("spread", [1e-3, 0.02, 0.3, 3.0], ids=lambda spread: f"{spread} eV per atom")
def test_the_balance_of_the_loss_does_not_depend_on_the_spread_of_the_energies(
    spread: float, backbone: Any, molecule: Any, generator: torch.Generator
) -> None:
    """By default an error of 1 eV/atom counts as one of sqrt(10) eV/A, of one trajectory and of many phases alike."""
    graphs = spread_out(spread, molecule, generator)
    task = ForceField(backbone("painn"))
    task.gather(iter(graphs))
    graph = graphs[0]
    off = {"energy": graph.energy + graph.num_nodes * 0.01, "forces": graph.forces + 0.01 * math.sqrt(10)}
    losses = {name: task.weights[name] * float(loss) / n for name, (loss, n) in task.losses(off, graph).items()}
    assert losses["energy"] == pytest.approx(losses["forces"])
    torch.testing.assert_close(task.energy_scale, task.scale_of("forces"))


@pytest.mark.parametrize(
    ("task", "lever"),
    [("density", ("dipole_moment", "dipole_weight")), ("hamiltonian", ("occupied_energies", "energy_weight"))],
)
@pytest.mark.parametrize("share", [0.2, 0.8, 5.0])
def test_other_tasks_name_the_weight_that_there_is(task: str, lever: tuple[str, str], share: float) -> None:
    target, setting = lever
    other = next(name for name in ("density", "hamiltonian") if name == task)
    subject = object.__new__(TASKS[task])
    torch.nn.Module.__init__(subject)
    subject.weights = {other: 1.0, target: 0.5}
    ratios = {other: 0.1, target: share}
    errors = {name: {"ratio": {"rmse": ratio}} for name, ratio in ratios.items()}
    lines = Task.left_behind(subject, errors)
    assert [line.endswith(f"--set task.{setting}=5") for line in lines] == [True] * (share > 0.5)
    assert setting in inspect.signature(TASKS[task].__init__).parameters
    subject.weights[target] = 0.0
    assert Task.left_behind(subject, errors) == []  # it has no part in the loss
