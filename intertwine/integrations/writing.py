"""Structures into files: whole or not at all, with everything that the format can hold, and a word on what it can't."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.io import read, write
from ase.io.formats import UnknownFileTypeError, filetype, ioformats

from intertwine.data.opening import COMPRESSED
from intertwine.data.structures import CONTAINERS
from intertwine.numerics import CheckpointError, InputError, IntertwineError, replacing

XYZ = ("xyz", "extxyz")
PLACES = ("FixAtoms", "FixCartesian", "FixScaled")  # constraints that hold coordinates
TABLES = (".json", ".npz")  # of predictions, without the structures
FORMATS = (
    "use .xyz, .json or .npz; .traj, .cif, .vasp and others that ASE writes "
    "hold structures with their energies or less."
)


def writable(path: Path, *, source: Path | None = None, tables: bool = True, formats: bool = True) -> Path:
    """The path, if its folder exists and its name is that of a format that can be written: better said before the work
    than after it.

    Args:
        path: where to write to; a device or a pipe is as good as a file.
        source: the file that is read meanwhile.
        tables: predictions are written, for which .npz will do.
        formats: structures or predictions are written: the name must be that of a format.

    Raises:
        InputError: it can't be written to, or is the source itself.
    """
    path = Path(path)
    remedy = "give the name of a file in a folder that exists."
    if path.is_dir() or not path.parent.is_dir():
        what = "is a folder" if path.is_dir() else f"there is no folder {path.parent}"
        raise InputError(what, where=str(path), remedy=remedy)
    if source is not None and _same(path, source):
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
    if (
        kind not in ("extxyz", "traj")
        and path.suffix.lower() in CONTAINERS
        and any("pos_unit" in atoms.info for atoms in frames)
    ):
        what = f"{path.suffix} can't say that it is in A, and is read in the unit of the run"
        raise InputError(what, where=str(path), remedy="write .xyz or .traj, which can.")


def is_device(path: Path) -> bool:
    """Whether it is there and neither a file nor a folder: a device, a pipe, a terminal."""
    return path.exists() and not path.is_file() and not path.is_dir()


def write_structures(path: Path, frames: Sequence[Atoms], kind: str = "") -> list[str]:
    """Write structures with all that the format can hold; a former file is there until the new one is complete.

    Args:
        path: where to.
        frames: the structures, with results of a calculator if they have one.
        kind: ASE's name of the format; by default what the path's name promises.

    Returns:
        What the file does not hold of the structures, as it was read back: a note, or none.

    Raises:
        InputError: ASE can't write this format, or these structures in it.
        CheckpointError: the disk is full or the place can't be written to; the former file is intact.
    """
    kind = kind or format_of(path, tables=False)
    tells_its_unit(path, frames)
    packed = [pack(atoms, kind) for atoms in frames]
    with replacing(path) as temporary:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # what could not be kept is looked for in the file itself
                write(temporary, packed if len(packed) != 1 else packed[0], format=kind)
        except OSError:
            raise
        except Exception as error:  # ASE's writers raise errors of all kinds on structures that their format can't hold
            reason = f"{type(error).__name__}: {error}"[:200]
            raise InputError(f"ASE can't write this as {kind} ({reason})", where=str(path), remedy=FORMATS) from error
        missing = lost(temporary, frames[0], kind) if frames else []
    return [f"{path}: {kind} does not hold {', '.join(missing)}; .xyz and .traj hold most"] if missing else []


def pack(atoms: Atoms, kind: str) -> Atoms:
    """The structure in the form in which ASE writes all of it: what extended xyz and trajectories have no place for
    goes to ``info``.
    """
    if kind not in ("extxyz", "traj"):
        return atoms
    packed = atoms.copy()
    packed.calc = atoms.calc
    for name, array in list(packed.arrays.items()):
        text = array.dtype.kind in "USO"
        if kind == "traj" and name not in (
            "numbers",
            "positions",
            "momenta",
            "masses",
            "tags",
            "initial_charges",
            "initial_magmoms",
        ):
            packed.info[name] = packed.arrays.pop(name)
        elif kind == "extxyz" and array.ndim > 2:
            packed.arrays[name] = array.reshape(len(array), -1)
        elif kind == "extxyz" and text and any(len(str(word).split()) != 1 or "\n" in str(word) for word in array.flat):
            # a column must not be empty or of two words
            packed.info[name] = [str(word) for word in packed.arrays.pop(name).flat]
    if kind == "extxyz":
        if packed.get_celldisp().any():
            packed.info["celldisp"] = packed.get_celldisp().reshape(3)
        packed.info = {name: _entry(name, value) for name, value in packed.info.items()}
    return packed


def lost(path: Path, atoms: Atoms, kind: str) -> list[str]:
    """What of a structure is not in a file that it was written to; nothing is said of formats that are not read."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            again: Any = read(path, index=0, format=kind)
    except Exception:  # a picture, or a format that ASE only writes
        return []
    held = {type(constraint).__name__ for constraint in again.constraints}
    held |= set(PLACES) if held & set(PLACES) else set()  # which one a format speaks of differs
    missing = [
        f"constraints ({name})"
        for name in dict.fromkeys(type(c).__name__ for c in atoms.constraints)
        if name not in held
    ]
    kept = {*again.arrays, *again.info, *(again.calc.results if again.calc is not None else ())}
    names = [name for table in (atoms.arrays, atoms.info) for name in table if name not in kept]
    return [*missing, *dict.fromkeys(str(name) for name in names)]


