"""Which networks of benchmarks/papers/shapes.py can tell a shape from its mirror image, learned or not: those that do
not are the ones of O(3), and of a polyhedron's rotations with the inversion.
"""

from __future__ import annotations

import types
from importlib import import_module
from pathlib import Path

import pytest
import torch

from intertwine.geometry import Graph, connect
from intertwine.models import MODELS
from intertwine.nn.readout import pool

PAPERS = Path(__file__).resolve().parents[2] / "benchmarks" / "papers"
#: Symmetries that have the inversion of space among them.
MIRRORED = {"E(3)", "T(3) x icosahedral with inversion"}
NAMES = [
    "painn", "tensor_field", "eqgat", "local_frames", "lieconv, SE(3)", "octahedral group CNN",
    "icosahedral group CNN", "ponita",
]  # fmt: skip


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    for folder in (PAPERS.parent, PAPERS):
        monkeypatch.syspath_prepend(str(folder))
    return import_module("shapes")


def helix(benchmark: types.ModuleType, hand: float) -> Graph:
    """A third of the points of a right helix, with what the networks know of them; its image under the inversion for a
    hand of -1."""
    store = benchmark.located(benchmark.shapes(points=benchmark.CLOUD, parts=(1, 0, 0)))
    whole = store[benchmark.HANDED[0]].cast(torch.float64)
    vectors = {name: hand * getattr(whole, name)[::3] for name in ("pos", "offset", "spread")}
    return Graph(**vectors, place=whole.place[::3], representations={"offset": "1o", "spread": "1o"})


@pytest.mark.parametrize("name", NAMES)
def test_who_can_tell_a_helix_from_its_mirror_image(benchmark: types.ModuleType, name: str) -> None:
    """By the pooled invariants at random weights, in double precision."""
    network = benchmark.NETWORKS[name]
    arguments = dict(network.arguments)
    if name == "lieconv, SE(3)":
        arguments["lifts"] = 24  # the rotations of a cube: what is left of a draw is not for the inversion to show
    torch.manual_seed(0)
    model = MODELS[network.model](**arguments).double().eval()
    width = model.irreps_out.count("0e")
    with torch.no_grad():
        right, left = (
            pool(model(graph)[:, :width], graph)
            for graph in (connect(helix(benchmark, hand), model.cutoff) for hand in (1.0, -1.0))
        )
    apart = float((right - left).abs().max() / right.abs().max())
    assert (apart < 1e-12) == (model.card.symmetry in MIRRORED), apart
    assert apart < 1e-12 or apart > 1e-6, apart


def test_all_networks_with_edges_are_asked(benchmark: types.ModuleType) -> None:
    assert set(NAMES) == set(benchmark.NETWORKS) - {"PointNet"}
