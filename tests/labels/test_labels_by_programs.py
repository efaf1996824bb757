"""Labels are what the programs say, derivatives are derivatives, and what has no labels is said to have none."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from ase.units import Bohr, Hartree
from labelled_water import cheap, structure, water

from intertwine.labels import Recipe, label_structure, recipe
from intertwine.labels.scf import converged, mean_field
from intertwine.labels.scf import molecule as pyscf_molecule
from intertwine.numerics import InputError

pytest.importorskip("pyscf")
pytest.importorskip("tblite")
pytest.importorskip("h5py")

ALL = ("energy", "forces", "dipole", "polarizability")


def labels(atoms: Atoms, how: Recipe, charge: int = 0) -> dict[str, np.ndarray]:
    outcome = label_structure(structure(atoms, charge=charge), how)
    assert not outcome.reason
    return outcome.labels


def test_xtb_is_tblites() -> None:
    from tblite.ase import TBLite

    atoms, how = water(1)[0], recipe("gfn2-xtb", ["energy", "forces", "dipole"], threshold=1e-6)
    values = labels(atoms, how)
    atoms.calc = TBLite(method="GFN2-xTB", accuracy=1.0, verbosity=0)
    assert values["energy"] == pytest.approx(atoms.get_potential_energy(), abs=1e-9)
    assert np.allclose(values["forces"], atoms.get_forces(), atol=1e-9)
    assert np.allclose(values["dipole"], atoms.get_dipole_moment(), atol=1e-9)


@pytest.mark.parametrize(("method", "spin"), [("gfn2-xtb", 0), ("hf/sto-3g", 0), ("pbe/sto-3g", 0), ("hf/sto-3g", 1)])
def test_forces_are_differences_of_energies(method: str, spin: int) -> None:
    """By four-point differences, whose error is of the fourth order of the step."""
    atoms, charge, step = water(1)[0], spin, 0.01
    how = recipe(method, ["energy", "forces"], spin=spin, threshold=1e-12)
    energies = []
    for k in (-2, -1, 1, 2):
        moved = atoms.copy()
        moved.positions[1, 2] += k * step
        energies.append(float(labels(moved, how, charge)["energy"]))
    slope = (energies[0] - 8 * energies[1] + 8 * energies[2] - energies[3]) / (12 * step)
    assert labels(atoms, how, charge)["forces"][1, 2] == pytest.approx(-slope, abs=3e-5)


def test_the_polarizability_is_the_coupled_perturbed_one() -> None:
    """Hartree-Fock's by the equations of first order: alpha = -4 r_ai U_ai with (e_a - e_i) U_ai + v(U)_ai = -r_ai."""
    from pyscf.scf import cphf

    atoms, how = water(1)[0], cheap(want=["polarizability"], threshold=1e-13)
    field = converged(mean_field(pyscf_molecule(structure(atoms), how), how))
    empty, occupied = field.mo_coeff[:, field.mo_occ == 0], field.mo_coeff[:, field.mo_occ > 0]
    perturbation = np.einsum("xab,ap,bi->xpi", field.mol.intor("int1e_r"), empty, occupied)
    response = field.gen_response(hermi=1)

    def induced(u: np.ndarray) -> np.ndarray:
        u = u.reshape(-1, *perturbation.shape[1:])
        density = 2 * np.einsum("ap,xpi,bi->xab", empty, u, occupied)
        potential = response(density + density.transpose(0, 2, 1))
        return np.einsum("xab,ap,bi->xpi", potential, empty, occupied).reshape(len(u), -1)

    u = cphf.solve(induced, field.mo_energy, field.mo_occ, perturbation, tol=1e-11)[0]
    alpha = -4 * np.einsum("xpi,ypi->xy", perturbation, u)
    assert np.allclose(labels(atoms, how)["polarizability"], alpha * Bohr**3, atol=2e-5)


def test_dipole_and_polarizability_of_xtb_are_derivatives_of_its_energy() -> None:
    """mu = -dE/dF and alpha = -d2E/dF2, which settles sign and unit of tblite's field."""
    from intertwine.labels.xtb import _computed

    atoms, how, h = water(1)[0], recipe("gfn2-xtb", ALL, threshold=1e-10), 2e-3
    values, along = labels(atoms, how), np.array([0.0, 0.6, 0.8])
    energies = [
        float(_computed(structure(atoms), how, k * h * along if k else None).get("energy")) for k in (-2, -1, 0, 1, 2)
    ]
    slope = np.dot([1, -8, 0, 8, -1], energies) / (12 * h)
    curvature = np.dot([-1, 16, -30, 16, -1], energies) / (12 * h * h)
    assert values["dipole"] @ along / Bohr == pytest.approx(-slope, abs=1e-6)
    assert along @ values["polarizability"] @ along / Bohr**3 == pytest.approx(-curvature, abs=1e-4)


