"""One cause has one remedy, wherever the errors are told; a baseline that an outlier spoils advises nothing; a run
without a test set is told by its training set; the command that goes on with a run is enough.
"""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import read, write
from switches import as_users_run_it
from typer.testing import CliRunner

from intertwine.cli import app
from intertwine.data import ethanol, open_dataset
from intertwine.models import SchNet
from intertwine.tasks import ForceField
from intertwine.tasks.verdict import (
    COPIES,
    OTHER_DATA,
    OTHERS,
    REMEDY,
    SUSPICIOUS,
    UNLEARNT,
    Causes,
    beaten,
    before_weights,
    compared_with,
    remedy_for,
)
from intertwine.training import load_run, train
from intertwine.training.causes import reached_fits, short_training
from intertwine.training.report import percentage
from intertwine.training.summary import doubts

NOTHING = {"learning_rate": 1e-9}  # what is learned


def call(*arguments: object) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def outlying(source: Path, target: Path, frame: int) -> Path:
    """The molecules with one energy far from all others."""
    frames = read(source, ":", format="extxyz")
    frames[frame].calc.results["energy"] += 5e4
    write(target, frames, format="extxyz")
    return target


@pytest.mark.parametrize(
    ("causes", "remedy"),
    [
        (Causes(), REMEDY),
        (Causes(own=False), OTHER_DATA),
        (Causes(own=False, copies=True), COPIES),
        (Causes(copies=True, few="1 epoch"), f"{UNLEARNT}: train longer: 1 epoch"),
        (Causes(few="1 epoch"), "train longer: 1 epoch"),
        (Causes(own=False, few="1 epoch"), f"{OTHER_DATA}; and train longer: 1 epoch"),
        (Causes(own=False, copies=True, few="1 epoch"), f"{UNLEARNT}: train longer: 1 epoch"),
        (Causes(own=False, some_copies=True), OTHERS),
        (Causes(suspicious=True), SUSPICIOUS),
        (Causes(suspicious=True, copies=True, few="1 epoch"), f"{SUSPICIOUS}; and {UNLEARNT}: train longer: 1 epoch"),
        (Causes(suspicious=True, few="1 epoch"), f"{SUSPICIOUS}; and train longer: 1 epoch"),
    ],
)
def test_the_causes_decide(causes: Causes, remedy: str) -> None:
    assert remedy_for(causes) == remedy


def test_copies_and_short_training(tiny: dict, tmp_path: Path) -> None:
    tiny["data"] |= {"train": 16, "test_size": 6}
    tiny["training"] |= {"epochs": 1, **NOTHING}
    run = train(tiny, progress=False, run=tmp_path / "run")
    report = json.loads((run / "report.json").read_text())
    (short,) = {line.rpartition("; ")[2] for line in report["warnings"] if "the baseline" in line}
    assert short == "train longer: 1 epoch (4 steps) so far, where 20 to 150 epochs are the default"
    told = call("evaluate", run, "--json")
    assert [line for line in json.loads(told.stdout)["warnings"] if line.endswith(short)]
    copies = tmp_path / "copies.xyz"
    frames = read(tiny["data"]["source"], ":", format="extxyz")
    write(copies, [frames[k] for k in json.loads((run / "splits.json").read_text())["train"]], format="extxyz")
    said = json.loads(call("evaluate", run, copies, "--json").stdout)["warnings"]
    assert [line for line in said if line.startswith("all 16 structures are copies")]
    assert [line for line in said if line.endswith(f"{UNLEARNT}: {short}")]
    assert not [line for line in said if "not trained on these" in line]


