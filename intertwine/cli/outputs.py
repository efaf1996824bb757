"""Files that a command writes: none takes the place of another one unknown to the user, and no two are one."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Annotated

import typer

from intertwine.numerics import InputError, destination

Overwrite = Annotated[
    bool,
    typer.Option("--overwrite", help="Replace output files that are there already. Default: they are refused."),
]


def check(files: Mapping[str, Path | None], overwrite: bool, *, own: Collection[str] = (), remedy: str = "") -> None:
    """Raise an :class:`InputError` if an output is there already and is not to be replaced, or if two are one file.

    A device, a pipe or ``/dev/stdout`` is no file, wherever it leads to.

    Args:
        files: by option, as ``--output``; None where there is none.
        overwrite: files may be replaced.
        own: options of files that go on, as the trajectory of a resumed run: they may be there.
        remedy: what else can be done than to name another file or to replace it.

    Raises:
        InputError: the option and the file stand in it.
        CheckpointError: a file can't be written to.
    """
    goals = {option: destination(path) for option, path in files.items() if path is not None}
    goals = {option: goal for option, goal in goals.items() if not goal.stream}
    places: dict[str | tuple[int, int], str] = {}
    for option, goal in goals.items():
        status = goal.former
        place = os.path.realpath(goal.path) if status is None else (status.st_dev, status.st_ino)
        if place in places:
            raise InputError(
                f"{option} and {places[place]} are one file",
                where=str(files[option]),
                remedy="give each a file of its own.",
            )
        places[place] = option
    for option, goal in goals.items():
        if goal.former is not None and not overwrite and option not in own:
            others = f"{remedy}, " if remedy else ""
            raise InputError(
                f"{option}: the file is there already",
                where=str(files[option]),
                remedy=f"{others}name another file, or give --overwrite to replace it.",
            )
