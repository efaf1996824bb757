"""Gram-Schmidt and direct sums, against e3nn and against their definitions."""

from __future__ import annotations

import pytest
import torch
from e3nn import math as e3nn_math

from intertwine.numerics import InputError
from intertwine.numerics.linalg import complete_basis, direct_sum, orthonormalize


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_direct_sum():
    a, b, c = draw(4, 2, 3), draw(4, 1, 1), draw(4, 3, 2)
    expected = torch.stack([torch.block_diag(*blocks) for blocks in zip(a, b, c)])
    assert torch.equal(direct_sum(a, b, c), expected)
    assert torch.equal(direct_sum(a, b, c), e3nn_math.direct_sum(a, b, c))
    assert direct_sum(a, b[:1]).shape == (4, 3, 4)
    assert direct_sum(draw(0, 2, 2), draw(0, 1, 1)).shape == (0, 3, 3)
    assert torch.equal(
        direct_sum(draw(2, 2), draw(0, 3)), torch.cat([draw(2, 2), torch.zeros(2, 3, dtype=torch.float64)], dim=-1)
    )


def test_direct_sum_has_derivatives():
    assert torch.autograd.gradcheck(direct_sum, (draw(2, 2, 2).requires_grad_(), draw(2, 1, 3).requires_grad_()))


@pytest.mark.parametrize(("vectors", "dim", "rank"), [(3, 5, 3), (5, 3, 3), (6, 6, 2), (1, 1, 1), (0, 4, 0), (3, 4, 0)])
def test_orthonormalize(vectors: int, dim: int, rank: int):
    x = draw(vectors, rank) @ draw(rank, dim, seed=1)
    y, A = orthonormalize(x)
    expected = e3nn_math.orthonormalize(x)
    assert y.shape == (rank, dim)
    assert A.shape == (rank, vectors)
    torch.testing.assert_close(y, expected[0], atol=1e-10, rtol=0)
    torch.testing.assert_close(A, expected[1], atol=1e-10, rtol=0)
    torch.testing.assert_close(A @ x, y, atol=1e-12, rtol=0)
    torch.testing.assert_close(y @ y.T, torch.eye(rank, dtype=torch.float64), atol=1e-14, rtol=0)


def test_orthonormalize_stays_orthogonal_on_nearly_dependent_vectors():
    """Where one pass of Gram-Schmidt, e3nn's, loses eight digits."""
    x = torch.tensor([[1.0, 1e-8, 0.0], [1.0, 0.0, 1e-8], [1.0, 1e-8, 1e-8]], dtype=torch.float64)
    y, _ = orthonormalize(x, eps=1e-12)
    torch.testing.assert_close(y @ y.T, torch.eye(3, dtype=torch.float64), atol=1e-15, rtol=0)
    reference, _ = e3nn_math.orthonormalize(x, 1e-12)
    assert (reference @ reference.T - torch.eye(3)).abs().max() > 1e-9


@pytest.mark.parametrize(("vectors", "dim"), [(0, 3), (1, 4), (2, 5), (4, 4)])
def test_complete_basis(vectors: int, dim: int):
    q, _ = torch.linalg.qr(draw(dim, dim))
    given = q[:vectors] * torch.arange(1.0, vectors + 1)[:, None]
    rest = complete_basis(given)
    torch.testing.assert_close(rest, e3nn_math.complete_basis(given), atol=1e-12, rtol=0)
    basis = torch.cat([q[:vectors], rest])
    torch.testing.assert_close(basis @ basis.T, torch.eye(dim, dtype=torch.float64), atol=1e-14, rtol=0)


def test_the_arguments_are_not_changed():
    x = draw(3, 4)
    before = x.clone()
    orthonormalize(x)
    complete_basis(orthonormalize(x)[0])
    assert torch.equal(x, before)


def test_bad_input():
    with pytest.raises(InputError, match="no direction"):
        complete_basis(torch.zeros(1, 3))
    with pytest.raises(InputError, match="no matrices"):
        direct_sum()
