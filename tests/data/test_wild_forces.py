"""Labels that are suspicious: wild forces; and those of sound sets, which are not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from suspicious import changed, first_of_ethanol, kinds

from intertwine.data import GraphStore, open_dataset
from intertwine.data.suspicion import suspicions
from intertwine.geometry import Graph


@pytest.fixture(scope="module")
def molecules() -> GraphStore:
    return first_of_ethanol(200)


@pytest.mark.parametrize("size", [40.0, 83.3, 290.0])
@pytest.mark.parametrize("frame", [0, 100, 199])
def test_a_force_that_stands_alone_is_named(frame: int, size: float, molecules: GraphStore) -> None:
    """Less than 300 eV/A, in a set that is nearly relaxed, as MPtrj is."""
    forces = 0.05 * molecules.fields["forces"]
    forces[9 * frame + 4] = torch.tensor([0.0, 0.0, -size], dtype=torch.float64)
    said = kinds(
        changed(GraphStore(molecules.fields, molecules.node_ptr, molecules.levels).only("forces"), forces=forces)
    )
    assert f"a force in frame {frame} of changed (counted from 0) is {size:.4g} eV/A, where" in said["forces"]


@pytest.mark.parametrize("size", [45.0, 80.0, 170.0])
@pytest.mark.parametrize("atom", [0, 907, 1799])
def test_a_force_that_stands_alone_among_large_ones_is_named(atom: int, size: float, molecules: GraphStore) -> None:
    """Of molecules that vibrate, whose forces are some eV/A: less than 50 times the median."""
    forces = molecules.fields["forces"].clone()
    assert 2 < float(forces.norm(dim=1).max()) < 12
    forces[atom] = torch.tensor([0.0, size, 0.0], dtype=torch.float64)
    said = kinds(changed(molecules, forces=forces))
    assert list(said) == ["forces"]
    assert f"a force in frame {atom // 9} of changed (counted from 0) is {size:.4g} eV/A, where" in said["forces"]


@pytest.mark.parametrize(("size", "next_one"), [(120.0, 30.0), (95.0, 20.0), (170.0, 45.0)])
def test_a_force_far_above_the_next_of_few_is_named(size: float, next_one: float, molecules: GraphStore) -> None:
    """Of molecules with usual forces of 8 eV/A one that was squeezed, and one four times as much."""
    store = molecules.subset(range(20))
    forces = 1.5 * store.fields["forces"]
    forces[3] = torch.tensor([next_one, 0.0, 0.0], dtype=torch.float64)
    forces[103] = torch.tensor([0.0, 0.0, size], dtype=torch.float64)
    said = kinds(changed(GraphStore(store.fields, store.node_ptr, store.levels).only("forces"), forces=forces))
    assert f"a force in frame 11 of changed (counted from 0) is {size:.4g} eV/A, where" in said["forces"]


@pytest.mark.parametrize("count", [6, 8, 11])
def test_one_among_few_structures_is_named(count: int, molecules: GraphStore) -> None:
    store = molecules.subset(range(count))
    forces = store.fields["forces"].clone()
    forces[9 * count - 2] = torch.tensor([0.0, 120.0, 0.0], dtype=torch.float64)
    said = kinds(changed(GraphStore(store.fields, store.node_ptr, store.levels).only("forces"), forces=forces))
    assert f"a force in frame {count - 1} of changed (counted from 0) is 120 eV/A, where" in said["forces"]


@pytest.mark.parametrize("largest", [20.0, 29.0, 34.0])
def test_a_large_force_that_others_come_near_is_no_outlier(largest: float, molecules: GraphStore) -> None:
    """The forces of a set fall off evenly, up to five times what 98 % are within."""
    rank = torch.linspace(0.0, 1.0, 200, dtype=torch.float64)
    forces = torch.zeros_like(molecules.fields["forces"])
    forces[::9, 0] = 2.0 + 4.0 * rank + (largest - 6.0) * rank**100
    assert "forces" not in kinds(changed(molecules, forces=forces))


@pytest.mark.parametrize("scale", [3.0, 10.0, 28.0])
def test_forces_that_fall_off_are_no_outliers(scale: float, molecules: GraphStore) -> None:
    """Relaxations begin with forces far above the median of the set."""
    steps = torch.repeat_interleave(torch.arange(200, dtype=torch.float64), 9)
    forces = 0.01 * molecules.fields["forces"] * (1 + scale * torch.exp(-(steps % 40) / 4))[:, None]
    assert "forces" not in kinds(changed(molecules, forces=forces))


def test_wild_forces_of_a_set_beside_the_repository(shared_data: Path) -> None:
    """Of MPtrj, where half of the structures have no force above 0.2 eV/A; nothing else is said of it."""
    path = str(shared_data / "crystals/mptrj-random-1k.xyz.gz")
    store = open_dataset(path, limit=300, progress=False)
    (suspect,) = suspicions(store)
    sizes = store.fields["forces"].norm(dim=1)
    frame = int(torch.searchsorted(store.node_ptr, sizes.argmax(), right=True)) - 1
    assert suspect.frames[0] == frame
    assert f"a force in frame {frame} of" in suspect.line
    assert f"is {float(sizes.max()):,.4g} eV/A, where 0.1" in suspect.line or "where 0.2" in suspect.line
    assert float(sizes.max()) > 30


@pytest.mark.parametrize("high", [1.5, 3.0, 5.35])
@pytest.mark.parametrize("each", [3, 4, 6])
def test_a_high_energy_among_few_structures_is_no_outlier(each: int, high: float) -> None:
    """Of three structures of a kind nobody knows how far energies reach, however alike the other two are."""
    generator = np.random.default_rng(each)
    frames = []
    for formula in ("H2O", "CH4", "CO2", "CH3OH"):
        energies = 2.0 + 0.2 * generator.normal(size=each)
        energies[0] += high if formula == "H2O" else 0.0
        for energy in energies:
            atoms = Atoms(formula, positions=1.3 * np.arange(3 * len(Atoms(formula))).reshape(-1, 3))
            atoms.calc = SinglePointCalculator(atoms, energy=energy)
            frames.append(Graph.from_ase(atoms))
    assert "energy" not in {suspect.kind for suspect in suspicions(GraphStore.from_graphs(frames, name="few"))}
