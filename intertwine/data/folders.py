"""Many files as one data set: a folder, or a pattern such as ``frames/*.xyz``."""

from __future__ import annotations

import glob
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from intertwine.data.files import OWN, collect, read_frames, settle
from intertwine.data.frames import Frame, place
from intertwine.data.label_files import check_one_method
from intertwine.data.names import parse
from intertwine.data.npz import read_npz
from intertwine.data.opening import ending, is_archive, shown
from intertwine.data.store import GraphStore
from intertwine.data.units import DIMENSIONS, factor
from intertwine.numerics import DataError, InputError
from intertwine.numerics.showing import counted

LISTED_ENDINGS = 8  # endings that a message names
# README.md is no file of CASTEP, whose ending that is
ABOUT = ("readme", "license", "licence", "changelog", "citation")
MEANINGS = {"free_energy": "energy", "virial": "energy"}  # what else is converted with the energy's unit


def is_several(source: Path) -> bool:
    """Whether a source is a folder or a pattern, not a file; a file whose name has such signs is a file."""
    return source.is_dir() or (glob.has_magic(str(source)) and not source.exists())


def read_folder(
    source: Path,
    *,
    keys: Mapping[str, str] | None = None,
    units: Mapping[str, str] | None = None,
    target: str | None = None,
    limit: int | None = None,
    progress: bool = True,
    required: Collection[str] | None = None,
    of_run: Mapping[str, str] | None = None,
) -> GraphStore:
    """The structures of all files of a folder or a pattern, in natural order (``frame2`` before ``frame10``), each by
    its own reader.

    Arguments as :func:`intertwine.data.open_dataset`; ``limit`` counts structures, and files beyond it are not opened.
    A folder's hidden files, its folders and files of unknown endings are skipped; a note lists them.
    Files that declare different units are brought to eV and A.

    Raises:
        DataError: there is no file, or none that can be read (the endings are named); or a file can't be read; it is
            named.
    """
    files, passed = members(source)
    opened: list[Path] = []
    frames = collect(_frames(files, opened, told=bool(units)), shown(source), limit, progress)
    notes = [_summary(opened, files), *passed, *check_one_method(frames)]
    if not units:
        frames, converted = _in_one_unit(frames)
        notes += converted
    about: dict[str, Any] = {"keys": keys, "units": units, "target": target, "required": required, "of_run": of_run}
    store = settle(frames, name=str(source), **about)
    store.notes[:0] = notes
    return store


def _frames(files: Sequence[Path], opened: list[Path], *, told: bool) -> Iterator[Frame]:
    """Frames of the files, one after the other; ``opened`` grows by each."""
    for path in files:
        opened.append(path)
        empty = True
        for frame in _arrays(path, told) if ending(path)[0] == ".npz" else read_frames(path):
            empty = False
            yield frame
        if empty:
            raise DataError(
                "the file holds no structures", where=shown(path), remedy="get it again, or take it out of the folder."
            )


def _arrays(path: Path, told: bool) -> Iterator[Frame]:
    """Frames of an npz file, in eV and A."""
    if told:
        raise InputError("units are given for a folder with an .npz", where=shown(path), remedy="read the .npz alone.")
    store = read_npz(path)
    for k in range(len(store)):
        graph = store[k]
        frame = Frame(graph.z.numpy(), graph.pos.numpy(), place(shown(path), k), units=dict(store.units), reader="npz")
        for label, level in store.levels.items():
            if label not in ("z", "pos"):
                value = graph[label].numpy()
                if level == "node":
                    frame.columns[label] = value
                else:
                    frame.values[label] = value[0]
        yield frame


