"""Grids of rotations: exact both ways, equivariant, e3nn's numbers."""

from __future__ import annotations

import pytest
import torch
from switches import as_users_run_it

from intertwine.groups.rotations import rand_matrix
from intertwine.numerics import InputError
from intertwine.o3.angles import angles_to_matrix, matrix_to_angles, rand_angles
from intertwine.o3.so3_grid import SO3Grid, flat_wigner

D = torch.float64


@pytest.mark.parametrize("lmax", [0, 1, 3, 6, 10])
@pytest.mark.parametrize("aspect_ratio", [1, 2, 1.5])
@pytest.mark.parametrize("layout", ["mul_ir", "ir_mul"])
def test_there_and_back(lmax: int, aspect_ratio: float, layout: str, generator: torch.Generator) -> None:
    grid = SO3Grid(lmax, lmax + 1, aspect_ratio=aspect_ratio, layout=layout, dtype=D)
    x = torch.randn(2, grid.irreps.dim, dtype=D, generator=generator)
    torch.testing.assert_close(grid.from_grid(grid.to_grid(x)), x, rtol=0, atol=1e-12)


@pytest.mark.parametrize("lmax", [0, 1, 2, 4])
@pytest.mark.parametrize("layout", ["mul_ir", "ir_mul"])
def test_samples_are_sums_of_wigner_matrices(lmax: int, layout: str, generator: torch.Generator) -> None:
    grid = SO3Grid(lmax, 3, layout=layout, dtype=D)
    x = torch.randn(2, 3, grid.irreps.dim, dtype=D, generator=generator)
    torch.testing.assert_close(
        grid.to_grid(x), torch.einsum("...i,abci->...abc", x, grid.D) / grid.irreps.dim**0.5, rtol=0, atol=1e-13
    )
    y = torch.randn(2, 3, 12, 6, 12, dtype=D, generator=generator)
    expected = torch.einsum("...abc,abci,b->...i", y, grid.D, grid.qw) * grid.irreps.dim**0.5
    torch.testing.assert_close(grid.from_grid(y), expected, rtol=0, atol=1e-13)


def test_weights_add_up_to_one_and_wigner_functions_are_orthonormal() -> None:
    grid = SO3Grid(3, 4, dtype=D)
    torch.testing.assert_close(grid.qw.sum() * grid.res_alpha * grid.res_gamma, torch.ones((), dtype=D))
    gram = torch.einsum("abci,abcj,b->ij", grid.D, grid.D, grid.qw)
    torch.testing.assert_close(gram, torch.eye(grid.irreps.dim, dtype=D), rtol=0, atol=1e-13)


def test_the_argument_turns(generator: torch.Generator) -> None:
    """Features transformed by D(Q) on the right index are the signal R -> f(R Q)."""
    grid = SO3Grid(3, 4, dtype=D)
    x, q = torch.randn(grid.irreps.dim, dtype=D, generator=generator), rand_matrix(dtype=D, generator=generator)
    turned = grid.irreps.D_from_matrix(q) @ x
    angles = rand_angles(5, dtype=D, generator=generator)
    behind = matrix_to_angles(angles_to_matrix(*angles) @ q)
    torch.testing.assert_close(flat_wigner(3, *angles) @ turned, flat_wigner(3, *behind) @ x, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("lmax", "resolution", "aspect_ratio"), [(0, 1, 2), (2, 4, 2), (3, 5, 1), (4, 3, 3)])
def test_against_e3nn(
    lmax: int, resolution: int, aspect_ratio: int, generator: torch.Generator, oracle_in_double: None
) -> None:
    from e3nn import o3
    from e3nn.o3._so3grid import flat_wigner as their_flat_wigner

    ours = SO3Grid(lmax, resolution, aspect_ratio=aspect_ratio)
    theirs = o3.SO3Grid(lmax, resolution, aspect_ratio=aspect_ratio)
    x = torch.randn(2, ours.irreps.dim, generator=generator)
    y = torch.randn(2, ours.res_alpha, ours.res_beta, ours.res_gamma, generator=generator)
    for mine, other in (
        (ours.to_grid(x), theirs.to_grid(x)),
        (ours.from_grid(y), theirs.from_grid(y)),
        *((getattr(ours, name), getattr(theirs, name)) for name in ("D", "qw", "alpha", "beta", "gamma")),
    ):
        torch.testing.assert_close(mine, other, rtol=0, atol=1e-10)
    angles = rand_angles(3, generator=generator)
    # matrix_exp errs by 1e-10
    torch.testing.assert_close(flat_wigner(lmax, *angles), their_flat_wigner(lmax, *angles), rtol=0, atol=1e-9)
    ours.load_state_dict(theirs.state_dict())


def test_derivatives_compilers_and_precision(generator: torch.Generator) -> None:
    grid = SO3Grid(2, 3, dtype=D)

    def there_and_back(x: torch.Tensor) -> torch.Tensor:
        return grid.from_grid(grid.to_grid(x).tanh())

    x = torch.randn(1, grid.irreps.dim, dtype=D, generator=generator, requires_grad=True)
    assert torch.autograd.gradcheck(there_and_back, x, fast_mode=True)
    assert torch.autograd.gradgradcheck(there_and_back, x, fast_mode=True)
    with as_users_run_it():
        torch.testing.assert_close(
            torch.compile(there_and_back, fullgraph=True, backend="aot_eager")(x), there_and_back(x)
        )
    torch.testing.assert_close(torch.func.vmap(there_and_back)(x.detach()), there_and_back(x.detach()))
    before = there_and_back(x)
    grid.float().double()
    assert torch.equal(there_and_back(x), before)
    assert there_and_back(x[:0]).shape == (0, grid.irreps.dim)
    assert not grid.state_dict()


def test_errors() -> None:
    for bad in (
        lambda: SO3Grid(-1, 3),
        lambda: SO3Grid(2, 0),
        lambda: SO3Grid(2, 3, aspect_ratio=0),
        lambda: SO3Grid(2, 3, normalization="norm"),
        lambda: SO3Grid(2, 3, layout="imul"),
        lambda: SO3Grid(1, 2).to_grid(torch.ones(9)),
        lambda: SO3Grid(1, 2).from_grid(torch.ones(8, 8, 8)),
        lambda: SO3Grid(1, 2, dtype=D).to_grid(torch.ones(10)),
    ):
        with pytest.raises(InputError):
            bad()
