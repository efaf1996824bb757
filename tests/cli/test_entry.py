"""The entry point of the console script, in this process."""

from __future__ import annotations

import sys

import pytest

import intertwine
from intertwine.__main__ import main


@pytest.mark.parametrize(("line", "code", "said"), [(["--version"], 0, "intertwine"), (["nonsense"], 2, "")])
def test_the_entry_point_runs_the_command(
    line: list[str], code: int, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["intertwine", *line])
    try:
        main()
        ended = 0
    except SystemExit as end:
        ended = end.code
    assert ended == code
    assert said in capsys.readouterr().out


def test_an_interrupt_while_modules_are_imported(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    class Interrupted:
        def __getattr__(self, name: str) -> object:
            raise KeyboardInterrupt

    monkeypatch.setitem(sys.modules, "intertwine.cli", Interrupted())
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 130
    assert capsys.readouterr().err == "interrupted\n"
    assert intertwine.__version__
