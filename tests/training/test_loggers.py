"""What Lightning's loggers and the user's callbacks see of a run."""

from __future__ import annotations

import csv
import importlib
from pathlib import Path
from typing import Any

import pytest
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint

from intertwine.numerics import InputError
from intertwine.training import load_checkpoint, train


def rows(path: Path) -> list[dict[str, float]]:
    with path.open() as file:
        return [{name: float(value) for name, value in row.items() if value} for row in csv.DictReader(file)]


class Fails(Callback):
    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def on_train_epoch_start(self, trainer: Any, module: Any) -> None:
        if module.epoch == self.epoch:
            raise ZeroDivisionError("mine")


def test_csv_has_every_row_once_after_a_failure_and_a_resume(tiny: dict, tmp_path: Path) -> None:
    run = tmp_path / "run"
    tiny["training"] |= {"loggers": ["csv"], "epochs": 5}
    with pytest.raises(InputError, match="Fails failed: ZeroDivisionError: mine"):
        train(tiny, progress=False, run=run, callbacks=[Fails(2)])
    assert load_checkpoint(run / "last.safetensors")["epoch"] == 2
    with (run / "csv" / "metrics.csv").open("a") as file:  # of an epoch that the state does not know
        file.write("9,9,9,9,9,9,9,9,9,9\n")
    seen: list[dict[str, float]] = []
    train(run=run, resume=True, progress=False, callbacks=[seen.append])
    told, own = rows(run / "csv" / "metrics.csv"), rows(run / "metrics.csv")
    assert [row["epoch"] for row in told] == [1, 2, 3, 4, 5]
    assert told == own
    assert seen == own[2:]


def test_a_callback_may_end_the_run(tiny: dict, tmp_path: Path) -> None:
    tiny["training"]["epochs"] = 50
    stop = EarlyStopping("train_loss", stopping_threshold=1e9, patience=50)
    train(tiny, progress=False, run=tmp_path / "run", callbacks=[stop])
    assert load_checkpoint(tmp_path / "run" / "last.safetensors")["epoch"] == 1
    assert (tmp_path / "run" / "report.json").is_file()


def test_a_missing_package_is_named_before_anything_is_done(
    tiny: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = importlib.import_module("intertwine.training.loggers")
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    for name in ("tensorboard", "wandb"):
        tiny["training"]["loggers"] = [name]
        with pytest.raises(InputError, match=f"pip install {name}"):
            train(tiny, progress=False, run=tmp_path / "run")
    tiny["training"]["loggers"] = ["tensorbord"]
    with pytest.raises(InputError, match="tensorboard"):
        train(tiny, progress=False, run=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_logger_of_ones_own(tiny: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mylog.py").write_text(
        "from lightning.pytorch.loggers import Logger\nROWS = []\n\n\n"
        "class Mine(Logger):\n    name = version = 'mine'\n\n"
        "    def log_metrics(self, metrics, step=None):\n        ROWS.append(metrics | {'step': step})\n\n"
        "    def log_hyperparams(self, params, *args, **kwargs):\n        pass\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    tiny["training"] |= {"loggers": ["mylog:Mine"], "epochs": 2}
    with pytest.raises(InputError, match="--allow mylog"):
        train(tiny, progress=False, run=tmp_path / "run")
    train(tiny, progress=False, run=tmp_path / "run", allow=["mylog"])
    assert rows(tmp_path / "run" / "metrics.csv") == importlib.import_module("mylog").ROWS


TWICE = [
    {
        "TORCHELASTIC_RUN_ID": "x",
        "WORLD_SIZE": "2",
        "RANK": "0",
        "LOCAL_RANK": "0",
        "MASTER_ADDR": "localhost",
        "MASTER_PORT": "1",
    },
    {
        "SLURM_STEP_NUM_TASKS": "2",
        "SLURM_NTASKS": "2",
        "SLURM_NTASKS_PER_NODE": "2",
        "SLURM_NODEID": "0",
        "SLURM_LOCALID": "0",
    },
]


@pytest.mark.parametrize("launcher", TWICE)
def test_a_launcher_that_starts_it_twice_is_refused(
    launcher: dict, tiny: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in launcher.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match="started 2 times"):
        train(tiny, progress=False, run=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_callbacks_are_of_one_process(tiny: dict, tmp_path: Path) -> None:
    tiny["training"]["devices"] = 2
    with pytest.raises(InputError, match="callbacks: objects in memory"):
        train(tiny, progress=False, run=tmp_path / "run", callbacks=[print])


@pytest.mark.parametrize("callbacks", [[5], [ModelCheckpoint()]], ids=["a number", "checkpoints"])
def test_what_is_no_callback_is_refused_before_anything_is_made(callbacks: Any, tiny: dict, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="callback"):
        train(tiny, progress=False, run=tmp_path / "run", callbacks=callbacks)
    assert not (tmp_path / "run").exists()