@contextlib.contextmanager
def growing(path: Path, say: Callable[[str], None] | None = None) -> Iterator[Path]:
    """A file that is written for hours: beside ``path`` under a name of its own, and put in its place when the block
    ends well.

    If the block fails or is interrupted, what there is stays: as ``path`` if that is not there, else under its own
    name, so that the former file is as it was. Where ``path`` is a device, it is written at the end.

    Args:
        path: the file.
        say: told where the part is that was written, if the block fails.

    Raises:
        CheckpointError: it can't be written.
        IntertwineError: as the block raised it; the remedy says where the part is.
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
        if kept and say is not None:
            say(kept)
        if isinstance(error, IntertwineError):
            raise type(error)(error.what, where=error.where, remedy=f"{error.remedy} {kept}".strip()) from error
        if isinstance(error, OSError):
            what = f"can't be written: {error.strerror or error}"
            raise CheckpointError(
                what, where=str(path), remedy=f"free space on the disk or choose another folder. {kept}".strip()
            ) from error
        raise


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


def _keep(part: Path, path: Path) -> str:
    """Where what was written is now, as a sentence; none if nothing was."""
    with contextlib.suppress(OSError):
        if not part.exists() or not part.stat().st_size:
            part.unlink(missing_ok=True)
            return ""
        if not os.path.lexists(path):
            part = part.rename(path)
        return f"What was written until then is in {part}."
    return ""


def _same(path: Path, source: Path) -> bool:
    with contextlib.suppress(OSError):
        if path.exists() and source.exists() and not is_device(path):
            return path.samefile(source)
    return False


def _entry(name: Any, value: Any) -> Any:
    """An entry of ``info`` that comes back from a comment line as it went in; ASE writes numbers, plain words and flat
    arrays rightly.
    """
    if name in ("virial", "stress") and np.size(value) == 6:
        xx, yy, zz, yz, xz, xy = np.reshape(np.asarray(value, dtype=float), 6)
        return np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])
    plain = isinstance(value, int | float | np.ndarray | np.generic) or (
        isinstance(value, str) and not set(value) & set('\n\r\\"')
    )
    if plain:
        return value
    try:
        text = json.dumps(value, default=_plain)
    except (TypeError, ValueError):
        return value
    return "_JSON " + text.replace("\\", "\\\\")  # its reader takes a backslash away


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):
        return value.tolist()
    if hasattr(value, "todict"):
        return value.todict()
    raise TypeError(type(value).__name__)
