"""What a run says that was stopped, or went beyond its budget."""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path

import pytest
from ase.io import read, write
from typer.testing import CliRunner

from intertwine.cli import app
from intertwine.numerics import Stopped
from intertwine.training import report, train
from intertwine.training.interruption import stopped_at


@pytest.mark.parametrize("certified", [False, True])
def test_a_run_that_is_stopped_in_its_certificate_is_complete(
    certified: bool, tiny: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def stopped(*arguments: object) -> None:
        if certified:  # stopped while the pictures are drawn
            (tmp_path / "run" / "certificate.json").write_text("{}")
        raise Stopped(signal.SIGTERM)

    monkeypatch.setattr(report, "conclude", stopped)
    tiny["training"] |= {"epochs": 1, "certify": True}
    with pytest.raises(Stopped):
        train(tiny, run=tmp_path / "run")
    out = capfd.readouterr().out
    assert json.loads((tmp_path / "run" / "report.json").read_text())["train"]
    assert "The training is complete, its errors are in" in out
    assert f"only the {'' if certified else 'certificate and the '}pictures are lacking" in out
    assert "--resume" not in out[out.index("The training is complete") :]


def test_a_run_that_asks_for_no_certificate_lacks_none(tiny: dict, tmp_path: Path) -> None:
    tiny["training"] |= {"epochs": 1, "certify": False}
    run = train(tiny, run=tmp_path / "run", progress=False)
    report = json.loads((run / "report.json").read_text())
    report.pop("pictures")
    (run / "report.json").write_text(json.dumps(report))
    assert "only the pictures are lacking" in stopped_at(run)
    (run / "config.toml").write_text("damaged [")
    assert "certificate" in stopped_at(run)


@pytest.mark.parametrize(("minutes", "said"), [(1e-6, True), (5.0, False)])
def test_what_is_beyond_the_budget_is_said(
    minutes: float, said: bool, tiny: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    tiny["training"] |= {"epochs": 1, "minutes": minutes}
    monkeypatch.setattr(report, "TOLERATED_S", 0.0)
    train(tiny, run=tmp_path / "run")
    line = re.search(r"^trained .*$", capfd.readouterr().out, re.M)
    assert line is not None
    assert ("beyond the budget" in line[0]) == said


def test_a_budget_that_was_lowered_is_no_long_epoch() -> None:
    """Nothing is trained then: the time was spent under the former budget."""
    rows = [{"seconds": 2.0 * k} for k in (1, 2, 3)]
    for minutes, why in ((0.05, "which was larger when it was trained"), (5.5 / 60, "the epoch is validated")):
        assert (why in report._beyond(rows, 7.5, minutes)) is True
    assert report._beyond(rows, 6.0, 0.1) == ""
    assert "which was larger" not in report._beyond(rows[:1], 9.0, 0.01)


def test_copies_are_told_once_and_of_what_is_evaluated(tiny: dict, tmp_path: Path) -> None:
    frames = read(tiny["data"]["source"], ":", format="extxyz")
    tiny["data"]["source"] = str(tmp_path / "twice.xyz")
    write(tiny["data"]["source"], [*frames[:20], *frames[:20]], format="extxyz")
    tiny["data"] |= {"train": 24, "validation": 8, "test_size": 8}
    tiny["training"]["epochs"] = 1
    run = train(tiny, progress=False, run=tmp_path / "run")
    report = json.loads((run / "report.json").read_text())
    told = json.loads(CliRunner().invoke(app, ["evaluate", str(run), "--json"]).stdout)
    for warnings, sets in ((report["warnings"], ["validation", "test"]), (told["warnings"], [None])):
        copies = [line for line in warnings if "copies of training structures" in line or "is a copy" in line]
        assert len(copies) == len(sets)
        for line, name in zip(copies, sets, strict=True):
            assert name is None or f"the {name} set" in line
            assert name is not None or "of the validation set" not in line