def test_energy_and_dipole_follow_from_the_matrices() -> None:
    """E = tr P (h + F) / 2 + E_nn of Hartree-Fock, 10 electrons, and the dipole of the density."""
    atoms, how = water(1)[0], cheap(threshold=1e-12)
    values = labels(atoms, how)
    mol = pyscf_molecule(structure(atoms), how)
    core = mol.intor("int1e_kin") + mol.intor("int1e_nuc")
    density, fock = values["density"], values["hamiltonian"]
    energy = np.sum(density * (core + fock)) / 2 + mol.energy_nuc()
    assert energy * Hartree == pytest.approx(float(values["energy"]), abs=1e-8)
    assert np.sum(density * mol.intor("int1e_ovlp")) == pytest.approx(10, abs=1e-10)
    nuclei = mol.atom_charges() @ mol.atom_coords()
    assert np.allclose((nuclei - np.einsum("xab,ab->x", mol.intor("int1e_r"), density)) * Bohr, values["dipole"])


def test_b3lyp_is_written_out() -> None:
    """The name's two meanings are two recipes, and the first is Gaussian's, which Libxc has as one functional."""
    from pyscf import dft

    atoms = water(1)[0]
    energies = {name: float(labels(atoms, recipe(f"{name}/sto-3g", ["energy"]))["energy"])
                for name in ("b3lyp", "b3lypg", "b3lyp5")}  # fmt: skip
    mol = pyscf_molecule(structure(atoms), recipe("b3lyp/sto-3g"))
    gaussian = dft.RKS(mol, xc="HYB_GGA_XC_B3LYP").run(conv_tol=1e-10).e_tot * Hartree
    assert energies["b3lyp"] == energies["b3lypg"] == pytest.approx(gaussian, abs=1e-6)
    assert energies["b3lyp5"] - energies["b3lyp"] == pytest.approx(1.0, abs=0.1)  # eV
    assert "VWN3" in recipe("b3lyp/sto-3g").xc
    assert "VWN5" in recipe("b3lyp5/sto-3g").xc
    assert recipe("b3lyp/sto-3g").differences(recipe("b3lyp5/sto-3g"))


def test_effective_cores_come_with_the_basis() -> None:
    mol = pyscf_molecule(structure(Atoms("HI", [[0, 0, 0], [0, 0, 1.61]])), recipe("pbe/def2-svp"))
    assert mol.nelectron == 1 + 53 - 28


def test_a_recipe_is_its_text() -> None:
    how = recipe("pbe/def2-svp", ["hamiltonian", "energy"], charge=1, grid=4)
    assert Recipe.of(how.text()) == how
    assert how.want == ("energy", "hamiltonian")
    assert Recipe.of(how.text()).digest() == how.digest() != replace(how, grid=5).digest()
    assert how.differences(replace(how, grid=5)) == ["grid"]


CLOSE = Atoms("C2", [[0, 0, 0], [0, 0, 0.21]])
OXYGEN = Atoms("O2", [[0, 0, 0], [0, 0, 1.21]])
FAILURES: dict[str, tuple[Atoms, Recipe | None, dict[str, Any], str]] = {
    "an odd number of electrons": (Atoms("OH", [[0, 0, 0], [0, 0, 0.97]]), None, {}, "9 electrons are an open shell"),
    "a charge that does not fit": (water(1)[0], None, {"charge": 1}, "charge or spin does not fit"),
    "a charge of more electrons than there are": (Atoms("H"), None, {"charge": 2}, "leaves -1 electrons"),
    "a triplet": (OXYGEN, None, {}, "the triplet is"),
    "a triplet by Hartree-Fock": (OXYGEN, recipe("hf/sto-3g"), {}, "the triplet is"),
    "a bond that is broken": (Atoms("H2", [[0, 0, 0], [0, 0, 3]]), None, {}, "the triplet is"),
    "coincident atoms": (Atoms("H2", np.zeros((2, 3))), None, {}, "atoms 0 and 1 are 0 A apart"),
}


def test_iterations_that_turn_in_circles_ask_for_the_triplet() -> None:
    """Which of the two it is that oxygen's closed shell does depends on the processor's rounding."""
    how = replace(recipe("pbe/sto-3g"), cycles=4)
    outcome = label_structure(structure(OXYGEN, 7), how)
    assert not outcome.labels
    assert "did not converge in 4 iterations" in outcome.reason
    patient = replace(recipe("hf/sto-3g"), cycles=8)
    told = label_structure(structure(Atoms("H2", [[0, 0, 0], [0, 0, 3]]), 0), patient).reason
    assert "the triplet is" in told


