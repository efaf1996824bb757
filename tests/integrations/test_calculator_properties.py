"""Energies of atoms, stress of slabs, and what a calculator says of itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, fcc111, graphene, molecule
from ase.calculators.calculator import PropertyNotImplementedError
from ase.calculators.fd import calculate_numerical_stress

from intertwine.integrations import Calculator


def rattled(atoms: Atoms, **options: Any) -> Atoms:
    atoms = atoms.copy()
    atoms.rattle(0.05, seed=1)
    if options:
        atoms.set_pbc(**options)
    return atoms


STRUCTURES = [molecule("CH3CH2OH"), bulk("C"), fcc111("Cu", (2, 1, 2), vacuum=4.0), molecule("O")]


@pytest.mark.parametrize("atoms", STRUCTURES, ids=str)
@pytest.mark.parametrize("name", ["painn", "mace", "egnn"])
def test_energies_of_atoms_add_up(name: str, atoms: Atoms, force_field: Callable[..., Any]) -> None:
    """They do, they are the atoms' own under a permutation, and asking for them changes nothing else."""
    sizes = {"width": 4} if name == "mace" else {}
    atoms, order = rattled(atoms), np.random.default_rng(0).permutation(len(atoms))
    atoms.calc = Calculator(force_field(name, **sizes))
    energies = atoms.get_potential_energies()
    assert energies.shape == (len(atoms),)
    assert energies.sum() == pytest.approx(atoms.get_potential_energy(), rel=1e-12)
    permuted = atoms[order]
    permuted.calc = atoms.calc
    assert np.allclose(permuted.get_potential_energies(), energies[order], atol=1e-9)
    apart = Atoms(atoms)  # two copies far from each other: of each its own
    apart.calc = Calculator(force_field(name, **sizes))
    assert np.array_equal(apart.get_forces(), atoms.get_forces())
    assert "energies" not in apart.calc.results


@pytest.mark.parametrize(
    "atoms",
    [fcc111("Cu", (2, 1, 2), vacuum=4.0), graphene(vacuum=6.0), fcc111("C", (1, 1, 2), a=3.0, vacuum=3.0)],
    ids=["copper", "graphene", "thin"],
)
def test_the_stress_of_a_slab(atoms: Atoms, force_field: Callable[..., Any]) -> None:
    """By ASE's own differences; times the height it is a tension, which the vacuum does not change."""
    atoms = rattled(atoms, pbc=(True, True, False))
    atoms.calc = Calculator(force_field())
    stress = atoms.get_stress()
    assert np.abs(stress[:2]).max() > 1e-6
    assert np.allclose(stress, calculate_numerical_stress(atoms, eps=1e-5), rtol=1e-5, atol=1e-7 * np.abs(stress).max())
    higher = atoms.copy()
    higher.cell[2] *= 1.5
    higher.calc = atoms.calc
    assert np.allclose(higher.get_stress() * higher.cell[2, 2], stress * atoms.cell[2, 2], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    "atoms", [molecule("H2O"), rattled(bulk("C"), pbc=(True, False, False)), fcc111("Cu", (1, 1, 2))], ids=str
)
def test_a_stress_that_is_none_is_refused_in_words(atoms: Atoms, force_field: Callable[..., Any]) -> None:
    atoms.calc = Calculator(force_field())
    assert np.isfinite(atoms.get_forces()).all()
    with pytest.raises(PropertyNotImplementedError, match="fewer than two lattice vectors, or its cell has no volume"):
        atoms.get_stress()


def test_what_a_calculator_says_of_itself(force_field: Callable[..., Any]) -> None:
    for name, options in (("painn", {}), ("schnet", {"cutoff": 4.5}), ("egnn", {"cutoff": None})):
        calculator = Calculator(force_field(name, **options), skin=0.25)
        text = repr(calculator)
        assert text.count("\n") == 0
        assert len(text) < 300
        for word in (type(calculator.task.backbone).__name__, "skin='0.25 A'", "float64", "cpu"):
            assert word in text
        assert ("all pairs" in text) == (options.get("cutoff", 0) is None)
        html = calculator._repr_html_()
        assert html.startswith("<table>")
        assert html.count("<tr>") == html.count("</tr>") >= 6
