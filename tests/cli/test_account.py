"""intertwine info and compare: what a run says of itself, and of its difference to others."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from child_processes import SMALL

from intertwine.cli.account import told
from intertwine.data.splits import Splits
from intertwine.numerics import CheckpointError, InputError
from intertwine.training import (
    compare,
    info,
    load_checkpoint,
    load_run,
    save_checkpoint,
    save_task,
)
from intertwine.training.side_by_side import learning_curves
from intertwine.training.start import fingerprint

FORMER = Path(__file__).resolve().parents[1] / "training" / "former"


@pytest.fixture(scope="session")
def second(run_cli, ethanol_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on the same split as ``trained``, of another width and without a certificate."""
    folder = tmp_path_factory.mktemp("second") / "wider"
    options = ["--model", "painn", "--epochs", 3, "--no-certify", *SMALL, "--set", "model.width=12"]
    result = run_cli("train", ethanol_file, "--run", folder, *options)
    assert result.exit_code == 0, result.output
    return folder


@pytest.fixture
def copied(trained: Any, tmp_path: Path) -> Callable[..., Path]:
    """A copy of the run with changes to its report, its split and its checkpoints' content."""

    def copy(name: str, *, report: dict | None = None, splits: dict | None = None, state: dict | None = None) -> Path:
        folder = tmp_path / name
        shutil.copytree(trained[0], folder)
        for file, changes in (("report.json", report), ("splits.json", splits)):
            if changes is not None:
                (folder / file).write_text(json.dumps(json.loads((folder / file).read_text()) | changes))
        if state is not None:
            for file in ("best.safetensors", "last.safetensors"):
                save_checkpoint(folder / file, load_checkpoint(folder / file) | state)
        return folder

    return copy


def test_a_folder_says_what_its_files_say(trained: Any) -> None:
    folder, report, _ = trained
    content = info(folder)
    splits = Splits.load(folder / "splits.json")
    assert content["finished"]
    assert content["data"]["source"] == report["data"]
    assert content["data"]["sizes"] == report["structures"]
    assert content["data"]["fingerprint"] == splits.fingerprint
    assert [each["label"] for each in content["data"]["labels"]] == ["energy", "forces"]
    assert content["data"]["species"] == ["H", "C", "O"]
    assert content["units"] == {"pos": "A", "energy": "eV", "forces": "eV/A"}
    assert content["test"] == report["test"]
    assert content["validation"]["forces_mae"] == report["validation"]["forces_mae"]
    assert content["model"]["weights"] == report["parameters"]
    assert content["model"]["sha256"] == fingerprint(load_run(folder).task)
    assert (content["model"]["symmetry"], content["model"]["cutoff"]) == ("E(3)", 3.5)
    assert content["settings"]["model.width"] == {"value": 8, "default": 64, "set": True}
    by_nobody = {name for name, each in content["settings"].items() if each["set"] is False}
    by_data = {"average_degree": "model", "learning_rate": "training", "threads": "training", "batch_size": "training"}
    assert by_nobody <= {"training.clip", *(f"{section}.{name}" for name, section in by_data.items())}
    assert "training.warmup" not in content["settings"]
    assert content["training"]["epochs"] == 2
    assert content["certificate"]["passed"]
    assert content["versions"]["torch"] == torch.__version__


@pytest.mark.parametrize("name", ["best.safetensors", "last.safetensors"])
def test_a_checkpoint_in_its_folder_and_alone(trained: Any, tmp_path: Path, name: str) -> None:
    inside = info(trained[0] / name)
    assert inside["data"] == info(trained[0])["data"]
    assert inside["certificate"] is not None
    shutil.copy(trained[0] / name, tmp_path)
    alone = info(tmp_path / name)
    assert alone["data"]["source"] == trained[1]["data"]
    assert alone["data"]["fingerprint"] is alone["certificate"] is None
    assert alone["data"]["sizes"] == alone["test"] == {}
    assert alone["model"] == inside["model"]
    assert alone["validation"] == inside["validation"]
    assert not any("--resume" in note for note in alone["notes"])


