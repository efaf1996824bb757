"""Data sets from files: xyz, whatever else ASE reads, and the npz files of MD17."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from intertwine.data.assembly import assemble
from intertwine.data.elements import ISOTOPES, TYPES
from intertwine.data.frames import Frame, check, place
from intertwine.data.hdf5 import ENDINGS as HDF5
from intertwine.data.hdf5 import read_hdf5
from intertwine.data.marks import IN_DATA, OF_ATOMS, columns_of
from intertwine.data.opening import DAMAGED, ending, is_archive, require_file, shown, text, unmarked, unpacked
from intertwine.data.progress import progress_bar
from intertwine.data.pymatgen_json import is_ase, parse, read_pymatgen
from intertwine.data.sdf import read_sdf
from intertwine.data.store import GraphStore
from intertwine.data.xyz import read_xyz
from intertwine.numerics import DataError

XYZ = (".xyz", ".extxyz")
OWN = (*XYZ, ".db", ".sdf", ".mol", ".json", ".npz", *HDF5)  # endings with a reader of their own; the rest is ASE's
# of what ASE's calculators know
PER_ATOM = ("forces", "energies", "stresses", "charges", "magmoms", "born_effective_charges")


def read_file(
    path: str | Path,
    *,
    keys: Mapping[str, str] | None = None,
    units: Mapping[str, str] | None = None,
    target: str | None = None,
    limit: int | None = None,
    progress: bool = True,
    required: Collection[str] | None = None,
    of_run: Mapping[str, str] | None = None,
) -> GraphStore:
    """The structures of a file with their labels; arguments as :func:`intertwine.data.open_dataset`.

    Raises:
        DataError: the file is missing, empty, damaged or of an unknown format, or a frame is unusable; frames count
            from 0.
    """
    path = Path(path)
    require_file(path)
    if path.suffix.lower() == ".npz":
        from intertwine.data.npz import read_npz

        return read_npz(path, keys=keys, units=units, target=target, limit=limit)
    frames = collect(read_frames(path), path.name, limit, progress)
    if not frames:
        raise DataError(
            "the file holds no structures",
            where=shown(path),
            remedy="get it again; it may be truncated, or of another format than its name says.",
        )
    about: dict[str, Any] = {"keys": keys, "units": units, "target": target, "required": required, "of_run": of_run}
    return settle(frames, name=str(path), **about)


def collect(frames: Iterator[Frame], name: str, limit: int | None, progress: bool) -> list[Frame]:
    """The first frames, all of them sound, under a bar."""
    all_frames: list[Frame] = []
    cells: set[bytes] = set()
    with progress_bar(f"reading {name}", limit, progress) as advance:
        for frame in islice(frames, limit):
            all_frames.append(check(frame, cells))
            advance(1)
    return all_frames


def settle(frames: list[Frame], **about: Any) -> GraphStore:
    """:func:`assemble`, with what the readers decided among the notes, and the files that the frames are of."""
    store = assemble(frames, **about)
    store.notes[:0] = dict.fromkeys(note for frame in frames for note in frame.notes)
    files = [frame.where.rpartition(", frame ")[0] for frame in frames]
    store.files = tuple((name, k) for k, name in enumerate(files) if not k or name != files[k - 1])
    return store


def read_frames(path: Path) -> Iterator[Frame]:
    """Frames of a file, or of the one file in an archive, by the format that its name promises.

    Raises:
        DataError: there is no such file, or what it holds can't be read; file and frame are named.
    """
    require_file(path)
    if not is_archive(path):
        yield from _frames(path, shown(path))
        return
    with unpacked(path) as (inner, name):
        yield from _frames(inner, name)


def _frames(path: Path, name: str) -> Iterator[Frame]:
    kind, packing = ending(path)
    if kind in XYZ:
        return _guarded(_text(path, name, read_xyz, None if packing else path.stat().st_size), name)
    if kind == ".db":
        return _database(path, name)
    if kind in (".sdf", ".mol"):
        return _guarded(_text(path, name, read_sdf), name)
    if kind in HDF5:
        return read_hdf5(path, name)
    if kind == ".json":
        return _guarded(_json(path, name), name)
    if kind == ".npz":
        raise DataError(
            "arrays, not structures one by one", where=name, remedy="give the .npz itself to `intertwine train`."
        )
    return _ase(path, name)


def _text(path: Path, name: str, reader: Any, *about: Any) -> Iterator[Frame]:
    with text(path) as file:
        yield from reader(file, name, *about)


def _guarded(frames: Iterator[Frame], name: str) -> Iterator[Frame]:
    """Frames, with what goes wrong in unpacking them named."""
    count = 0
    try:
        for frame in frames:
            yield frame
            count += 1
    except DataError:
        raise
    except DAMAGED as error:
        raise DataError(
            f"the file is damaged or not what its name says: {error}",
            where=place(name, count),
            remedy="get the file again, or check its ending.",
        ) from error


def _ase(path: Path, name: str) -> Iterator[Frame]:
    """Whatever ASE reads. Its readers raise errors of all kinds on damaged files, so all kinds are caught and named."""
    from ase.io import iread
    from ase.io.formats import UnknownFileTypeError, filetype

    frame = 0
    try:
        with unmarked(path) as file:
            kind = filetype(str(file))
            _require_elements(file, name, kind)
            for atoms in iread(str(file), index=":", format=kind, do_not_split_by_at_sign=True):
                yield _from_atoms(atoms, place(name, frame), f"ase:{kind}")
                frame += 1
    except UnknownFileTypeError as error:
        raise DataError(
            "unknown file format", where=name, remedy="use .xyz, .extxyz, .db, .npz or another format that ASE reads."
        ) from error
    except DataError:
        raise
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"[:200]
        remedy = "get the file again, or convert it to extended xyz."
        if isinstance(error, KeyError) and error.args and error.args[0] in ISOTOPES:
            reason = f"it has the isotope {error.args[0]}"
            remedy = "write H, and the masses in a column of an extended xyz file."
        raise DataError(f"ASE can't read it ({reason})", where=place(name, frame), remedy=remedy) from error


def _require_elements(path: Path, name: str, kind: str) -> None:
    """Raise a :class:`DataError` if a file of LAMMPS has types and no elements: ASE would make hydrogen of type 1,
    helium of type 2.
    """
    if kind == "lammps-dump-text":
        with text(path) as file:
            header = next((line for line in file if line.startswith("ITEM: ATOMS")), "")
        known = "element" in header.split()
    elif kind == "lammps-data":
        with text(path) as file:
            known = any(line.split("#")[0].strip() == "Masses" for line in file)
    else:
        known = kind != "lammps-dump-binary"
    if not known:
        raise DataError("the atoms have types and no elements", where=place(name, 0), remedy=TYPES)


def _json(path: Path, name: str) -> Iterator[Frame]:
    """pymatgen's JSON or ASE's, by what is in it."""
    with text(path) as file:
        data = parse(file, name)
    if not is_ase(data):
        yield from read_pymatgen(data, name)
    elif "ids" in data and not ending(path)[1]:
        yield from _rows(path, name, "json")
    else:
        yield from _ase(path, name)


def _database(path: Path, name: str) -> Iterator[Frame]:
    """Rows of an ASE database in SQLite."""
    with path.open("rb") as file:
        if not file.read(16).startswith(b"SQLite format 3"):
            raise DataError(
                "not an ASE database (SQLite)", where=name, remedy="get the file again, or check its ending."
            )
    yield from _rows(path, name, "db")


def _rows(path: Path, name: str, kind: str) -> Iterator[Frame]:
    """Rows of an ASE database, in order; SchNetPack's databases declare units in the metadata."""
    from ase.db import connect

    frame = 0
    try:
        with unmarked(path) as file, connect(str(file), type=kind, append=True) as database:
            metadata = database.metadata
            units = dict(metadata.get("_property_unit_dict") or {})
            if metadata.get("_distance_unit"):
                units["pos"] = metadata["_distance_unit"]
            for row in database.select():
                atoms = row.toatoms()
                entries = {**row.key_value_pairs, **row.data}
                atoms.info |= {key: value for key, value in entries.items() if value is not None}
                if entries:
                    atoms.info[IN_DATA] = list(row.data)
                result = _from_atoms(atoms, place(name, frame), "db" if kind == "db" else f"ase:{kind}")
                result.units = units | result.units
                yield result
                frame += 1
    except DataError:
        raise
    except Exception as error:  # sqlite3, json and ASE's own
        reason = f"{type(error).__name__}: {error}"[:200]
        raise DataError(
            f"the database can't be read ({reason})", where=place(name, frame), remedy="get the file again."
        ) from error