@pytest.mark.parametrize("part", ["train", "test", "validation"])
def test_an_outlier_spoils_its_baseline_and_nothing_is_advised(part: str, tiny: dict, tmp_path: Path) -> None:
    tiny["data"] |= {"train": 16, "test_size": 6}
    tiny["training"] |= {"epochs": 1, **NOTHING}
    first = train(tiny, progress=False, run=tmp_path / "first")
    frame = json.loads((first / "splits.json").read_text())[part][0]
    tiny["data"]["source"] = str(outlying(Path(tiny["data"]["source"]), tmp_path / "wrong.xyz", frame))
    run = train(tiny, progress=False, run=tmp_path / "run")
    report = json.loads((run / "report.json").read_text())
    assert report["suspicions"] == {
        each: ["energy"] if each == part else [] for each in ("train", "validation", "test")
    }
    assert not [line for line in report["warnings"] if "larger weight" in line or "left behind" in line]
    spoilt = [line for line in report["warnings"] if "energy: the baseline 'mean by species' is spoilt" in line]
    assert len(spoilt) == (part == "train")
    assert ("ratio" in report["test"]["energy"]) == (part == "validation")
    without = [line for line in report["warnings"] if line.startswith("without this structure")]
    assert len(without) == (part == "test")  # the others are what the model is judged by
    if part == "test":
        rest = report["test"]["energy"]["without"]
        assert report["test"]["energy"]["left_out"] == 1
        assert rest["rmse"] < 1e-3 * report["test"]["energy"]["rmse"]
        assert rest["ratio"]["rmse"] == pytest.approx(rest["rmse"] / rest["baseline"]["rmse"])
    for line in (*spoilt, *without):
        assert "in the training set" in line or "whose labels are to be looked at" in line
        assert line in json.loads(call("evaluate", run, "--json").stdout)["warnings"]
        assert line in json.loads(call("info", run, "--json").stdout)["warnings"]
        assert report["warnings"].count(line) == 1
    mend = [line for line in report["warnings"] if line.startswith("forces: the baseline") and SUSPICIOUS in line]
    assert len(mend) == (part == "train")  # an energy that is only tested has no part in the forces
    assert all("train longer: 1 epoch" in line for line in mend)  # both remedies, where both apply
    lines = [line for line in report["warnings"] if line.startswith("forces: the baseline")]
    assert any("train longer: 1 epoch" in line for line in lines)
    said = [line for line in doubts(load_run(run)) if "is not known (an outlying label in the" in line]
    assert len(said) == (part == "train")
    forces = "in forces" in "".join(said)  # of which something is known
    assert all(("mean little" in line) == forces for line in said)


def test_an_outlier_does_not_spoil_a_baseline_without_labels(tiny: dict, tmp_path: Path) -> None:
    """A wild force in the training set: "zero" is as it was, and so is the energy's mean."""
    tiny["data"] |= {"train": 16, "test_size": 6}
    tiny["training"] |= {"epochs": 1, "learning_rate": 0.1}  # worse than nothing
    first = train(tiny, progress=False, run=tmp_path / "first")
    splits = json.loads((first / "splits.json").read_text())
    frames = read(tiny["data"]["source"], ":", format="extxyz")
    frames[splits["train"][3]].calc.results["forces"][2] = [0.0, 4e3, 0.0]
    tiny["data"]["source"] = str(tmp_path / "wild.xyz")
    write(tiny["data"]["source"], frames, format="extxyz")
    run = train(tiny, progress=False, run=tmp_path / "run")
    report = json.loads((run / "report.json").read_text())
    assert report["suspicions"] == {"train": ["forces"], "validation": [], "test": []}
    told = json.loads(call("evaluate", run, "--json").stdout)
    for errors, said in ((report["test"], report["warnings"]), (told["errors"], told["warnings"])):
        assert errors["forces"]["ratio"]["mae"] > 1
        assert "spoilt" not in errors["forces"]["baseline"]
        (line,) = [line for line in said if line.startswith("forces: the baseline 'zero' is better than the model")]
        assert SUSPICIOUS in line
        assert "train longer: 1 epoch" in line
        assert not [line for line in said if "spoilt" in line]
    assert line in json.loads(call("info", run, "--json").stdout)["warnings"]
    (doubt,) = doubts(load_run(run))
    assert "better than the model in energy and forces" in doubt or "better than the model in forces" in doubt
    assert SUSPICIOUS in doubt
    assert "train longer: 1 epoch" in doubt
    (other, _) = json.loads(call("compare", run, first, "--json").stdout)["beaten"]
    assert "forces" in other