def test_a_checkpoint_of_another_run_gets_nothing_of_the_folder_it_lies_in(trained: Any, second: Path, tmp_path: Path):
    folder = tmp_path / "mixed"
    shutil.copytree(trained[0], folder)
    shutil.copy(second / "best.safetensors", folder / "best.safetensors")
    content = info(folder / "best.safetensors")
    assert content["test"] == {}
    assert content["settings"]["model.width"]["value"] == 12


def test_weights_from_elsewhere_have_no_data(trained: Any, run_cli, tmp_path: Path) -> None:
    save_task(load_run(trained[0]).task, tmp_path / "w.safetensors", species=(1, 6, 8), units={"energy": "eV"})
    content = info(tmp_path / "w.safetensors")
    assert content["data"] == {"source": None, "species": ["H", "C", "O"]}
    assert content["model"]["sha256"] == info(trained[0])["model"]["sha256"]
    result = run_cli("info", tmp_path / "w.safetensors")
    assert result.exit_code == 0, result.output
    assert "the weights were trained elsewhere" in result.stdout
    assert "trained  " not in result.stdout


@pytest.mark.parametrize(
    "missing", [["report.json"], ["best.safetensors", "report.json"], ["report.json", "splits.json"]]
)
def test_a_run_that_was_stopped_says_so(copied, missing: list[str]) -> None:
    folder = copied("stopped")
    for name in missing:
        (folder / name).unlink()
    content = info(folder)
    assert not content["finished"]
    assert any("--resume" in note for note in content["notes"])
    assert content["model"]["weights"] > 0
    assert content["training"]["epochs"] == 2
    assert bool(content["data"]["sizes"]) == ("splits.json" not in missing)


def test_a_model_of_ones_own_is_not_imported(copied, run_cli) -> None:
    config = load_checkpoint(copied("first") / "best.safetensors")["config"]
    config["model"] = {"name": "nowhere_at_all:Mine", "width": 3}
    content = info(copied("own", state={"config": config}))
    assert any("--allow nowhere_at_all" in note for note in content["notes"])
    assert content["model"]["name"] == "nowhere_at_all:Mine"
    assert content["model"]["weights"] > 0  # by its report
    assert content["task"]["errors"] == {"energy": "meV/atom", "forces": "meV/A"}
    assert content["settings"]["model.width"] == {"value": 3, "default": None, "set": True}


@pytest.mark.parametrize("name", sorted(path.name for path in FORMER.iterdir() if path.is_dir()))
def test_runs_of_former_versions_are_told(name: str) -> None:
    content = info(FORMER / name)
    assert content["data"]["source"]
    assert content["versions"]["intertwine"]
    assert content["data"]["fingerprint"] or content["data"]["sizes"]


def test_in_words(trained: Any, run_cli) -> None:
    result = run_cli("info", trained[0])
    assert result.exit_code == 0, result.output
    lines = {line[:12].strip(): line[12:] for line in result.stdout.splitlines() if line[:12].strip()}
    assert lines["data"].endswith("tiny.xyz: 16 to train on, 2 to validate, 2 to test")
    assert lines["task"] == "force_field: energy (meV/atom), forces (meV/A)"
    assert lines["trained"].startswith("2 epochs of 2, ")
    assert "model.width = 8 (default 64)" in result.stdout
    error = trained[1]["test"]["forces"]
    assert f"forces: MAE {error['mae']:.4g}, RMSE {error['rmse']:.4g} meV/A" in result.stdout
    assert json.loads(run_cli("info", trained[0], "--json").stdout)["test"] == trained[1]["test"]


@pytest.mark.parametrize(
    ("preset", "words"), [("small", "by --preset small"), ("paper", "by --preset paper"), (None, "by intertwine")]
)
def test_a_setting_says_who_chose_it(trained: Any, preset: str | None, words: str) -> None:
    content = info(trained[0])
    chosen = {"value": 16, "default": 64, "set": False} | ({"preset": preset} if preset else {})
    content["settings"], content["model"]["preset"] = {"model.width": chosen}, preset
    lines = told(content)
    assert lines["chosen"] == [f"model.width = 16 (default 64), {words}"]
    assert (f"(--preset {preset})" in lines["model"][0]) == (preset is not None)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda folder: shutil.rmtree(folder), "no such run folder"),
        (lambda folder: [(folder / f"{w}.safetensors").unlink() for w in ("best", "last")], "half-written"),
        (lambda folder: (folder / "report.json").write_text("{"), "can't be read"),
        (lambda folder: (folder / "best.safetensors").write_bytes(b"no"), "not a whole checkpoint"),
        (lambda folder: save_checkpoint(folder / "best.safetensors", [1]), "not the checkpoint of a run"),
    ],
)
def test_what_is_no_run_is_named(copied, run_cli, change: Callable[[Path], Any], words: str) -> None:
    folder = copied("bad")
    change(folder)
    result = run_cli("info", folder)
    assert result.exit_code == 2
    assert words in result.stderr
    assert "Remedy" in result.stderr


