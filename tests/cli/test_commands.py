"""The whole chain as a user types it: train, evaluate, predict, certify, md, relax; streams and exit codes."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from ase.io import read, write
from printed import document
from switches import as_users_run_it

import intertwine
from intertwine.bench import COLUMNS, cells
from intertwine.models import MODELS
from intertwine.training import load_run, train

COMMANDS = ["train", "evaluate", "predict", "certify", "md", "relax", "models", "datasets", "info", "compare"]
COMMANDS += ["cite", "bench"]
SMALL = ["--set=model.width=8", "--set=model.layers=1", "--set=training.threads=1", "--set=training.certify=false"]


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test in a folder of its own: commands write where they are called."""
    monkeypatch.chdir(tmp_path)


def test_train(trained) -> None:
    folder, report, result = trained
    names = {path.name for path in folder.iterdir()}
    assert {"config.toml", "splits.json", "best.safetensors", "last.safetensors", "metrics.csv", "report.json"} <= names
    assert {
        "certificate.json",
        "certificate.png",
        "learning_curve.png",
        "parity_energy.png",
        "parity_forces.png",
        "overview.png",
    } <= names
    assert report["run"] == str(folder)
    assert report["structures"] == {"train": 16, "validation": 2, "test": 2}
    assert report["certificate"]["passed"]
    assert json.loads((folder / "certificate.json").read_text())["passed"]
    assert report["test"]["forces"]["unit"] == "meV/A"
    assert "certificate passed: ForceField of PaiNN, E(3)" in result.stderr  # progress is there, not in the JSON
    assert load_run(folder).config.model.arguments["width"] == 8


def test_train_tells_where_the_results_are(run_cli, ethanol_file: Path) -> None:
    result = run_cli(
        "train", ethanol_file, "--epochs", 1, "--model", "schnet", "--train", 10, "--validation", 2, "--seed", 5, *SMALL
    )
    assert result.exit_code == 0, result.output
    (folder,) = Path("runs").iterdir()
    assert folder.name.startswith("tiny-schnet-")
    assert result.stdout.splitlines()[-1] == f"results  {folder}"
    config = load_run(folder).config
    assert (config.data.train, config.data.validation, config.data.seed, config.training.seed) == (10, 2, 5, 5)
    assert not (folder / "certificate.json").exists()
    quiet = run_cli("train", ethanol_file, "--model", "painn", "--epochs", 1, "--quiet", "--run", "silent", *SMALL)
    assert (quiet.exit_code, quiet.stdout) == (0, "")


def test_a_file_of_settings_under_the_options(run_cli, ethanol_file: Path) -> None:
    Path("a.toml").write_text(
        f'model = "schnet"\n[data]\nsource = "{ethanol_file}"\n[training]\nepochs = 7\nbatch_size = 3\n'
    )
    result = run_cli("train", "--config", "a.toml", "--epochs", 1, "--run", "r", *SMALL)
    assert result.exit_code == 0, result.output
    config = load_run("r").config
    assert (config.model.name, config.training.epochs, config.training.batch_size) == ("schnet", 1, 3)


def test_resume_goes_on_and_takes_more_epochs(run_cli, trained, ethanol_file: Path) -> None:
    shutil.copytree(trained[0], "r")
    result = run_cli("train", "--resume", "r", "--epochs", 3, "--set", "training.certify=false")
    assert result.exit_code == 0, result.output
    assert "resumed after epoch 2" in result.stdout
    assert json.loads(Path("r/report.json").read_text())["epochs"] == 3
    result = run_cli("train", "--resume", "r", "--run", "other")
    assert result.exit_code == 2
    assert "--run and --resume name different folders" in result.stderr
    result = run_cli("train", "--resume", "r", "--model", "schnet")
    assert result.exit_code == 2
    assert "only [training] may change" in result.stderr
    assert load_run("r").epoch >= 1


def test_evaluate(run_cli, trained, ethanol_file: Path) -> None:
    folder, report, _ = trained
    own = document(run_cli("evaluate", folder, "--json"))
    assert own["structures"] == 2
    for target in ("energy", "forces"):
        assert own["errors"][target]["mae"] == pytest.approx(report["test"][target]["mae"], rel=1e-5)
    everything = document(run_cli("evaluate", folder, ethanol_file, "--json"))
    assert everything["structures"] == 20
    assert document(run_cli("evaluate", folder, ethanol_file, "--limit", 5, "--json"))["structures"] == 5
    table = run_cli("evaluate", folder, "--which", "last")
    assert table.exit_code == 0
    assert "meV/atom" in table.stdout
    assert "on its test set: 2 structures" in " ".join(table.stdout.split())


