"""Densities as the start of PySCF's iterations: the Fock matrix of a fit beside that of the density itself."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from intertwine.data.water import BASIS
from intertwine.integrations.density_guess import density_guess, fock_of_density
from intertwine.integrations.scf import iterate
from intertwine.numerics import InputError
from intertwine.orbitals import Basis, even_tempered, reordered
from intertwine.orbitals.density import fitted

dft, gto, scf = (pytest.importorskip(f"pyscf.{name}") for name in ("dft", "gto", "scf"))
NUMBERS = torch.tensor([8, 1, 1])
POS = torch.tensor([[[0.0, 0.0, 0.0], [0.0, 0.80, 0.55], [0.1, -0.76, 0.60]]], dtype=torch.float64)


def functional(xc: str = "pbe", basis: str = "def2-svp"):
    atoms = list(zip(NUMBERS.tolist(), POS[0].tolist(), strict=True))
    method = dft.RKS(gto.M(atom=atoms, basis=basis, verbose=0), xc=xc)
    method.grids.level = 1
    return method


@pytest.fixture(scope="module")
def best() -> tuple[Basis, np.ndarray, float]:
    """The best coefficients of water's density, and its energy."""
    basis = Basis.from_json(BASIS.read_text())
    auxiliary = even_tempered(basis, [1, 8], ratio=1.8)
    method = functional()
    method.kernel()
    degrees = [shell.degree for z in NUMBERS.tolist() for shell in basis.of(z)]
    D = reordered(torch.tensor(method.make_rdm1()), degrees, "pyscf", "intertwine").unsqueeze(0)
    return auxiliary, fitted(basis, auxiliary, NUMBERS, POS, D)[0].numpy(), float(method.e_tot)


def test_the_fock_matrix_is_that_of_the_density_nearly(best) -> None:
    """The fit is off by 0.2 % of the electrons, the matrix by 1e-3 Eh; the functional's own density is converged."""
    auxiliary, c, _ = best
    method = functional()
    method.kernel()
    difference = fock_of_density(functional(), auxiliary, c) - method.get_fock()
    assert np.abs(difference).mean() < 1e-3
    assert np.abs(difference - difference.T).max() < 1e-10


def test_iterations_are_saved(best) -> None:
    auxiliary, c, energy = best
    guess = density_guess(functional(), auxiliary, c)
    usual, ours = iterate(functional()), iterate(functional(), guess)
    assert usual.converged
    assert ours.converged
    assert ours.energy == pytest.approx(energy, abs=1e-7)
    assert ours.iterations < usual.iterations


def test_another_basis_and_functional_begin_there_too(best) -> None:
    auxiliary, c, _ = best
    usual = iterate(functional("lda,vwn", "6-31g"))
    ours = iterate(functional("lda,vwn", "6-31g"), density_guess(functional("lda,vwn", "6-31g"), auxiliary, c))
    assert ours.energy == pytest.approx(usual.energy, abs=1e-7)
    assert ours.iterations <= usual.iterations


def test_bad_input_of_guesses(best) -> None:
    auxiliary, c, _ = best
    with pytest.raises(InputError, match="has no functional"):
        density_guess(scf.RHF(functional().mol), auxiliary, c)
    with pytest.raises(InputError, match="more than a density"):
        density_guess(functional("b3lyp"), auxiliary, c)
    with pytest.raises(InputError, match="coefficients for"):
        density_guess(functional(), auxiliary, c[:-1])
