"""Elements that a run has not seen are named, with file, frame and atom, by every command that uses it."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write
from runs_in_use import refused

from intertwine.cli import certificate, inputs
from intertwine.data import read_structures
from intertwine.numerics import DataError

COPPER, GOLD = Atoms("Cu2", [[0, 0, 0], [0, 0, 2.3]]), Atoms("CuAu", [[0, 0, 0], [0, 0, 2.4]])


def source(folder: Path, name: str) -> Path:
    """A file, a folder, or a pattern of files, whose fourth structure has gold; the fourth is the last."""
    (folder / "f").mkdir(exist_ok=True)
    write(folder / "all.xyz", [COPPER, COPPER, COPPER, GOLD], format="extxyz")
    for k, frames in enumerate(([COPPER, COPPER], [COPPER, GOLD])):
        write(folder / "f" / f"part{k}.xyz", frames, format="extxyz")
    return folder / name


@pytest.mark.parametrize(("name", "place"), [("all.xyz", "all.xyz, frame 3"), ("f/part1.xyz", "part1.xyz, frame 1")])
@pytest.mark.parametrize("command", ["predict", "relax", "md", "certify"])
def test_every_command_names_them(command: str, name: str, place: str, runs: Any, run_cli: Any, tmp_path: Path) -> None:
    arguments = {"certify": ["--molecules"], "md": ["--steps", 2, "-o", tmp_path / "a.traj"]}.get(command, [])
    if command == "relax":
        arguments = ["-o", tmp_path / "a.xyz"]
    path = source(tmp_path, name)
    line = [*arguments, path] if command == "certify" else [path, *arguments]
    result = run_cli(command, runs["copper"], *line)
    refused(result, place, "unknown species: atomic numbers [79] (Au; the first is atom 1)", "which has Cu")


@pytest.mark.parametrize("name", ["all.xyz", "f", "f/part1.xyz"])
@pytest.mark.parametrize("known", [(29, 79), None])
def test_a_certificate_of_what_the_network_knows_is_made_with_a_warning(
    name: str, known: tuple[int, ...] | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    read = read_structures(source(tmp_path, name), progress=False)
    content = inputs.Given(read.atoms, {}, read.places)
    model = SimpleNamespace(arguments={"species": known})
    run = SimpleNamespace(species=(29,), config=SimpleNamespace(model=model))
    assert certificate._checked(content, run) is content
    said = capsys.readouterr().err
    assert "warning: " in said
    assert "Au; the first is atom 1" in said
    assert f"{'all.xyz, frame 3' if name == 'all.xyz' else 'part1.xyz, frame 1'} (counted from 0)" in said
    model.arguments["species"] = (29,)
    with pytest.raises(DataError, match="Au"):
        certificate._checked(content, run)
    assert len(certificate._checked(content, run, skip=True).structures) == len(content.structures) - 1


@pytest.mark.parametrize("name", ["all.xyz", "f"])
@pytest.mark.parametrize("command", ["predict", "evaluate"])
def test_they_are_left_out_where_that_is_asked_for(
    command: str, name: str, runs: Any, run_cli: Any, tmp_path: Path
) -> None:
    """The error names the option; with it the others keep their numbers, and what is left out is said."""
    frames = [COPPER, GOLD, COPPER, GOLD, COPPER]
    for atoms in (frames := [atoms.copy() for atoms in frames]):
        atoms.calc = SinglePointCalculator(atoms, energy=1.0, forces=np.zeros((2, 3)))
    (tmp_path / "f").mkdir()
    write(tmp_path / "all.xyz", frames, format="extxyz")
    write(tmp_path / "f" / "part.xyz", frames, format="extxyz")
    result = run_cli(command, runs["copper"], tmp_path / name)
    refused(result, "frame 1", "Au", "leave out the 2 of 5 structures that have such elements (--skip-unknown)")
    result = run_cli(command, runs["copper"], tmp_path / name, "--skip-unknown")
    assert result.exit_code == 0, result.stderr
    said = " ".join(result.stderr.split())
    assert "left out: 2 of 5 structures, with elements that the run was not trained on (Au): " in said
    assert ".xyz, frames 1, 3 (counted from 0)" in said
    if command == "predict":
        shown = [line.split()[1] for line in result.stdout.splitlines() if line.startswith("│")]
        assert shown == ["0", "2", "4"]
        fewer = run_cli("predict", runs["copper"], tmp_path / name, "--skip-unknown", "--limit", 3, "--json")
        assert len(json.loads(fewer.stdout)) == 2
        assert "left out: 1 of 3 structures" in fewer.stderr
    else:
        assert "3 structures" in " ".join(result.stdout.split())
    write(tmp_path / "gold.xyz", [GOLD, GOLD], format="extxyz")
    refused(run_cli("predict", runs["copper"], tmp_path / "gold.xyz", "--skip-unknown"), "frame 0", "Au")
