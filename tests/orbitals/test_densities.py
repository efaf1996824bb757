"""Densities beside PySCF: projections, the best fit, moments, values at points, quadrature."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from intertwine import o3
from intertwine.numerics import DataError, GeometryError, InputError
from intertwine.orbitals import (
    AtomLayout,
    Basis,
    Shell,
    even_tempered,
    matrix_rotation,
    order_matrix,
    overlap_matrix,
    purified,
)
from intertwine.orbitals.density import density_moments, fitted, molecular_charges, projections
from intertwine.orbitals.named import pyscf_basis
from intertwine.orbitals.overlap import moment_matrix
from intertwine.orbitals.quadrature import molecular_quadrature
from intertwine.orbitals.values import expanded_density, matrix_density, orbital_values

NUMBERS = torch.tensor([8, 1, 6])
UNIT = torch.eye(3, dtype=torch.int64).tolist()
gto = pytest.importorskip("pyscf.gto")
BOHR = 0.52917721092


@pytest.fixture(scope="module")
def orbitals() -> Basis:
    return pyscf_basis("6-31g**", NUMBERS.tolist())


@pytest.fixture(scope="module")
def functions(orbitals) -> Basis:
    return even_tempered(orbitals, NUMBERS.tolist(), ratio=4.0)


def positions(count: int = 2) -> torch.Tensor:
    start = torch.tensor([[0.0, 0.0, 0.0], [0.9, 0.1, -0.2], [-0.3, 1.1, 0.4]], dtype=torch.float64)
    return start + 0.1 * torch.randn(count, 3, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def densities(basis: Basis, count: int = 2) -> torch.Tensor:
    """Symmetric matrices of rank 3, positive as density matrices are, of about one electron an orbital."""
    n = sum(basis.size(z) for z in NUMBERS.tolist())
    C = 0.5 * torch.randn(count, n, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return C @ C.mT


def degrees(basis: Basis) -> list[int]:
    return [shell.degree for z in NUMBERS.tolist() for shell in basis.of(z)]


def molecule(basis: Basis, pos: torch.Tensor):
    """PySCF's molecule with our shells, its origin where ours is."""
    table = {
        symbol: [[shell.degree, *zip(shell.exponents, shell.coefficients, strict=True)] for shell in basis.of(z)]
        for symbol, z in (("O", 8), ("H", 1), ("C", 6))
    }
    atoms = list(zip(NUMBERS.tolist(), (pos / BOHR).tolist(), strict=True))
    return gto.M(atom=atoms, basis=table, unit="Bohr", spin=1, verbose=0)


def test_projections_are_pyscfs_integrals_of_three_centres(orbitals, functions) -> None:
    pos, D = positions(), densities(orbitals)
    ours = projections(orbitals, functions, NUMBERS, pos, D)
    first, second = molecule(orbitals, pos[1]), molecule(functions, pos[1])
    atoms, shells, env = gto.conc_env(first._atm, first._bas, first._env, second._atm, second._bas, second._env)
    n, m = first.nbas, first.nbas + second.nbas
    theirs = gto.moleintor.getints("int3c1e_sph", atoms, shells, env, shls_slice=(0, n, 0, n, n, m))
    A, B = (order_matrix(degrees(basis), "pyscf") for basis in (orbitals, functions))
    expected = B.T @ torch.einsum("abp,ab->p", torch.tensor(theirs), A @ D[1] @ A.T)
    assert float((ours[1] - expected).abs().max()) < 1e-12 * float(expected.abs().max())


def test_moments_are_pyscfs(orbitals) -> None:
    pos = positions()
    A = order_matrix(degrees(orbitals), "pyscf")
    first = torch.tensor(molecule(orbitals, pos[0]).intor("int1e_r"))
    second = torch.tensor(molecule(orbitals, pos[0]).intor("int1e_rr")).unflatten(0, (3, 3))
    for axis, e in enumerate(UNIT):
        ours = A @ moment_matrix(orbitals, NUMBERS, pos, tuple(e))[0] @ A.T
        assert float((ours - first[axis]).abs().max()) < 1e-13
        for other, f in enumerate(UNIT):
            powers = tuple(a + b for a, b in zip(e, f, strict=True))
            ours = A @ moment_matrix(orbitals, NUMBERS, pos, powers)[0] @ A.T
            assert float((ours - second[axis, other]).abs().max()) < 1e-13


