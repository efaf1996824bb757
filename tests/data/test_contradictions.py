"""Copies in one file whose labels contradict each other are told, and copies that agree never."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from suspicious import changed, first_of_ethanol, kinds

from intertwine.data import GraphStore


def twice(count: int) -> GraphStore:
    """The first of ethanol, each also moved and with its atoms in another order, after all others."""
    store = first_of_ethanol(20)
    graphs = [store[k] for k in range(20)]
    rng = np.random.default_rng(0)
    for k in range(count):
        graph = store[k]
        order = torch.from_numpy(rng.permutation(len(graph.pos)))
        graph.pos, graph.z, graph.forces = graph.pos[order] + 1.5, graph.z[order], graph.forces[order]
        graphs.append(graph)
    return GraphStore.from_graphs(graphs, name="twice")


@pytest.mark.parametrize("count", [0, 1, 6])
def test_copies_that_agree_are_silent(count: int) -> None:
    store = twice(count)
    assert "contradiction" not in kinds(store)
    nearly = store.fields["energy"].clone()
    nearly[20:] += 0.01 * 9  # of another program
    assert "contradiction" not in kinds(changed(store, energy=nearly))


@pytest.mark.parametrize("count", [1, 2, 8])
@pytest.mark.parametrize("shift", [0.5, 2.0, -30.0])
def test_energies_of_copies_that_differ(shift: float, count: int) -> None:
    store = twice(count)
    other = store.fields["energy"].clone()
    other[20:] += shift
    line = kinds(changed(store, energy=other))["contradiction"]
    assert line.startswith("frame 20")
    assert "is a copy of frame 0" in line
    assert f"its energy differs by {abs(shift):.3g} eV" in line
    assert (f"likewise {count - 1} more: 21 of 1" in line) == (count > 1)


@pytest.mark.parametrize("times", [0.5, 1.5, 23.0605])
def test_forces_of_copies_that_differ(times: float) -> None:
    store = twice(3)
    other = store.fields["forces"].clone()
    other[20 * 9 :] *= times
    assert "its forces differ by" in kinds(changed(store, forces=other))["contradiction"]
    assert "likewise 2 more: 21 of 1, 22 of 2:" in kinds(changed(store, forces=other))["contradiction"]
