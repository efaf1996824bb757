"""A run that is worse than a baseline says so wherever its errors are shown."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from intertwine.cli.use import _table_of
from intertwine.training import compare, info


@pytest.mark.parametrize("target", ["energy", "forces"])
def test_a_run_that_the_baseline_beats_says_so(trained: Any, run_cli, tmp_path: Path, target: str) -> None:
    """In info and compare as in train: from the same numbers, by the same words."""
    test = trained[1]["test"]
    mine, blind = test[target], {"name": "blind", "mae": 0.5 * test[target]["mae"], "rmse": 2 * test[target]["rmse"]}
    worse = mine | {"baseline": blind, "ratio": {"mae": 2.0, "rmse": 0.5}}
    folder = shutil.copytree(trained[0], tmp_path / "worse")
    report = json.loads((folder / "report.json").read_text()) | {"test": test | {target: worse}, "warnings": []}
    (folder / "report.json").write_text(json.dumps(report))
    (line,) = [line for line in info(folder)["warnings"] if line.startswith(target)]
    assert "the baseline 'blind' is better than the model (MAE" in line
    shown = run_cli("info", folder)
    assert f"{target}, blind: MAE {blind['mae']:.4g}, RMSE {blind['rmse']:.4g}" in shown.stdout
    assert f"warning: {line}" in " ".join(shown.stderr.split())
    side = run_cli("compare", trained[0], folder)
    (short,) = [line for line in side.stderr.splitlines() if "warning: worse: the baseline is better" in line]
    assert target in short
    assert side.stdout.count("baseline: blind") == 2
    content = compare([trained[0], folder])
    row = next(r for r in content["errors"] if (r["set"], r["target"], r["error"]) == ("test", target, "mae"))
    assert row["baselines"]["blind"] == [None, blind["mae"]]
    assert row["best"] == [0, 1]  # the model's own errors are the same
    own = mine["baseline"]["name"]
    assert row["baselines"][own] == [mine["baseline"]["mae"], None]


@pytest.mark.parametrize("sized", [[], ["forces"], ["forces", "dipoles"]])
def test_the_size_of_a_label_stands_last_and_is_explained(sized: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """It is no error; what has none leaves it blank."""
    errors = {"energy": {"mae": 1.5, "rmse": 2.5, "unit": "meV"}}
    errors |= {name: {"size": 7.5, "mae": 1.5, "rmse": 2.5, "unit": "meV/A"} for name in sized}
    _table_of(errors, "a run")
    said = capsys.readouterr().out
    assert ("rms of label: the root mean square" in said) == bool(sized)
    assert said.count("7.5") == len(sized)
    if sized:
        assert said.index("RMSE") < said.index("rms of label")


def test_a_warning_stands_below_the_table_that_it_is_about(trained: Any, run_cli, ethanol_file: Path) -> None:
    result = run_cli("evaluate", trained[0], ethanol_file)
    assert result.exit_code == 0, result.output
    assert result.output.index("warning: ") > result.output.rindex("baseline: ")