def test_an_outlier_that_the_fit_does_not_feel(tiny: dict, tmp_path: Path) -> None:
    """The wrong energy is that of the only molecule with an element: it fixes this one's constant alone."""
    tiny["data"] |= {"train": 16, "test_size": 6}
    tiny["training"] |= {"epochs": 1, **NOTHING}
    for name, reached in (("helium", []), ("none", ["energy"])):
        frames = read(tiny["data"]["source"], ":", format="extxyz")
        frames[7].calc.results["energy"] += 5e4
        if name == "helium":
            frames[7].numbers[-1] = 2
        write(tmp_path / f"{name}.xyz", frames, format="extxyz")
        store = open_dataset(str(tmp_path / f"{name}.xyz"), progress=False)
        store.suspects.append(("energy", (7,)))
        task = ForceField(SchNet(width=4, layers=1))
        task.gather([store[k] for k in range(20)])
        assert reached_fits(task, store.subset(range(20)), store.subset(range(20, 26))) == reached


def test_a_baseline_without_an_error_is_better(tiny: dict, tmp_path: Path) -> None:
    """Of one structure it is exact, and there is no ratio."""
    errors = {"energy": {"unit": "meV/atom", "mae": 47.5, "rmse": 47.5}}
    errors["energy"] |= compared_with("mean by species", errors["energy"], 0.0, 2e-12)
    assert "ratio" not in errors["energy"]
    (line,) = beaten(errors)
    assert line.startswith("energy: the baseline 'mean by species' is better than the model (MAE 0 against 47.5")
    assert "but it fits these structures exactly, as there are no more of them than it has numbers" in line
    for other in (1e-3, 1.0, 40.0):  # small, and no rounding
        near = {"energy": {"unit": "meV/atom", "mae": 47.5, "rmse": 47.5}}
        near["energy"] |= compared_with("mean by species", near["energy"], other, other)
        assert "better than the model" in beaten(near)[0]
        assert ("exactly" in beaten(near)[0]) is False
    exact = {"energy": {"unit": "meV/atom", "mae": 0.0, "rmse": 0.0}}
    exact["energy"] |= compared_with("mean by species", exact["energy"], 0.0, 0.0)
    assert beaten(exact) == []
    tiny["data"] |= {"train": 1, "validation": 1, "test_size": 0}
    tiny["training"] |= {"epochs": 1, **NOTHING}
    report = json.loads((train(tiny, progress=False, run=tmp_path / "run") / "report.json").read_text())
    assert [line for line in report["warnings"] if "energy: the baseline 'mean by species' is better" in line]


