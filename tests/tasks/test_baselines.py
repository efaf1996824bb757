"""What a model has to beat: the best prediction that does not look at the geometry, and what reports say of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from intertwine.data import GraphStore
from intertwine.geometry import Graph
from intertwine.groups import Cartesian, Representation
from intertwine.models import PaiNN
from intertwine.o3 import Irreps
from intertwine.tasks import Dynamics, ForceField, Output, Property, Task
from intertwine.tasks.baselines import Constant, invariants
from intertwine.tasks.verdict import (
    OTHER_DATA,
    REMEDY,
    SUSPICIOUS,
    baseline_line,
    beaten,
    compared_with,
    percent,
    short_verdict,
)  # fmt: skip
from intertwine.training import Run, evaluate, resolve

DOUBLE = torch.float64
EYE = np.eye(3).reshape(9, 1)
INVARIANTS = [
    (Cartesian(0), 3, np.ones((1, 1))),
    (Cartesian(0, axial=True), 3, np.zeros((1, 0))),
    (Cartesian(1), 3, np.zeros((3, 0))),
    (Cartesian(2), 3, EYE),
    (Cartesian(2), 2, np.eye(2).reshape(4, 1)),
    (Cartesian(3), 3, np.zeros((27, 0))),  # of the epsilon tensor a reflection changes the sign
    (Cartesian(3, axial=True), 2, np.zeros((8, 0))),
    (Irreps("2x0e+1o+0o+2e"), 3, np.eye(11)[:, :2]),
]


@pytest.mark.parametrize(("representation", "dimension", "expected"), INVARIANTS, ids=str)
def test_constants_that_no_isometry_changes(
    representation: Representation, dimension: int, expected: np.ndarray
) -> None:
    basis = invariants(representation, dimension).numpy()
    assert basis.shape == expected.shape
    np.testing.assert_allclose(basis.T @ basis, np.eye(basis.shape[1]), atol=1e-12)
    projector = expected @ np.linalg.pinv(expected) if expected.size else np.zeros((len(expected),) * 2)
    np.testing.assert_allclose(basis @ basis.T, projector, atol=1e-12)


def fitted(field: str, output: Output, graphs: list[Graph]) -> Constant:
    baseline = Constant(field, output)
    for graph in graphs:
        baseline.add(graph)
    baseline.fit()
    return baseline


def mixed(molecule: Callable[..., Graph], **labels: Callable[[int], Tensor]) -> list[Graph]:
    """Molecules of 2 to 7 atoms of three species, with labels that are functions of the number of atoms."""
    return [molecule(n, **{name: make(n) for name, make in labels.items()}) for n in (2, 3, 4, 5, 6, 7, 3, 4, 5, 6) * 2]


def counts(graphs: list[Graph]) -> np.ndarray:
    return np.array([[int((g.z == z).sum()) for z in (1, 6, 8)] for g in graphs], dtype=float)


def test_energies_by_composition_are_least_squares(molecule: Callable[..., Graph], generator: torch.Generator) -> None:
    """Those of all-electron programs too, whose offsets are large, and beside isolated atoms, which are no guide."""
    graphs = mixed(molecule, energy=lambda n: -3e4 * n + torch.randn(1, generator=generator, dtype=DOUBLE))
    atoms = [Graph(torch.zeros(1, 3, dtype=DOUBLE), z=[z], energy=torch.zeros(1, dtype=DOUBLE)) for z in (1, 6, 8)]
    baseline = fitted("energy", Output(Cartesian(0), "graph", "eV", extensive=True), atoms + graphs)
    assert baseline.name == "mean by species"
    y = np.array([float(g.energy) for g in graphs])
    solution = np.linalg.lstsq(counts(graphs), y, rcond=None)[0]
    for graph, n in zip(graphs, counts(graphs), strict=True):
        value = baseline.predict(graph, torch.zeros(1, dtype=DOUBLE))
        assert float(value) == pytest.approx(float(n @ solution), rel=1e-10)


def test_means_of_nodes_graphs_and_tensors(molecule: Callable[..., Graph], generator: torch.Generator) -> None:
    def some(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=DOUBLE) + 2.0

    graphs = mixed(molecule, gap=lambda n: some(1), charges=some, alpha=lambda n: some(1, 3, 3))
    graphs[3].gap[0] = torch.nan  # an absent label
    gap = fitted("gap", Output(Cartesian(0), "graph", "eV"), graphs)
    expected = np.nanmean([float(g.gap) for g in graphs])
    assert gap.name == "mean"
    assert float(gap.predict(graphs[0], torch.zeros(1, dtype=DOUBLE))) == pytest.approx(expected)
    charges = fitted("charges", Output(Cartesian(0), "node", "e"), graphs)
    z, q = (torch.cat([g[name] for g in graphs]) for name in ("z", "charges"))
    by_species = torch.stack([q[z == k].mean() for k in graphs[0].z])
    assert charges.name == "mean by species"
    torch.testing.assert_close(charges.predict(graphs[0], torch.zeros(2, dtype=DOUBLE)), by_species)
    alpha = fitted("alpha", Output(Cartesian(2), "graph", "A^3"), graphs)
    trace = torch.stack([g.alpha[0].trace() for g in graphs]).mean() / 3
    torch.testing.assert_close(
        alpha.predict(graphs[0], torch.zeros(1, 3, 3, dtype=DOUBLE)), trace * torch.eye(3, dtype=DOUBLE).unsqueeze(0)
    )


def run_of(task: Task) -> Run:
    """A run of this task as it is; ``evaluate`` looks at nothing else of it."""
    return Run(
        Path(),
        resolve({"model": {"name": "painn"}, "task": {"name": "force_field"}}),
        task.double().eval(),
        (),
        0,
        "last",
    )


def mean_and_rms(x: Tensor) -> dict[str, Any]:
    """What MAE and RMSE of residuals must be."""
    return {
        "mae": pytest.approx(float(x.abs().mean()), rel=1e-6),
        "rmse": pytest.approx(float(x.square().mean().sqrt()), rel=1e-6),
    }


def force_field(backbone: Any) -> Task:
    return ForceField(backbone("painn"), stress_weight=1.0)


def crystals(make_crystal: Callable[[int], Graph], generator: torch.Generator) -> list[Graph]:
    def labelled(n: int) -> Graph:
        stress = torch.randn(1, 3, 3, generator=generator, dtype=DOUBLE)
        forces = torch.randn(n, 3, generator=generator, dtype=DOUBLE) ** 3  # few large ones, as in data of relaxations
        energy = torch.randn(1, generator=generator, dtype=DOUBLE)
        return make_crystal(n).replaced(energy=energy, forces=forces, stress=stress + stress.mT)

    return [labelled(n) for n in (2, 3, 3, 2, 3, 3)]


def dipoles(molecule: Callable[..., Graph], generator: torch.Generator) -> list[Graph]:
    return mixed(molecule, dipole=lambda n: torch.randn(1, 3, generator=generator, dtype=DOUBLE))


def movers(molecule: Callable[..., Graph], generator: torch.Generator) -> list[Graph]:
    graphs = []
    for n in (3, 4, 5, 5):
        graph = molecule(n, vel=torch.randn(n, 3, generator=generator, dtype=DOUBLE))
        noise = torch.randn(n, 3, generator=generator, dtype=DOUBLE)
        graphs.append(graph.replaced(target_pos=graph.pos + 0.7 * graph.vel + 0.1 * noise))
    return graphs


def test_errors_are_set_beside_those_of_the_same_kind(
    backbone: Any, molecule: Any, make_crystal: Any, generator: torch.Generator
) -> None:
    """MAE over mean absolute label, RMSE over root mean square, of forces, stress, dipoles and later positions."""
    cases: list[tuple[Task, list[Graph], str, str, Callable[[Graph], Tensor], float]] = [
        (ForceField(backbone("painn")), crystals(make_crystal, generator), "forces", "zero", lambda g: g.forces, 1e3),
        (
            Property(backbone("painn"), "dipole", "1o", unit="e A"),
            dipoles(molecule, generator),
            "dipole",
            "zero",
            lambda g: g.dipole,
            1.0,
        ),
    ]
    for task, graphs, target, name, label, factor in cases:
        task.double().gather(iter(graphs))
        store = GraphStore.from_graphs(graphs, name="data")
        e = evaluate(run_of(task), store, batch_size=2)[target]
        truth = factor * torch.cat([label(graph).reshape(-1) for graph in graphs])
        mean, rms = float(truth.abs().mean()), float(truth.square().mean().sqrt())
        assert e["baseline"] == {"name": name, "mae": pytest.approx(mean), "rmse": pytest.approx(rms)}
        assert e["ratio"] == {"mae": pytest.approx(e["mae"] / mean), "rmse": pytest.approx(e["rmse"] / rms)}
        shares = f"({percent(e['mae'] / mean)} and {percent(e['rmse'] / rms)} of the baseline's)"
        assert task.line(target, e).endswith(shares)


def test_stress_and_later_positions(
    backbone: Any, molecule: Any, make_crystal: Any, generator: torch.Generator
) -> None:
    """The pressure has a mean; particles move on."""
    solids, task = crystals(make_crystal, generator), force_field(backbone)
    task.gather(iter(solids))
    run = run_of(task)
    e = evaluate(run, GraphStore.from_graphs(solids, name="solids"))["stress"]
    stress = 1e3 * torch.cat([g.stress for g in solids])
    rest = stress - stress.diagonal(dim1=1, dim2=2).mean() * torch.eye(3, dtype=DOUBLE)
    assert e["baseline"] == {"name": "mean", **mean_and_rms(rest)}
    particles, jump = movers(molecule, generator), Dynamics(backbone("egnn", velocity=True))
    jump.gather(iter(particles))
    run = run_of(jump)
    e = evaluate(run, GraphStore.from_graphs(particles, name="particles"))["pos"]
    moved = torch.cat([g.target_pos - g.pos for g in particles]).reshape(-1)
    v = torch.cat([g.vel for g in particles]).reshape(-1)
    rest = moved - v * (moved @ v) / (v @ v)
    assert e["baseline"] == {"name": "linear motion", **mean_and_rms(rest)}


@pytest.mark.parametrize(
    ("own", "blind", "kinds"),
    [
        ((583.6, 2988.0), (570.1, 2983.5), ["MAE", "RMSE"]),  # MPtrj after a minute
        ((583.6, 2900.0), (570.1, 2983.5), ["MAE"]),
        ((500.0, 3100.0), (570.1, 2983.5), ["RMSE"]),
        ((500.0, 2600.0), (570.1, 2983.5), []),
        ((0.1, 0.2), (0.0, 0.0), ["MAE", "RMSE"]),  # without an error: better than any model
    ],
)
def test_a_warning_names_the_baseline_that_is_better(
    own: tuple[float, float], blind: tuple[float, float], kinds: list[str]
) -> None:
    e = {"mae": own[0], "rmse": own[1], "unit": "meV/A"}
    e |= compared_with("zero", e, *blind)
    warnings = beaten({"forces": e})
    assert len(warnings) == bool(kinds)
    for line in warnings:
        assert line.startswith("forces: the baseline 'zero' is better than the model")
        assert [kind for kind in ("MAE", "RMSE") if f"({kind} " in line or f", {kind} " in line] == kinds
    assert baseline_line(e) == f"zero: MAE {blind[0]:.4g}, RMSE {blind[1]:.4g} meV/A"


@pytest.mark.parametrize(
    ("mae", "rmse", "hardly"),
    [
        (0.9, 0.9, True),
        (0.95, 0.98, True),
        (1.0, 1.0, True),
        (0.5, 0.97, False),  # a few large errors
        (0.74, 1.2, False),
        (0.8, 0.97, True),
        (0.89, 0.89, False),
        (1.01, 0.95, False),
    ],
)
def test_a_target_that_is_hardly_learnt_is_named(mae: float, rmse: float, hardly: bool) -> None:
    e = {"mae": mae, "rmse": rmse, "unit": "D"}
    errors = {"dipole": e | compared_with("mean", e, 1.0, 1.0), "good": e | compared_with("mean", e, 10.0, 10.0)}
    lines = beaten(errors)
    assert any("has hardly learnt" in line for line in lines) == hardly
    assert all(line.startswith("dipole: the baseline 'mean' is") for line in lines)
    assert ("hardly better than the baseline in dipole" in short_verdict(errors)) == hardly
    squared = mae < 0.75 and rmse >= 0.9
    assert any("where errors are squared, not in the mean: a few are large (RMSE" in line for line in lines) == squared
    assert ("the baseline is better than the model in dipole" in short_verdict(errors)) == (max(mae, rmse) > 1)


@pytest.mark.parametrize("ratio", [0.3, 0.93, 1.4])
def test_one_fault_has_one_remedy(ratio: float) -> None:
    """A target that is left behind needs a larger weight; that it is worse than a baseline is the same fault."""
    e = {"mae": ratio, "rmse": ratio, "unit": "eV"}
    errors = {"energy": e | compared_with("mean", e, 1.0, 1.0)}
    behind = "energy: left behind by the other targets (why); give it a larger weight, --set task.x=1"
    (line,) = beaten(errors, [behind])
    assert line.endswith("left behind by the other targets (why); give it a larger weight, --set task.x=1")
    assert "train longer" not in line
    assert line.startswith("energy: the baseline" if ratio > 0.9 else "energy: left behind")


@pytest.mark.parametrize("remedy", [SUSPICIOUS, f"{SUSPICIOUS}; and train longer: 1 epoch", f"{SUSPICIOUS} (why)"])
@pytest.mark.parametrize("ratio", [0.3, 0.93, 1.4])
def test_data_are_mended_before_a_weight_is_changed(ratio: float, remedy: str) -> None:
    """Forces that are gradients, or in another unit, can't be fitted, whatever weight the energy has beside them."""
    e = {"mae": ratio, "rmse": ratio, "unit": "eV"}
    f = {"mae": 0.02, "rmse": 0.02, "unit": "eV"}
    errors = {
        "energy": e | compared_with("mean", e, 1.0, 1.0), "forces": f | compared_with("zero", f, 1.0, 1.0),
    }  # fmt: skip
    behind = ForceField(PaiNN(width=8)).left_behind(errors)
    assert len(behind) == 1
    assert "give it a larger weight, --set task.energy_loss_weight" in behind[0]
    (line,) = beaten(errors, ForceField(PaiNN(width=8)).left_behind(errors, remedy), remedy)
    assert line.endswith(
        f"left behind by the other targets (RMSE {100 * ratio:.3g} % of its baseline's, 2 % in forces); {remedy}"
    )
    assert "weight" not in line
    (line,) = beaten(errors, behind, remedy)
    assert "give it a larger weight" in line


