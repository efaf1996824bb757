"""`intertwine certify`: a run, a model by name, a class of the user's own."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from ase.io import read, write
from printed import document


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test in a folder of its own: commands write where they are called."""
    monkeypatch.chdir(tmp_path)


def test_certify_a_run(run_cli, trained, ethanol_file: Path) -> None:
    shutil.copytree(trained[0], "r")
    Path("r/certificate.json").unlink()
    result = run_cli("certify", "r")
    assert result.exit_code == 0, result.output
    assert "passed: ForceField of PaiNN, E(3)" in result.stdout
    assert json.loads(Path("r/certificate.json").read_text())["passed"]
    write("one.xyz", read(ethanol_file, 0), format="extxyz")
    content = document(run_cli("certify", "r", "--json", "--seed", 3, "--molecules", "one.xyz", "-o", "other.json"))
    assert content["passed"]
    assert json.loads(Path("other.json").read_text()) == content


def test_certify_without_the_runs_data(run_cli, trained, ethanol_file: Path) -> None:
    shutil.copytree(trained[0], "r")
    text = Path("r/config.toml").read_text().replace(str(ethanol_file), "gone.xyz")
    Path("r/config.toml").write_text(text)
    Path("r/splits.json").unlink()
    result = run_cli("certify", "r", "-o", "c.json")
    assert result.exit_code == 0, result.output
    assert "note: without the run's test set" in result.stderr
    assert run_cli("evaluate", "r").exit_code == 2


@pytest.mark.parametrize("name", ["schnet", "egnn", "painn"])
def test_certify_an_untrained_model(name: str, run_cli) -> None:
    content = document(run_cli("certify", "--model", name, "--json"))
    assert content["passed"], content["summary"]
    assert content["graphs"] == 9


POINTNET = """
import torch
from intertwine.nn import pool

class PointNet(torch.nn.Module):
    irreps_out = "8x0e"
    def __init__(self):
        super().__init__()
        self.layers = torch.nn.Sequential(torch.nn.Linear(3, 16), torch.nn.Tanh(), torch.nn.Linear(16, 8))
    def forward(self, graph):
        return pool(self.layers(graph.pos), graph)

class Lengths(torch.nn.Module):
    irreps_out = "1x0e"
    def forward(self, graph):
        edges = graph.pos[graph.edge_index[0]] - graph.pos[graph.edge_index[1]]
        return pool(edges.square().sum(-1, keepdim=True).new_ones(graph.num_nodes, 1), graph)
"""


def test_certify_a_class_of_the_users(run_cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("users_networks.py").write_text(POINTNET)
    monkeypatch.syspath_prepend(str(tmp_path))
    result = run_cli("certify", "users_networks:PointNet")
    assert result.exit_code == 1
    last = result.stdout.strip().splitlines()[-1]
    assert "FAILED" in last
    assert re.search(r"rotation: output changes by \d+\.?\d* % of its size", last)
    assert "translation: output changes" in last
    broken = json.loads(run_cli("certify", "users_networks:PointNet", "--json").stdout)["broken"]
    assert {"rotation", "reflection", "translation"} <= set(broken)
    assert run_cli("certify", "users_networks:Lengths").exit_code == 0
    # permutations are all that it claims now
    assert run_cli("certify", "users_networks:PointNet", "--symmetry", "S(3)").exit_code == 0


def test_certify_on_given_structures(run_cli, ethanol_file: Path) -> None:
    content = document(run_cli("certify", "--model", "schnet", "--molecules", ethanol_file, "--json"))
    assert content["graphs"] == 8
