"""Labels by PySCF: Hartree-Fock and density functionals in Gaussian orbitals."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import numpy as np
from ase.data import chemical_symbols
from ase.units import Bohr, Hartree
from jaxtyping import Float

from intertwine.labels.methods import HARTREE_FOCK, exact_exchange, has_basis
from intertwine.labels.programs import program
from intertwine.labels.recipe import Recipe
from intertwine.labels.structure import NoLabelsError, Structure

LEAST_OVERLAP = 1e-7  # smallest eigenvalue of the overlap, below which orbitals depend on each other
LEAST_GAP = 1e-3  # Eh between the highest occupied and the lowest empty orbital of a closed shell
#: Eh, gaps below which the energy of the triplet is asked for: without exact exchange, and what all of it adds.
SUSPECT_GAP, SUSPECT_GAP_OF_EXCHANGE = 0.1, 0.5


def scf_labels(structure: Structure, recipe: Recipe) -> dict[str, np.ndarray]:
    r"""The labels that a recipe wants of a structure, in the units of :data:`~intertwine.labels.recipe.UNITS`.

    Orbitals are in PySCF's order, atom by atom in the order of the file. Forces are
    :math:`-\partial E/\partial x` with the response of the grid, so that they belong to the energy that is printed. The
    dipole of an ion is about the origin of the coordinates. The polarizability is by central differences,

    .. math:: \alpha_{ij} = \frac{\mu_i(+h e_j) - \mu_i(-h e_j)}{2 h},

    with the step h of the recipe, symmetrised. ``density`` is :math:`P_{ab} = \sum_k n_k C_{ak} C_{bk}` and
    ``hamiltonian`` the Fock matrix of that density.

    Raises:
        NoLabelsError: there are none, and why.
    """
    mol = molecule(structure, recipe)
    field_free = mean_field(mol, recipe)
    field_free.kernel()
    if not field_free.converged:  # as those of a closed shell often do where the ground state is a triplet
        raise NoLabelsError(" and ".join(filter(None, (_unconverged(field_free), _triplet(field_free, mol, recipe)))))
    _check_shells(field_free, mol, recipe)
    labels: dict[str, np.ndarray] = {}
    if "energy" in recipe.want:
        labels["energy"] = np.array(field_free.e_tot * Hartree)
    if "forces" in recipe.want:
        gradient = field_free.nuc_grad_method()
        if recipe.xc != HARTREE_FOCK:
            gradient.grid_response = True
        labels["forces"] = -np.asarray(gradient.kernel()) * Hartree / Bohr
    if "dipole" in recipe.want:
        labels["dipole"] = dipole(field_free) * Bohr
    if "polarizability" in recipe.want:
        labels["polarizability"] = _polarizability(field_free, mol, recipe) * Bohr**3
    if "density" in recipe.want:
        labels["density"] = np.asarray(field_free.make_rdm1())
    if "hamiltonian" in recipe.want:
        labels["hamiltonian"] = np.asarray(field_free.get_fock())
    return labels


def molecule(structure: Structure, recipe: Recipe) -> Any:
    """PySCF's molecule of a structure, with the effective core potentials that the basis is made for.

    Raises:
        NoLabelsError: an element is not in the basis, or its orbitals are linearly dependent.
    """
    gto = program("pyscf.gto")
    symbols = [chemical_symbols[z] for z in structure.numbers]
    lacking = sorted({symbol for symbol in symbols if not has_basis(gto, recipe.basis, symbol)})
    if lacking:
        raise NoLabelsError(f"the basis {recipe.basis} has no {', '.join(lacking)}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an advertisement of another package
        cores = {symbol: potential for symbol in set(symbols) if (potential := _core(gto, recipe.basis, symbol))}
        mol = gto.M(
            atom=list(zip(symbols, (structure.positions / Bohr).tolist(), strict=True)),
            unit="Bohr",
            basis=recipe.basis,
            ecp=cores,
            charge=structure.charge,
            spin=recipe.spin,
            symmetry=False,
            verbose=0,
        )
    smallest = float(np.linalg.eigvalsh(mol.intor("int1e_ovlp"))[0])
    if smallest < LEAST_OVERLAP:
        raise NoLabelsError(f"linearly dependent orbitals: the smallest eigenvalue of their overlap is {smallest:.1e}")
    return mol


def _core(gto: Any, basis: str, symbol: str) -> Any:
    """The effective core potential of that name; nothing where it has none."""
    try:
        return gto.basis.load_ecp(basis, symbol)
    except (KeyError, ValueError, RuntimeError, OSError):
        return None


def mean_field(mol: Any, recipe: Recipe) -> Any:
    """PySCF's object for a molecule, with the thresholds and the grid of a recipe."""
    if recipe.xc == HARTREE_FOCK:
        scf = program("pyscf.scf")
        field = scf.UHF(mol) if recipe.spin else scf.RHF(mol)
    else:
        dft = program("pyscf.dft")
        field = dft.UKS(mol, xc=recipe.xc) if recipe.spin else dft.RKS(mol, xc=recipe.xc)
        field.grids.level = recipe.grid
    field.conv_tol, field.conv_tol_grad = recipe.energy_threshold, recipe.gradient_threshold
    field.max_cycle = recipe.cycles
    return field


