"""Wigner matrices: by their own laws to the last digits, and against e3nn as far as e3nn is exact."""

from __future__ import annotations

import math

import pytest
import torch
from e3nn import o3 as oracle

from intertwine.groups import Isometry
from intertwine.o3 import wigner_d

DEGREES = range(13)


def axis_rotation(axis: int, angle: float) -> torch.Tensor:
    c, s = math.cos(angle), math.sin(angle)
    i, j = (axis + 1) % 3, (axis + 2) % 3
    result = torch.eye(3, dtype=torch.float64)
    result[i, i], result[i, j], result[j, i], result[j, j] = c, -s, s, c
    return result


def rotations() -> list[torch.Tensor]:
    """Random ones, and those at which angles are singular: identity, quarter and half turns, tiny angles, cyclic permutations."""
    generator = torch.Generator().manual_seed(1)
    result = [Isometry.random(3, generator=generator).rotation for _ in range(4)]
    angles = (0.0, math.pi / 2, math.pi, -math.pi / 2, 1e-9, 1e-4, math.pi - 1e-9)
    result += [axis_rotation(axis, angle) for axis in range(3) for angle in angles]
    return [*result, torch.eye(3, dtype=torch.float64)[[1, 2, 0]], torch.diag(torch.tensor([-1.0, -1.0, 1.0], dtype=torch.float64))]


@pytest.mark.parametrize("l", DEGREES)
def test_orthogonal_and_homomorphic(l: int) -> None:
    every = rotations()
    for r, q in zip(every, every[1:] + every[:1], strict=True):
        d = wigner_d(l, r)
        assert (d @ d.T - torch.eye(2 * l + 1, dtype=torch.float64)).abs().max() < 1e-13
        assert (wigner_d(l, r @ q) - d @ wigner_d(l, q)).abs().max() < 1e-13


@pytest.mark.parametrize("l", DEGREES)
def test_exact_at_the_identity(l: int) -> None:
    assert (wigner_d(l, torch.eye(3, dtype=torch.float64)) - torch.eye(2 * l + 1, dtype=torch.float64)).abs().max() < 1e-15


def test_degree_one_is_the_rotation_itself() -> None:
    for r in rotations():
        assert torch.equal(wigner_d(1, r), r)


@pytest.mark.parametrize("l", range(12))
def test_rotates_the_spherical_harmonics_of_e3nn(l: int, generator: torch.Generator) -> None:
    """Y(R x) = D(R) Y(x): an oracle with no angles, hence one that is good to the last digits."""
    x = torch.randn(10, 3, generator=generator, dtype=torch.float64)
    for r in rotations():
        moved, still = (oracle.spherical_harmonics(l, y, normalize=True, normalization="norm") for y in (x @ r.T, x))
        assert (moved - still @ wigner_d(l, r).T).abs().max() < 1e-12


@pytest.mark.usefixtures("oracle_in_double")
@pytest.mark.parametrize("l", range(12))
def test_equals_e3nn(l: int) -> None:
    """e3nn goes through angles: good to the last digits at random rotations, to 1e-8 only near poles (its ``acos``)."""
    for k, r in enumerate(rotations()):
        assert (wigner_d(l, r) - oracle.Irrep(l, 1).D_from_matrix(r)).abs().max() < (1e-13 if k < 4 else 2e-8)


@pytest.mark.parametrize("l", [0, 1, 4, 8])
def test_character(l: int) -> None:
    """The trace is sin((l + 1/2) angle) / sin(angle / 2)."""
    for angle in (0.3, 1.7, 3.0):
        expected = math.sin((l + 0.5) * angle) / math.sin(angle / 2)
        assert abs(wigner_d(l, axis_rotation(2, angle)).trace().item() - expected) < 1e-13


def test_differentiable_in_every_mode() -> None:
    with torch.inference_mode():
        wigner_d(4, torch.eye(3, dtype=torch.float64))
    r = axis_rotation(0, 0.3).requires_grad_()
    assert torch.autograd.gradcheck(lambda q: wigner_d(4, q), r)


def test_precision_of_the_input_is_kept() -> None:
    assert wigner_d(3, torch.eye(3)).dtype == torch.float32
