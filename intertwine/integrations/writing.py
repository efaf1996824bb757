"""Structures into files: whole or not at all, with everything that the format can hold, and a word on what it can't."""

from __future__ import annotations

import contextlib
import os
import shutil
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ase import Atoms
from ase.io import write
from ase.io.formats import UnknownFileTypeError, filetype, ioformats

from intertwine.data.folders import is_several, members
from intertwine.data.opening import COMPRESSED
from intertwine.data.structures import CONTAINERS
from intertwine.integrations.packing import lost, pack, with_six_stresses
from intertwine.integrations.rows import DATABASES, write_rows
from intertwine.numerics import CheckpointError, DataError, InputError, IntertwineError, replacing

XYZ = ("xyz", "extxyz")
TABLES = (".json", ".npz")  # of predictions, also of what is not atoms
COMPLETE = ("extxyz", "traj", "db", "json")  # formats with places for everything that a structure carries
KEPT = "What was written until then is in "
FORMATS = "use .xyz, .traj, .db, .json or .npz, which hold predictions; others that ASE writes hold structures."


def writable(
    path: Path, *, source: Path | Sequence[Path] | None = None, tables: bool = True, formats: bool = True
) -> Path:
    """The path, if its folder exists and its name is that of a format that can be written: better said before the work
    than after it.

    Args:
        path: where to write to; a device or a pipe is as good as a file.
        source: what is read meanwhile, or several of it: a file, or a folder or pattern of files. A file is the same
            by whatever path, link or spelling it is named.
        tables: predictions are written, for which .npz will do.
        formats: structures or predictions are written: the name must be that of a format.

    Raises:
        InputError: it can't be written to, or is a file that is read.
    """
    path = Path(path)
    remedy = "give the name of a file in a folder that exists."
    if path.is_dir() or not path.parent.is_dir():
        what = "is a folder" if path.is_dir() else f"there is no folder {path.parent}"
        raise InputError(what, where=str(path), remedy=remedy)
    if any(same_file(path, each) for each in sources(source)):
        raise InputError(
            "is the file that is read", where=str(path), remedy="write to another file: the input is kept as it is."
        )
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise InputError("may not be written to", where=str(path), remedy="choose a folder that you can write to.")
    if formats:
        format_of(path, tables=tables)
    return path


def format_of(path: Path, *, tables: bool = True) -> str:
    """The name of the format that a file's name promises: "json", "npz", or one of ASE's that can be written; of
    devices "extxyz".

    Raises:
        InputError: there is no such format.
    """
    if tables and path.suffix in TABLES:
        return path.suffix[1:]
    try:
        kind = filetype(path.name, read=False)
    except UnknownFileTypeError:
        kind = "extxyz" if is_device(path) else ""
    if kind in XYZ:
        return "extxyz"
    packed = path.suffix in COMPRESSED and kind in ("json", "db")  # which ASE would not pack
    if packed or kind not in ioformats or not ioformats[kind].can_write:
        remedy = FORMATS if tables else "use .xyz, .traj, .cif, .vasp or another that ASE writes."
        raise InputError(
            f"{path.suffix or path.name!r} is no format that can be written", where=str(path), remedy=remedy
        )
    return kind


def tells_its_unit(path: Path, frames: Sequence[Atoms]) -> None:
    """Raise an :class:`InputError` if structures that were read in another unit than A go to a file which can't say
    that it is in A.

    The run that they are for would take its numbers for its own unit."""
    kind = format_of(path, tables=False)
    if kind not in COMPLETE and path.suffix.lower() in CONTAINERS and any("pos_unit" in atoms.info for atoms in frames):
        what = f"{path.suffix} can't say that it is in A, and is read in the unit of the run"
        raise InputError(what, where=str(path), remedy="write .xyz, .traj, .db or .json, which can.")


def is_device(path: Path) -> bool:
    """Whether it is there and neither a file nor a folder: a device, a pipe, a terminal."""
    return path.exists() and not path.is_file() and not path.is_dir()


