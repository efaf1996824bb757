"""intertwine certify of networks that take no molecules: images by module:Class, spherical signals by name."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from intertwine.cli import app

NETWORK = """
import torch
import torch.nn.functional as F
from intertwine.geometry import rasters
from intertwine.groups import Cartesian, DirectSum


class Pixels(torch.nn.Module):
    trials, symmetry, cutoff = "images", "T(2) x C_4", None
    irreps_out = DirectSum(((2, Cartesian(0, dimension=2)),))

    def __init__(self, turns=1):
        super().__init__()
        self.weight, self.turns = torch.nn.Parameter(torch.randn(2, 1, 3, 3)), turns

    def forward(self, graph):
        x = rasters(graph, graph.x).values
        turned = (F.conv2d(x, torch.rot90(self.weight, k, (2, 3)), padding=1).tanh() for k in range(self.turns))
        return sum(turned).mean((2, 3))


class Turned(Pixels):
    def __init__(self):
        super().__init__(4)
"""


def certificate(*arguments: str, code: int) -> dict:
    result = CliRunner().invoke(app, ["certify", *arguments, "--json"])
    assert result.exit_code == code, result.output
    return json.loads(result.stdout)


def test_images_of_a_class(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pixels_of_mine.py").write_text(NETWORK)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    good = certificate("pixels_of_mine:Turned", "--device", "cpu", code=0)
    assert good["verdict"] == "exact"
    assert good["symmetry"] == "T(2) x C_4"
    plain = certificate("pixels_of_mine:Pixels", code=1)
    assert plain["broken"] == ["point group"]
    assert "degrees" in plain["summary"]


def test_certify_an_untrained_model() -> None:
    made = certificate("--model", "clebsch_gordan_net", "--symmetry", "SO(3)", code=0)
    assert made["graphs"] == 3
    assert {line["verdict"] for line in made["lines"] if line["symmetry"] == "rotation"} == {"passed"}
    assert "Not claimed and not there: reflection" in made["summary"]
