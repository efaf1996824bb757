"""What must not pass: checks that never ran, exceptions taken for modesty, rounding as an excuse, order, state that
changes late.
"""

from __future__ import annotations

import pytest
import torch
from certify.subjects import Pairs, molecules
from torch import Tensor

from intertwine.certify import Certificate, Line, certify
from intertwine.data.embedded import cluster, crystals
from intertwine.geometry import Graph, connect
from intertwine.models import EGNN, PaiNN
from intertwine.numerics import InputError
from intertwine.training import trial_graphs

DOUBLE_ONLY = {
    "value at the cutoff",
    "slope at the cutoff",
    "forces against differences",
    "symmetry of the force Jacobian",
}


class SingleOnly(Pairs):
    """Refuses float64, and its forces are three times what they should be, with the wrong sign."""

    error: type[Exception] = RuntimeError

    def forward(self, graph: Graph) -> dict[str, Tensor]:
        if graph.pos.dtype == torch.float64:
            raise self.error("float32 only")
        result = super().forward(graph)
        return {**result, "forces": -3 * result["forces"]}


def of(certificate: Certificate, test: str) -> list[Line]:
    return [line for line in certificate.lines if line.test == test]


@pytest.mark.parametrize("error", [RuntimeError, InputError])
def test_without_float64_the_tests_that_need_it_fail(error: type[Exception]) -> None:
    function = SingleOnly()
    function.error = error
    certificate = certify(function, molecules(), quick=True)
    assert not certificate.passed
    assert set(certificate.failed) >= DOUBLE_ONLY
    assert "needs float64" in certificate.summary()
    assert "stress against strain" not in certificate.failed  # it returns none


def test_what_is_missing_for_a_stress_is_named() -> None:
    certificate = certify(Pairs(), molecules(), quick=True)
    assert "stress against strain (no stress among the outputs: no periodic structure)" in certificate.summary()


def test_without_float64_asked_for_they_are_listed() -> None:
    certificate = certify(Pairs(), molecules(), quick=True, dtypes=(torch.float32,))
    assert certificate.passed
    assert all([line.verdict for line in of(certificate, test)] == ["skipped"] for test in DOUBLE_ONLY)


@pytest.mark.parametrize("error", [IndexError, KeyError, TypeError, RuntimeError])
def test_only_a_named_error_leaves_a_structure_out(error: type[Exception]) -> None:
    class NoMethane(Pairs):
        refuse: type[Exception] = InputError

        def forward(self, graph: Graph) -> dict[str, Tensor]:
            if graph.graphs == 1 and graph.num_nodes == 5:
                raise self.refuse("no methane")
            return super().forward(graph)

    modest, broken = NoMethane(), NoMethane()
    broken.refuse = error
    certificate = certify(modest, molecules(), quick=True)
    assert certificate.passed, certificate.summary()
    assert {line.verdict for line in of(certificate, "runs")} == {"skipped"}
    certificate = certify(broken, molecules(), quick=True)
    assert certificate.failed == ("runs",)
    assert all(error.__name__ in line.worst and "no methane" in line.worst for line in of(certificate, "runs"))


def test_rounding_excuses_no_bug_of_float32() -> None:
    class F32Bug(Pairs):
        def energies(self, graph: Graph) -> Tensor:
            energy = super().energies(graph)
            if graph.pos.dtype == torch.float64:
                return energy
            first = torch.searchsorted(graph.membership(), torch.arange(graph.graphs)).clamp(
                max=max(graph.num_nodes - 1, 0)
            )
            return energy * (1 + 3e-4 * graph.pos[first, 0].sin()) if graph.num_nodes else energy

    certificate = certify(F32Bug(), molecules(), quick=True)
    assert "rotation" in certificate.broken
    assert "translation" in certificate.broken
    bounds = {line.bound for line in certificate.lines if line.symmetry and line.dtype == "float32"}
    assert max(bound for bound in bounds if bound is not None) <= 8e-5 * 1.0001
    assert any("up to 4 times 2e-05" in line.worst for line in certificate.lines)