def _from_atoms(atoms: Any, where: str, reader: str) -> Frame:
    for name, column in columns_of(atoms.info, len(atoms)).items():  # which a format had no other place for
        atoms.info.pop(name)
        atoms.arrays[name] = column
    atoms.info.pop(OF_ATOMS, None)
    cell = np.array(atoms.cell)
    frame = Frame(
        atoms.numbers.astype(np.int64),
        np.array(atoms.positions),
        where,
        cell if cell.any() else None,
        np.array(atoms.pbc),
    )
    frame.atoms = atoms
    frame.reader = reader
    frame.values.update(
        {
            name: value
            for name, value in atoms.info.items()
            if isinstance(name, str) and value is not None and name != IN_DATA
        }
    )
    frame.columns.update(
        {name: column for name, column in atoms.arrays.items() if name not in ("numbers", "positions")}
    )
    if atoms.calc is not None:
        for name, value in atoms.calc.results.items():
            if value is not None:
                (frame.columns if name in PER_ATOM else frame.values)[name] = value
    if atoms.constraints:
        frame.values["constraints"] = ", ".join(type(constraint).__name__ for constraint in atoms.constraints)
    frame.units = {
        name.removesuffix("_unit"): value
        for name, value in atoms.info.items()
        if isinstance(name, str) and name.endswith("_unit") and isinstance(value, str)
    }
    if frame.cell is None and not np.any(atoms.pbc):
        frame.pbc = None
    return frame