def test_predict_without_labels(run_cli, trained, ethanol_file: Path) -> None:
    folder = trained[0]
    bare = read(ethanol_file, index=":3")
    for atoms in bare:
        atoms.calc = None
    write("bare.xyz", bare)
    printed = document(run_cli("predict", folder, "bare.xyz", "--json"))
    assert len(printed) == 3
    assert np.shape(printed[0]["forces"]) == (9, 3)
    for name in ("p.xyz", "p.json", "p.npz"):
        result = run_cli("predict", folder, "bare.xyz", "-o", name)
        assert result.exit_code == 0, result.output
        assert result.stdout == ""
        assert f"wrote 3 predictions to {name}, in" in result.stderr
    again = run_cli("predict", folder, "bare.xyz", "-o", "p.npz", "--overwrite").stderr
    assert "wrote 3 predictions to p.npz, which is replaced, in eV and A" in " ".join(again.split())
    frames = read("p.xyz", index=":")
    written = json.loads(Path("p.json").read_text())
    with np.load("p.npz") as arrays:
        for k, atoms in enumerate(frames):
            forces = np.array(printed[k]["forces"])
            assert np.allclose(atoms.arrays["predicted_forces"], forces, atol=1e-7)
            assert np.array_equal(np.array(written["predictions"][k]["forces"]), forces)
            assert np.allclose(arrays["predicted_forces"].reshape(3, 9, 3)[k], forces, rtol=1e-7)
            assert atoms.info["predicted_energy"] == pytest.approx(printed[k]["energy"])
    assert written["units"]["energy"] == "eV"
    table = run_cli("predict", folder, "bare.xyz")
    assert "energy (eV)" in table.stdout


def test_md(run_cli, trained, ethanol_file: Path) -> None:
    for again in ([], ["--overwrite"]):  # a second one writes over the first, where it is told to
        result = run_cli("md", trained[0], ethanol_file, "--steps", 20, "--every", 5, "--equilibrate", 0, *again)
        assert result.exit_code == 0, result.output
        assert "drift of the conserved energy (eV/atom/ns)" in result.stdout
    assert len(read("tiny-md.traj", index=":")) == 5
    assert Path("tiny-md.png").stat().st_size > 1000
    bath = ("--equilibrate", 6, "--every", 1, "--ensemble", "nvt", "--json", "-o", "a.traj")
    summary = document(run_cli("md", trained[0], ethanol_file, "--steps", 4, *bath))
    assert summary["steps"] == 4
    assert summary["neighbour lists built"] >= 1
    assert np.isfinite(summary["drift of the conserved energy (eV/atom/ns)"])
    assert Path("a.traj").is_file()


def test_relax(run_cli, trained, ethanol_file: Path) -> None:
    summary = document(run_cli("relax", trained[0], ethanol_file, "--steps", 1000, "--fmax", 0.05, "--json"))
    assert summary["converged"]
    assert summary["largest force (eV/A)"] < 0.05
    assert read("tiny-relaxed.xyz").get_potential_energy() == pytest.approx(summary["energy (eV)"])
    assert summary["gained (eV)"] >= 0
    short = run_cli("relax", trained[0], ethanol_file, "--steps", 1, "--fmax", 1e-6, "-o", "short.xyz")
    assert short.exit_code == 1  # steps ran out, and what there is was written
    assert Path("short.xyz").is_file()


def test_a_property(run_cli, ethanol_file: Path) -> None:
    frames = read(ethanol_file, index=":")
    for k, atoms in enumerate(frames):
        atoms.calc = None
        atoms.info["homo"] = -0.25 - 0.001 * k
    write("qm9like.xyz", frames, format="extxyz")
    result = run_cli(
        "train", "qm9like.xyz", "--model", "painn", "--target", "homo", "--epochs", 2, "--run", "r", "--json", *SMALL
    )
    report = document(result)
    assert report["task"] == "property"
    assert list(report["test"]) == ["homo"]
    printed = document(run_cli("predict", "r", "qm9like.xyz", "--json"))
    assert len(printed) == 20
    assert np.isfinite([p["homo"] for p in printed]).all()
    assert document(run_cli("evaluate", "r", "--json"))["structures"] == 2
    assert run_cli("certify", "r").exit_code == 0
    refused = run_cli("md", "r", "qm9like.xyz", "--steps", 2)
    assert refused.exit_code == 2
    assert "learned the task property" in refused.stderr