def members(source: Path) -> tuple[list[Path], list[str]]:
    """The files to read, in natural order, and notes about those that are not.

    Raises:
        DataError: there are none.
    """
    where = shown(source)
    folder = source.is_dir()
    try:
        entries = (
            list(source.iterdir()) if folder else [Path(match) for match in glob.glob(str(source), recursive=True)]
        )
    except OSError as error:
        raise DataError(
            f"the folder can't be opened: {error.strerror or error}", where=where, remedy="check its permissions."
        ) from error
    hidden = [path for path in entries if folder and path.name.startswith(".")]
    folders = [path for path in entries if path.is_dir() and path not in hidden]
    files = sorted((path for path in entries if path not in hidden and path not in folders), key=natural)
    read = [path for path in files if is_readable(path)]
    if not read:
        remedy = (
            f"give a folder with files such as {', '.join(OWN[:4])}, or a pattern: 'folder/*.xyz', 'folder/**/*.xyz'."
        )
        if files:
            raise DataError(
                f"no file of a format that is read; the endings are {_endings(files)}", where=where, remedy=remedy
            )
        if not folder:
            raise DataError(
                "no file matches" if not entries else "only folders match", where=where, remedy="check the pattern."
            )
        inside = f" (it holds {counted(len(folders), 'folders')}, which are not entered)" if folders else ""
        raise DataError(f"a folder without files{inside}", where=where, remedy=remedy)
    unread = [path for path in files if path not in read]
    notes = [f"passed over: {counted(len(hidden), 'hidden files')}"] if hidden else []
    notes += [f"passed over: {counted(len(folders), 'folders')} inside"] if folders else []
    notes += (
        [f"passed over: {counted(len(unread), 'files')} of endings that are not read ({_endings(unread)})"]
        if unread
        else []
    )
    return read, notes


def natural(path: Path) -> list[list[tuple[int, int, str]]]:
    """Sorting key by which numbers in names count as numbers: frame2, frame10."""
    return [
        [(0, int(part), part) if part.isdecimal() else (1, 0, part) for part in re.split(r"(\d+)", each)]
        for each in path.parts
    ]


def is_readable(path: Path) -> bool:
    """Whether a file's name promises a format that is read."""
    from ase.io.formats import UnknownFileTypeError, filetype, ioformats

    if path.stem.lower() in ABOUT:
        return False
    if ending(path)[0] in OWN or is_archive(path):
        return True
    try:
        kind = ioformats.get(filetype(str(path), read=False))
    except UnknownFileTypeError:
        return False
    return kind is not None and kind.can_read


def _summary(opened: Sequence[Path], files: Sequence[Path]) -> str:
    kinds = Counter(ending(path)[0] or path.name for path in opened)
    formats = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common(LISTED_ENDINGS)) + (
        ", ..." if len(kinds) > LISTED_ENDINGS else ""
    )
    of = f"the first {len(opened)} of " if len(opened) < len(files) else ""
    return f"{of}{counted(len(files), 'files')} in {counted(len(kinds), 'formats')} ({formats})"


def _endings(files: Sequence[Path]) -> str:
    endings = Counter(path.suffix.lower() or path.name for path in files)
    return ", ".join(name for name, _ in endings.most_common(LISTED_ENDINGS)) + (
        ", ..." if len(endings) > LISTED_ENDINGS else ""
    )


def _in_one_unit(frames: list[Frame]) -> tuple[list[Frame], list[str]]:
    """The frames in eV and A, if they declare different units; and a note of that."""
    declared = {frozenset(frame.units.items()) for frame in frames}
    if len(declared) < 2:
        return frames, []
    return [_converted(frame) for frame in frames], ["the files declare different units: brought to eV and A"]


def _converted(frame: Frame) -> Frame:
    """A frame whose positions and usual labels are in the library's units, which it declares no longer."""
    units = dict(frame.units)
    scale = factor(units.pop("pos", "A"), "pos")
    values, columns = dict(frame.values), dict(frame.columns)
    group: dict[str, Any]
    for group in (values, columns):
        for key in list(group):
            name = parse(key)
            quantity = MEANINGS.get(name.quantity, name.quantity) if name else ""
            if quantity in DIMENSIONS and key in units:
                group[key] = np.asarray(group[key], dtype=np.float64) * factor(units.pop(key), quantity)
    cell = None if frame.cell is None else frame.cell * scale
    return replace(frame, positions=frame.positions * scale, cell=cell, values=values, columns=columns, units=units)
