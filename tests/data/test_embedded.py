"""The ethanol that comes with the package."""

from __future__ import annotations

import pytest
import torch

from intertwine.data import DATASETS, open_dataset
from intertwine.data.embedded import ETHANOL
from intertwine.numerics import DataError


def test_ethanol() -> None:
    assert ETHANOL.exists(), "a file of the repository, which scripts/make_ethanol.py makes"
    store = open_dataset("ethanol", progress=False)
    assert len(store) == DATASETS["ethanol"].entries
    assert store.species() == [1, 6, 8]
    graph = store[0]
    assert sorted(graph.z.tolist()) == [1, 1, 1, 1, 1, 1, 6, 6, 8]
    assert graph.get("cell") is None
    assert set(store.field("temperature").tolist()) == {300.0, 500.0, 700.0}
    forces = store.field("forces").reshape(len(store), 9, 3)
    assert forces.sum(1).abs().max() < 1e-7  # eV/A: with grid response only the rounding of nine forces is left
    torque = torch.linalg.cross(store.field("pos").reshape(len(store), 9, 3), forces).sum(1)
    assert torque.abs().max() < 1e-2  # eV: the integration grid turns with the molecule only in part
    assert -4300 < float(store.field("energy").mean()) < -4100
    assert len(open_dataset("ethanol", limit=7, progress=False)) == 7
    with pytest.raises(DataError, match="energy"):
        open_dataset("ethanol", target="enrgy", progress=False)
