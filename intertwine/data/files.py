"""Data sets from files: xyz, whatever else ASE reads, and the npz files of MD17."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zlib
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from intertwine.data.frames import Frame, check, place
from intertwine.data.keys import assemble
from intertwine.data.progress import progress_bar
from intertwine.data.store import GraphStore
from intertwine.data.xyz import read_xyz
from intertwine.numerics import DataError

COMPRESSED: dict[str, Any] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
XYZ = (".xyz", ".extxyz")
DAMAGED = (OSError, EOFError, zlib.error, lzma.LZMAError, UnicodeDecodeError)


def read_file(
    path: str | Path,
    *,
    keys: Mapping[str, str] | None = None,
    units: Mapping[str, str] | None = None,
    target: str | None = None,
    limit: int | None = None,
    progress: bool = True,
) -> GraphStore:
    """The structures of a file with their labels; arguments as :func:`intertwine.data.open_dataset`.

    Raises:
        DataError: the file is missing, empty, damaged or of an unknown format, or a frame is unusable; frames count from 0.
    """
    path = Path(path)
    if path.is_dir():
        raise DataError("a folder, not a file", where=str(path), remedy="give a file of structures, such as one .xyz.")
    if not path.exists():
        raise DataError("no such file", where=str(path), remedy="check the path, or name a data set: `intertwine datasets` lists them.")
    if path.stat().st_size == 0:
        raise DataError("the file is empty", where=str(path), remedy="get it again.")
    if path.suffix == ".npz":
        from intertwine.data.npz import read_npz

        return read_npz(path, keys=keys, units=units, target=target, limit=limit)
    frames: list[Frame] = []
    cells: set[bytes] = set()
    with progress_bar(f"reading {path.name}", limit, progress) as advance:
        for frame in islice(read_frames(path), limit):
            frames.append(check(frame, cells))
            advance(1)
    if not frames:
        raise DataError(
            "the file holds no structures",
            where=str(path),
            remedy="get it again; it may be truncated, or of another format than its name says.",
        )
    return assemble(frames, name=str(path), keys=keys, units=units, target=target)


def read_frames(path: Path) -> Iterator[Frame]:
    """Frames of a file, by the format that its name promises."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    packing = suffixes.pop() if suffixes and suffixes[-1] in COMPRESSED else ""
    kind = suffixes[-1] if suffixes else ""
    if kind in XYZ:
        return _guarded(_text(path, packing, read_xyz), path)
    if kind == ".db":
        return _database(path)
    if kind == ".sdf":
        return _guarded(_text(path, packing, _read_sdf), path)
    return _ase(path)


def _text(path: Path, packing: str, reader: Any) -> Iterator[Frame]:
    with COMPRESSED.get(packing, open)(path, "rt", encoding="utf-8") as file:
        yield from reader(file, path)


def _guarded(frames: Iterator[Frame], path: Path) -> Iterator[Frame]:
    """Frames, with what goes wrong in unpacking them named."""
    count = 0
    try:
        for frame in frames:
            yield frame
            count += 1
    except DAMAGED as error:
        raise DataError(
            f"the file is damaged or not what its name says: {error}",
            where=place(path, count),
            remedy="get the file again, or check its ending.",
        ) from error


def _ase(path: Path) -> Iterator[Frame]:
    """Whatever ASE reads. Its readers raise errors of all kinds on damaged files, so all kinds are caught and named."""
    from ase.io import iread
    from ase.io.formats import UnknownFileTypeError

    frame = 0
    try:
        for atoms in iread(str(path), index=":"):
            yield _from_atoms(atoms, place(path, frame))
            frame += 1
    except UnknownFileTypeError as error:
        raise DataError(
            "unknown file format", where=str(path), remedy="use .xyz, .extxyz, .db, .npz or another format that ASE reads."
        ) from error
    except DataError:
        raise
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"[:200]
        raise DataError(
            f"ASE can't read it ({reason})", where=place(path, frame), remedy="get the file again, or convert it to extended xyz."
        ) from error


def _read_sdf(file: Any, path: Path) -> Iterator[Frame]:
    """Every molecule of an SDF (ASE reads the first alone)."""
    from ase.io import read

    for frame, block in enumerate(block for block in file.read().split("$$$$\n") if block.strip()):
        try:
            yield _from_atoms(read(io.StringIO(block), format="sdf"), place(path, frame))
        except (ValueError, IndexError, KeyError, AttributeError) as error:
            raise DataError(
                f"not a V2000 molecule ({error})", where=place(path, frame), remedy="repair or delete that molecule."
            ) from error


def _database(path: Path) -> Iterator[Frame]:
    """Rows of an ASE database, in order; SchNetPack's databases declare units in the metadata."""
    from ase.db import connect

    if not path.read_bytes()[:16].startswith(b"SQLite format 3"):
        raise DataError("not an ASE database (SQLite)", where=str(path), remedy="get the file again, or check its ending.")
    frame = 0
    try:
        with connect(str(path), append=True) as database:
            metadata = database.metadata
            units = dict(metadata.get("_property_unit_dict") or {})
            if metadata.get("_distance_unit"):
                units["pos"] = metadata["_distance_unit"]
            for row in database.select():
                result = _from_atoms(row.toatoms(), place(path, frame))
                result.units = units
                _sort(row.key_value_pairs, result)
                _sort(row.data, result)
                yield result
                frame += 1
    except DataError:
        raise
    except Exception as error:  # sqlite3, json and ASE's own
        reason = f"{type(error).__name__}: {error}"[:200]
        raise DataError(f"the database can't be read ({reason})", where=place(path, frame), remedy="get the file again.") from error


def _from_atoms(atoms: Any, where: str) -> Frame:
    cell = np.array(atoms.cell)
    frame = Frame(atoms.numbers.astype(np.int64), np.array(atoms.positions), where, cell if cell.any() else None, np.array(atoms.pbc))
    frame.atoms = atoms
    _sort(atoms.info, frame)
    for name, column in atoms.arrays.items():
        if name not in ("numbers", "positions"):
            frame.columns[name] = column
    if atoms.calc is not None:
        _sort(atoms.calc.results, frame)
    if frame.cell is None and not np.any(atoms.pbc):
        frame.pbc = None
    return frame


def _sort(quantities: Mapping[str, Any], frame: Frame) -> None:
    """Quantities into those of atoms and those of the structure, by name and by shape."""
    for name, value in quantities.items():
        array = np.asarray(value) if isinstance(value, np.ndarray | list | tuple) else None
        atomic = (
            array is not None and array.ndim == 2 and array.shape == (len(frame.numbers), 3) and name.lower() not in ("stress", "virial")
        )
        if atomic or name in ("energies", "stresses", "charges", "magmoms"):
            frame.columns[name] = value
        elif value is not None:
            frame.values[name] = value
