"""Bad input, catalogued: each case is answered rightly, or by an error that names cause, place and remedy; nothing is
ever lost.
"""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from bad_commands import COMMANDS
from bad_input import CHECKPOINTS, KINDS, REFUSED, Kit, Refused, atoms, bad_files, painn, water
from typer.testing import CliRunner

from intertwine.cli import app
from intertwine.geometry import Graph
from intertwine.models import EGNN, SchNet
from intertwine.numerics import CheckpointError, InputError
from intertwine.tasks import ForceField
from intertwine.training import load_run, predict, save_checkpoint, train

BAD_FILES = bad_files.BAD_FILES


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Good data, and a run trained on them."""
    folder = tmp_path_factory.mktemp("good")
    (folder / "water.xyz").write_text(water(12))
    model = {"width": 4, "layers": 1, "radial_size": 4}
    config = {
        "data": {"source": str(folder / "water.xyz")},
        "model": model,
        "training": {"epochs": 2, "threads": 1, "certify": False},
    }
    return folder / "water.xyz", train(config, run=folder / "run", progress=False)


@pytest.fixture
def kit(good: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kit:
    monkeypatch.chdir(tmp_path)
    return Kit(tmp_path, *good)


def assert_last_is_there(kit: Kit) -> None:
    """Whatever happened to the best weights, the last ones are as they were."""
    if (kit.run / "last.safetensors").exists():
        assert load_run(kit.run, which="last").epoch == 2


@pytest.mark.parametrize("name", REFUSED)
def test_refused_with_cause_place_and_remedy(name: str, kit: Kit) -> None:
    case = REFUSED[name]
    with pytest.raises(case.kind) as raised:
        case.action(kit)
    error = raised.value
    assert type(error) in KINDS
    for word in case.words:
        assert word in str(error), str(error)
    assert error.where
    assert error.remedy
    assert_last_is_there(kit)
    assert not (kit.folder / "new").exists()  # no empty run is left in the way


@pytest.mark.parametrize("name", BAD_FILES)
def test_bad_files_at_the_command_line(name: str, kit: Kit) -> None:
    make, words = BAD_FILES[name]
    folder = kit.folder / "files"
    folder.mkdir()
    path = make(folder)
    assert_refused(["train", path, "--run", kit.folder / "new"], words)
    assert not (kit.folder / "new").exists()
    if name not in bad_files.BAD_LABELS:
        assert_refused(["predict", kit.run, path], words)
        return
    result = CliRunner().invoke(app, ["predict", str(kit.run), str(path), "--json"])
    assert result.exit_code == 0, result.output
    energies = [prediction["energy"] for prediction in json.loads(result.stdout)]
    assert energies
    assert np.isfinite(energies).all()


def assert_refused(arguments: list[Any], words: tuple[str, ...]) -> None:
    """Exit code 2, a message with cause and remedy on standard error, nothing else; no traceback anywhere."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert "Traceback" not in result.output
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert "error:" in result.stderr
    assert "Remedy:" in result.stderr
    for word in words:
        assert word in result.stderr, result.stderr