def test_runs_of_one_test_set_are_compared(trained: Any, second: Path) -> None:
    content = compare([trained[0], second])
    assert content["runs"] == ["ethanol", "wider"]
    assert content["settings"] == {"model.width": [8, 12], "training.certify": [True, False], "training.epochs": [2, 3]}
    assert content["facts"]["certificate"] == ["passed", None]
    assert not content["warnings"]
    other = json.loads((second / "report.json").read_text())["test"]
    rows = {(row["set"], row["target"], row["error"]): row for row in content["errors"]}
    assert len(rows) == 8
    for target in ("energy", "forces"):
        row = rows["test", target, "mae"]
        assert row["values"] == [trained[1]["test"][target]["mae"], other[target]["mae"]]
        assert row["best"] == [row["values"].index(min(row["values"]))]
        assert row["unit"] == other[target]["unit"]


@pytest.mark.parametrize("part", ["test", "validation"])
def test_other_sets_are_not_compared(copied, trained: Any, part: str) -> None:
    kept = json.loads((trained[0] / "splits.json").read_text())
    both = {"test": kept["validation"], "validation": kept["test"]}
    content = compare([trained[0], copied("other", splits={part: both[part]})])
    (warning,) = content["warnings"]
    assert warning.startswith(f"the {part} sets differ")
    assert all(bool(row["best"]) == (row["set"] != part) for row in content["errors"])


def test_the_same_indices_in_another_order_are_the_same_set_and_of_other_data_are_not(copied, trained: Any) -> None:
    kept = json.loads((trained[0] / "splits.json").read_text())
    shuffled = copied("shuffled", splits={"test": kept["test"][::-1]})
    assert not compare([trained[0], shuffled])["warnings"]
    content = compare([trained[0], shuffled, copied("changed", splits={"fingerprint": "0" * 64})])
    assert [w.partition(" differ")[0] for w in content["warnings"]] == ["the test sets", "the validation sets"]
    assert "(ethanol, shuffled; changed)" in content["warnings"][0]
    assert not any(row["best"] for row in content["errors"])


@pytest.mark.parametrize("unit", ["eV/A", "kcal/mol/A", ""])
def test_errors_of_other_units_are_not_compared(copied, trained: Any, run_cli, unit: str) -> None:
    test = trained[1]["test"]
    folder = copied("units", report={"test": test | {"forces": test["forces"] | {"unit": unit}}})
    content = compare([trained[0], folder])
    assert len(content["warnings"]) == 1
    assert "the units of forces differ" in content["warnings"][0]
    assert all(bool(row["best"]) == (row["target"] == "energy") for row in content["errors"])
    result = run_cli("compare", trained[0], folder)
    assert result.exit_code == 0
    assert "units of forces differ" in result.stderr


@pytest.mark.parametrize("value", [None, float("nan"), float("inf")])
def test_an_error_that_is_no_number_is_never_the_best(copied, trained: Any, value: Any) -> None:
    test = trained[1]["test"]
    content = compare([trained[0], copied("nan", report={"test": test | {"forces": test["forces"] | {"mae": value}}})])
    row = next(
        row for row in content["errors"] if (row["set"], row["target"], row["error"]) == ("test", "forces", "mae")
    )
    assert row["values"] == [test["forces"]["mae"], None]
    assert row["best"] == []