def test_values_are_pyscfs(orbitals) -> None:
    pos = positions()
    points = torch.randn(2, 40, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    theirs = molecule(orbitals, pos[1]).eval_gto("GTOval_sph", (points[1] / BOHR).numpy())
    ours = orbital_values(orbitals, NUMBERS, pos, points)[1] @ order_matrix(degrees(orbitals), "pyscf").T
    np.testing.assert_allclose(ours.numpy(), theirs, atol=1e-13)


def test_the_fit_is_the_best_of_those_with_the_charge(orbitals, functions) -> None:
    """Its charge is that of the matrix, and S C - w is along q: no other coefficients of that charge are nearer."""
    pos, D = positions(), densities(orbitals)
    C, q = fitted(orbitals, functions, NUMBERS, pos, D), molecular_charges(functions, NUMBERS)
    electrons = (overlap_matrix(orbitals, NUMBERS, pos) * D).sum((1, 2))
    torch.testing.assert_close(C @ q, electrons, rtol=0, atol=1e-10)
    S = overlap_matrix(functions, NUMBERS, pos)
    slope = (S @ C.unsqueeze(2)).squeeze(2) - projections(orbitals, functions, NUMBERS, pos, D)
    along = (slope @ q / (q @ q)).unsqueeze(1) * q
    assert float((slope - along).abs().max()) < 1e-11 * float(C.abs().max())


def test_a_density_that_the_functions_hold_is_found() -> None:
    """The square of one Gaussian is one Gaussian: nothing is left at any point."""
    orbital = Basis("one", {2: (Shell(0, (0.7,), (1.0,)),)})
    auxiliary = Basis("two", {2: (Shell(0, (1.4,), (1.0,)), Shell(0, (0.5,), (1.0,)), Shell(1, (0.9,), (1.0,)))})
    numbers, pos, D = torch.tensor([2]), torch.zeros(1, 1, 3), torch.full((1, 1, 1), 2.0, dtype=torch.float64)
    C = fitted(orbital, auxiliary, numbers, pos, D)
    assert float(C[0, 1:].abs().max()) < 1e-13
    points = torch.randn(1, 50, 3, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    made = expanded_density(auxiliary, numbers, pos, C, points)
    torch.testing.assert_close(made, matrix_density(orbital, numbers, pos, D, points), rtol=1e-12, atol=1e-13)


def test_moments_of_densities_are_those_of_space(orbitals, functions) -> None:
    """By quadrature, which is exact to its own error on the charge."""
    pos, D = positions(1), densities(orbitals, 1)
    C = fitted(orbitals, functions, NUMBERS, pos, D)
    charge, first, second = density_moments(functions, NUMBERS, pos, C)
    grid = molecular_quadrature(pos, 60, 23)
    weighted = grid.weights * expanded_density(functions, NUMBERS, pos, C, grid.points)
    r = grid.points / BOHR
    scale = float(charge)
    torch.testing.assert_close(weighted.sum(1), charge, rtol=0, atol=1e-5 * scale)
    torch.testing.assert_close((weighted.unsqueeze(2) * r).sum(1), first, rtol=0, atol=1e-4 * scale)
    outer = (weighted[..., None, None] * r.unsqueeze(3) * r.unsqueeze(2)).sum(1)
    torch.testing.assert_close(outer, second, rtol=0, atol=1e-3 * scale)


def test_fitted_coefficients_turn_with_the_molecule(orbitals, functions) -> None:
    pos, D, isometry = positions(1), densities(orbitals, 1), -o3.rand_matrix(dtype=torch.float64)
    turn, layout = matrix_rotation(orbitals, NUMBERS, isometry), AtomLayout(functions)
    here = layout.to_atoms(NUMBERS, fitted(orbitals, functions, NUMBERS, pos, D))
    there = layout.to_atoms(NUMBERS, fitted(orbitals, functions, NUMBERS, pos @ isometry.T, turn @ D @ turn.T))
    assert float((here @ layout.orbitals.D_from_matrix(isometry).T - there).abs().max()) < 1e-9
    torch.testing.assert_close(layout.to_orbitals(NUMBERS, here), fitted(orbitals, functions, NUMBERS, pos, D))


@pytest.mark.parametrize(("radii", "degree", "error"), [(20, 11, 1e-2), (40, 17, 1e-3), (60, 29, 1e-4)])
def test_quadrature_counts_electrons(orbitals, radii: int, degree: int, error: float) -> None:
    """Of every orbital one; and one more accurately with more points."""
    pos = positions(1)
    grid = molecular_quadrature(pos, radii, degree)
    values = orbital_values(orbitals, NUMBERS, pos, grid.points)
    S = torch.einsum("mp,mpa,mpb->mab", grid.weights, values, values)
    assert float((S - overlap_matrix(orbitals, NUMBERS, pos)).abs().max()) < error


def test_bad_input_of_densities(orbitals, functions) -> None:
    pos, D = positions(1), densities(orbitals, 1)
    with pytest.raises(InputError, match="ratio of 1"):
        even_tempered(orbitals, [1], ratio=1.0)
    with pytest.raises(DataError, match="no shells for element 9"):
        even_tempered(orbitals, [9])
    with pytest.raises(InputError, match="radii"):
        molecular_quadrature(pos, 1, 3)
    twins = Basis("twins", {z: (Shell(0, (1.0,), (1.0,)),) * 2 for z in NUMBERS.tolist()})
    with pytest.raises(GeometryError, match="linearly dependent"):
        fitted(orbitals, twins, NUMBERS, pos, D)
    for factor in (3.0, 40.0, 1e6):
        identity = torch.linalg.inv(overlap_matrix(orbitals, NUMBERS, pos))
        with pytest.raises(DataError, match="orbitals, which hold two each"):
            fitted(orbitals, functions, NUMBERS, pos, factor * identity)
    axes = Basis("axes", {z: (Shell(1, (1.0,), (1.0,)),) for z in NUMBERS.tolist()})
    with pytest.raises(DataError, match="no function of the auxiliary basis has a charge"):
        fitted(orbitals, axes, NUMBERS, pos, D)


def test_a_matrix_of_whole_pairs_is_the_nearest_and_has_derivatives() -> None:
    """Idempotent with trace N; unchanged where it is so already; derivatives against differences, with equal
    occupations within both sets."""
    generator = torch.Generator().manual_seed(0)
    n, electrons = 6, 4
    C = torch.randn(2, n, n, generator=generator, dtype=torch.float64)
    S = C @ C.mT + torch.eye(n, dtype=torch.float64)
    orbitals = torch.linalg.solve_triangular(torch.linalg.cholesky(S).mT, torch.linalg.qr(C).Q, upper=True)
    whole = 2 * orbitals[..., :2] @ orbitals[..., :2].mT
    torch.testing.assert_close(purified(whole, S, electrons), whole, rtol=0, atol=1e-12)
    noise = 0.1 * torch.randn(2, n, n, generator=generator, dtype=torch.float64)
    near = (whole + noise + noise.mT).requires_grad_()
    D = purified(near, S, electrons)
    torch.testing.assert_close(D @ S @ D, 2 * D, rtol=0, atol=1e-8)
    torch.testing.assert_close((D * S).sum((1, 2)), torch.full((2,), 4.0, dtype=torch.float64), rtol=0, atol=1e-12)
    for matrix in (near, whole):  # in the second occupations are 2, 2, 0, 0, 0, 0
        direction = torch.randn(n, n, generator=generator, dtype=torch.float64)
        matrix = matrix.detach().requires_grad_()
        weights = torch.randn(2, n, n, generator=generator, dtype=torch.float64)
        (slope,) = torch.autograd.grad((purified(matrix, S, electrons) * weights).sum(), matrix)
        step = 1e-6 * (direction + direction.mT)
        ahead, behind = ((purified(matrix.detach() + s * step, S, electrons) * weights).sum() for s in (1, -1))
        assert float((slope * step).sum()) == pytest.approx(float(ahead - behind) / 2, rel=1e-6)
    with pytest.raises(GeometryError, match="linearly dependent"):
        purified(whole, torch.ones(2, n, n, dtype=torch.float64), electrons)
    with pytest.raises(GeometryError, match="not finite"):
        purified(whole * torch.nan, S, electrons)