def test_a_run_without_a_test_set_is_told_by_its_training_set(
    tiny: dict, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    tiny["data"] |= {"train": 22, "validation": 4, "test_size": 0}
    tiny["training"] |= {"epochs": 1, **NOTHING}
    run = train(tiny, run=tmp_path / "run")
    out, report = capfd.readouterr().out, json.loads((run / "report.json").read_text())
    assert report["test"] == {}
    assert report["train"]["forces"]["baseline"]["name"] == "zero"
    assert "no test set: on its own training data" in out
    assert re.search(r"^train    energy: MAE ", out, re.M)
    assert "baseline energy, mean by species: " in out
    assert "warning: energy: the baseline 'mean by species' is better than the model" in out
    assert f"{UNLEARNT}: train longer: 1 epoch (" in out
    (following,) = [line for line in out.splitlines() if line.startswith("next ")]
    for name in re.findall(r"look at (\S+);", following):
        assert Path(name).is_file()
    assert "evaluate" not in following
    command = re.search(r"intertwine (\w+),", following)
    assert command is not None
    assert command[1] == "predict"
    assert any("energy: the baseline" in line for line in json.loads(call("info", run, "--json").stdout)["warnings"])


@pytest.mark.parametrize("asked", [["--epochs", 1], ["--epochs", 3]])
def test_the_command_that_goes_on_is_enough(
    asked: list[Any], tiny: dict, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Epochs and minutes are both spent: the suggestion raises both."""
    tiny["training"] |= {"epochs": 1, "minutes": 1e-6}
    run = train(tiny, progress=False, run=tmp_path / "run")
    capfd.readouterr()
    told = call("train", "--resume", run, *asked)
    suggested = re.search(r"extend it by: intertwine (.*?) \(", told.output)
    assert suggested is not None, told.output
    assert "--epochs" in suggested[1]
    assert "--minutes" in suggested[1]
    more = call(*shlex.split(suggested[1]))
    assert more.exit_code == 0
    assert "nothing is left to train" not in more.output
    assert json.loads((run / "report.json").read_text())["epochs"] > 1


def test_what_is_suspicious_is_known_of_a_view(molecules: Path, tmp_path: Path) -> None:
    from intertwine.data.suspicion import examine, kinds_in

    store = open_dataset(str(outlying(molecules, tmp_path / "wrong.xyz", 7)), progress=False)
    assert store.warnings == []  # as docs/data.md says: it is asked for
    view = store.subset([3, 7, *range(10, 26)])
    examine(view)
    assert kinds_in(view) == ["energy"]
    (line,) = store.warnings
    assert line.startswith("the energy of frame 7 of")
    assert kinds_in(store.subset([7])) == ["energy"]
    assert kinds_in(store.subset([3, 8])) == []


@pytest.mark.parametrize("part", ["validation", "train", "test"])
def test_an_outlier_that_decides_which_epoch_is_kept_is_said(part: str, tiny: dict, tmp_path: Path) -> None:
    """It is the validation set's; those of the other sets are told by their baselines."""
    tiny["data"] |= {"train": 16, "test_size": 4}
    tiny["training"] |= {"epochs": 1}
    first = train(tiny, progress=False, run=tmp_path / "first")
    frame = json.loads((first / "splits.json").read_text())[part][1]
    tiny["data"]["source"] = str(outlying(Path(tiny["data"]["source"]), tmp_path / "outlying.xyz", frame))
    report = json.loads((train(tiny, progress=False, run=tmp_path / "run") / "report.json").read_text())
    said = [line for line in report["warnings"] if "decides which epoch is kept" in line]
    assert len(said) == (part == "validation")
    assert all(line.startswith("energy: ") for line in said)


@pytest.mark.parametrize(
    ("share", "words"),
    [(0.0, "0.0 %"), (2e-7, "< 0.1 %"), (0.0123, "1.2 %"), (0.996, "99.6 %"), (0.99999, "> 99.9 %"), (1.0, "100.0 %")],
)
def test_shares_of_a_loss_are_told_in_plain_figures(share: float, words: str) -> None:
    assert percentage(share) == words


@pytest.mark.parametrize(("energy", "forces"), [(1.0, 23.0605), (23.0605, 1.0), (23.0605, 23.0605)])
def test_a_test_file_in_another_unit_is_the_one_to_mend(
    energy: float, forces: float, tiny: dict, tmp_path: Path
) -> None:
    """It is named, and no training is blamed; an option would turn both files."""
    store = ethanol()
    frames = [store[k].to_ase() for k in range(22)]
    for k, atoms in enumerate(frames):
        scale = (energy, forces) if k >= 12 else (1.0, 1.0)
        results = {"energy": scale[0] * atoms.get_potential_energy(), "forces": scale[1] * atoms.get_forces()}
        atoms.calc = SinglePointCalculator(atoms, **results)
    write(tmp_path / "good.xyz", frames[:12], format="extxyz")
    write(tmp_path / "other.xyz", frames[12:], format="extxyz")
    tiny["data"] = {"source": str(tmp_path / "good.xyz"), "test": str(tmp_path / "other.xyz"), "validation": 2}
    tiny["training"] |= {"epochs": 1}
    with as_users_run_it():
        run = train(tiny, progress=False, run=tmp_path / "run")
    report = json.loads((run / "report.json").read_text())
    said = [line for line in report["warnings"] if "--unit" in line]
    assert said
    assert all(line.startswith("other.xyz: ") for line in said)
    assert all(line.endswith("; convert this file, for an option --unit would be of both") for line in said)
    for target, factor in (("energy", energy), ("forces", forces)):
        lines = [line for line in report["warnings"] if line.startswith(f"{target}: ")]
        assert ("unit of the test set" in "".join(lines)) == (factor != 1)
        assert factor == 1 or not any("train longer" in line for line in lines)


@pytest.mark.parametrize("epochs", [1, 3, 12])
def test_a_short_training_is_not_blamed_on_a_weight(epochs: int) -> None:
    """Of a target that is left behind after a few steps of sound data nobody knows whether its weight is too small."""
    causes = Causes(few=short_training(ForceField(SchNet(width=8)), {"epochs": epochs, "steps": 4 * epochs}))
    assert before_weights(causes).startswith("train longer: ")
    errors = {
        "energy": {"mae": 348.7, "rmse": 355.4, "unit": "meV/atom", "ratio": {"mae": 4.4, "rmse": 4.1},
                   "baseline": {"name": "mean by species", "mae": 79.06, "rmse": 87.56}},
        "forces": {"mae": 700.0, "rmse": 1039.0, "unit": "meV/A", "ratio": {"mae": 0.8, "rmse": 0.8},
                   "baseline": {"name": "zero", "mae": 900.0, "rmse": 1300.0}},
    }  # fmt: skip
    task = ForceField(SchNet(width=8))
    (line, *_) = beaten(errors, task.left_behind(errors, before_weights(causes)), remedy_for(causes))
    assert "train longer" in line
    assert "weight" not in line
    (line, *_) = beaten(errors, task.left_behind(errors, before_weights(Causes())), remedy_for(Causes()))
    assert "give it a larger weight" in line


@pytest.mark.parametrize(
    ("factor", "words"),
    [(23.0605, "in kcal/mol here and in eV there"), (96.4853, "in kJ/mol here and in eV there"), (0.5, "only one of")],
)
@pytest.mark.parametrize("beside", [0, 5])
def test_copies_with_other_labels_are_not_said_to_be_unknown(
    factor: float, words: str, beside: int, tiny: dict, tmp_path: Path
) -> None:
    """Also where some of the structures are no copies."""
    tiny["training"] |= {"epochs": 1, **NOTHING}
    run = train(tiny, progress=False, run=tmp_path / "run")
    frames = read(tiny["data"]["source"], ":", format="extxyz")
    splits = json.loads((run / "splits.json").read_text())
    chosen = [frames[k] for k in (splits["train"] + splits["test"][:beside])]
    for atoms in chosen:
        atoms.calc.results["energy"] *= factor
    write(tmp_path / "other.xyz", chosen, format="extxyz")
    said = json.loads(call("evaluate", run, tmp_path / "other.xyz", "--json").stdout)["warnings"]
    (line,) = [line for line in said if "have other labels here than there" in line]
    assert line.startswith("all 20 copies of training structures")
    assert [part for part in ("energy is", words, f"{factor:.5g} times") if part not in line] == []
    assert not [line for line in said if OTHER_DATA in line]
    assert not [line for line in said if line.startswith("energy: ") and "train longer" in line]
