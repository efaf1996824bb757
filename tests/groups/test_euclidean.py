"""E(n): group laws, Haar measure, and the Cartesian tensors it acts on."""

from __future__ import annotations

import pytest
import torch

from intertwine.groups import Cartesian, DirectSum, Isometry, Representation
from intertwine.o3 import Irreps

TIGHT = {"rtol": 0, "atol": 1e-14}


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_group_laws(n: int, generator: torch.Generator) -> None:
    g, h, k = (Isometry.random(n, generator=generator, improper=flip, shift=1.0) for flip in (False, True, True))
    x = torch.randn(5, n, generator=generator, dtype=torch.float64)
    torch.testing.assert_close((g @ h)(x), g(h(x)), **TIGHT)
    torch.testing.assert_close(((g @ h) @ k)(x), (g @ (h @ k))(x), **TIGHT)
    torch.testing.assert_close(g.inverse()(g(x)), x, **TIGHT)
    torch.testing.assert_close(g(g.inverse()(x)), x, **TIGHT)
    assert torch.equal(Isometry.identity(n)(x), x)


@pytest.mark.parametrize("n", [1, 2, 3, 4])
@pytest.mark.parametrize("improper", [False, True])
def test_random_rotations_are_orthogonal_and_of_the_right_determinant(
    n: int, improper: bool, generator: torch.Generator
) -> None:
    for _ in range(20):
        q = Isometry.random(n, generator=generator, improper=improper).rotation
        torch.testing.assert_close(q @ q.T, torch.eye(n, dtype=torch.float64), **TIGHT)
        assert torch.linalg.det(q).round().item() == (-1.0 if improper else 1.0)


def test_random_rotations_are_haar(generator: torch.Generator) -> None:
    """The trace of a Haar-random rotation has mean 0 and mean square 1 (characters of an irrep that is not trivial)."""
    traces = torch.stack([Isometry.random(3, generator=generator).rotation.trace() for _ in range(4000)])
    assert abs(traces.mean().item()) < 4 / 4000**0.5
    assert abs((traces**2).mean().item() - 1) < 4 * 2 / 4000**0.5


@pytest.mark.parametrize("n", [2, 3])
@pytest.mark.parametrize("rank", [0, 1, 2, 3])
@pytest.mark.parametrize("axial", [False, True])
def test_cartesian_tensors(n: int, rank: int, axial: bool, generator: torch.Generator) -> None:
    """``transform`` agrees with ``matrix``, and both are homomorphisms, reflections included."""
    representation = Cartesian(rank, axial, n)
    g, h = Isometry.random(n, generator=generator, improper=True), Isometry.random(n, generator=generator)
    x = torch.randn(4, *[n] * rank, generator=generator, dtype=torch.float64)
    flat = x.reshape(4, representation.dim) @ representation.matrix(g.rotation).T
    torch.testing.assert_close(representation.transform(g.rotation, x).reshape(4, -1), flat, **TIGHT)
    product = representation.matrix((g @ h).rotation)
    torch.testing.assert_close(product, representation.matrix(g.rotation) @ representation.matrix(h.rotation), **TIGHT)


def test_an_axial_vector_is_a_cross_product(generator: torch.Generator) -> None:
    g = Isometry.random(3, generator=generator, improper=True).rotation
    x, y = torch.randn(2, 5, 3, generator=generator, dtype=torch.float64)
    moved = torch.linalg.cross(x @ g.T, y @ g.T)
    torch.testing.assert_close(Cartesian(1, axial=True).transform(g, torch.linalg.cross(x, y)), moved, **TIGHT)


@pytest.mark.parametrize("n", [2, 3])
def test_direct_sum_is_block_by_block(n: int, generator: torch.Generator) -> None:
    total = DirectSum(((2, Cartesian(0, dimension=n)), (3, Cartesian(1, dimension=n))))
    q = Isometry.random(n, generator=generator, improper=True).rotation
    x = torch.randn(4, total.dim, generator=generator, dtype=torch.float64)
    expected = torch.cat([x[:, :2], (x[:, 2:].reshape(4, 3, n) @ q.T).reshape(4, -1)], dim=1)
    torch.testing.assert_close(total.transform(q, x), expected, **TIGHT)
    assert total.dim == 2 + 3 * n


@pytest.mark.parametrize("representation", [Cartesian(), DirectSum(((1, Cartesian()),)), Irreps("0e+1o")])
def test_all_speak_the_protocol(representation: Representation) -> None:
    assert isinstance(representation, Representation)


def test_precision_of_the_input_is_kept(generator: torch.Generator) -> None:
    g = Isometry.random(3, generator=generator, shift=1.0)
    x = torch.randn(2, 3, generator=generator)
    assert g(x).dtype == Cartesian(1).transform(g.rotation, x).dtype == torch.float32
