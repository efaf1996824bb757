"""intertwine export: a run becomes a program that gives what ``predict`` gives."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from ase.io import read
from switches import as_users_run_it

from intertwine.data import to_graph
from intertwine.tasks import TensorForm
from intertwine.training import load_run


def test_a_run_is_exported(
    trained: tuple[Path, dict[str, Any], Any], ethanol_file: Path, tmp_path: Path, run_cli: Callable[..., Any]
) -> None:
    folder, file = trained[0], tmp_path / "model.pt2"
    with as_users_run_it():
        result = run_cli("export", folder, "-o", file, "--json")
    assert result.exit_code == 0, result.output
    description = json.loads(result.stdout)
    assert description["outputs"]["energy"] == {"unit": "eV", "level": "graph"}
    assert description["inputs"]["pos"] == {"dtype": "float64", "any": [0], "unit": "A"}
    assert "tracing the model" in result.stderr  # which takes ten seconds
    task, graph = load_run(folder).task, to_graph(read(ethanol_file, 0))
    found = torch.export.load(file).module()(TensorForm(task, graph).inputs(graph))
    for name, value in task(graph).items():
        torch.testing.assert_close(found[name], value, rtol=1e-5, atol=1e-5)
    with as_users_run_it():
        again = run_cli("export", folder, "-o", file, "--example", ethanol_file, "--overwrite")
    assert again.exit_code == 0, again.output
    assert "torch alone loads it" in again.stdout
    refused = run_cli("export", folder, "-o", tmp_path / "model.onnx")
    assert refused.exit_code == 2
    assert "no .pt2 file" in refused.stderr
