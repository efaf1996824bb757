"""A run that is killed goes on as if it had not been."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from switches import as_users_run_it

from intertwine.numerics import CheckpointError, InputError
from intertwine.training import load_checkpoint, train


def history(folder: Path) -> list[list[str]]:
    """Rows without the clock."""
    rows = [line.split(",") for line in (folder / "metrics.csv").read_text().splitlines()]
    clock = rows[0].index("seconds")
    return [row[:clock] + row[clock + 1 :] for row in rows]


def assert_same(a, b, where: str = "state") -> None:
    """Equal, bit for bit, except for clocks."""
    if isinstance(a, torch.Tensor):
        assert torch.equal(a, b), where
    elif isinstance(a, dict):
        assert a.keys() == b.keys(), where
        for key in a.keys() - {"seconds"}:
            assert_same(a[key], b[key], f"{where}.{key}")
    elif isinstance(a, list | tuple):
        assert len(a) == len(b), where
        for k in range(len(a)):
            assert_same(a[k], b[k], f"{where}[{k}]")
    else:
        assert a == b, where


def test_killed_ten_times_and_resumed_ends_with_the_same_bits(tiny: dict, tmp_path: Path) -> None:
    tiny["training"] |= {"epochs": 110, "schedule": "plateau", "plateau_patience": 2, "clip_relative": 1.0}
    (tmp_path / "config.json").write_text(json.dumps(tiny))
    script = Path(__file__).with_name("nursery.py")
    root = str(Path(__file__).resolve().parents[2])
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")]),
    }
    command = [sys.executable, str(script), str(tmp_path / "config.json"), str(tmp_path / "killed")]
    output = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=900)
    lines = output.stdout.splitlines()
    assert lines[-1].startswith("ended 0"), output.stdout + output.stderr
    assert sum(line.startswith("killed") for line in lines) == 10, output.stdout
    with as_users_run_it():  # as the others ran
        train(tiny, progress=False, run=tmp_path / "whole")
    for name in ("best", "last"):
        assert_same(
            load_checkpoint(tmp_path / "killed" / f"{name}.safetensors"),
            load_checkpoint(tmp_path / "whole" / f"{name}.safetensors"),
        )
    assert history(tmp_path / "killed") == history(tmp_path / "whole")
    assert not list((tmp_path / "killed").glob(".*.part*"))


def test_more_epochs_on_resume(tiny: dict, tmp_path: Path) -> None:
    train(tiny, progress=False, run=tmp_path / "run")
    train({"training": {"epochs": 6}}, progress=False, run=tmp_path / "run", resume=True)
    tiny["training"]["epochs"] = 6
    train(tiny, progress=False, run=tmp_path / "whole")
    assert_same(
        load_checkpoint(tmp_path / "run" / "last.safetensors"), load_checkpoint(tmp_path / "whole" / "last.safetensors")
    )


def test_resume_says_what_it_can_not_do(tiny: dict, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no such run folder"):
        train(run=tmp_path / "absent", resume=True)
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError, match="half-written"):
        train(run=tmp_path / "empty", resume=True)
    with pytest.raises(InputError, match="which run"):
        train(resume=True)
    tiny["training"]["epochs"] = 1
    train(tiny, progress=False, run=tmp_path / "run")
    with pytest.raises(InputError, match="'model' differs"):
        train({"model": {"width": 9}}, progress=False, run=tmp_path / "run", resume=True)
    with pytest.raises(InputError, match="not empty"):
        train(tiny, progress=False, run=tmp_path / "run")