def write_structures(
    path: Path, frames: Sequence[Atoms], kind: str = "", tables: Mapping[str, Any] | None = None
) -> list[str]:
    """Write structures with all that the format can hold; a former file is there until the new one is complete.

    Args:
        path: where to.
        frames: the structures, with results of a calculator if they have one.
        kind: ASE's name of the format; by default what the path's name promises.
        tables: more members of a .json, which ASE does not look at.

    Returns:
        What the file does not hold of the structures, as it was read back: a note, or none.

    Raises:
        InputError: ASE can't write this format, or these structures in it.
        CheckpointError: the disk is full or the place can't be written to; the former file is intact.
    """
    kind = kind or format_of(path, tables=False)
    frames = [with_six_stresses(atoms) for atoms in frames]
    tells_its_unit(path, frames)
    with replacing(path) as temporary:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # what could not be kept is looked for in the file itself
                if kind in DATABASES:
                    write_rows(temporary, frames, kind, tables)
                else:
                    packed = [pack(atoms, kind) for atoms in frames]
                    write(temporary, packed if len(packed) != 1 else packed[0], format=kind)
        except OSError:
            raise
        except Exception as error:  # ASE's writers raise errors of all kinds on structures that their format can't hold
            reason = f"{type(error).__name__}: {error}"[:200]
            raise InputError(f"ASE can't write this as {kind} ({reason})", where=str(path), remedy=FORMATS) from error
        missing = lost(temporary, frames, kind)
    *some, last = (f".{name}" for name in ("xyz", "traj", "db", "json") if not kind.endswith(name))
    others = f"{', '.join(some)} and {last}"
    return [f"{path}: {kind} does not hold {', '.join(missing)}; {others} hold most"] if missing else []


@contextlib.contextmanager
def growing(path: Path, say: Callable[[str], None] | None = None) -> Iterator[Path]:
    """A file that is written for hours: beside ``path`` under a name of its own, and put in its place when the block
    ends well.

    If the block fails or is interrupted, what there is stays: as ``path`` if that is not there, else under its own
    name, so that the former file is as it was. Where ``path`` is a device, it is written at the end.

    Args:
        path: the file.
        say: told where the part is that was written, if the block is interrupted, or fails by an error without a
            remedy.

    Raises:
        CheckpointError: it can't be written.
        IntertwineError: as the block raised it; the remedy says where the part is, of several files in one sentence.
    """
    if is_device(path):
        with replacing(path) as temporary:
            yield temporary
        return
    part = _free(path)
    try:
        yield part
        with replacing(path) as temporary:
            shutil.move(part, temporary)
    except BaseException as error:
        kept = _keep(part, path)
        if isinstance(error, IntertwineError):
            raise type(error)(error.what, where=error.where, remedy=_with_place(error.remedy, kept)) from error
        if isinstance(error, OSError):
            remedy = _with_place("free space on the disk or choose another folder.", kept)
            raise CheckpointError(
                f"can't be written: {error.strerror or error}", where=str(path), remedy=remedy
            ) from error
        if kept is not None and say is not None:
            say(f"{KEPT}{kept}.")
        raise


def _with_place(remedy: str, kept: Path | None) -> str:
    """A remedy that also says where a file is, after those that it names already."""
    if kept is None:
        return remedy
    named = remedy.rpartition(KEPT)[2] if KEPT in remedy else ""
    return f"{remedy[:-1]} and {kept}." if named.endswith(".") else f"{remedy} {KEPT}{kept}.".strip()


def _free(path: Path) -> Path:
    """An empty file beside ``path`` under a name that nothing has."""
    number = 1
    while True:
        part = path.with_name(f"{path.stem}.unfinished{'' if number == 1 else f'-{number}'}{path.suffix}")
        try:
            part.touch(exist_ok=False)
            return part
        except FileExistsError:
            number += 1
        except OSError as error:
            remedy = "choose a folder that you can write to."
            raise CheckpointError(
                f"can't be written: {error.strerror or error}", where=str(part), remedy=remedy
            ) from error


def _keep(part: Path, path: Path) -> Path | None:
    """Where what was written is now; None if nothing was."""
    with contextlib.suppress(OSError):
        if not part.exists() or not part.stat().st_size:
            part.unlink(missing_ok=True)
            return None
        if not os.path.lexists(path):
            part = part.rename(path)
        return part
    return None


def sources(source: Path | Sequence[Path] | None) -> list[Path]:
    """The files that are read of a source: itself, or those of a folder or a pattern; of several, all of them."""
    if source is None:
        return []
    several = [Path(source)] if isinstance(source, str | Path) else [Path(each) for each in source]
    files: list[Path] = []
    for each in several:
        with contextlib.suppress(OSError, RuntimeError):  # no such home
            each = each.expanduser()
        with contextlib.suppress(DataError):  # there are none: whoever reads them says so
            files += members(each)[0] if is_several(each) else [each]
    return files


def same_file(path: Path, source: Path) -> bool:
    """Whether two paths are of one file, through links and other spellings too; a device is none."""
    with contextlib.suppress(OSError):
        if path.exists() and source.exists() and not is_device(path):
            return path.samefile(source)
    return False
