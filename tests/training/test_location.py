"""A run finds its data from anywhere, and takes them from another place if they are the same."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from intertwine.cli import app
from intertwine.numerics import DataError, InputError
from intertwine.training import load_run, train
from intertwine.training import test_set as own_test_set
from intertwine.training.location import absolute


def command(*words: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [str(word) for word in words])
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture
def trained(tiny: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run on ``d/data.xyz``, given as a relative path."""
    (tmp_path / "d").mkdir()
    shutil.copy(tiny["data"]["source"], tmp_path / "d" / "data.xyz")
    monkeypatch.chdir(tmp_path)
    tiny["data"] |= {"source": "d/data.xyz", "test_size": 2}
    tiny["training"]["epochs"] = 1
    folder = train(tiny, progress=False, run="run")
    return folder.resolve()


def test_paths_that_become_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    given = {"source": "a.xyz", "test": "sub/../b.xyz", "indices": "s.json", "seed": 3}
    expected = {
        name: str(tmp_path / file) for name, file in (("source", "a.xyz"), ("test", "b.xyz"), ("indices", "s.json"))
    }
    assert absolute(given) == expected | {"seed": 3}
    assert absolute({"source": "frames/*.xyz"}) == {"source": str(tmp_path / "frames/*.xyz")}
    for name in ("ethanol", "module:name"):
        assert absolute({"source": name}) == {"source": name}
    assert absolute({"source": "mine"}, opened=True) == {"source": "mine"}
    assert absolute({"source": "~/a.xyz"})["source"] == str(Path.home() / "a.xyz")


def test_from_another_working_directory(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert load_run(trained).config.data.source == str(tmp_path / "d" / "data.xyz")
    assert len(own_test_set(load_run(trained))) == 2
    code, _, err = command("train", "--resume", trained, "--epochs", 2, "--quiet")
    assert code == 0, err


def test_moved_data_are_given_again(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "d").rename(tmp_path / "e")
    code, _, err = command("evaluate", trained)
    assert code == 2
    assert "the data of the run are not there any more" in err
    assert "--data PATH" in err
    code, out, err = command("evaluate", trained, "--data", tmp_path / "e" / "data.xyz", "--json")
    assert code == 0, err
    assert json.loads(out)["structures"] == 2
    with pytest.raises(DataError, match="not there any more"):
        train(run=trained, resume=True, progress=False)
    code, _, err = command("train", "--resume", trained, "--data", "e/data.xyz", "--epochs", 2, "--quiet")
    assert code == 0, err
    assert command("evaluate", trained)[0] == 0  # it is known from now on


def test_other_data_are_refused(trained: Path, tmp_path: Path) -> None:
    lines = (tmp_path / "d" / "data.xyz").read_text().splitlines()
    lines[2], lines[3] = lines[3], lines[2]
    (tmp_path / "other.xyz").write_text("\n".join(lines) + "\n")
    for words in (["evaluate", trained], ["train", "--quiet", "--epochs", 3, "--resume", trained]):
        code, _, err = command(*words, "--data", "other.xyz")
        assert code == 2
        assert "not the data that the run was trained on: another file, or they have changed" in err
    code, _, err = command("evaluate", trained, "--data", "gone.xyz")
    assert code == 2
    assert "gone.xyz: no such file" in err
    code, _, err = command("evaluate", trained, "d/data.xyz", "--data", "d/data.xyz")
    assert code == 2
    assert "two data sets" in err
    with pytest.raises(InputError, match="'data' differs"):
        train({"data": {"seed": 9}}, run=trained, resume=True, progress=False)


@pytest.mark.parametrize("count", ["5", "50", "0"])
def test_a_number_is_no_second_file(trained: Path, count: str) -> None:
    """`--test 5` is refused by its own name, with the option that was meant."""
    code, _, err = command("train", "d/data.xyz", "--test", count, "--quiet", "--epochs", 1)
    assert code == 2
    assert f"--test: {count} is no file" in err
    assert f"--set data.test_size={count}" in err


def test_runs_of_former_versions_have_relative_paths(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    run = load_run(trained)
    object.__setattr__(run.config.data, "source", "d/data.xyz")
    assert len(own_test_set(run)) == 2  # beside the run


def test_a_second_file_that_has_changed_or_moved(tiny: dict, tmp_path: Path) -> None:
    for name in ("a.xyz", "b.xyz"):
        shutil.copy(tiny["data"]["source"], tmp_path / name)
    tiny["data"] = {"source": str(tmp_path / "a.xyz"), "test": str(tmp_path / "b.xyz"), "validation": 4}
    tiny["training"]["epochs"] = 1
    run = load_run(train(tiny, progress=False, run=tmp_path / "run"))
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    assert any("of the test set are copies of training structures" in line for line in report["warnings"])
    (tmp_path / "b.xyz").rename(tmp_path / "c.xyz")
    with pytest.raises(DataError, match="second file"):
        own_test_set(run)
    assert len(own_test_set(run, test=tmp_path / "c.xyz")) == 26
    text = (tmp_path / "c.xyz").read_text().splitlines()
    (tmp_path / "c.xyz").write_text("\n".join(text[: int(text[0]) + 2]) + "\n")
    with pytest.raises(DataError, match="have changed"):
        own_test_set(run, test=tmp_path / "c.xyz")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, ("done: 1 epoch; extend", "--epochs 2", "the learning rate has come down to")),
        (
            {"minutes": 1e-6, "epochs": 9},
            ("the time budget of 1e-06 min is spent", "--minutes", "come down to 1.0e-06, and rises to"),
        ),
        (
            {"patience": 1, "epochs": 9},
            ("no improvement", "--set training.patience=", "learning rate is 1.0e-12"),
        ),
    ],
)
def test_a_budget_that_is_spent_is_said(
    change: dict, words: tuple[str, ...], tiny: dict, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny["training"] |= (
        {"epochs": 1, "schedule": "cosine"}
        | ({"epochs": 3, "learning_rate": 1e-12} if "patience" in change else {})
        | change
    )
    train(tiny, progress=False, run=tmp_path / "run")
    capsys.readouterr()
    train({"training": change} if change else None, run=tmp_path / "run", resume=True)
    out = capsys.readouterr().out
    assert "nothing is left to train" in out
    assert f"extend it by: intertwine train --resume {tmp_path / 'run'}" in out
    for word in words:
        assert word in out
    if "minutes" in change:
        assert "of training, 0 s of it left; then test and pictures" in out


def test_minutes_say_what_follows(tiny: dict, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tiny["training"] |= {"minutes": 0.001, "certify": True}
    train(tiny, run=tmp_path / "run")
    out = capsys.readouterr().out
    assert "budget   0 s of training; then test, certificate and pictures, usually 10 s" in out
    assert " epoch 1  loss " in out  # of how many is not known: the time ends it
    code, out, _ = command("train", "--help")
    assert code == 0
    assert "certificate" in out
