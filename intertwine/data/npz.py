"""Trajectories of one molecule as npz: MD17 (z, R, E, F) and revised MD17 (nuclear_charges, coords, energies, forces)."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from intertwine.data.frames import place
from intertwine.data.keys import check_name
from intertwine.data.store import GraphStore
from intertwine.data.units import CANONICAL, DIMENSIONS, complete, factor
from intertwine.geometry import FIELDS
from intertwine.numerics import DataError, InputError, nearest

#: The arrays' names in the two data sets and their like, best first.
NAMES = {
    "z": ("nuclear_charges", "z", "Z", "numbers", "atomic_numbers"),
    "pos": ("coords", "R", "positions", "pos", "coordinates"),
    "energy": ("energies", "E", "energy"),
    "forces": ("forces", "F", "force"),
}


def read_npz(
    path: Path,
    *,
    keys: Mapping[str, str] | None = None,
    units: Mapping[str, str] | None = None,
    target: str | None = None,
    limit: int | None = None,
) -> GraphStore:
    """All frames of an npz file; MD17 and rMD17 are in kcal/mol and kcal/mol/A, others in eV unless ``units`` says otherwise.

    Raises:
        DataError: the file is damaged, lacks an array, an array has a wrong shape, or a number is not finite.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files if archive[name].dtype.kind in "iuf"}
    except (OSError, ValueError, zipfile.BadZipFile, EOFError, zipfile.LargeZipFile) as error:
        raise DataError(f"not a sound npz file: {error}", where=str(path), remedy="get the file again.") from error
    sources = _sources(path, arrays, dict(keys or {}), target)
    for label in units or {}:
        if label not in sources and label not in DIMENSIONS:
            remedy = nearest(label, [*DIMENSIONS, *sources])
            raise InputError(f"a unit is given for {label!r}, which is not read", where="units", remedy=remedy)
    known = "rMD17" if sources["z"] == "nuclear_charges" else "MD17" if set("zREF") <= set(arrays) else None
    table = complete(units if units else {"energy": "kcal/mol"} if known else {})
    z, pos = arrays[sources["z"]].astype(np.int64).reshape(-1), arrays[sources["pos"]].astype(np.float64)
    if pos.ndim != 3 or pos.shape[1:] != (len(z), 3) or not len(pos) or not len(z):
        raise DataError(f"positions have shape {pos.shape} for {len(z)} atoms", where=str(path), remedy="expected (frames, atoms, 3).")
    if z.min() < 1 or z.max() > 118:
        raise DataError("an atomic number is outside 1 to 118", where=str(path), remedy="repair the array of nuclear charges.")
    fields = {"pos": _scaled(pos, "pos", table, path)}
    fields |= {label: _label(arrays[key], label, pos, table, path) for label, key in sources.items() if label not in ("z", "pos")}
    return _store(path, z, fields, table, known, bool(units), limit)


def _sources(path: Path, arrays: dict[str, np.ndarray], keys: dict[str, str], target: str | None) -> dict[str, str]:
    """The array that each label is read from."""
    sources: dict[str, str] = {}
    for label, usual in NAMES.items():
        asked = keys.get(label)
        if asked is not None and asked not in arrays:
            raise DataError(f"there is no array {asked!r} to read {label!r} from", where=str(path), remedy=nearest(asked, arrays))
        found = asked or next((name for name in usual if name in arrays), None)
        if found is None and label in ("z", "pos"):
            raise DataError(
                f"there is no array of {label!r}",
                where=str(path),
                remedy=f"expected one of {', '.join(usual)}; found {', '.join(arrays) or 'none'}.",
            )
        if found is not None:
            sources[label] = found
    extra = {label: key for label, key in keys.items() if label not in NAMES} | ({target: target} if target else {})
    for label, key in extra.items():
        if label not in sources:
            check_name(label)
            if key not in arrays:
                raise DataError(f"there is no array {key!r} to read {label!r} from", where=str(path), remedy=nearest(key, arrays))
            sources[label] = key
    return sources


def _label(array: np.ndarray, label: str, pos: np.ndarray, table: dict[str, str], path: Path) -> np.ndarray:
    """A label with one row a frame; energies may have an axis of length 1 more."""
    value = array.astype(np.float64)
    shape = {"energy": (len(pos),), "forces": pos.shape}.get(label, value.shape)
    if label == "energy" and value.size == len(pos):
        value = value.reshape(shape)
    if value.shape != shape or value.shape[:1] != (len(pos),):
        raise DataError(f"{label} has shape {value.shape} for {len(pos)} frames", where=str(path), remedy="expected one row a frame.")
    return _scaled(value, label, table, path)


def _scaled(value: np.ndarray, label: str, table: dict[str, str], path: Path) -> np.ndarray:
    bad = np.flatnonzero(~np.isfinite(value.reshape(len(value), -1)).all(-1))
    if len(bad):
        raise DataError(f"{label} is not finite", where=place(path, int(bad[0])), remedy="remove or repair that frame.")
    return value * factor(table.get(label, CANONICAL.get(label, "")), label)


def _store(
    path: Path, z: np.ndarray, fields: dict[str, np.ndarray], table: dict[str, str], known: str | None, told: bool, limit: int | None
) -> GraphStore:
    frames = min(len(fields["pos"]), limit or len(fields["pos"]))
    tensors, levels = {"z": torch.from_numpy(np.tile(z, frames))}, {"z": "node"}
    for label, value in fields.items():
        node = FIELDS[label].level == "node" if label in FIELDS else value.shape[1:2] == (len(z),)
        levels[label] = "node" if node else "graph"
        rows = value[:frames].reshape(-1, *value.shape[2:]) if node else value[:frames]
        tensors[label] = torch.from_numpy(np.ascontiguousarray(rows))
    stated = "as told" if told else f"those of {known}" if known else "assumed"
    notes = [f"no {label} in the file" for label in ("energy", "forces") if label not in fields]
    notes.append(f"units {stated}: " + ", ".join(f"{label} in {table[label]}" for label in fields if table.get(label)))
    return GraphStore(
        tensors,
        torch.arange(frames + 1) * len(z),
        levels,
        name=str(path),
        units={label: CANONICAL.get(label, table.get(label, "")) for label in fields},
        notes=notes,
    )
