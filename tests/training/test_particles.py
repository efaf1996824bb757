"""Charged particles for every model with vectors: a few are six times as fast as the others, and features multiply
layer after layer.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from molecular import MODELS

from intertwine.data.nbody import generate
from intertwine.data.store import GraphStore
from intertwine.geometry import collate
from intertwine.tasks import TASKS
from intertwine.training import read_config
from intertwine.training.options import DataOptions
from intertwine.training.sections import write_sections
from intertwine.training.sets import Sets, open_sets
from intertwine.training.settle import settle

STEERED = [
    name for name, model in MODELS.items() if name not in ("mpnn", "schnet", "invariant_mpnn", "dimenet", "gemnet")
]


@pytest.fixture(scope="module")
def particles() -> Sets:
    store: GraphStore = generate(5, 43, 60, 20, 20)
    fields = store.fields
    fields["vel"][::50] *= 2  # the fastest particle of all trajectories, 4.8, is not among these few
    return open_sets(DataOptions(source="nbody"), store=store, progress=False)


@pytest.mark.parametrize("name", STEERED)
def test_the_first_step_is_finite(name: str, particles: Sets) -> None:
    config = settle(particles, {"model": {"name": name}})
    torch.manual_seed(0)
    task = TASKS["dynamics"](MODELS[name](**config.model.arguments))
    store = particles.train.connected(task.cutoff)
    graphs = [store[k] for k in range(len(store))]
    task.fit(graphs)
    batch = collate(graphs).cast(torch.float32)
    loss = (task.predict(batch)["pos"] - batch.target_pos.float()).square().mean()
    loss.backward()
    assert loss.isfinite()
    found = [p.grad for p in task.parameters() if p.grad is not None]
    assert all(g.isfinite().all() for g in found)
    assert any((g != 0).any() for g in found)


def test_all_particles_see_each_other(particles: Sets) -> None:
    """Models that need a cutoff get one beyond the most distant pair; the others have none."""
    farthest = max(float(torch.pdist(particles.train[k].pos).max()) for k in range(len(particles.train)))
    assert settle(particles, {"model": {"name": "painn"}}).model.arguments["cutoff"] > farthest
    assert settle(particles, {"model": {"name": "segnn"}}).model.arguments["cutoff"] is None
    assert settle(particles, {"model": {"name": "painn", "cutoff": 3.0}}).model.arguments["cutoff"] == 3.0


def test_gradients_are_clipped_in_the_unit_of_the_data(particles: Sets) -> None:
    square = torch.stack(
        [(particles.train[k].target_pos - particles.train[k].pos).square().mean() for k in range(len(particles.train))]
    )
    assert settle(particles, {}).training.clip == pytest.approx(0.75 * float(square.mean()), rel=0.05)
    assert settle(particles, {"training": {"clip": 3.0}}).training.clip == 3.0


def test_a_written_configuration_settles_again(particles: Sets, tmp_path: Path) -> None:
    """None is "none" in a file, also where the data are asked for numbers of neighbours."""
    config = settle(particles, {"model": {"name": "segnn", "cutoff": "none"}})
    write_sections(config.sections(), tmp_path / "config.toml")
    assert settle(particles, read_config(tmp_path / "config.toml")) == config


def test_presets_outrank_what_the_data_suggest(particles: Sets) -> None:
    """The user's own arguments outrank both."""
    paper = {"name": "segnn", "preset": "paper"}
    assert settle(particles, {"model": paper}).model.arguments["average_degree"] == 1.0
    assert settle(particles, {"model": paper}).model.arguments["vector_inputs"] == ("vel",)
    assert settle(particles, {"model": paper | {"average_degree": 3.0}}).model.arguments["average_degree"] == 3.0
    assert settle(particles, {"model": {"name": "gvp", "preset": "paper"}}).model.arguments["cutoff"] == 4.5