@pytest.mark.parametrize("name", COMMANDS)
def test_refused_at_the_command_line(name: str, kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    make, words = COMMANDS[name]
    monkeypatch.syspath_prepend(str(kit.folder))
    arguments = make(kit)
    before = {path: path.read_bytes() for path in kit.run.iterdir()}
    assert_refused(arguments, words)
    assert {path: path.read_bytes() for path in kit.run.iterdir()} == before  # the run is as it was
    assert_last_is_there(kit)
    assert not (kit.folder / "runs").exists() or not any((kit.folder / "runs").iterdir())


# What looks bad and has a right answer


def test_one_atom() -> None:
    for model in (painn(), SchNet(width=4, layers=1).double(), EGNN(width=4, layers=1).double()):
        prediction = ForceField(model).double().eval()(atoms((1.0, 2.0, 3.0), z=[8]))
        assert torch.equal(prediction["forces"], torch.zeros(1, 3, dtype=torch.float64))
        assert bool(torch.isfinite(prediction["energy"]).all())


def test_no_edges_is_two_atoms_apart() -> None:
    task = ForceField(painn()).double().eval()
    apart = task(atoms((0, 0, 0), (0, 0, 1e4), z=[8, 1]))
    assert torch.equal(apart["forces"], torch.zeros(2, 3, dtype=torch.float64))
    alone = task(atoms((0, 0, 0), z=[8]))["energy"] + task(atoms((0, 0, 0), z=[1]))["energy"]
    assert torch.allclose(apart["energy"], alone, rtol=1e-13)


def test_coincident_atoms_are_finite() -> None:
    for model in (painn(), SchNet(width=4, layers=1).double(), EGNN(width=4, layers=1).double()):
        prediction = ForceField(model).double().eval()(atoms((0, 0, 0), (0, 0, 0), (0, 0, 1)))
        assert all(bool(torch.isfinite(value).all()) for value in prediction.values())


def test_integer_positions_are_numbers() -> None:
    whole, real = Graph([[0, 0, 0], [0, 0, 1]], z=[1, 1]), atoms((0, 0, 0), (0, 0, 1))
    assert whole.pos.dtype == torch.float64
    model = painn()
    assert torch.equal(model(whole), model(real))


def test_an_empty_graph_has_no_energy() -> None:
    prediction = (
        ForceField(painn())
        .double()
        .eval()(Graph(torch.zeros(0, 3, dtype=torch.float64), z=torch.zeros(0, dtype=torch.int64)))
    )
    assert prediction["energy"].tolist() == [0.0]
    assert prediction["forces"].shape == (0, 3)


def test_a_cell_smaller_than_the_cutoff() -> None:
    model = painn(cutoff=6.0)
    small = atoms((0, 0, 0), z=[6], cell=2.5 * np.eye(3))
    large = Graph(
        2.5 * torch.tensor([[0, 0, 0], [1.0, 0, 0]], dtype=torch.float64), z=[6, 6], cell=np.diag([5.0, 2.5, 2.5])
    )
    assert torch.allclose(model(small)[0], model(large)[0], rtol=1e-12, atol=1e-13)


def test_nothing_to_predict(kit: Kit) -> None:
    assert predict(load_run(kit.run), []) == []


def test_single_precision_labels_and_big_endian_arrays() -> None:
    graph = Graph(
        np.zeros((1, 3), dtype=">f8"), z=np.array([1], dtype=">i4"), forces=np.zeros((1, 3), dtype=np.float32)
    )
    assert graph.pos.dtype == torch.float64
    assert graph.forces.dtype == torch.float32
    assert graph.z.tolist() == [1]


def test_a_half_written_run_is_started_over(kit: Kit) -> None:
    """A run without checkpoints is started over by --resume, as its error says."""
    for name in CHECKPOINTS:
        (kit.run / name).unlink()
    assert load_run(train(run=kit.run, resume=True, progress=False)).epoch >= 1


# A full disk


def full(*arguments: Any, **options: Any) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_leaves_the_old_checkpoint(call: str, kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    path = kit.run / "best.safetensors"
    before, names = path.read_bytes(), sorted(kit.run.iterdir())
    with monkeypatch.context() as patch:
        patch.setattr(os, call, full)
        with pytest.raises(CheckpointError, match="No space left") as raised:
            save_checkpoint(path, {"weights": {}})
    assert "best.safetensors" in raised.value.where
    assert "the former file is intact" in raised.value.remedy
    assert path.read_bytes() == before
    assert sorted(kit.run.iterdir()) == names  # nothing half-written is left
    assert load_run(kit.run).epoch >= 1


def test_a_disk_that_fills_during_training_loses_no_epoch(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    epoch = load_run(kit.run, which="last").epoch
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        result = CliRunner().invoke(app, ["train", "--resume", str(kit.run), "--epochs", "4"])
    assert result.exit_code == 2, result.output
    assert "No space left" in result.stderr
    assert "Traceback" not in result.output
    assert load_run(kit.run, which="last").epoch == epoch
    train({"training": {"epochs": 4}}, run=kit.run, resume=True, progress=False)  # there is room again
    assert load_run(kit.run, which="last").epoch == 4


@pytest.mark.parametrize("words", ["cell", (), ("",), ["cell"], ("cell", 3)], ids=repr)
def test_words_of_a_case_are_a_tuple_of_strings(words: Any) -> None:
    with pytest.raises(TypeError, match="is a comma missing"):
        Refused(lambda kit: None, InputError, words)


def test_the_catalogue_is_long_enough() -> None:
    assert set(BAD_FILES) >= bad_files.BAD_LABELS
    assert len(REFUSED) + len(COMMANDS) + len(BAD_FILES) >= 150
