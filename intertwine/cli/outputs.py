"""Files that a command writes: none takes the place of another one unknown to the user, and no two are one."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

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


def cube_files(
    folder: Path, frames: Sequence[int], structures: Sequence[Any], task: Any, overwrite: bool, spacing: float | None
) -> Callable[[Sequence[Mapping[str, Any]]], str]:
    """What writes the densities of predictions to files of a folder, which it makes, and says what was written; what
    can be wrong is said before.

    Args:
        folder: of the files density-0.cube, ...
        frames: numbers of the structures.
        structures: molecules.
        task: of densities.
        overwrite: files may be replaced.
        spacing: of the points (A); None for what is usual.

    Raises:
        InputError: a task without densities, periodic structures, a spacing that is none, a file that is there.
    """
    from intertwine.integrations.density_cubes import require_cubes, write_density_cubes
    from intertwine.orbitals.grid import SPACING

    step = SPACING if spacing is None else spacing
    require_cubes(task, structures, step)
    files = _in_folder(folder, "--cube", [f"density-{frame}.cube" for frame in frames], overwrite)

    def write(predictions: Sequence[Mapping[str, Any]]) -> str:
        folder.mkdir(parents=True, exist_ok=True)
        told = write_density_cubes(files, structures, predictions, task, step)
        return f"wrote {len(files):,} densities (e/Bohr^3, lengths in Bohr) to {folder}: {told}"

    return write


def viewer_files(
    folder: Path, frames: Sequence[int], structures: Sequence[Any], task: Any, overwrite: bool, source: str
) -> Callable[[Sequence[Mapping[str, Any]]], str]:
    """As :func:`cube_files`, of pages that a browser turns, density-0.html, ...

    Args:
        source: what the structures are from, which the pages say.
    """
    from intertwine.integrations.density_cubes import require_cubes
    from intertwine.integrations.density_viewers import write_density_viewers

    require_cubes(task, structures)
    files = _in_folder(folder, "--viewer", [f"density-{frame}.html" for frame in frames], overwrite)

    def write(predictions: Sequence[Mapping[str, Any]]) -> str:
        folder.mkdir(parents=True, exist_ok=True)
        captions = [f"predicted for frame {frame} of {source}" for frame in frames]
        write_density_viewers(files, structures, predictions, task, captions)
        return f"wrote {len(files):,} pages to {folder}: open one in a browser"

    return write


def chemiscope_file(path: Path | None, overwrite: bool, source: Path | None = None) -> Callable[..., str] | None:
    """What writes structures and predictions to a file of chemiscope, and says what was written; None without a file.
    What can be wrong with its name is said before.

    Args:
        path: of the file.
        overwrite: it may be replaced.
        source: what is read meanwhile.
    """
    if path is None:
        return None
    from intertwine.integrations import writable
    from intertwine.integrations.chemiscope import require_chemiscope, write_chemiscope

    writable(require_chemiscope(path), source=source, formats=False)
    check({"--chemiscope": path}, overwrite)

    def write(structures: Sequence[Any], predictions: Any, run: Any, words: str, frames: Sequence[int]) -> str:
        title = f"{words}, predicted by {run.folder.name}"
        notes = write_chemiscope(path, structures, predictions, run.task, name=title, frames=frames)
        told = f"wrote {len(predictions):,} structures to {path}: load it at chemiscope.org"
        return "; ".join([told, *(note.removeprefix(f"{path}: ") for note in notes)])

    return write


def _in_folder(folder: Path, option: str, names: Sequence[str], overwrite: bool) -> list[Path]:
    """The files of these names, if they may be written."""
    if folder.exists() and not folder.is_dir():
        remedy = "name a folder, which is made."
        raise InputError(f"{option}: a file, not a folder", where=str(folder), remedy=remedy)
    files = [folder / name for name in names]
    if folder.is_dir():
        check({f"{option}, frame {file.stem.rpartition('-')[2]}": file for file in files}, overwrite)
    return files
