"""The file of labels, written whole from a finished journal."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from intertwine.data.label_files import FAILURES, FORMAT, MOLECULES, PACKED, REMARKS, SCHEMA, packed
from intertwine.labels.journal import Journal
from intertwine.labels.programs import program
from intertwine.labels.recipe import MATRICES, UNITS, Recipe
from intertwine.labels.structure import Structure
from intertwine.numerics import replacing

AT_ONCE = 64  # structures that are written at a time


def write_labels(path: Path, journal: Journal, structures: Sequence[Structure], source: str) -> None:
    """Write the file of labels (:mod:`intertwine.data.label_files`); it is there whole or not at all.

    Args:
        path: of the file.
        journal: with an outcome for every structure.
        structures: all of them, in order.
        source: what was labelled, in words.

    Raises:
        CheckpointError: it can't be written.
    """
    failed = [(s.frame, reason) for s in structures if (reason := journal.reason(s.frame))]
    lost = {frame for frame, _ in failed}
    molecules: dict[bytes, list[Structure]] = {}
    for structure in structures:
        if structure.frame not in lost:
            molecules.setdefault(np.asarray(structure.numbers, dtype=np.int64).tobytes(), []).append(structure)
    h5py = program("h5py")
    with replacing(path) as temporary, h5py.File(temporary, "w", locking=False) as file:
        _describe(file, journal.recipe, journal.structures, source)
        for number, members in enumerate(molecules.values()):
            _write_group(file.create_group(f"{MOLECULES}/{number:06d}"), members, journal)
        doubtful = [
            (s.frame, remark) for s in structures if s.frame not in lost and (remark := journal.remark(s.frame))
        ]
        for name, column, said in ((FAILURES, "reason", failed), (REMARKS, "remark", doubtful)):
            if said:
                group = file.create_group(name)
                group["frame"] = np.array([frame for frame, _ in said], dtype=np.int64)
                group.create_dataset(column, data=[words for _, words in said], dtype=h5py.string_dtype())


def _describe(file: Any, recipe: Recipe, structures: str, source: str) -> None:
    file.attrs["format"], file.attrs["schema"] = FORMAT, SCHEMA
    file.attrs["recipe"], file.attrs["structures"], file.attrs["source"] = recipe.text(), structures, source
    for name, value in {
        "method": recipe.method,
        "xc": recipe.xc,
        "basis": recipe.basis,
        "grid": "none" if recipe.grid is None else recipe.grid,
        "energy_threshold_Eh": recipe.energy_threshold,
        "program": f"{recipe.program} {recipe.versions[recipe.program]}",
    }.items():
        file.attrs[name] = value


def _write_group(group: Any, members: Sequence[Structure], journal: Journal) -> None:
    count = len(members)
    group["atomic_numbers"] = np.asarray(members[0].numbers, dtype=np.int16)
    group["frame"] = np.array([s.frame for s in members], dtype=np.int64)
    group["total_charge"] = np.array([s.charge for s in members], dtype=np.int64)
    group["total_charge"].attrs["units"] = "e"
    group.create_dataset("conformations", data=np.stack([s.positions for s in members])).attrs["units"] = "A"
    for start in range(0, count, AT_ONCE):
        rows = [journal.read(s.frame).labels for s in members[start : start + AT_ONCE]]
        for name in journal.recipe.want:
            block = np.stack([packed(row[name]) if name in MATRICES else row[name] for row in rows])
            if name not in group:
                shape, chunks = (count, *block.shape[1:]), (min(count, AT_ONCE), *block.shape[1:])
                array = group.create_dataset(
                    name, shape, block.dtype, chunks=chunks, compression="gzip", compression_opts=4, shuffle=True
                )
                array.attrs["units"] = UNITS[name]
                if name in MATRICES:
                    array.attrs["format"] = PACKED
                    array.attrs["order"] = "upper triangle by rows; orbitals in PySCF's order, spherical"
            group[name][start : start + len(rows)] = block
