"""intertwine bench: the table, the file, and wrong options."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from intertwine.bench import PASSES, kernels


def test_kernels(run_cli, tmp_path: Path) -> None:
    file = tmp_path / "kernels.json"
    result = run_cli("bench", "kernels", "--only", "tiny", "--repeats", 1, "--compile", "none", "--json", file)
    assert result.exit_code == 0, result.output
    assert "Kernels and their peers" in result.stdout
    assert "tiny:" in result.stdout  # a narrow terminal breaks the rest of the name
    document = json.loads(file.read_text())
    assert [(row["part"], row["pass"]) for row in document["rows"]] == [("tiny", kind) for kind in PASSES]
    assert all(row["ms"]["ours"] > 0 for row in document["rows"])
    assert document["copy_bandwidth"] > 0
    assert document["machine"]["threads"] >= 1


def test_peers_that_are_missing_are_named(run_cli, monkeypatch: pytest.MonkeyPatch) -> None:
    from intertwine.bench import convolutions

    for module in (kernels, convolutions):
        monkeypatch.setattr(module, "installed", lambda name: None)
    result = run_cli("bench", "--only", "tiny", "--repeats", 1)
    assert result.exit_code == 0, result.output
    assert "not measured: e3nn (pip install e3nn==0.6.0)" in result.stdout
    assert "faster" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["models"], "benchmark"),
        (["kernels", "--only", "D"], "part"),
        (["kernels", "--compile", "D"], "size"),
        (["kernels", "--repeats", "0"], "0 repeats"),
        (["kernels", "--threads", "0"], "0 threads"),
        (["kernels", "--json", "no/such/folder/x.json"], "no such folder"),
    ],
)
def test_wrong_arguments(arguments: list[str], problem: str, run_cli) -> None:
    result = run_cli("bench", *arguments)
    assert result.exit_code == 2
    assert problem in result.stderr
    assert result.stdout == ""


def test_unknown_option_is_wrong_usage(run_cli) -> None:
    result = run_cli("bench", "kernels", "--fast")
    assert result.exit_code == 2
    assert "Usage" in result.stderr
