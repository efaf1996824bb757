"""Models that are equivariant pass, in both precisions."""

from __future__ import annotations

import pytest
import torch
from certify.subjects import Pairs, crystal, molecules
from switches import as_users_run_it

from intertwine.certify import assert_equivariant, certify
from intertwine.geometry import Graph
from intertwine.models import EGNN, PaiNN, SchNet
from intertwine.nn import Backbone


@pytest.mark.parametrize(
    "model",
    [
        PaiNN(width=16, layers=2),
        SchNet(width=16, layers=2),
        EGNN(width=16, layers=2),
        EGNN(width=16, layers=2, cutoff=None),
    ],
    ids=["painn", "schnet", "egnn", "egnn without cutoff"],
)
def test_models_pass(model: Backbone) -> None:
    # annotations of models are checked in their own tests, those of this package in the others here
    with as_users_run_it():
        certificate = certify(model, [*molecules(), crystal()])
    assert certificate.passed, certificate.summary()
    assert {line.dtype for line in certificate.lines if line.verdict == "passed"} == {"float32", "float64"}
    assert next(model.parameters()).dtype == torch.float32  # the user's module is left as it was
    assert model.training


def particles(n: int, dimension: int, generator: torch.Generator) -> Graph:
    random = lambda: torch.randn(n, dimension, generator=generator, dtype=torch.float64)  # noqa: E731
    return Graph(random(), vel=random(), charge=torch.randn(n, generator=generator, dtype=torch.float64).sign())


@pytest.mark.parametrize("dimension", [2, 3, 4])
def test_particles_in_any_dimension(dimension: int, generator: torch.Generator) -> None:
    inputs = {"species": (), "node_inputs": ("speed",), "edge_inputs": ("charge_product",)}
    model = EGNN(width=16, layers=2, cutoff=None, velocity=True, dimension=dimension, **inputs)
    assert_equivariant(model, [particles(n, dimension, generator) for n in (5, 4)], symmetry="E(n)")


def test_what_a_function_lacks_is_named() -> None:
    certificate = certify(EGNN(width=8, layers=1, velocity=True), molecules()[:1])
    assert not certificate.passed
    assert "velocities" in certificate.summary()


def test_force_field_passes() -> None:
    certificate = certify(Pairs(), [*molecules(), crystal()])
    assert certificate.passed, certificate.summary()
    measured = {line.test for line in certificate.lines if line.verdict == "passed"}
    assert {"forces against differences", "symmetry of the force Jacobian", "sum of forces", "torque"} <= measured
    assert {"supercell", "lattice image", "value at the cutoff", "slope at the cutoff"} <= measured


def test_a_large_constant_energy_hides_nothing_and_harms_nothing() -> None:
    class Shifted(Pairs):
        def energies(self, graph: Graph) -> torch.Tensor:
            return super().energies(graph).double() - 4209.78

    assert_equivariant(Shifted(), molecules())
    certificate = certify(type("Chiral", (Shifted,), {})(chiral=True), molecules())
    assert certificate.broken == ("reflection",)


def test_progress_counts_to_the_end() -> None:
    seen: list[tuple[int, int, str]] = []
    certify(SchNet(width=8, layers=1), molecules()[:1], quick=True, progress=lambda *args: seen.append(args))
    done, total, _ = seen[-1]
    assert done == total
    assert [k for k, *_ in seen] == sorted(k for k, *_ in seen)
