"""predict as a user meets it: nothing given is lost, replaced or overwritten."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.io import read
from runs_in_use import CASES, refused, written

import intertwine
from intertwine.certify import Certificate
from intertwine.data import read_structures
from intertwine.integrations import Calculator
from intertwine.numerics import InputError
from intertwine.training import load_run, predict

pytestmark = pytest.mark.usefixtures("own_folder")


def several() -> list[Atoms]:
    frames = []
    for k in range(7):
        frames.append(bulk("Cu", cubic=True))
        frames[-1].rattle(0.05, seed=k)
        frames[-1].info["id"] = f"cu-{k}"
    return frames


@pytest.mark.parametrize("spelling", ["in.xyz", "./in.xyz", "../{}/in.xyz", "soft.xyz", "hard.xyz", "{absolute}"])
@pytest.mark.parametrize("source", ["in.xyz", "soft.xyz", "*.xyz", "."])
def test_an_input_is_not_overwritten(spelling: str, source: str, runs, run_cli) -> None:
    written("in.xyz", several())
    Path("soft.xyz").symlink_to("in.xyz")
    Path("hard.xyz").hardlink_to("in.xyz")
    before = hashlib.sha256(Path("in.xyz").read_bytes()).hexdigest()
    output = spelling.format(Path.cwd().name, absolute=Path("in.xyz").resolve())
    refused(run_cli("predict", runs["copper"], source, "-o", output), "is the file that is read")
    assert hashlib.sha256(Path("in.xyz").read_bytes()).hexdigest() == before
    assert sorted(os.listdir()) == ["hard.xyz", "in.xyz", "soft.xyz"]


@pytest.mark.parametrize("name", ["train.xyz", "soft.xyz", "./train.xyz"])
def test_the_data_of_a_run_are_not_overwritten(name: str, runs, run_cli) -> None:
    """They are the input of the run, to which it goes back."""
    data = Path(load_run(runs["copper"]).config.data.source)
    written("a.xyz", several())
    Path("soft.xyz").symlink_to(data)
    output = {"train.xyz": data, "soft.xyz": Path("soft.xyz"), "./train.xyz": data.parent / "." / data.name}[name]
    before = data.read_bytes()
    for command in ("predict", "relax"):
        refused(run_cli(command, runs["copper"], "a.xyz", "-o", output), "is there already")
        refused(run_cli(command, runs["copper"], "a.xyz", "-o", output, "--overwrite"), "is the data of the run")
    assert data.read_bytes() == before


def test_batches_change_nothing_but_the_speed(runs, ok, run_cli) -> None:
    written("in.xyz", several())
    printed = [
        json.loads(ok("predict", runs["copper"], "in.xyz", "--batch-size", size, "--json").stdout)
        for size in (1, 3, 100)
    ]
    for other in printed[1:]:
        for p, q in zip(printed[0], other, strict=True):
            assert np.allclose(p["forces"], q["forces"], atol=1e-5)
    assert run_cli("predict", runs["copper"], "in.xyz", "--batch-size", 0).exit_code == 2
    run, seen = load_run(runs["copper"]), []
    results = predict(run, several(), batch_size=3, progress=seen.append)
    assert seen == [3, 6, 7]
    assert len(results) == 7
    with pytest.raises(InputError, match="batches of 0"):
        predict(run, several(), batch_size=0)


def test_a_tag_for_each_model(runs, ok, run_cli) -> None:
    source = written("in.xyz", several())
    ok("predict", runs["copper"], source, "-o", "a.xyz")
    refused(
        run_cli("predict", runs["copper"], "a.xyz", "-o", "b.xyz"),
        "a.xyz, frame 0 (counted from 0): has predicted_energy",
        "--tag",
    )
    ok("predict", runs["copper"], "a.xyz", "-o", "b.xyz", "--tag", "small")
    for found, atoms in zip(read("b.xyz", ":"), several(), strict=True):
        assert found.info["id"] == atoms.info["id"]
        assert found.info["predicted_energy"] == found.info["predicted_small_energy"]
        assert np.array_equal(found.arrays["predicted_forces"], found.arrays["predicted_small_forces"])
    for tag in ("a b", "ä", "a=b", "../x"):
        refused(run_cli("predict", runs["copper"], source, "-o", "c.xyz", "--tag", tag), "is no word")


def test_references_stay_and_are_what_is_scored(runs, ok) -> None:
    """Of a file that has both, evaluate reads the references, and the predictions where it is told."""
    source = CASES / "same-in-ev.xyz"
    before = json.loads(ok("evaluate", runs["ev"], source, "--json").stdout)["errors"]
    for name in ("p.xyz", "p.traj", "p.db", "p.json"):
        ok("predict", runs["ev"], source, "-o", name)
        after = json.loads(ok("evaluate", runs["ev"], name, "--json").stdout)["errors"]
        theirs = ["--key", "energy=predicted_energy", "--key", "forces=predicted_forces"]
        own = json.loads(ok("evaluate", runs["ev"], name, *theirs, "--json").stdout)["errors"]
        for target in ("energy", "forces"):
            assert after[target]["mae"] == pytest.approx(before[target]["mae"], rel=1e-4)
            assert own[target]["mae"] < 1e-3 * after[target]["mae"]


def test_relaxed_structures_say_whose_energy_they_have(runs, ok) -> None:
    source = CASES / "same-in-ev.xyz"
    given = read(source, -1)
    for name in ("r.xyz", "r.db", "r.json", "m.traj"):
        if name == "m.traj":
            done = ok("md", runs["ev"], source, "--steps", 2, "--every", 1, "--equilibrate", 0, "-o", name)
        else:
            done = ok("relax", runs["ev"], source, "--steps", 2, "-o", name)
        assert "kept as those of the start (initial_" in done.stderr
        atoms = read_structures(name, progress=False).atoms[-1]
        assert atoms.info["initial_energy"] == pytest.approx(given.get_potential_energy(), rel=1e-12)
        assert np.allclose(atoms.arrays["initial_forces"], given.get_forces(), atol=1e-8)
        assert atoms.info["calculated_by"] == "intertwine, run ev"
        assert "are predictions of a model, not references" in ok("evaluate", runs["ev"], name).stderr
        fresh = atoms.copy()
        fresh.calc = Calculator(runs["ev"])
        assert atoms.get_potential_energy() == pytest.approx(fresh.get_potential_energy(), abs=1e-4)


def test_runs_and_certificates_say_what_they_are(runs, trained) -> None:
    for folder in (*list(runs.values())[:3], trained[0]):
        run = load_run(folder)
        assert repr(run).startswith(
            f"Run(folder={str(folder)!r}, task='force_field', outputs='energy (eV), forces (eV/A)"
        )
        assert "model='PaiNN'" in repr(run)
        assert len(repr(run)) < 500 + len(str(folder))
        assert str(folder) in run._repr_html_()
        calculator = repr(Calculator(run))
        assert f"run={str(folder)!r}" in calculator
    certificate = Certificate.load(trained[0] / "certificate.json")
    assert "passed=True" in repr(certificate)
    assert "\n" not in repr(certificate)
    assert certificate._repr_html_().count("<tr>") == 1 + len(certificate.lines)
    hostile = Certificate("<script>", "E(3)", 1, certificate.lines[:1])
    assert "<script>" not in hostile._repr_html_()


def test_only_public_names() -> None:
    names = [name for name in dir(intertwine) if not name.startswith("__")]
    assert set(intertwine.__all__) <= set(names)
    assert not {"Any", "TYPE_CHECKING", "annotations", "importlib", "_HOME"} & set(names)
    assert not [name for name in names if name.startswith("_")]
    for name in set(names) - set(intertwine.__all__):
        assert getattr(intertwine, name).__name__ == f"intertwine.{name}"
