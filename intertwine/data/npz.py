"""Trajectories of one molecule as npz: MD17 (z, R, E, F) and revised MD17 (nuclear_charges, coords, energies, ...)."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from intertwine.data.assembly import check_units
from intertwine.data.frames import place
from intertwine.data.inventory import Arrays
from intertwine.data.labels import resolve
from intertwine.data.marks import PREDICTED
from intertwine.data.resolution import Resolution
from intertwine.data.store import GraphStore
from intertwine.data.units import CANONICAL, complete, factor, units_note
from intertwine.numerics import DataError, nearest

#: The arrays' names in the two data sets and their like, best first.
NAMES = {
    "z": ("nuclear_charges", "z", "Z", "numbers", "atomic_numbers"),
    "pos": ("coords", "R", "positions", "pos", "coordinates"),
}
ALIASES = {"E": "energy", "F": "forces", "e": "energy", "f": "forces"}
#: Names in lower case of arrays that make a structure periodic.
CELLS = ("cell", "cells", "lattice", "lattices", "lattice_vectors", "box", "unit_cell", "pbc")


def read_npz(
    path: Path,
    *,
    keys: Mapping[str, str] | None = None,
    units: Mapping[str, str] | None = None,
    target: str | None = None,
    limit: int | None = None,
) -> GraphStore:
    """All frames of an npz file; MD17 and rMD17 are in kcal/mol and kcal/mol/A, others in eV unless ``units`` says
    otherwise.

    Raises:
        DataError: the file is damaged, lacks an array, an array has a wrong shape, or a number is not finite.
    """
    arrays = arrays_of(path)
    keys = dict(keys or {})
    names = {label: required(path, label, keys.pop(label, None), arrays) for label in NAMES}
    z, pos = arrays[names["z"]].astype(np.int64).reshape(-1), arrays[names["pos"]].astype(np.float64)
    if pos.ndim != 3 or pos.shape[1:] != (len(z), 3) or not len(pos) or not len(z):
        raise DataError(
            f"positions have shape {pos.shape} for {len(z)} atoms",
            where=str(path),
            remedy="expected (frames, atoms, 3).",
        )
    if z.min() < 1 or z.max() > 118:
        raise DataError(
            "an atomic number is outside 1 to 118", where=str(path), remedy="repair the array of nuclear charges."
        )
    others = {name: array for name, array in arrays.items() if name not in names.values()}
    decided = resolve(Arrays(others, len(pos), len(z), ALIASES), name=str(path), keys=keys, target=target)
    check_units(units, decided.sources)
    known = "rMD17" if names["z"] == "nuclear_charges" else "MD17" if set("zREF") <= set(arrays) else None
    of_known = {f"those of {known}": {"energy": "kcal/mol", "pos": "A"}} if known else {}
    stated = {"as --unit says": dict(units or {})} | of_known
    table = complete({label: unit for each in reversed(stated.values()) for label, unit in each.items()})
    fields = {"pos": _scaled(pos, "pos", table, path)}
    fields |= {label: _label(arrays[source.key], label, pos, table, path) for label, source in decided.sources.items()}
    return _store(path, z, fields, decided, table, stated, limit)


def arrays_of(path: Path) -> dict[str, np.ndarray]:
    """The arrays of numbers of an npz file of one molecule.

    Raises:
        DataError: the file is damaged, or says that the structure is periodic (what would be read of it is a cluster),
            or it holds predictions.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files if archive[name].dtype.kind in "iufb"}
    except (
        OSError,
        ValueError,
        zipfile.BadZipFile,
        EOFError,
        zipfile.LargeZipFile,
        zlib.error,
        NotImplementedError,
    ) as error:
        raise DataError(f"not a sound npz file: {error}", where=str(path), remedy="get the file again.") from error
    if "atoms" in arrays and (written := [name for name in arrays if name.startswith(f"{PREDICTED}_")]):
        raise DataError(
            f"holds predictions ({', '.join(written)}) and no labels: frames one after another, as predict writes them",
            where=str(path),
            remedy="predict to .xyz, .traj, .db or .json, which keep the labels, or read the arrays with numpy.load.",
        )
    said = {
        name.lower(): array for name, array in arrays.items() if name.lower() in CELLS and np.nan_to_num(array).any()
    }
    if said and ("pbc" in said or not any(name.lower() == "pbc" for name in arrays)):
        remedy = "write crystals as extended xyz or ASE's .traj; remove the array if the molecules do not repeat."
        raise DataError(
            f"the file has a {next(iter(said))!r}, and npz files are read as molecules", where=str(path), remedy=remedy
        )
    return {name: array for name, array in arrays.items() if array.dtype.kind != "b"}


