"""What the commands that use a trained run begin with: the run, which of its weights, and what is doubtful about it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from intertwine.cli import console
from intertwine.cli.completion import WEIGHTS, of_words

if TYPE_CHECKING:
    from intertwine.training import Run

RunFolder = Annotated[
    Path, typer.Argument(help="Run folder that `intertwine train` printed, or a deployed file (.iw).")
]
Which = Annotated[
    str,
    typer.Option(autocompletion=of_words(*WEIGHTS), help="Weights to use: best (smallest validation error) or last."),
]


def opened(run: Path, allow: Sequence[str] | None, *, which: str = "best", device: str = "auto") -> Run:
    """A trained run. That a baseline is as good is said: whatever is made with the run means little then."""
    from intertwine.training import load_run
    from intertwine.training.summary import doubts

    trained = load_run(run, which=which, device=device, allow=allow or ())
    for line in doubts(trained):
        console.complain(line, "warning:")
    return trained
