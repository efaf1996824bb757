"""A model, a task and a data set of a package that somebody installed, by the names under which it offers them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import intertwine

CODE = '''
import torch
from intertwine import Graph
from intertwine.data import GraphStore
from intertwine.models import MODELS
from intertwine.tasks import ForceField


class Mine(MODELS["schnet"]):
    """A network of my own."""


class Forces(ForceField):
    name = "my-forces"


def springs():
    generator = torch.Generator().manual_seed(0)
    graphs = []
    for _ in range(12):
        x = (torch.rand(1, generator=generator, dtype=torch.float64) - 0.5).item() * 0.2
        forces = [[0.0, 0.0, 2 * x], [0.0, 0.0, -2 * x]]
        graphs.append(Graph([[0.0, 0.0, 0.0], [0.0, 0.0, 1.0 + x]], z=[1, 1], energy=x * x, forces=forces))
    return GraphStore.from_graphs(graphs, name="springs", units={"energy": "eV", "forces": "eV/A"})
'''
POINTS = {"models": ["mynet = plug:Mine"], "tasks": ["my-forces = plug:Forces"], "datasets": ["springs = plug:springs"]}
SMALL = ["--epochs", 1]
SMALL += ["--set=model.width=8", "--set=model.layers=1", "--set=training.threads=1", "--set=training.certify=false"]


def install(folder: Path, name: str, points: dict[str, list[str]]) -> None:
    """What pip leaves of a package called ``name``, without its code."""
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "".join(f"[intertwine.{group}]\n" + "\n".join(lines) + "\n" for group, lines in points.items())
    )


@pytest.fixture
def site(tmp_path: Path) -> Path:
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "plug.py").write_text(CODE)
    install(folder, "plug", POINTS)
    return folder


def call(site: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(Path(intertwine.__file__).parents[1]), str(site)])
    command = [sys.executable, "-m", "intertwine", *map(str, arguments)]
    environment = os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, env=environment, cwd=site.parent, capture_output=True, text=True, timeout=900)


def test_a_name_on_the_line_runs_and_a_run_folder_must_be_allowed(site: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    done = call(site, "train", "springs", "--model", "mynet", "--task", "my-forces", "--run", run, *SMALL)
    assert done.returncode == 0, done.stderr
    assert 'name = "plug:Mine"' in (run / "config.toml").read_text()
    refused = call(site, "evaluate", run)
    assert refused.returncode == 2
    assert "--allow plug" in refused.stderr
    assert call(site, "evaluate", run, "--allow", "plug").returncode == 0


def test_the_list_has_it_and_says_what_is_broken(site: Path) -> None:
    install(site, "broken", {"models": ["worse = absent_module:Net"]})
    done = call(site, "models", "--json")
    assert done.returncode == 0, done.stderr
    assert {"name": "mynet", "class": "plug:Mine", "what": "A network of my own."} in json.loads(done.stdout)
    assert "warning: worse" in done.stderr
    assert "absent_module" in done.stderr


def test_one_name_of_two_packages_is_refused(site: Path, tmp_path: Path) -> None:
    install(site, "rival", {"models": ["mynet = rival:Net"]})
    refused = call(site, "train", "ethanol", "--model", "mynet", "--run", tmp_path / "run")
    assert refused.returncode == 2
    assert "several installed packages offer 'mynet'" in refused.stderr
    assert "plug:Mine, rival:Net" in refused.stderr
    assert not (tmp_path / "run").exists()