@pytest.mark.parametrize("weight", [0.0, 1000.0])
@pytest.mark.parametrize("ratio", [0.3, 0.93, 43.0])
@pytest.mark.parametrize("remedy", [REMEDY, SUSPICIOUS, OTHER_DATA])
def test_the_remedy_is_that_of_the_cause(weight: float, ratio: float, remedy: str) -> None:
    """Of a target that the loss left out: its weight; of suspicious or other data: the data; else to train longer."""
    e = {"mae": ratio, "rmse": ratio, "unit": "eV"}
    errors = {"energy": e | compared_with("mean", e, 1.0, 1.0)}
    lines = beaten(errors, ForceField(PaiNN(width=8), energy_loss_weight=weight).left_behind(errors), remedy)
    assert len(lines) == (ratio > 0.9)
    for line in lines:
        assert line.startswith("energy: the baseline 'mean' is")
        expected = f"; {remedy}" if weight else "give it one, --set task.energy_loss_weight=10"
        assert line.endswith(expected)
        assert ("it is not trained" in line) == (not weight)


def test_errors_of_other_kinds_have_no_baseline() -> None:
    e = {"accuracy": 0.9, "unit": ""}
    assert "ratio" not in compared_with("mean", e, 1.0, 2.0)
    assert beaten({"shape": e}) == []
    assert baseline_line(e) == ""
