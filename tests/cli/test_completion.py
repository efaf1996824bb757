"""What a shell completes, and how it is installed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from intertwine.cli import app
from intertwine.cli.completion import LOGGERS, keys
from intertwine.data import DATASETS
from intertwine.models import MODELS
from intertwine.tasks import TASKS


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """What `intertwine` prints with some words and variables."""

    def run(*words: str, **environment: str) -> str:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        with pytest.raises(SystemExit) as end:
            app(list(words), prog_name="intertwine")
        assert not end.value.code
        return capsys.readouterr().out

    return run


@pytest.mark.parametrize(("place", "table"), [("models", MODELS), ("tasks", TASKS), ("data/catalogue", DATASETS)])
def test_names_are_those_of_the_tables(place: str, table: dict) -> None:
    assert keys(place) == tuple(table)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("tr", ["train"]),
        ("train --model s", [name for name in MODELS if name.startswith("s")]),
        ("train --task pr", ["property"]),
        ("train eth", ["ethanol"]),
        ("train --logger w", [name for name in LOGGERS if name.startswith("w")]),
        ("certify --model mac", ["mace"]),
        ("train --no-c", ["--no-certify"]),
    ],
)
def test_words_are_completed(said, line: str, expected: list[str]) -> None:
    words = f"intertwine {line}"
    answer = said(_INTERTWINE_COMPLETE="complete_bash", COMP_WORDS=words, COMP_CWORD=str(len(words.split()) - 1))
    assert answer.split() == expected


def test_completing_does_not_wait_for_the_models() -> None:
    code = (
        "import sys, intertwine.cli, intertwine.cli.completion as c\n"
        "assert c.keys('models')\n"
        "sys.exit('intertwine.models' in sys.modules or 'torch_geometric' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(("shell", "file"), [("bash", ".bashrc"), ("zsh", ".zshrc"), ("fish", ".config/fish")])
def test_it_is_installed(said, shell: str, file: str, tmp_path: Path) -> None:
    variables = {"HOME": str(tmp_path), "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}  # typer's own, for tests
    assert f"{shell} completion installed in {tmp_path}" in said("--install-completion", shell, **variables)
    assert (tmp_path / file).exists()
    text = "".join(path.read_text() for path in tmp_path.rglob("*") if path.is_file())
    assert "_INTERTWINE_COMPLETE" in text
    assert said("--show-completion", shell, **variables).strip() in text


def test_the_module_answers_under_the_name_of_the_command() -> None:
    variables = {"_INTERTWINE_COMPLETE": "complete_bash", "COMP_WORDS": "intertwine in", "COMP_CWORD": "1"}
    line = [sys.executable, "-m", "intertwine"]
    done = subprocess.run(line, env=os.environ | variables, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.split()) == (0, ["info"]), done.stderr
