"""Phonons by second derivatives are those by displacements; heat is that of the frequencies; other cases are named."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from ase import units
from ase.build import bulk, molecule
from ase.calculators.emt import EMT

from intertwine.integrations import Calculator, phonons
from intertwine.numerics import GeometryError, InputError

Q = np.random.default_rng(0).random((4, 3))


@pytest.fixture(autouse=True)
def _phonopy() -> None:
    pytest.importorskip("phonopy")


@pytest.mark.parametrize("cubic", [False, True], ids=["primitive", "conventional"])
def test_derivatives_are_the_limit_of_displacements(cubic: bool, force_field) -> None:
    """Of a crystal of two elements, whose cell may hold more than one primitive cell."""
    task, atoms = force_field("schnet", scale=5.0), bulk("NaCl", "rocksalt", a=5.0, cubic=cubic)
    atoms.positions += 0.3  # anywhere in its cell
    repeats = (1, 1, 1) if cubic else (2, 2, 2)
    exact = phonons(task, atoms, repeats)
    expected = exact.run_qpoints(Q).frequencies
    errors = []
    for distance in (0.04, 0.02):
        found = phonons(task, atoms, repeats, method="displacements", distance=distance)
        errors.append(np.abs(found.run_qpoints(Q).frequencies - expected).max())
    assert np.abs(expected).max() > 1  # THz
    assert errors[1] < 0.02
    assert errors[1] == pytest.approx(errors[0] / 4, rel=0.3)  # central differences err by the square
    centre = np.sort(np.abs(exact.run_qpoints([[0.0, 0.0, 0.0]]).frequencies[0]))
    assert centre[2] < 1e-4 < centre[3]  # three acoustic modes


def test_masses_and_inputs_go_along(force_field) -> None:
    """Heavier isotopes have slower modes; charges that a model reads are those of the supercell's atoms."""
    task, atoms = force_field("schnet", scale=5.0), bulk("Al", a=4.05)
    light = phonons(task, atoms).run_qpoints(Q).frequencies
    atoms.set_masses([4 * atoms.get_masses()[0]])
    assert np.allclose(phonons(task, atoms).run_qpoints(Q).frequencies, light / 2)
    charged, salt = force_field("painn", scale=5.0, node_inputs=("charge",)), bulk("NaCl", "rocksalt", a=5.0)
    tables = []
    for charges in ([1.0, -1.0], [0.0, 0.0]):
        salt.set_initial_charges(charges)
        tables.append(phonons(charged, salt, largest_force=1e-6).run_qpoints(Q).frequencies)
    assert np.abs(tables[0] - tables[1]).max() > 1e-3


def test_heat_of_a_metal() -> None:
    """Dulong and Petit's limit, and the formula of harmonic oscillators at room temperature."""
    found = phonons(EMT(), bulk("Al", a=3.99), (2, 2, 2))
    mesh = found.run_mesh([8, 8, 8], is_gamma_center=True, is_mesh_symmetry=False)
    heat = found.run_thermal_properties(temperatures=[300.0, 3000.0], cutoff_frequency=0.05).heat_capacity
    assert heat[1] == pytest.approx(3 * units.kB * units.mol / units.J, rel=3e-3)
    energies = mesh.frequencies[mesh.frequencies > 0.05] * units._hplanck * 1e12 / units._e
    x = energies / (units.kB * 300.0)
    expected = units.kB * (x**2 * np.exp(x) / np.expm1(x) ** 2).sum() / len(mesh.frequencies)
    assert heat[0] == pytest.approx(expected * units.mol / units.J, rel=1e-4)


def test_what_is_wrong_is_named(force_field, monkeypatch: pytest.MonkeyPatch) -> None:
    task, atoms = force_field("schnet"), bulk("Al")
    with pytest.raises(GeometryError, match="does not repeat along three"):
        phonons(task, molecule("H2O"))
    off = bulk("Al", cubic=True)
    off.rattle(0.1, seed=0)
    for method in ("derivatives", "displacements"):
        with pytest.raises(GeometryError, match=r"forces of up to .* are left"):
            phonons(force_field("schnet", scale=5.0), off, (1, 1, 1), method=method)
    for supercell in ((0, 1, 1), (1, 1), (1.5, 1, 1), ((1, 0, 0), (0, 1, 0), (0, 0, 0))):
        with pytest.raises(InputError, match="repeats no cell"):
            phonons(task, atoms, supercell)
    with pytest.raises(InputError, match="EMT has no second derivatives"):
        phonons(EMT(), atoms, method="derivatives")
    with pytest.raises(InputError, match="unknown method"):
        phonons(Calculator(task), atoms, method="guess")
    with pytest.raises(InputError, match="a distance of 0"):
        phonons(task, atoms, distance=0.0)
    monkeypatch.setitem(sys.modules, "phonopy", None)
    with pytest.raises(InputError, match=r"phonopy is missing[\s\S]*pip install phonopy"):
        phonons(task, atoms)
