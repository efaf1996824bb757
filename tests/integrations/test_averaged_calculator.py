"""A foreign force field without symmetry, averaged over rotations."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.emt import EMT

from intertwine.groups import Orthogonal, T, octahedral
from intertwine.integrations import AveragedCalculator
from intertwine.numerics import InputError

K = np.array([0.6, 0.2, -1.0])


class Wave(Calculator):  # type: ignore[misc]
    """Energy sum_i sin(k . x_i) with positions from their mean: of every degree, and other when it is turned."""

    implemented_properties = ("energy", "forces")

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def calculate(self, atoms: Any = None, properties: Any = ("energy",), system_changes: Any = all_changes) -> None:
        super().calculate(atoms, properties, system_changes)
        self.calls += 1
        x = self.atoms.positions - self.atoms.positions.mean(0)
        slopes = np.cos(x @ K)
        self.results = {"energy": np.sin(x @ K).sum(), "forces": (slopes.mean() - slopes)[:, None] * K}


def averaged(atoms: Atoms, **options: Any) -> Atoms:
    atoms = atoms.copy()
    atoms.calc = AveragedCalculator(Wave(), **options)
    return atoms


def test_energy_is_invariant_and_forces_are_its_gradient() -> None:
    ethanol = molecule("CH3CH2OH")
    turned = ethanol.copy()
    turned.rotate(50, (1, 2, 3))
    assert abs(Wave().get_property("energy", turned) - Wave().get_property("energy", ethanol)) > 0.05
    errors = [
        abs(averaged(turned, order=n).get_potential_energy() - averaged(ethanol, order=n).get_potential_energy())
        for n in (1, 3, 7)
    ]
    assert errors[2] < 1e-3 * errors[1] < 1e-3 * errors[0]
    atoms = averaged(ethanol)
    forces, inner = atoms.get_forces(), atoms.calc.calculator
    assert inner.calls == 32
    atoms.get_potential_energy()
    assert inner.calls == 32  # which one step has cost
    for i, j in ((0, 0), (5, 2)):
        energies = []
        for h in (1e-4, -1e-4):
            moved = averaged(ethanol)
            moved.positions[i, j] += h
            energies.append(moved.get_potential_energy())
        assert (energies[1] - energies[0]) / 2e-4 == pytest.approx(forces[i, j], abs=1e-8)


def test_deviation_and_bias_of_each_step() -> None:
    ethanol = molecule("CH3CH2OH")
    atoms = averaged(ethanol, order=5)
    exact = averaged(ethanol, order=11).get_potential_energy()
    atoms.get_forces()
    results = atoms.calc.results
    single = Wave().get_property("energy", ethanol)
    assert results["energy_std"] == pytest.approx(abs(single - exact), rel=10)
    assert results["forces_std"].shape == (9, 3)
    coarse = averaged(ethanol, order=2)  # what the part of the orientations makes
    assert abs(results["energy_bias"]) > abs(results["energy"] - exact)
    assert abs(results["energy"] - results["energy_bias"] - exact) < 10 * abs(coarse.get_potential_energy() - exact)
    drawn = averaged(ethanol, samples=200)
    drawn.get_forces()
    assert abs(drawn.get_potential_energy() - exact) < 6 * drawn.calc.results["energy_error"]
    assert drawn.get_potential_energy() == averaged(ethanol, samples=200).get_potential_energy()
    assert "energy_bias" not in drawn.calc.results
    assert "energy_bias" not in averaged(ethanol, order=2).calc.results


def test_an_invariant_force_field_is_left_unchanged() -> None:
    copper = bulk("Cu", cubic=True)
    copper.rattle(0.1, seed=1)
    alone, mean = copper.copy(), copper.copy()
    alone.calc, mean.calc = EMT(), AveragedCalculator(EMT(), order=1, group=Orthogonal(3))
    assert mean.get_potential_energy() == pytest.approx(alone.get_potential_energy(), abs=1e-10)
    assert np.allclose(mean.get_forces(), alone.get_forces(), atol=1e-10)
    assert np.allclose(mean.get_stress(), alone.get_stress(), atol=1e-12)
    assert np.abs(mean.calc.results["stress_std"]).max() < 1e-12
    assert np.abs(mean.calc.results["forces_bias"]).max() < 1e-10


def test_a_finite_group_exactly() -> None:
    ethanol = molecule("CH3CH2OH")
    atoms = averaged(ethanol, group=octahedral())
    turned = ethanol.copy()
    turned.positions = turned.positions[:, [1, 2, 0]]
    again = averaged(turned, group=octahedral())
    assert again.get_potential_energy() == pytest.approx(atoms.get_potential_energy(), abs=1e-12)
    assert atoms.calc.results["energy_bias"] == 0.0
    assert atoms.calc.calculator.calls == 24


@pytest.mark.parametrize(
    ("options", "words"),
    [({"samples": 0}, "0 samples"), ({"order": -1}, "order -1"), ({"group": T(3)}, "not compact"),
     ({"group": Orthogonal(2)}, "does not turn structures")],
)  # fmt: skip
def test_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        AveragedCalculator(EMT(), **options)
