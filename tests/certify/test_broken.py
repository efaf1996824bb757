"""Each way of being wrong fails the lines that are about it, and no others."""

from __future__ import annotations

import pytest
import torch
from certify.subjects import FlatMLP, Pairs, PointNet, molecules

from intertwine.certify import Certificate, assert_equivariant, certify
from intertwine.geometry import Graph
from intertwine.numerics import InputError

ROTATIONS = {"random rotations", "special rotations", "tiny rotations"}


def failed(certificate: Certificate) -> set[str]:
    return set(certificate.failed)


def test_pointnet_breaks_all_but_permutations() -> None:
    certificate = certify(PointNet(), molecules())
    assert set(certificate.broken) == {"rotation", "reflection", "translation"}
    assert {line.verdict for line in certificate.lines if line.symmetry == "permutation"} == {"passed"}
    assert "rotation: output changes by" in certificate.summary()
    assert "% of its size" in certificate.summary()


def test_what_is_not_claimed_is_information() -> None:
    certificate = certify(PointNet(), molecules(), symmetry="S(n)")
    assert certificate.passed, certificate.summary()
    assert {line.verdict for line in certificate.lines if line.symmetry == "rotation"} == {"not claimed"}
    assert "rotation (by" in certificate.summary()


def test_mlp_on_coordinates_breaks_permutations_too() -> None:
    assert set(certify(FlatMLP(), molecules()).broken) == {"rotation", "reflection", "translation", "permutation"}


@pytest.mark.parametrize(
    ("bug", "expected"),
    [
        ({"shift_bug": True}, {"translations", "sum of forces"}),
        ({"chiral": True}, {"reflections"}),
        ({"smooth": False}, {"value at the cutoff", "slope at the cutoff"}),
        ({"force_factor": 1.01}, {"forces against differences"}),
        ({"mixes": True}, {"batch against single", "gradient across graphs"}),
        ({"singular": True}, {"coincident atoms"}),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_one_bug_fails_its_lines(bug: dict[str, bool | float], expected: set[str]) -> None:
    certificate = certify(Pairs(**bug), molecules(), dtypes=(torch.float64,))
    assert failed(certificate) == expected, certificate.summary()


def test_noise_in_the_last_digit() -> None:
    torch.manual_seed(0)
    found = failed(certify(Pairs(noisy=True), molecules(), dtypes=(torch.float64,)))
    assert found
    assert found <= {"determinism", "determinism, at the end"}


def test_chirality_is_no_fault_where_only_rotations_are_claimed() -> None:
    assert certify(Pairs(chiral=True), molecules(), symmetry="SE(3)").passed


def test_forces_that_derive_from_no_energy() -> None:
    class Swirl(Pairs):
        def forward(self, graph: Graph) -> dict[str, torch.Tensor]:
            result = super().forward(graph)
            scale = 1 + 0.1 * result["forces"].square().sum(-1, keepdim=True)
            return {**result, "forces": result["forces"] * scale}

    certificate = certify(Swirl(), molecules(), dtypes=(torch.float64,))
    assert {"forces against differences", "symmetry of the force Jacobian"} <= failed(certificate)
    assert not certificate.broken


def test_an_exception_is_a_line_not_a_crash() -> None:
    class Picky(Pairs):
        def forward(self, graph: Graph) -> dict[str, torch.Tensor]:
            if graph.graphs > 1:
                raise KeyError("one at a time")
            return super().forward(graph)

    certificate = certify(Picky(), molecules(), dtypes=(torch.float64,))
    assert failed(certificate) == {"batch against single", "gradient across graphs", "unsorted batch"}
    assert "one at a time" in certificate.summary()


def test_a_precision_that_is_not_supported_is_skipped() -> None:
    model = Pairs()

    def function(graph: Graph) -> torch.Tensor:
        return model(graph.cast(torch.float64))["energy"] if graph.pos.dtype == torch.float64 else 1 / 0

    certificate = certify(function, molecules(), irreps_out="0e", cutoff=3.0)
    assert [line.verdict for line in certificate.lines if line.test == "runs"] == ["skipped", "passed"]


def test_a_function_that_never_runs_fails() -> None:
    certificate = certify(lambda graph: 1 / 0, molecules(), irreps_out="0e")
    assert not certificate.passed
    assert "ZeroDivisionError" in certificate.summary()


def test_wrong_declarations_are_named() -> None:
    graphs = molecules()
    with pytest.raises(InputError, match="does not say what it returns"):
        certify(lambda graph: graph.pos, graphs)
    with pytest.raises(InputError, match="unknown symmetry"):
        certify(lambda graph: graph.pos, graphs, irreps_out="1o", symmetry="U(1)")
    with pytest.raises(InputError, match="dimension"):
        certify(lambda graph: graph.pos, graphs, irreps_out="1o", symmetry="E(2)")
    with pytest.raises(InputError, match="0 graphs"):
        certify(lambda graph: graph.pos, [], irreps_out="1o")
    assert "components" in certify(lambda graph: graph.pos, graphs, irreps_out="1o+0e").summary()


def test_assert_equivariant_shows_the_table() -> None:
    with pytest.raises(AssertionError, match="random rotations"):
        assert_equivariant(PointNet(), molecules())