def required(path: Path, label: str, asked: str | None, arrays: Mapping[str, np.ndarray]) -> str:
    """The array that atomic numbers or positions are read from; usual names count in any case."""
    if asked is not None and asked not in arrays:
        raise DataError(
            f"there is no array {asked!r} to read {label!r} from", where=str(path), remedy=nearest(asked, arrays)
        )
    known = [*NAMES[label], *(name for usual in NAMES[label] for name in arrays if name.lower() == usual.lower())]
    key = asked or next((name for name in known if name in arrays), None)
    if key is None:
        remedy = f"expected one of {', '.join(NAMES[label])}; found {', '.join(arrays) or 'none'}."
        raise DataError(f"there is no array of {label!r}", where=str(path), remedy=remedy)
    return key


def _label(array: np.ndarray, label: str, pos: np.ndarray, table: dict[str, str], path: Path) -> np.ndarray:
    """A label with one row a frame; energies may have an axis of length 1 more."""
    value = array.astype(np.float64)
    shape = {"energy": (len(pos),), "forces": pos.shape}.get(label, value.shape)
    if label == "energy" and value.size == len(pos):
        value = value.reshape(shape)
    if value.shape != shape or value.shape[:1] != (len(pos),):
        raise DataError(
            f"{label} has shape {value.shape} for {len(pos)} frames",
            where=str(path),
            remedy="expected one row a frame.",
        )
    return _scaled(value, label, table, path)


def _scaled(value: np.ndarray, label: str, table: dict[str, str], path: Path) -> np.ndarray:
    bad = np.flatnonzero(~np.isfinite(value.reshape(len(value), -1)).all(-1))
    if len(bad):
        raise DataError(f"{label} is not finite", where=place(path, int(bad[0])), remedy="remove or repair that frame.")
    return value * factor(table.get(label, CANONICAL.get(label, "")), label)


def _store(
    path: Path,
    z: np.ndarray,
    fields: dict[str, np.ndarray],
    decided: Resolution,
    table: dict[str, str],
    stated: Mapping[str, Mapping[str, str]],
    limit: int | None,
) -> GraphStore:
    frames = min(len(fields["pos"]), limit or len(fields["pos"]))
    tensors, levels = {"z": torch.from_numpy(np.tile(z, frames))}, {"z": "node"}
    for label, value in fields.items():
        levels[label] = "node" if label == "pos" else decided.levels[label]
        node = levels[label] == "node"
        if node and value.shape[1:2] != (len(z),):
            what = f"{label} has shape {value.shape} for {len(value)} frames of {len(z)} atoms"
            raise DataError(what, where=str(path), remedy="expected one row an atom.")
        rows = value[:frames].reshape(-1, *value.shape[2:]) if node else value[:frames]
        tensors[label] = torch.from_numpy(np.ascontiguousarray(rows))
    notes = [*decided.notes, units_note(fields, table, stated)]
    return GraphStore(
        tensors,
        torch.arange(frames + 1) * len(z),
        levels,
        name=str(path),
        units={label: CANONICAL.get(label, table.get(label, "")) for label in fields},
        notes=notes,
        decisions=decided.table(table, frames),
    )
