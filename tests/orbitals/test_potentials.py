"""Electrostatic potentials beside PySCF's Coulomb integrals, and Boys' function beside its integral."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from intertwine.numerics import DataError
from intertwine.orbitals import Basis, Shell, order_matrix
from intertwine.orbitals.basis import BOHR
from intertwine.orbitals.potential import boys, electrostatic_potential

NUMBERS = torch.tensor([8, 1])
POS = torch.tensor([[[0.0, 0.1, 0.0], [0.9, 0.2, -0.3]], [[0.0, 0.0, 0.0], [0.1, 0.0, 1.0]]], dtype=torch.float64)


def functions() -> Basis:
    """Shells s to g, contracted ones too, thin and wide."""
    shells = tuple(Shell(l, (0.3 * 4.0**k,), (1.0,)) for l in range(5) for k in range(3))
    return Basis("s to g", {8: (Shell(0, (900.0, 20.0), (0.3, 0.8)), *shells), 1: shells[3:]})


@pytest.mark.parametrize("l", [0, 1, 4, 6])
def test_boys_function_is_its_integral(l: int) -> None:
    """By 200 nodes of Gauss; without a step at 1, and with derivatives -F_(l + 1)."""
    x = torch.tensor([0.0, 1e-12, 0.3, 1 - 1e-9, 1.0, 1 + 1e-9, 3.0, 30.0, 400.0], dtype=torch.float64)
    x.requires_grad_()
    node, weight = np.polynomial.legendre.leggauss(200)
    t, w = torch.from_numpy((node + 1) / 2), torch.from_numpy(weight / 2)
    expected = (w * t ** (2 * l) * torch.exp(-x.detach().unsqueeze(1) * t**2)).sum(1)
    torch.testing.assert_close(boys(l, x), expected, rtol=1e-12, atol=0)
    (slope,) = torch.autograd.grad(boys(l, x).sum(), x)
    torch.testing.assert_close(slope, -boys(l + 1, x.detach()), rtol=1e-10, atol=0)


def test_potentials_are_pyscfs_integrals() -> None:
    """Of functions s to g with unit charges at points, near and far."""
    gto = pytest.importorskip("pyscf.gto")
    basis, size = functions(), sum(functions().size(z) for z in NUMBERS.tolist())
    generator = torch.Generator().manual_seed(0)
    c = torch.randn(2, size, generator=generator, dtype=torch.float64)
    points = torch.randn(2, 30, 3, generator=generator, dtype=torch.float64) * torch.linspace(0.1, 9, 30).unsqueeze(1)
    ours = electrostatic_potential(basis, NUMBERS, POS, c, points)
    table = {
        symbol: [[shell.degree, *zip(shell.exponents, shell.coefficients, strict=True)] for shell in basis.of(z)]
        for symbol, z in (("O", 8), ("H", 1))
    }
    A = order_matrix([shell.degree for z in NUMBERS.tolist() for shell in basis.of(z)], "pyscf")
    for k in range(2):
        atoms = list(zip(["O", "H"], (POS[k] / BOHR).tolist(), strict=True))
        molecule = gto.M(atom=atoms, basis=table, unit="Bohr", spin=1, verbose=0)
        charges = gto.fakemol_for_charges((points[k] / BOHR).numpy())
        electrons = torch.from_numpy(gto.intor_cross("int2c2e", molecule, charges)).T @ (A @ c[k])
        distance = torch.cdist(points[k], POS[k]) / BOHR
        expected = (NUMBERS / distance).sum(1) - electrons
        torch.testing.assert_close(ours[k], expected, rtol=1e-9, atol=1e-9)


def test_far_away_a_neutral_atom_has_no_potential_and_elements_are_named() -> None:
    basis = Basis("one", {2: (Shell(0, (0.8,), (1.0,)),)})
    charge = (1.6 / torch.pi) ** 0.75 * (torch.pi / 0.8) ** 1.5  # of the normalised function
    c = torch.full((1, 1), 2.0 / charge, dtype=torch.float64)
    points = torch.tensor([[[0.0, 0.0, 9.0], [5.0, 5.0, 0.0]]], dtype=torch.float64)
    value = electrostatic_potential(basis, torch.tensor([2]), torch.zeros(1, 1, 3).double(), c, points)
    assert float(value.abs().max()) < 1e-12
    with pytest.raises(DataError, match="no shells for element 1"):
        electrostatic_potential(basis, torch.tensor([1]), torch.zeros(1, 1, 3).double(), c, points)
