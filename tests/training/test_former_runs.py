"""Runs of former versions go on, and predict what they predicted; what this version can't make is refused by name.

``former/COMMIT`` holds a run of that commit: PaiNN of width 4 after two epochs on ``former/molecules.xyz``. In its
``expected.json`` is what that commit then predicts for the first four molecules, and the row of its third epoch.
a1c0510 had positions in single precision. Their energies were weighed by their own spread, ``energy_weight = 1.0``.
"""

from __future__ import annotations

import csv
import json
import re
import shutil
from pathlib import Path

import ase.io
import numpy as np
import pytest

from intertwine.numerics import CheckpointError, InputError
from intertwine.numerics.checkpoint import save_checkpoint
from intertwine.training import load_checkpoint, load_run, merge, parse_settings, predict, read_config, train

FORMER = Path(__file__).with_name("former")
COMMITS = sorted(path.name for path in FORMER.iterdir() if path.is_dir())


@pytest.fixture
def run(commit: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the run of that commit, beside its data."""
    shutil.copy(FORMER / "molecules.xyz", tmp_path)
    monkeypatch.chdir(tmp_path)
    return Path(shutil.copytree(FORMER / commit, tmp_path / "run"))


@pytest.mark.parametrize("commit", COMMITS)
def test_predicts_what_it_predicted(commit: str, run: Path) -> None:
    expected = json.loads((run / "expected.json").read_text())
    predictions = predict(load_run(run), ase.io.read("molecules.xyz", ":4"))
    np.testing.assert_allclose([each["energy"] for each in predictions], expected["energy"], rtol=2e-6)
    for each, forces in zip(predictions, expected["forces"], strict=True):
        np.testing.assert_allclose(each["forces"], forces, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("commit", COMMITS)
def test_goes_on_as_it_would_have(commit: str, run: Path) -> None:
    expected = json.loads((run / "expected.json").read_text())["third"]
    train({"training": {"epochs": 3}}, run=run, resume=True, progress=False)
    with (run / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3
    since = {name for name in rows[-1] if name.endswith("_share")}  # of the loss, which former versions did not tell
    assert rows[-1].keys() - {"seconds"} - since == expected.keys()
    np.testing.assert_allclose([float(rows[-1][name]) for name in expected], list(expected.values()), rtol=1e-5)
    assert load_run(run, which="last").epoch == 3


@pytest.mark.parametrize("commit", COMMITS)
def test_a_former_configuration_trains_with_its_own_balance(
    commit: str, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Trained anew it gives the rows that it gave, after a warning that names the key."""
    train(run / "config.toml", run=tmp_path / "new")
    before, _, _ = "".join(capsys.readouterr()).partition("epoch 1/2")
    assert "warning: task.energy_weight=1 is the weight of former versions" in before
    assert "--set task.energy_weight=none" in before
    former = load_checkpoint(run / "last.safetensors")["rows"]
    with (tmp_path / "new" / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(former) == 2
    for row, expected in zip(rows, former, strict=True):
        names = expected.keys() - {"seconds"}
        np.testing.assert_allclose([float(row[n]) for n in names], [expected[n] for n in names], rtol=1e-5)
    train({"training": {"epochs": 3}}, run=tmp_path / "new", resume=True, progress=False)
    task = load_run(tmp_path / "new", which="last").task
    assert task.weights["energy"] == 1.0
    assert task.energy_scale != task.scale


@pytest.mark.parametrize("commit", COMMITS)
def test_a_former_configuration_can_take_the_balance_of_today(
    commit: str, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sections = read_config(run / "config.toml")
    (caution,) = load_run(run).task.cautions()
    today = re.findall(r"--set (\S+)", caution)
    assert today == ["task.energy_weight=none", "task.force_weight=1"]
    train(merge(sections, parse_settings(today)), run=tmp_path / "new")
    assert "energy_weight" not in "".join(capsys.readouterr())
    task = load_run(tmp_path / "new").task
    assert (task.weights["energy"], task.weights["forces"]) == (10.0, 1.0)
    assert task.energy_scale == task.scale
    assert "energy_weight" not in read_config(tmp_path / "new" / "config.toml")["task"]
    both = parse_settings(["task.energy_loss_weight=100"])
    with pytest.raises(InputError, match=r"(?s)energy_weight=1, .*task\.energy_weight=none"):
        train(merge(sections, both), run=tmp_path / "both", progress=False)


@pytest.mark.parametrize("commit", COMMITS[-1:])
def test_an_argument_that_is_gone_is_named(commit: str, run: Path) -> None:
    """As ``node_columns`` of MPNN: the number of columns stands with the input's name now."""
    for name in ("best", "last"):
        file = run / f"{name}.safetensors"
        state = load_checkpoint(file)
        state["config"]["model"]["node_columns"] = 3
        save_checkpoint(file, state)
    with pytest.raises(CheckpointError, match=r"(?s)node_columns.*use the version that wrote it") as error:
        load_run(run)
    assert error.value.where == str(run / "best.safetensors")
    with pytest.raises(CheckpointError, match="unknown key 'node_columns'"):
        train(run=run, resume=True, progress=False)