def converged(field: Any, guess: np.ndarray | None = None) -> Any:
    """The same object after its iterations.

    Raises:
        NoLabelsError: they did not converge.
    """
    field.kernel(dm0=guess)
    if not field.converged:
        raise NoLabelsError(_unconverged(field))
    return field


def _unconverged(field: Any) -> str:
    return f"the SCF did not converge in {field.max_cycle} iterations"


def _check_shells(field: Any, mol: Any, recipe: Recipe) -> None:
    """Raise :class:`NoLabelsError` if a closed shell is none: its orbitals are degenerate, or, where they are near, the
    triplet has less energy.
    """
    energies = np.asarray(field.mo_energy)
    occupied, empty = energies[field.mo_occ > 0], energies[field.mo_occ == 0]
    gap = float(empty.min() - occupied.max()) if len(empty) and len(occupied) else np.inf
    if recipe.spin or gap > SUSPECT_GAP + SUSPECT_GAP_OF_EXCHANGE * exact_exchange(recipe.xc):
        return
    if gap < LEAST_GAP:
        raise NoLabelsError(f"an open shell: highest occupied and lowest empty orbital are {gap:.1e} Eh apart")
    if reason := _triplet(field, mol, recipe):
        raise NoLabelsError(f"an open shell: {reason}")


def _triplet(field: Any, mol: Any, recipe: Recipe) -> str:
    """That the triplet has less energy than a closed shell; "" where it has not, or can't be computed."""
    if recipe.spin or sum(mol.nelec) < 2:
        return ""
    unpaired = mol.copy()
    unpaired.spin = 2
    triplet = mean_field(unpaired.build(False, False), replace(recipe, spin=2))
    triplet.kernel()
    below = field.e_tot - triplet.e_tot
    return f"the triplet is {below:.2g} Eh below it (--spin 2)" if triplet.converged and below > 0 else ""


def dipole(field: Any) -> Float[np.ndarray, "3"]:
    """The dipole moment (e a0) about the origin of the coordinates."""
    return np.asarray(field.dip_moment(unit="AU", verbose=0))


def _polarizability(field_free: Any, mol: Any, recipe: Recipe) -> Float[np.ndarray, "3 3"]:
    """The polarizability (a0^3), from six calculations in a field that begin with the density without one."""
    core, positions = field_free.get_hcore(), mol.intor("int1e_r")
    guess, step = field_free.make_rdm1(), recipe.field_step
    columns = []
    for axis in range(3):
        moments = []
        for sign in (1, -1):
            field = mean_field(mol, recipe)
            moved = core + sign * step * positions[axis]  # an electron's charge is -1: +E.r
            field.get_hcore = lambda *_, moved=moved: moved
            moments.append(dipole(converged(field, guess)))
        columns.append((moments[0] - moments[1]) / (2 * step))
    alpha = np.stack(columns, axis=1)
    return (alpha + alpha.T) / 2
