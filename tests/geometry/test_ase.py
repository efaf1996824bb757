"""A structure of ASE as a graph, and back."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, fcc111, molecule
from ase.calculators.singlepoint import SinglePointCalculator

from intertwine.geometry import Graph, collate, connect
from intertwine.numerics import DataError, GeometryError, InputError

SLAB = fcc111("Cu", (1, 1, 3), vacuum=5.0)


def labelled(atoms: Atoms) -> Atoms:
    atoms = atoms.copy()
    n, rng = len(atoms), np.random.default_rng(0)
    results = {"energy": -3.5, "forces": rng.normal(size=(n, 3)), "dipole": rng.normal(size=3)}
    if atoms.pbc.any():
        results["stress"] = rng.normal(size=6)
    atoms.set_velocities(rng.normal(size=(n, 3)))
    atoms.set_initial_charges(np.arange(n) / 4)
    atoms.calc = SinglePointCalculator(atoms, **results)  # of the structure as it is now
    return atoms


@pytest.mark.parametrize("atoms", [molecule("H2O"), bulk("C"), SLAB, molecule("O")], ids=str)
def test_there_and_back(atoms: Atoms) -> None:
    atoms = labelled(atoms)
    graph = Graph.from_ase(atoms, ["charge", "vel"], labels=True)
    assert graph.pos.dtype == torch.float64
    assert (graph.get("cell") is not None) == bool(atoms.pbc.any())
    assert graph.energy.tolist() == [-3.5]
    assert graph.get("edge_index") is None
    for form in (graph, connect(graph, 3.0)):  # edges have no place in ASE
        again = form.to_ase()
        assert np.array_equal(again.positions, atoms.positions)
        assert np.array_equal(again.numbers, atoms.numbers)
        assert np.array_equal(again.pbc, atoms.pbc)
        assert np.array_equal(again.cell, atoms.cell) or not atoms.pbc.any()
        assert again.get_potential_energy() == -3.5
        assert np.allclose(again.get_forces(), atoms.get_forces())
        assert np.allclose(again.get_dipole_moment(), atoms.get_dipole_moment())
        assert ("stress" in again.calc.results) == bool(atoms.pbc.any())
        if atoms.pbc.any():
            assert np.array_equal(again.get_stress(), atoms.get_stress())
        assert np.allclose(again.get_velocities(), atoms.get_velocities())
        assert again.get_initial_charges().tolist() == atoms.get_initial_charges().tolist()


def test_fields_go_where_they_belong() -> None:
    """A vector of a molecule of three atoms is no column; names are the structure's own."""
    graph = Graph(
        molecule("H2O").positions,
        z=[8, 1, 1],
        mu=torch.tensor([[1.0, 2.0, 3.0]]),
        q=torch.tensor([0.0, 1.0, 2.0]),
        levels={"mu": "graph", "q": "node"},
        energy=torch.tensor([float("nan")]),
    )
    atoms = graph.to_ase()
    assert atoms.info["mu"].tolist() == [1, 2, 3]
    assert atoms.arrays["q"].tolist() == [0, 1, 2]
    assert atoms.calc is None  # a label of NaN is none
    assert Graph.from_ase(atoms, ["charge"], {"charge": "q"}).charge.tolist() == [0, 1, 2]


def test_labels_of_a_structure_that_has_moved_are_not_its_own() -> None:
    atoms = labelled(molecule("H2O"))
    atoms.positions[0] += 0.1
    assert Graph.from_ase(atoms, labels=True).get("energy") is None
    assert Graph.from_ase(labelled(molecule("H2O"))).get("energy") is None


def test_what_is_refused() -> None:
    with pytest.raises(DataError, match="the model reads 'charge'"):
        Graph.from_ase(molecule("H2O"), ["charge"])
    with pytest.raises(GeometryError, match="singular"):
        connect(Graph.from_ase(Atoms("H", pbc=True)), 3.0)
    for graph in (
        Graph(torch.zeros(2, 3)),
        collate([Graph.from_ase(molecule("H2O")), Graph.from_ase(molecule("O"))]),
        Graph(torch.zeros(2, 2), z=[1, 1]),
    ):
        with pytest.raises(InputError):
            graph.to_ase()