def test_dynamics_of_charged_particles(run_cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """EGNN on a small store of charged particles, saved and trained on as the named data set is."""
    from intertwine.data import nbody

    monkeypatch.setenv("INTERTWINE_CACHE", str(tmp_path / "cache"))
    store = nbody(train=12, validation=3, test=3, progress=False)
    options = {"threads": 1, "epochs": 2}
    config = {"data": {"source": "nbody"}, "model": {"name": "egnn", "width": 8, "layers": 2}, "training": options}
    folder = train(config, run="r", progress=False, store=store)
    report = json.loads((folder / "report.json").read_text())
    assert report["task"] == "dynamics"
    assert report["structures"] == {"train": 12, "validation": 3, "test": 3}
    assert report["certificate"]["passed"], report["certificate"]["summary"]
    arguments = load_run(folder).config.model.arguments
    assert arguments["velocity"]
    assert arguments["edge_inputs"] == ("charge_product",)


def test_help(run_cli) -> None:
    top = run_cli("--help")
    assert top.exit_code == 0
    for command in COMMANDS:
        assert command in top.stdout
        page = run_cli(command, "--help")
        assert page.exit_code == 0
        assert "Usage" in page.stdout
        assert run_cli(command, "-h").stdout == page.stdout
    assert run_cli().exit_code == 2  # no command: the help, and not success
    assert run_cli("--version").stdout == f"intertwine {intertwine.__version__}\n"


def assert_the_page_is_what_is_printed(entries: list[dict], printed: str) -> None:
    """docs/models.md: heading, rows, caption and papers, in their order; `python benchmarks/architectures.py` writes
    it.
    """
    page = (Path(__file__).parents[2] / "docs" / "models.md").read_text()
    table = page.partition("<!-- printed by benchmarks/architectures.py -->")[2].partition("<!-- to here -->")[0]
    rows = [re.split(r" \| ", row) for row in re.findall(r"^\| (.*) \|$", table, re.MULTILINE)]
    assert [rows[0], *rows[2:]] == [list(COLUMNS.values()), *map(cells, entries)]
    grid = [[cell.strip() for cell in line.split("│")[1:-1]] for line in printed.splitlines() if line[:1] == "│"]
    assert grid == rows[2:]
    below = [" ".join(line.split()) for line in table.splitlines() if line and line[0] != "|"]
    said = " ".join(printed.split())
    assert len(below) == len(MODELS) + 1
    assert all(re.sub(r"^- `(\w+)`", r"\1", line) in said for line in below)


def test_lists(run_cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "240")  # no cell is broken
    with as_users_run_it():  # two seconds then, a minute with annotations checked
        entries, shown = document(run_cli("models", "--json")), run_cli("models")
    assert shown.exit_code == 0
    assert all(name in shown.stdout for name in MODELS)
    assert sorted(entry["name"] for entry in entries) == sorted(MODELS)
    assert all(entry["flops"] > 0 and entry["bytes"] > 0 for entry in entries)
    assert all(entry["paper"] and entry["parameters"] > 0 for entry in entries)
    assert_the_page_is_what_is_printed(entries, shown.stdout)
    assert {"ethanol", "nbody", "qm9"} <= set(document(run_cli("datasets", "--json")))
    assert "PaiNN" not in run_cli("datasets").stdout
    assert run_cli("datasets").exit_code == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ["trian"],
        ["train", "--epochs", "many"],
        ["evaluate"],
        ["md", "run"],
        ["models", "--yaml"],
        ["relax", "a", "b", "c"],
    ],
)
def test_wrong_usage_is_exit_code_2(arguments: list[str], run_cli) -> None:
    result = run_cli(*arguments)
    assert result.exit_code == 2
    assert "Usage" in result.stderr
    assert result.stdout == ""


def test_an_error_of_ours_is_reported_with_a_file(run_cli, monkeypatch: pytest.MonkeyPatch, trained) -> None:
    import intertwine.training

    def broken(*arguments: object, **options: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(intertwine.training, "load_run", broken)
    result = run_cli("evaluate", trained[0])
    assert result.exit_code == 3
    assert "ZeroDivisionError: a bug" in result.stderr
    log = re.search(r"(\S+\.log)", result.stderr).group(1)
    assert "Traceback" in Path(log).read_text()
    assert "Traceback" not in result.output
    Path(log).unlink()


def test_ctrl_c_saves_and_is_exit_code_130(ethanol_file: Path) -> None:
    command = [sys.executable, "-m", "intertwine", "train", str(ethanol_file)]
    command += ["--model", "painn", "--epochs", "100000", "--run", "r", *SMALL]
    environment = os.environ | {"PYTHONPATH": str(Path(intertwine.__file__).parents[1]), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [*command, "--set", "training.patience=0"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    end = time.monotonic() + 60
    while not Path("r/last.safetensors").exists() and time.monotonic() < end and process.poll() is None:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=900)
    assert process.returncode == 130, err
    assert "go on with: intertwine train --resume r" in out
    assert "interrupted" in err
    assert "Traceback" not in out + err
    assert load_run("r").epoch >= 1
