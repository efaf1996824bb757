"""Beginning with another's weights, as a user types it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

OPTIONS = ["--epochs", 1, "--set", "training.threads=1", "--set", "training.certify=false"]


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_from_a_run(trained, run_cli, ethanol_file: Path) -> None:
    folder = trained[0]
    result = run_cli(
        "train", ethanol_file, "--from", folder, "--freeze", "layers.*", "--freeze", "head", *OPTIONS, "--run", "new"
    )
    assert result.exit_code == 0, result.output
    assert f"from     {folder.resolve()} (best, " in result.output
    assert "frozen   backbone.layers, head: " in result.output
    start = json.loads(Path("new/report.json").read_text())["start"]
    assert (start["run"], start["freeze"]) == (str(folder.resolve()), ["layers.*", "head"])
    again = run_cli("train", "--resume", "new", "--epochs", 2)
    assert again.exit_code == 0, again.output


@pytest.mark.parametrize(
    ("options", "what"),
    [
        (["--from", "nowhere"], "no such run folder"),
        (["--from", "RUN", "--set", "model.width=16"], "model.width: 16, and the weights are of a model with 8"),
        (["--from", "RUN", "--model", "mace"], "model.name: the weights are of painn"),
        (["--from", "RUN", "--freeze", "layer.0"], "nothing is called 'layer.0'"),
        (["--from", "RUN", "--set", "start.references=no"], "is not one of fit, keep"),
        (["--freeze", "embedding"], "--from RUN"),
    ],
)
def test_refusals_name_the_argument(trained, run_cli, ethanol_file: Path, options: list[str], what: str) -> None:
    chosen = [str(trained[0]) if option == "RUN" else option for option in options]
    result = run_cli("train", ethanol_file, *chosen, *OPTIONS)
    assert result.exit_code == 2, result.output
    assert what in " ".join(result.output.split())
