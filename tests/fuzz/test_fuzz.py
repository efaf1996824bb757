"""Command lines and files at random, many in one process: every one ends in time, with an exit code of the table and no
traceback.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from fuzz_files import hurt, make_corpus, make_files
from fuzz_lines import command_line
from typer.testing import CliRunner

from intertwine.cli import app

PARTS = ("config.toml", "splits.json", "best.safetensors", "last.safetensors", "report.json")
CODES = {0, 1, 2}  # done, a verdict, bad input; 3 is a bug
SMALL = ["--epochs", "1"]
SMALL += ["--set=model.width=4", "--set=model.layers=1", "--set=training.threads=1", "--set=training.certify=false"]


@pytest.fixture
def count(quick: bool) -> int:
    """Lines of each kind: enough for a newcomer's run, and for `make test-all`."""
    return 20 if quick else 120


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with sound files and a trained run, two floors below what may be written."""
    folder = tmp_path_factory.mktemp("fuzz") / "a" / "b"
    folder.mkdir(parents=True)
    make_files(folder)
    trained = CliRunner().invoke(
        app, ["train", str(folder / "water.xyz"), "--run", str(folder / "run"), "--model", "painn", *SMALL]
    )
    assert trained.exit_code == 0, trained.output
    return folder


def answers(lines: list[list[str]], folder: Path) -> list[dict[str, Any]]:
    """What a process of its own says to each line."""
    (folder / "lines.json").write_text(json.dumps(lines))
    results = folder / "results.jsonl"
    environment = os.environ | {"COLUMNS": "160", "INTERTWINE_CACHE": str(folder / "cache"), "TMPDIR": str(folder)}
    worker = Path(__file__).with_name("fuzz_worker.py")
    done = subprocess.run(
        [sys.executable, str(worker), "lines.json", "results.jsonl"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=3600,
    )
    found = [json.loads(text) for text in results.read_text().splitlines()] if results.exists() else []
    results.unlink(missing_ok=True)
    unanswered = lines[len(found)] if len(found) < len(lines) else None
    assert done.returncode == 0, f"died of {unanswered}\n{done.stderr[-3000:]}"
    return found


def faults(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    def wrong(answer: dict[str, Any]) -> bool:
        named = answer["code"] != 2 or "error" in answer["output"].lower() or "Usage" in answer["output"]
        return (
            answer["raised"] is not None or answer["code"] not in CODES or "Traceback" in answer["output"] or not named
        )

    return [answer for answer in found if wrong(answer)]


def test_command_lines(ground: Path, count: int) -> None:
    rng = random.Random(20)
    found = answers([command_line(rng) for _ in range(count)], ground)
    assert len(found) == count
    assert not (bad := faults(found)), json.dumps(bad, indent=1)


def test_hostile_files(ground: Path, count: int) -> None:
    rng = random.Random(21)
    corpus = make_corpus(ground / "corpus")
    makers = [damaged_run if rng.random() < 0.25 else hostile_file for _ in range(count)]
    lines = [
        make(k, rng.choice(corpus), rng) if make is hostile_file else make(k, ground, rng)
        for k, make in enumerate(makers)
    ]
    found = answers(lines, ground)
    assert len(found) == count
    assert not (bad := faults(found)), json.dumps(bad, indent=1)


def damaged_run(number: int, ground: Path, rng: random.Random) -> list[str]:
    """A line that uses a copy of the run of which one file is hurt."""
    hurt_one = rng.choice(PARTS)
    folder = ground / f"run{number}"
    folder.mkdir()
    for name in PARTS:
        content = (ground / "run" / name).read_bytes()
        (folder / name).write_bytes(hurt(content, rng) if name == hurt_one else content)
    if hurt_one == "config.toml" and rng.random() < 0.5:
        return ["train", "--config", f"{folder.name}/config.toml", *SMALL]
    return rng.choice(
        (
            ["evaluate", folder.name],
            ["predict", folder.name, "one.xyz"],
            ["train", "--resume", folder.name, "--epochs", "2"],
        )
    )


def hostile_file(number: int, source: Path, rng: random.Random) -> list[str]:
    """A line that uses a hurt copy of a file."""
    name = f"hostile{number}{''.join(source.suffixes)}"
    (source.parent.parent / name).write_bytes(hurt(source.read_bytes(), rng))
    return rng.choice(
        (
            ["predict", "run", name, "-o", f"p{number}.xyz"],
            ["predict", "run", name],
            ["evaluate", "run", name],
            ["relax", "run", name, "--steps", "2"],
            ["md", "run", name, "--steps", "2", "--equilibrate", "0"],
            ["train", name, "--model", "schnet", "--run", f"new{number}", *SMALL],
        )
    )
