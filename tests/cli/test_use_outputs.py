"""Runs in use: what is predicted, and where it goes; outputs are safe."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk
from runs_in_use import refused, written

from intertwine.integrations import Calculator
from intertwine.training import load_checkpoint, load_run, predict, save_checkpoint

pytestmark = pytest.mark.usefixtures("own_folder")


def test_open_and_periodic_structures_of_a_run_with_stress(runs, ok) -> None:
    dimer, far = Atoms("Cu2", positions=[[0, 0, 0], [0, 0, 2.3]]), Atoms("Cu2", positions=[[0, 0, 0], [0, 0, 50]])
    slab = Atoms("Cu", cell=[2.5, 2.5, 9], pbc=[True, True, False])
    frames = [dimer, bulk("Cu"), Atoms("Cu"), bulk("Cu", cubic=True), far, slab, dimer]
    written("mixed.xyz", frames)
    printed = json.loads(ok("predict", runs["copper"], "mixed.xyz", "--json").stdout)
    # the slab's is of its area
    assert ["stress" in p for p in printed] == [False, True, False, True, False, True, False]
    assert all(np.isfinite(value).all() for p in printed for value in p.values())
    for k, atoms in enumerate(frames):
        atoms.calc = Calculator(runs["copper"])
        assert printed[k]["energy"] == pytest.approx(atoms.get_potential_energy(), abs=1e-5)
        assert "stress" not in printed[k] or printed[k]["stress"] == pytest.approx(atoms.get_stress(), abs=1e-6)
    written("dimer.xyz", [dimer.copy()])
    for name in ("mixed.xyz", "dimer.xyz"):
        table = ok("predict", runs["copper"], name).stdout
        assert "stress (eV/A^3)" in table
        assert "stress: xx, yy, zz, yz, xz, xy" in " ".join(table.split())
        for output in ("p.xyz", "p.json", "p.npz", "p.traj"):
            ok("predict", runs["copper"], name, "-o", output, "--overwrite")
    run = load_run(runs["copper"])
    with torch.inference_mode():
        assert [p["energy"] for p in predict(run, [atoms.copy() for atoms in frames])] == pytest.approx(
            [p["energy"] for p in printed]
        )


@pytest.mark.parametrize("command", ["predict", "relax", "md"])
def test_outputs_that_can_not_be(command: str, runs, run_cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Said before the work: the run is not even read."""
    written("a.xyz" if command != "md" else "a.traj", Atoms("Cu2", positions=[[0, 0, 0], [0, 0, 2.3]]))
    source = "a.xyz" if command != "md" else "a.traj"
    before = Path(source).read_bytes()
    monkeypatch.setattr("intertwine.training.load_run", lambda *a, **k: pytest.fail("the run was read"))
    for output, word in (
        ("p", "no format"),
        ("none/a.traj", "no folder"),
        (".", "is a folder"),
        (source, "file that is read"),
    ):
        refused(run_cli(command, runs["copper"], source, "-o", output), word)
    assert Path(source).read_bytes() == before
    assert [path.name for path in Path().iterdir()] == [source]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no such devices")
@pytest.mark.parametrize(
    "command",
    [["predict"], ["relax", "--steps", "1"], ["md", "--steps", "2", "--equilibrate", "0"]],
    ids=lambda c: c[0],
)
def test_devices(command: list[Any], runs, run_cli) -> None:
    written("a.xyz", Atoms("Cu2", positions=[[0, 0, 0], [0, 0, 2.3]]))
    refused(
        run_cli(command[0], runs["copper"], "a.xyz", *command[1:], "-o", "/dev/full"),
        "/dev/full: can't be written: No space left",
    )
    assert run_cli(command[0], runs["copper"], "a.xyz", *command[1:], "-o", os.devnull).exit_code in (0, 1)
    assert Path(os.devnull).is_char_device()
    assert Path("/dev/full").is_char_device()
    assert [path.name for path in Path().iterdir()] == ["a.xyz"]


def test_names_that_are_not_utf8(runs, ok, run_cli) -> None:
    """Outputs may have them; inputs are refused, as they would stand in reports."""
    name, output = os.fsdecode(b"d\xff.xyz"), os.fsdecode(b"o\xff.xyz")
    written("a.xyz", Atoms("Cu2", positions=[[0, 0, 0], [0, 0, 2.3]]))
    ok("predict", runs["copper"], "a.xyz", "-o", output)
    ok("relax", runs["copper"], "a.xyz", "--steps", 1, "-o", os.fsdecode(b"r\xff.xyz"))
    ok("relax", runs["copper"], "a.xyz", "--steps", 1, "--json", "--overwrite", "-o", os.fsdecode(b"r\xff.xyz"))
    ok("md", runs["copper"], "a.xyz", "--steps", 1, "--equilibrate", 0, "-o", os.fsdecode(b"m\xff.traj"))
    files = {b"a.xyz", b"o\xff.xyz", b"r\xff.xyz", b"m\xff.traj", b"m\xff.png", b"m\xff.csv"}
    assert {os.fsencode(path) for path in Path().iterdir()} == files
    shutil.copy("a.xyz", name)
    for command in ("predict", "relax", "md"):
        refused(run_cli(command, runs["copper"], name), "not UTF-8")


@pytest.mark.parametrize(
    ("command", "options"), [("predict", []), ("relax", []), ("md", ["--steps", "2"]), ("evaluate", [])]
)
def test_weights_that_are_not_finite(command: str, options: list[str], runs, run_cli) -> None:
    shutil.copytree(runs["copper"], "r")
    state = load_checkpoint(Path("r/best.safetensors"))
    averaged = state["average"]["mean"] if "average" in state else []
    for tensor in (*state["weights"].values(), *averaged):
        if tensor.is_floating_point() and tensor.numel() > 1:
            tensor.reshape(-1)[0] = torch.nan
    save_checkpoint(Path("r/best.safetensors"), state)
    source = written("a.xyz", bulk("Cu")) if command != "evaluate" else runs["copper"].parent / "copper.xyz"
    refused(run_cli(command, "r", source, *options), "not finite")


def test_a_structure_that_no_number_comes_of(runs, run_cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """The weights are sound and the answer is not: the structure is named."""
    from intertwine.tasks import ForceField

    whole = ForceField.predict

    def spoilt(self: ForceField, graph: Any) -> dict[str, torch.Tensor]:
        prediction = whole(self, graph)
        prediction["energy"] = torch.where(graph.cell.det() > 40, torch.inf, prediction["energy"])
        return prediction

    monkeypatch.setattr(ForceField, "predict", spoilt)
    written("a.xyz", [bulk("Cu"), bulk("Cu"), bulk("Cu", cubic=True)])
    refused(run_cli("predict", runs["copper"], "a.xyz"), "a.xyz, frame 2", "the predicted energy is not finite")
    refused(run_cli("relax", runs["copper"], "a.xyz"), "the predicted energy is not finite")
    refused(run_cli("md", runs["copper"], "a.xyz", "--steps", 2), "the predicted energy is not finite", "step 0")
    refused(
        run_cli("evaluate", runs["copper"], runs["copper"].parent / "copper.xyz"), "copper.xyz, frame ", "not finite"
    )