def test_a_lone_checkpoint_does_not_say_what_it_was_tested_on(trained: Any, second: Path, tmp_path: Path) -> None:
    shutil.copy(second / "best.safetensors", tmp_path / "best.safetensors")
    content = compare([trained[0], tmp_path / "best.safetensors"])
    assert "not known which structures the test set has" in content["warnings"][0]
    assert not any(row["best"] for row in content["errors"])


@pytest.mark.parametrize("count", [0, 1])
def test_one_run_is_nothing_to_compare(trained: Any, run_cli, count: int) -> None:
    with pytest.raises(InputError, match="give two or more"):
        compare([trained[0]] * count)
    result = run_cli("compare", trained[0], trained[0])
    assert result.exit_code == 2
    assert "1 of them different" in result.stderr


def test_runs_of_one_name_are_told_apart(copied, trained: Any, tmp_path: Path) -> None:
    shutil.copytree(trained[0], tmp_path / "x" / "ethanol")
    names = compare([trained[0], tmp_path / "x" / "ethanol"])["runs"]
    assert names == [f"{trained[0].parent.name}/ethanol", "x/ethanol"]


def test_in_a_table_as_json_and_as_a_picture(trained: Any, second: Path, run_cli, tmp_path: Path) -> None:
    result = run_cli("compare", trained[0], second, "-o", tmp_path / "curves.png")
    assert result.exit_code == 0, result.output
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert f"wrote the learning curves to {tmp_path / 'curves.png'}" in result.stderr.replace("\n", "")
    assert "model.width" in result.stdout
    assert result.stdout.count(" *") == 8  # a mark for each row
    content = json.loads(run_cli("compare", trained[0], second, "--json").stdout)
    assert content["errors"] == compare([trained[0], second])["errors"]
    refused = run_cli("compare", trained[0], second, "-o", tmp_path / "curves.doc")
    assert refused.exit_code == 2
    assert "picture format" in refused.stderr


def test_curves_are_those_of_the_runs(trained: Any, second: Path, tmp_path: Path) -> None:
    panels = learning_curves([trained[0], second])
    assert list(panels) == ["validation MAE of energy", "validation MAE of forces"]
    unit, curves = panels["validation MAE of forces"]
    assert unit == "meV/A"
    rows = load_checkpoint(second / "last.safetensors")["rows"]
    assert curves["wider"] == ([1.0, 2.0, 3.0], [row["validation_forces_mae"] for row in rows])
    state = load_checkpoint(second / "last.safetensors")
    keep = {"epoch", "step", "seconds", "learning_rate", "train_loss"}
    state["rows"] = [{name: row[name] for name in keep} for row in state["rows"]]
    shutil.copytree(second, tmp_path / "without")
    save_checkpoint(tmp_path / "without" / "last.safetensors", state)
    assert list(learning_curves([trained[0], tmp_path / "without"])) == ["training loss"]


@pytest.mark.parametrize(("words", "expected"), [([], None), (["--certify"], True), (["--no-certify"], False)])
def test_certify_is_a_setting(
    run_cli, monkeypatch: pytest.MonkeyPatch, words: list[str], expected: bool | None
) -> None:
    import sys

    said: dict[str, Any] = {}
    monkeypatch.setattr(sys.modules["intertwine.cli.train"], "start", lambda sections, *_, **__: said.update(sections))
    assert run_cli("train", "ethanol", *words).exit_code == 0
    assert said["training"].get("certify") is expected


def test_without_a_certificate(second: Path) -> None:
    assert not (second / "certificate.json").exists()
    assert "certificate" not in json.loads((second / "report.json").read_text())
    with pytest.raises(CheckpointError):
        info(second / "nothing.safetensors")


@pytest.mark.parametrize("text", ["[speed]", "[bold]run[/bold]", "a[/x]", "[red]", r"back\\slash[1]"])
def test_brackets_in_a_table_are_text(capsys: pytest.CaptureFixture[str], text: str) -> None:
    """A list of one word is no markup, nor is a folder in brackets."""
    from rich.console import Console

    from intertwine.cli import console

    former, console.out = console.out, Console(highlight=False, width=160)
    try:
        console.table(f"title {text}", ["", text], [["cell", text], ["list", f"{text}, {text}"]], caption=text)
    finally:
        console.out = former
    assert capsys.readouterr().out.count(text) == 6
