"""Labels that are no labels, and a structure in another unit of length than the others."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule
from suspicious import changed, first_of_ethanol, kinds

from intertwine.data import GraphStore
from intertwine.data.suspicion import EQUAL_ENERGIES, ZERO_FORCES
from intertwine.geometry import Graph

BOHR = 1 / 0.529177


def store_of(frames: list[Atoms], energies: np.ndarray, forces: float = 1.0) -> GraphStore:
    rng, graphs = np.random.default_rng(3), []
    for atoms, energy in zip(frames, energies, strict=True):
        cell = {"cell": np.array(atoms.cell)} if atoms.pbc.any() else {}
        given = forces * rng.normal(size=(len(atoms), 3))
        graphs.append(Graph(atoms.positions, z=atoms.numbers, energy=float(energy), forces=given, **cell))
    return GraphStore.from_graphs(graphs, name="set")


def shaken(kind: str, count: int = 12, by: float = 0.05) -> list[Atoms]:
    rng, frames = np.random.default_rng(1), []
    first = molecule("CH3OH") if kind == "molecule" else bulk("Cu", cubic=True) * (2, 1, 1)
    for k in range(count):
        atoms = first.copy()
        if kind == "alloy":
            atoms.numbers[rng.choice(8, k % 5, replace=False)] = 28
        atoms.positions += by * rng.normal(size=atoms.positions.shape)
        frames.append(atoms)
    return frames


@pytest.mark.parametrize("kind", ["molecule", "crystal", "alloy"])
def test_forces_that_are_all_zero(kind: str) -> None:
    energies = np.random.default_rng(0).normal(size=12)
    said = kinds(store_of(shaken(kind), energies, 0.0))
    assert "all forces are zero in 12 of 12 structures" in said[ZERO_FORCES]
    assert ZERO_FORCES not in kinds(store_of(shaken(kind), energies))


@pytest.mark.parametrize("symbol", ["Cu", "C", "NaCl"])
def test_forces_are_zero_by_symmetry(symbol: str) -> None:
    """An equation of state: nothing is said of forces that no structure can have."""
    structure = {"Cu": "fcc", "C": "diamond", "NaCl": "rocksalt"}[symbol]
    frames = [bulk(symbol, structure, a=a, cubic=True) for a in np.linspace(3.5, 5.5, 12)]
    assert ZERO_FORCES not in kinds(store_of(frames, np.linspace(-1, 1, 12), 0.0))


@pytest.mark.parametrize("kind", ["molecule", "crystal", "alloy"])
def test_energies_that_are_all_equal(kind: str) -> None:
    frames = shaken(kind, 20)
    said = kinds(store_of(frames, np.full(20, -123.456)))
    assert "all energies of one composition are equal (-123.456 eV" in said[EQUAL_ENERGIES]
    some = np.full(20, -123.456)
    some[:10] += 1e-3  # half of each composition
    assert EQUAL_ENERGIES not in kinds(store_of(frames, some))


@pytest.mark.parametrize("kind", ["molecule", "crystal"])
def test_copies_have_equal_energies(kind: str) -> None:
    frames = [shaken(kind, 1)[0]] * 8
    assert EQUAL_ENERGIES not in kinds(store_of(frames, np.full(8, -3.0)))


@pytest.mark.parametrize("ratio", [BOHR, 1 / BOHR])
@pytest.mark.parametrize("which", [(3,), (1, 11)])
@pytest.mark.parametrize("kind", ["molecule", "crystal", "alloy"])
def test_a_structure_in_another_unit_of_length(kind: str, which: tuple[int, ...], ratio: float) -> None:
    frames = shaken(kind)
    for k in which:
        frames[k].positions *= ratio
        frames[k].cell = frames[k].cell * ratio
    line = kinds(store_of(frames, np.random.default_rng(0).normal(size=12)))["other length"]
    assert f"frame {which[0]} of set" in line
    assert f"are {ratio:.3g} times" in line
    assert ("as if it were in Bohr" in line) == (ratio > 1)
    assert ("likewise frame 11" in line) == (len(which) > 1)


@pytest.mark.parametrize("last", [2.5, 4.0, 6.0])
def test_what_is_pulled_apart_is_in_the_same_unit(last: float) -> None:
    frames = [Atoms("OH", [[0, 0, 0], [0, 0, d]]) for d in np.linspace(0.8, last, 30)]
    assert "other length" not in kinds(store_of(frames, np.linspace(0, 1, 30)))
    frames = [bulk("Cu", a=a, cubic=True) for a in np.linspace(3.2, 3.2 + last, 30)]
    assert "other length" not in kinds(store_of(frames, np.linspace(0, 1, 30)))


def test_what_is_sound_is_silent() -> None:
    molecules = first_of_ethanol(60)
    assert kinds(molecules) == {}
    assert list(kinds(changed(molecules, forces=torch.zeros_like(molecules.fields["forces"])))) == [ZERO_FORCES]
