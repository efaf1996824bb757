r"""A density in functions on atoms as the start of PySCF's iterations.

.. math:: F[\tilde\rho] = h + \sum_P C_P\, (\mu\nu | P) + V_{xc}[\tilde\rho], \qquad F C = S C \epsilon, \qquad
    D = 2\, C_{occ} C_{occ}^T

The orbitals' basis may be another one than that of the labels, and molecules larger than those trained on.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from ase.data import chemical_symbols
from jaxtyping import Float

from intertwine.numerics import InputError
from intertwine.orbitals import Basis, order_matrix, reordered
from intertwine.orbitals.named import require_pyscf

THIN = 1e-10  # e / Bohr^3, density below which there is no exchange and correlation; a fit may be negative there

SAME = 1e-8  # difference of overlaps up to which two bases are the same


def density_guess(
    method: Any, auxiliary: Basis, coefficients: Float[np.ndarray, " functions"]
) -> Float[np.ndarray, "n n"]:
    """The density matrix of the orbitals of the Fock matrix of a density.

    Args:
        method: of PySCF for a molecule, restricted Kohn and Sham (``dft.RKS``), without exact exchange.
        auxiliary: basis of the functions.
        coefficients: of the functions of all atoms (e / Bohr^(3/2)), in the order of :mod:`intertwine.orbitals.order`.

    Raises:
        InputError: another method; another number of coefficients.
        DataError: an element that the auxiliary basis does not have.
    """
    F = fock_of_density(method, auxiliary, coefficients)
    energies, orbitals = method.eig(F, method.get_ovlp())
    return np.asarray(method.make_rdm1(orbitals, method.get_occ(energies, orbitals)))


def matrix_guess(method: Any, basis: Basis, matrix: Float[np.ndarray, "n n"]) -> Float[np.ndarray, "m m"]:
    """A density matrix as the start of the iterations of a method, whose orbitals may be others: it is projected.

    Args:
        method: of PySCF for a molecule.
        basis: of the matrix.
        matrix: in the order of :mod:`intertwine.orbitals.order`.

    Raises:
        DataError: an element that the basis does not have.
    """
    molecule = method.mol
    own = _molecule_of(molecule, basis)
    degrees = [shell.degree for z in molecule.atom_charges().tolist() for shell in basis.of(z)]
    D = reordered(torch.from_numpy(matrix), degrees, "intertwine", "pyscf").numpy()
    if same_orbitals(own.intor("int1e_ovlp"), molecule.intor("int1e_ovlp")):
        return np.asarray(D)
    return np.asarray(require_pyscf("scf.addons").project_dm_nr2nr(own, D, molecule))


def same_orbitals(first: Float[np.ndarray, "n n"], second: Float[np.ndarray, "m m"]) -> bool:
    """Whether two overlaps are of the same orbitals."""
    return first.shape == second.shape and not bool(np.abs(first - second).max() > SAME)


def fock_of_density(
    method: Any, auxiliary: Basis, coefficients: Float[np.ndarray, " functions"]
) -> Float[np.ndarray, "n n"]:
    """The Fock matrix of a density (Eh, PySCF's order of orbitals); arguments and errors as of
    :func:`density_guess`."""
    if not hasattr(method, "xc") or not hasattr(method, "grids"):
        what, remedy = (
            f"{type(method).__name__} has no functional",
            "give a method of Kohn and Sham: dft.RKS(molecule).",
        )
        raise InputError(what, where="method", remedy=remedy)
    integrator, molecule = method._numint, method.mol
    kind = integrator._xc_type(method.xc)
    if kind not in ("LDA", "GGA") or integrator.libxc.is_hybrid_xc(method.xc):
        what = f"the functional {method.xc!r} needs more than a density and its gradient"
        raise InputError(what, where="method", remedy="choose a local one, or one with gradients: lda,vwn or pbe.")
    numbers = molecule.atom_charges().tolist()
    degrees = [shell.degree for z in numbers for shell in auxiliary.of(z)]
    if len(coefficients) != sum(2 * l + 1 for l in degrees):
        what = f"{len(coefficients)} coefficients for {sum(2 * l + 1 for l in degrees)} functions"
        raise InputError(what, where="coefficients", remedy="give those of all atoms, in the order of the molecule.")
    ours = torch.from_numpy(np.asarray(coefficients, dtype=np.float64))
    c = (order_matrix(degrees, "pyscf") @ ours).numpy()
    functions = _molecule_of(molecule, auxiliary)
    repulsion = require_pyscf("df").incore.aux_e2(molecule, functions, "int3c2e", aosym="s1") @ c
    return method.get_hcore() + repulsion + _exchange_correlation(method, functions, c, kind)


def _molecule_of(molecule: Any, auxiliary: Basis) -> Any:
    """PySCF's molecule of the same atoms with the functions of the auxiliary basis."""
    numbers = molecule.atom_charges().tolist()
    table = {
        chemical_symbols[z]: [
            [shell.degree, *map(list, zip(shell.exponents, shell.coefficients, strict=True))]
            for shell in auxiliary.of(z)
        ]
        for z in set(numbers)
    }
    atoms = [(chemical_symbols[z], x) for z, x in zip(numbers, molecule.atom_coords().tolist(), strict=True)]
    return require_pyscf("gto").M(atom=atoms, unit="Bohr", basis=table, spin=None, verbose=0)


def _exchange_correlation(
    method: Any, functions: Any, c: Float[np.ndarray, " functions"], kind: str
) -> Float[np.ndarray, "n n"]:
    """The matrix of the potential of exchange and correlation of a density, on the method's grid."""
    grids = method.grids
    if grids.coords is None:
        grids.build()
    order = "GTOval_sph" if kind == "LDA" else "GTOval_sph_deriv1"
    values = np.atleast_3d(functions.eval_gto(order, grids.coords) @ c).reshape(-1, len(grids.coords))
    values[:, values[0] < THIN] = 0.0
    density = values[0] if kind == "LDA" else values
    potential = method._numint.eval_xc_eff(method.xc, density, deriv=1, xctype=kind)[1].reshape(-1, len(grids.coords))
    weighted = potential * grids.weights
    weighted[0] *= 0.5  # the matrix is added to its transpose
    orbitals = method.mol.eval_gto(order, grids.coords).reshape(-1, len(grids.coords), method.mol.nao)
    half = orbitals[0].T @ np.einsum("xg,xgn->gn", weighted, orbitals)
    return half + half.T
