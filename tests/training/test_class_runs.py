"""A classification from the command line: trained, told in its own words, drawn, used on other data."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from intertwine.cli import app
from intertwine.data import open_dataset
from intertwine.data.shapes import cloud
from intertwine.numerics import DataError
from intertwine.training import evaluate, load_run, predict

KINDS = ("ring", "jack")
PICTURES = ("confusion.png", "examples.png", "error_by_angle.png")


def meshes(folder: Path, kinds=KINDS, count: int = 12) -> Path:
    """Clouds without faces, as PLY, in the folders of their classes."""
    for kind in kinds:
        (folder / kind).mkdir(parents=True)
        for k in range(count):
            points = cloud(kind, 0, k, 40)
            head = f"ply\nformat ascii 1.0\nelement vertex {len(points)}\n"
            head += "".join(f"property double {axis}\n" for axis in "xyz") + "end_header\n"
            rows = "\n".join(" ".join(map(repr, map(float, x))) for x in points)
            (folder / kind / f"{k}.ply").write_text(head + rows + "\n")
    return folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp("classes")
    words = [
        "train", str(meshes(folder / "train")), "--model", "schnet", "--epochs", "12", "--rotate-test", "any",
        "--run", str(folder / "run"), "--no-certify", "--learning-rate", "0.01",
    ]  # fmt: skip
    for setting in ("model.width=8", "model.layers=1", "data.points=40", "task.class_weights=balanced"):
        words += ["--set", setting]
    words += ["--set", "data.validation=4", "--set", "data.test_size=8"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    return folder / "run", result.output


def test_the_run_is_told_in_words_of_classes(trained: tuple[Path, str]) -> None:
    run, output = trained
    assert "validation: error" in output
    assert "% wrong, accuracy" in output
    assert "baseline error, always" in output
    assert "8 of 24 entries turned by a random rotation each (seed 0)" in output
    report = json.loads((run / "report.json").read_text())
    assert report["task"] == "classification"
    assert report["statistics"]["classes"] == sorted(KINDS)
    assert set(PICTURES) <= set(report["pictures"])
    assert all((run / name).stat().st_size > 5_000 for name in PICTURES)
    assert report["test"]["error"]["error"] + report["test"]["error"]["accuracy"] == 100
    assert report["test"]["cross_entropy"]["ratio"]["cross_entropy"] > 0


def test_it_learns_what_distances_tell_and_predicts_names(trained: tuple[Path, str]) -> None:
    run = load_run(trained[0])
    store = open_dataset(trained[0].parent / "train", points=40, progress=False)
    errors = evaluate(run, store)
    assert errors["error"]["error"] <= 25
    answers = predict(run, [store[k] for k in range(4)])
    assert all(answer["probability"].sum() == pytest.approx(1) for answer in answers)
    assert {str(answer["class"]) for answer in answers} <= set(KINDS)
    wrong = [answer["class"] != store.classes["label"][int(store[k].label)] for k, answer in enumerate(answers)]
    assert sum(wrong) <= 1


def test_other_data_are_matched_by_the_names_of_their_classes(trained: tuple[Path, str], tmp_path: Path) -> None:
    run = load_run(trained[0])
    own = evaluate(run, open_dataset(meshes(tmp_path / "own", KINDS, 3), points=40, progress=False))
    more = open_dataset(meshes(tmp_path / "more", ("cube", *KINDS), 3), points=40, progress=False)
    with pytest.raises(DataError, match="3 entries of class 'cube', which was never trained"):
        evaluate(run, more)
    known = more.subset((more.field("label") != 0).nonzero().flatten())
    assert evaluate(run, known)["error"]["error"] == own["error"]["error"]


def test_commands_of_a_run_read_meshes(trained: tuple[Path, str], tmp_path: Path) -> None:
    run, source = str(trained[0]), str(trained[0].parent / "train")
    result = CliRunner().invoke(app, ["evaluate", run])
    assert result.exit_code == 0, result.output
    assert "accuracy" in result.output
    result = CliRunner().invoke(app, ["evaluate", run, source, "--rotate", "any", "--json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["errors"]["error"]["error"] <= 25  # distances don't turn
    file = str(trained[0].parent / "train" / "jack" / "0.ply")
    result = CliRunner().invoke(app, ["predict", run, file, "-o", str(tmp_path / "a.npz")])
    assert result.exit_code == 0, result.output
    with np.load(tmp_path / "a.npz", allow_pickle=False) as arrays:
        assert arrays["predicted_class"].tolist() in (["jack"], ["ring"])
        assert arrays["predicted_probability"].shape == (1, 2)
    result = CliRunner().invoke(app, ["predict", run, file])
    assert "probability" in result.output