@pytest.mark.parametrize("method", ["gfn2-xtb", "gfn1-xtb"])
@pytest.mark.parametrize(
    ("atoms", "spin", "doubtful"),
    [
        (OXYGEN, 0, True),
        (molecule("S2"), 0, True),
        (Atoms("NH", [[0, 0, 0], [0, 0, 1.04]]), 0, True),
        (Atoms("H2", [[0, 0, 0], [0, 0, 6]]), 0, True),
        (OXYGEN, 2, False),
        (molecule("H2O"), 0, False),
        (molecule("O3"), 0, False),
        (Atoms("He"), 0, False),  # in a basis of one orbital there is no empty one
    ],
)
def test_a_gap_that_is_closed_is_remarked(atoms: Atoms, spin: int, doubtful: bool, method: str) -> None:
    outcome = label_structure(structure(atoms, 7), recipe(method, ["energy"], spin=spin))
    assert not outcome.reason
    assert np.isfinite(outcome.labels["energy"])
    assert bool(outcome.remark) == doubtful
    if doubtful:
        assert "less than 0.1 eV apart" in outcome.remark
        assert "--spin 2" in outcome.remark


@pytest.mark.parametrize("name", FAILURES)
def test_why_there_are_no_labels(name: str) -> None:
    atoms, how, options, words = FAILURES[name]
    outcome = label_structure(structure(atoms, 7, **options), how or recipe("pbe/sto-3g"))
    assert not outcome.labels
    assert outcome.frame == 7
    assert words in outcome.reason


@pytest.mark.parametrize(
    ("atoms", "method", "options", "words"),
    [
        (CLOSE, "hf/6-31++g**", {}, "linearly dependent orbitals"),
        (Atoms("HI", [[0, 0, 0], [0, 0, 1.61]]), "hf/6-31g**", {}, "the basis 6-31g** has no I"),
        (water(1)[0], "pbe/sto-3g", {"cycles": 3}, "did not converge in 3 iterations"),
        (water(1)[0], "hf/sto-3g", {"spin": 1}, "not 1 of them unpaired"),
        (water(1)[0], "gfn2-xtb", {"cycles": 2}, "tblite: "),
        (Atoms("FrH", [[0, 0, 0], [0, 0, 2.5]]), "gfn2-xtb", {}, "tblite: "),
    ],
)
def test_why_a_method_gives_no_labels(atoms: Atoms, method: str, options: dict[str, Any], words: str) -> None:
    outcome = label_structure(structure(atoms), recipe(method, ["energy"], **options))
    assert not outcome.labels
    assert words in outcome.reason


@pytest.mark.parametrize(
    ("method", "options", "words"),
    [
        ("pbee/sto-3g", {}, "no functional 'pbee'"),
        ("pbe/sto-4gg", {}, "no basis 'sto-4gg'"),
        ("pbe", {}, "unknown method 'pbe'"),
        ("gfn3-xtb", {}, "did you mean 'gfn2-xtb'"),
        ("b3lyp-d3bj/sto-3g", {}, "dispersion"),
        ("hf/sto-3g", {"want": ["energie"]}, "did you mean 'energy'"),
        ("hf/sto-3g", {"want": []}, "nothing is wanted"),
        ("hf/sto-3g", {"grid": 3}, "no grid"),
        ("pbe/sto-3g", {"grid": 11}, "no level 11"),
        ("hf/sto-3g", {"spin": -1}, "spin is -1"),
        ("hf/sto-3g", {"spin": 1, "want": ["hamiltonian"]}, "of an open shell"),
        ("gfn2-xtb", {"want": ["density"]}, "gives no density"),
        ("hf/sto-3g", {"threshold": 1.0}, "threshold"),
        ("hf/sto-3g", {"cycles": 0}, "0 iterations"),
        ("hf/sto-3g", {"field": 1.0}, "electric field"),
    ],
)
def test_recipes_that_are_refused(method: str, options: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        recipe(method, **options)


@pytest.mark.parametrize(("package", "method"), [("pyscf", "pbe/sto-3g"), ("tblite", "gfn2-xtb")])
def test_a_program_that_is_not_installed(package: str, method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib

    def absent(name: str, *more: Any) -> Any:
        if name.startswith(package):
            raise ImportError(f"No module named {package!r}", name=package)
        return original(name, *more)

    original = importlib.import_module
    monkeypatch.setattr(importlib, "import_module", absent)
    with pytest.raises(InputError, match=r'pip install "intertwine\[quantum\]"'):
        recipe(method)


def test_the_molecule_of_ase_is_closed() -> None:
    """The failures above are not those of a molecule that has none."""
    assert not label_structure(structure(molecule("H2O")), recipe("pbe/sto-3g")).reason