def test_nodes_of_a_batch_in_any_order() -> None:
    class Sorted(Pairs):
        """Adds the number of nodes of a graph by counting runs, which holds for a sorted batch only."""

        def energies(self, graph: Graph) -> Tensor:
            energy, batch = super().energies(graph), graph.membership()
            changes = (batch.diff() != 0).sum() + 1 if len(batch) else 0
            return energy * (1.0 + 0.1 * float(changes > graph.graphs))

    assert set(certify(Sorted(), molecules(), dtypes=(torch.float64,), quick=True).failed) == {"unsorted batch"}
    assert {line.verdict for line in of(certify(Pairs(), molecules(), quick=True), "unsorted batch")} == {"passed"}


def test_state_that_changes_late() -> None:
    class Tired(Pairs):
        calls = 0

        def forward(self, graph: Graph) -> dict[str, Tensor]:
            self.calls += 1
            result = super().forward(graph)
            return result if self.calls < limit else {name: 1.001 * value for name, value in result.items()}

    counted, limit = [0], 10**9

    class Counter(Pairs):
        def forward(self, graph: Graph) -> dict[str, Tensor]:
            counted[0] += 1
            return super().forward(graph)

    graphs = molecules()[:2]
    certify(Counter(), graphs, quick=True, dtypes=(torch.float64,))
    limit = counted[0] - 4  # during the last test, "determinism, at the end": four structures, two of them displaced
    assert certify(Tired(), graphs, quick=True, dtypes=(torch.float64,)).failed == ("determinism, at the end",)


def test_zero_everywhere_is_said() -> None:
    certificate = certify(lambda graph: 0 * graph.pos, molecules(), irreps_out="1o", quick=True)
    assert certificate.passed
    assert {line.output for line in certificate.lines if line.worst == "identically zero: symmetry is trivial"} == {
        "output"
    }
    assert "identically zero" in certificate.summary()


def test_embedded_structures_are_what_they_say() -> None:
    many = cluster()
    assert torch.equal(many.pos, cluster().pos)
    assert set(many.z.tolist()) == {1, 6, 7, 8, 9, 14, 16}
    assert float(torch.pdist(many.pos).min()) > 0.9
    salt, slab = crystals()
    assert slab.pbc.tolist() == [[True, True, False]]
    assert float(salt.cell.norm(dim=-1).max()) < 5
    for graph in (salt, slab):
        edges = connect(graph, 5.0)
        assert bool(edges.shifts.any())


def test_untrained_models_are_tried_on_periodic_structures_and_a_cluster() -> None:
    graphs = trial_graphs(PaiNN(width=8, layers=1))
    assert max(graph.num_nodes for graph in graphs) == 40
    assert sum(graph.get("cell") is not None for graph in graphs) == 2
    assert not any(graph.get("cell") is not None for graph in trial_graphs(EGNN(width=8, layers=1, cutoff=None)))
    known = trial_graphs(PaiNN(width=8, layers=1, species=[1, 6, 8]))
    assert known
    assert all(set(graph.z.tolist()) <= {1, 6, 8} for graph in known)


class Constant(Pairs):
    """An energy that knows no positions, and its forces."""

    def forward(self, graph: Graph) -> dict[str, Tensor]:
        return {name: 0 * value + (name == "energy") * 2.5 for name, value in super().forward(graph).items()}


class Faint(Pairs):
    """An energy of thousands of eV, whose forces are below what its rounding hides."""

    def forward(self, graph: Graph) -> dict[str, Tensor]:
        found = super().forward(graph)
        return {"energy": 4e3 + 1e-16 * found["energy"], "forces": 1e-16 * found["forces"]}


def test_lines_of_what_is_trivial_say_so() -> None:
    """A zero error of forces that are all zero, or of an energy that is one number, reads as no proof."""
    graphs = molecules()
    certificate = certify(Constant(), graphs, quick=True, dtypes=(torch.float64,))
    for test in ("forces against differences", "symmetry of the force Jacobian", "sum of forces", "torque"):
        (line,) = of(certificate, test)
        assert line.error == 0
        assert line.worst.endswith("; shows nothing: every number of forces is zero")
    energies = [line for line in of(certificate, "random rotations") if line.output == "energy"]
    assert energies
    assert all(line.worst.endswith("; shows nothing: energy is the same number on all inputs") for line in energies)
    (line,) = of(certify(Faint(), graphs, quick=True, dtypes=(torch.float64,)), "forces against differences")
    assert line.worst.endswith("; shows nothing: no force is above what the rounding of the energy hides")
    sound = certify(Pairs(), graphs, quick=True, dtypes=(torch.float64,))
    assert not any("shows nothing" in line.worst for line in sound.lines)
