"""A run that is worse than a prediction that does not look at the geometry says so: on the screen, in report.json and
where it is evaluated.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from intertwine.cli import app
from intertwine.data import GraphStore, Splits, open_dataset
from intertwine.geometry import Graph
from intertwine.numerics import CheckpointError
from intertwine.training import evaluate, load_checkpoint, load_run, save_checkpoint, train

DOUBLE = torch.float64


def some(generator: torch.Generator, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=generator, dtype=DOUBLE)


def crystal(g: torch.Generator) -> Graph:
    cell = 4.0 * torch.eye(3, dtype=DOUBLE) + 0.1 * some(g, 3, 3)
    stress = some(g, 1, 3, 3)
    labels = {"energy": some(g, 1), "forces": some(g, 2, 3), "stress": stress + stress.mT}
    return Graph(torch.rand(2, 3, generator=g, dtype=DOUBLE) @ cell, z=[6, 8], cell=cell, **labels)


def polar(g: torch.Generator) -> Graph:
    return Graph(1.5 * some(g, 4, 3), z=[6, 8, 1, 1], dipole=some(g, 1, 3))


def particles(g: torch.Generator) -> Graph:
    pos, vel = some(g, 4, 3), some(g, 4, 3)
    return Graph(pos, vel=vel, target_pos=pos + 0.8 * vel + 0.01 * some(g, 4, 3))


CASES: dict[str, tuple[Callable[[torch.Generator], Graph], dict[str, Any], dict[str, str]]] = {
    "crystals": (
        crystal,
        {"model": {"name": "painn", "width": 4, "layers": 1, "cutoff": 3.0}},
        {"energy": "mean by species", "forces": "zero", "stress": "mean"},
    ),
    "dipoles": (
        polar,
        {"data": {"target": "dipole"}, "model": {"name": "painn", "width": 4, "layers": 1, "cutoff": 3.0}},
        {"dipole": "zero"},
    ),
    "particles": (particles, {"model": {"name": "egnn", "width": 4, "layers": 1}}, {"pos": "linear motion"}),
}


@pytest.mark.parametrize("name", CASES)
def test_a_run_that_learned_nothing_says_what_beats_it(
    name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str], generator: torch.Generator
) -> None:
    make, sections, baselines = CASES[name]
    graphs = [make(generator) for _ in range(24)]
    for graph in graphs[19:] if name == "dipoles" else ():
        graph.dipole *= 1e-6  # so that whatever the model says is too large
    store = GraphStore.from_graphs(graphs, name=name, splits=Splits(range(16), range(16, 19), range(19, 24)))
    training = {"epochs": 1, "learning_rate": 1e-9, "certify": False, "threads": 1}
    config = {"data": {"source": name} | sections.get("data", {}), "model": sections["model"], "training": training}
    folder = train(config, run=tmp_path / "run", store=store)
    report, shown = json.loads((folder / "report.json").read_text()), capfd.readouterr().out
    assert {target: e["baseline"]["name"] for target, e in report["test"].items()} == baselines
    worse = [target for target, e in report["test"].items() if max(e["ratio"].values()) > 1]
    assert worse
    for target, baseline in baselines.items():
        assert f" {target}, {baseline}: MAE " in next(row for row in shown.splitlines() if row.startswith("baseline "))
        sentence = f"{target}: the baseline {baseline!r} is better than the model"
        assert any(line.startswith(sentence) for line in report["warnings"]) == (target in worse)
        assert (f"warning: {sentence}" in shown) == (target in worse)
    # what is read from the folder says the same
    again = evaluate(load_run(folder), store.subset(range(19, 24)))
    for target, e in again.items():
        for part in ("baseline", "ratio"):
            assert e[part] == {
                k: v if k == "name" else pytest.approx(v) for k, v in report["test"][target][part].items()
            }


@pytest.fixture
def run(tiny: dict, tmp_path: Path) -> Path:
    tiny["data"]["test_size"] = 2
    tiny["training"]["epochs"] = 1
    return train(tiny, progress=False, run=tmp_path / "run")


def test_evaluate_prints_a_row_for_each_baseline(run: Path, tiny: dict) -> None:
    result = CliRunner().invoke(app, ["evaluate", str(run), tiny["data"]["source"]])
    assert result.exit_code == 0, result.output
    assert "baseline: zero" in result.output
    assert "baseline: mean by species" in result.output
    result = CliRunner().invoke(app, ["evaluate", str(run), tiny["data"]["source"], "--json"])
    answer = json.loads(result.stdout)
    worse = [target for target, e in answer["errors"].items() if max(e["ratio"].values()) > 1]
    assert [line.partition(":")[0] for line in answer["warnings"] if "is better than the model" in line] == worse
    assert all(f"warning: {line}" in result.stderr for line in answer["warnings"])


def test_a_run_of_a_version_without_baselines_has_those_that_need_no_fit(run: Path, tiny: dict) -> None:
    state = load_checkpoint(run / "best.safetensors")
    del state["baselines"]
    save_checkpoint(run / "best.safetensors", state)
    errors = evaluate(load_run(run), open_dataset(tiny["data"]["source"], progress=False))
    assert errors["forces"]["baseline"]["name"] == "zero"
    assert "baseline" not in errors["energy"]


@pytest.mark.parametrize("value", [1.0, torch.zeros(3), torch.full((119, 1), torch.nan), {"a": 1}], ids=repr)
def test_damaged_baselines_are_refused(value: Any, run: Path) -> None:
    state = load_checkpoint(run / "best.safetensors")
    state["baselines"]["energy"] = value
    save_checkpoint(run / "best.safetensors", state)
    with pytest.raises(CheckpointError, match="baselines: energy is not a finite matrix"):
        load_run(run)


def test_a_stress_that_was_not_learned_is_no_error(run: Path, generator: torch.Generator) -> None:
    """Of a force field without it, evaluated on data that have one."""
    errors = evaluate(load_run(run), GraphStore.from_graphs([crystal(generator) for _ in range(3)], name="crystals"))
    assert errors.keys() == {"energy", "forces"}
