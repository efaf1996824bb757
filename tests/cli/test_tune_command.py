"""`intertwine tune` as a user has it: a table, the command to go on with, JSON, and what it refuses."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path

import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write
from typer.testing import CliRunner

from intertwine.cli import app
from intertwine.training import read_config


@pytest.fixture
def line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A command whose trials take part of a second, in a folder of its own: hydrogen molecules as springs."""
    monkeypatch.chdir(tmp_path)
    frames = []
    for k in range(14):
        d = 0.7 + 0.02 * k
        atoms = Atoms("H2", positions=[[0, 0, 0], [0, 0, d]])
        force = 10 * (d - 0.8)
        forces = [[0, 0, force], [0, 0, -force]]
        atoms.calc = SinglePointCalculator(atoms, energy=5 * (d - 0.8) ** 2, forces=forces)
        frames.append(atoms)
    write("h2.xyz", frames, format="extxyz")
    model = ["--model", "painn", "--set", "model.width=8", "--set", "model.layers=1", "--set", "model.radial_size=6"]
    data = ["--train", "10", "--validation", "4", "--set", "data.test_size=0", "--set", "training.epochs=2"]
    return ["tune", "h2.xyz", "--minutes", "30", "--trials", "2", *model, *data]


def test_a_table_then_the_command_to_go_on_with(line: list[str]) -> None:
    result = CliRunner().invoke(app, line)
    assert result.exit_code == 0, result.output
    assert "the defaults" in result.stdout
    assert "of the defaults" in result.stdout
    (following,) = [each for each in result.stdout.splitlines() if each.startswith("next ")]
    words = shlex.split(following.removeprefix("next"))
    assert words == ["intertwine", "train", "h2.xyz", "--config", "tune/h2-painn/best.toml"]
    assert read_config("tune/h2-painn/best.toml")["model"]["width"] == 8
    again = CliRunner().invoke(app, [*line[:4], "--json", *line[4:]])
    assert again.exit_code == 0, again.output
    told = json.loads(again.stdout)
    assert len(told["trials"]) == 2  # it goes on, and nothing is left
    assert told["next"] == shlex.join(words)
    assert told["yardstick"]["units"] == {"energy": "meV/atom", "forces": "meV/A"}


def test_what_is_wrong_is_said_with_a_remedy(line: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    other = CliRunner().invoke(app, [*line, "--trial-minutes", "20"])
    assert other.exit_code == 2
    assert "--minutes" in other.stderr
    monkeypatch.setitem(sys.modules, "optuna", None)
    missing = CliRunner().invoke(app, line)
    assert missing.exit_code == 2
    assert 'pip install "intertwine[tune]"' in missing.stderr
    assert not Path("tune").exists()
