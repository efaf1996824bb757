"""A command prints Python's warnings as one line each, without a line of code."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

from intertwine.cli import console
from intertwine.kernels.shared.choice import announce
from intertwine.numerics import Caution, cache_folder
from intertwine.symmetrize.frame_average import warn_detached


@pytest.mark.parametrize(
    ("warn", "line"),
    [
        (lambda: announce("kernel of harmonics", "is wrong"), "warning: the kernel of harmonics is wrong. Plain torch"),
        (warn_detached, "warning: detached frames: forces through this average are not"),
        (cache_folder, "warning: INTERTWINE_CACHE="),
        (lambda: warnings.warn("one\n  two", UserWarning, stacklevel=1), "warning: UserWarning: one two"),
        (lambda: warnings.warn("of torch", FutureWarning, stacklevel=1), "warning: FutureWarning: of torch"),
    ],
)
def test_a_warning_is_one_line(
    warn: Callable[[], object],
    line: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("INTERTWINE_CACHE", str(tmp_path / "file" / "cache"))

    def command() -> None:
        warnings.simplefilter("always")
        warn()

    console.guarded(command)()
    said = capfd.readouterr().err
    assert said.startswith(line)
    assert said.count("\n") == 1
    assert ".py" not in said
    with pytest.warns(Warning, match=r"\w"):  # and nothing is changed for others
        warn()


@pytest.mark.parametrize("warn", [warn_detached, cache_folder, lambda: announce("kernel", "is wrong")])
def test_ours_are_of_one_class(warn: Callable[[], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("INTERTWINE_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.warns(Caution):
        warn()
