"""One structure as a file gives it, before anyone has decided which of its numbers are labels."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from ase.data import chemical_symbols

from intertwine.data.inputs import refuse_partial
from intertwine.geometry import neighbour_list
from intertwine.numerics import DataError, GeometryError

#: Coordinate or lattice vector beyond which float64 can't tell atoms from their neighbours well.
LARGEST_COORDINATE = 1e7
SMALLEST_CELL_HEIGHT = 1e-2  # height of a cell, in any usual unit less than the distance of two nuclei
ISOLATED_ANGSTROM = 15.0  # A between the images of a single atom beyond which it is an isolated one in a box
#: A between periodic images beyond which a box whose periodicity the file does not state is empty space.
VACUUM_ANGSTROM = 20.0


@dataclass
class Frame:
    """A structure of a file.

    Args:
        numbers: atomic numbers (N,).
        positions: (N, 3) in the file's unit.
        where: file and frame, for messages.
        cell: lattice vectors as rows (3, 3), or None.
        pbc: periodic along each, or None if the file does not say.
        values: quantities of the whole structure, by the file's own names.
        columns: quantities of each atom (N, ...), by the file's own names.
        units: units that the file itself declares, by those names.
        reader: what made the frame: "xyz", "qm9" (its authors' files), "sdf", "hdf5", "pymatgen", "db", or "ase:" and
            ASE's format.
        comment: the comment line of an xyz file.
        atoms: the structure as ASE read it, where ASE did (``ase.Atoms``): constraints, masses, tags and all.
        notes: what the reader decided about the file, one sentence each.
        recipe: how the labels were computed, as JSON, where the file says it (:mod:`intertwine.data.label_files`).
        remark: what the file says against the labels of this frame.
    """

    numbers: np.ndarray
    positions: np.ndarray
    where: str
    cell: np.ndarray | None = None
    pbc: np.ndarray | None = None
    values: dict[str, Any] = field(default_factory=dict)
    columns: dict[str, np.ndarray] = field(default_factory=dict)
    units: dict[str, str] = field(default_factory=dict)
    reader: str = ""
    comment: str = ""
    atoms: Any = None
    notes: tuple[str, ...] = ()
    recipe: str = ""
    remark: str = ""


def place(path: Any, frame: int) -> str:
    """How messages name a frame."""
    return f"{path}, frame {frame} (counted from 0)"


def several(places: Sequence[str], most: int) -> str:
    """How messages name several frames: each file once, and no more frames than ``most``.

    Args:
        places: of the frames, as :func:`place` has them.
        most: how many are named; of the others their number is.

    >>> several([place("a.xyz", 1), place("a.xyz", 4), place("b.xyz", 0), place("b.xyz", 2)], 3)
    'a.xyz, frames 1, 4; b.xyz, frame 0; and 1 more (counted from 0)'
    """
    by_file: dict[str, list[str]] = {}
    for file, _, number in (text.rpartition(", frame ") for text in places[:most]):
        by_file.setdefault(file, []).append(number.partition(" ")[0])
    names = [f"{file}, frame{'s' * (len(ks) > 1)} {', '.join(ks)}" for file, ks in by_file.items()]
    more = [f"and {len(places) - most:,} more"] if len(places) > most else []
    return f"{'; '.join([*names, *more])} (counted from 0)"


def in_file(files: Sequence[tuple[str, int]], number: int) -> tuple[str, int]:
    """The file of a structure, and its number there.

    Args:
        files: the files, and the first structure of each.
        number: of the structure in all of them together.
    """
    file, first = next((entry for entry in reversed(files) if entry[1] <= number), files[0])
    return file, number - first


def atom(frame: Frame, k: int) -> str:
    """How messages name an atom of a frame: its number, from 0, and its symbol."""
    z = int(frame.numbers[k])
    return f"atom {k}" + (f" ({chemical_symbols[z]})" if 0 < z < len(chemical_symbols) else "")


def check(frame: Frame, cells: set[bytes]) -> Frame:
    """The frame itself, if its atoms and its cell are sound.

    Args:
        frame: the structure.
        cells: cells that were found sound already; updated.

    Raises:
        DataError: no atoms, an unknown element, a position that is not finite or absurdly far, sites that are occupied
            in part, or a cell that is singular or absurdly small; file and frame are named.
    """
    if not len(frame.numbers):
        raise DataError("there are no atoms", where=frame.where, remedy="remove the frame.")
    bad = np.flatnonzero((frame.numbers < 1) | (frame.numbers > 118))
    if len(bad):
        raise DataError(
            f"atom {bad[0]} has atomic number {frame.numbers[bad[0]]}",
            where=frame.where,
            remedy="atomic numbers run from 1 to 118.",
        )
    for what, fails in (
        ("is not finite", ~np.isfinite(frame.positions)),
        (f"is beyond {LARGEST_COORDINATE:.0e}", np.abs(frame.positions) > LARGEST_COORDINATE),
    ):
        bad = np.flatnonzero(fails.any(-1))
        if len(bad):
            raise DataError(
                f"the position of {atom(frame, int(bad[0]))} {what}",
                where=frame.where,
                remedy="remove or repair that frame.",
            )
    refuse_partial(frame.values, frame.columns, frame.where)
    if frame.cell is not None and (frame.pbc is None or frame.pbc.any()):
        key = frame.cell.tobytes() + (b"" if frame.pbc is None else frame.pbc.tobytes())
        if key not in cells:
            _check_cell(frame, frame.cell)
            cells.add(key)
    elif frame.cell is None and frame.pbc is not None and frame.pbc.any():
        raise DataError("periodic without a cell", where=frame.where, remedy="give the lattice vectors, or pbc=False.")
    return frame


def _check_cell(frame: Frame, cell: np.ndarray) -> None:
    periodic = [True, True, True] if frame.pbc is None else [bool(p) for p in frame.pbc]
    remedy = "repair that frame."
    if np.isfinite(cell).all():
        lengths = np.sqrt((np.clip(cell, -1e150, 1e150) ** 2).sum(1))[periodic]
        if lengths.max() > LARGEST_COORDINATE:
            raise DataError(f"a lattice vector is {lengths.max():.3g} long", where=frame.where, remedy=remedy)
        if 0 < lengths.min() < SMALLEST_CELL_HEIGHT:  # zero is singular, which the list of neighbours says better
            raise DataError(f"a lattice vector is {lengths.min():.3g} long", where=frame.where, remedy=remedy)
        reach = 1e-3 * max(float(np.linalg.norm(cell, axis=1).max()), 1e-9)
    else:
        reach = 1.0
    x, y, z = periodic
    try:
        neighbour_list(
            torch.zeros(1, 3, dtype=torch.float64), reach, torch.from_numpy(np.array(cell, dtype=np.float64)), (x, y, z)
        )
    except GeometryError as error:
        raise DataError(error.what, where=frame.where, remedy=error.remedy) from error


def is_isolated(frame: Frame) -> bool:
    """Whether it is one atom alone: by its ``config_type`` (as MACE's files have it), or because it does not repeat in
    space, or in a box so wide (15 in the file's unit of length) that it does not see its images."""
    if len(frame.numbers) != 1:
        return False
    return _called_isolated(frame) or frame.pbc is None or not frame.pbc.any() or _in_wide_box(frame)


def _called_isolated(frame: Frame) -> bool:
    return len(frame.numbers) == 1 and any(
        key.lower() == "config_type" and re.sub(r"[\W_]", "", str(value)).lower() in ("isolatedatom", "isolatedatoms")
        for key, value in frame.values.items()
    )


def _in_wide_box(frame: Frame) -> bool:
    if frame.cell is None or frame.pbc is None or not frame.pbc.all():
        return False
    return bool((1 / np.linalg.norm(np.linalg.inv(frame.cell), axis=0) >= ISOLATED_ANGSTROM).all())


def in_vacuum(frame: Frame) -> bool:
    """Whether the box leaves at least 20 A of nothing between an atom and any periodic image, in every direction."""
    if frame.cell is None:
        return True
    inverse = np.linalg.inv(frame.cell)
    heights = 1 / np.linalg.norm(inverse, axis=0)
    return bool((heights * (1 - np.ptp(frame.positions @ inverse, axis=0)) > VACUUM_ANGSTROM).all())


def decide_periodicity(frames: Sequence[Frame], wanted: bool) -> list[str]:
    """Settle frames whose file gives a box but not whether it repeats; returns what was decided, for the notes.

    A molecule in a wide box is open: it has the same neighbours, and no stress. Everything else with a box is periodic.

    Args:
        frames: all frames of a file; changed in place.
        wanted: there are stress labels, so the box is meant.
    """
    unsaid = [frame for frame in frames if frame.cell is not None and frame.pbc is None]
    notes = []
    if unsaid:
        empty = not wanted and all(in_vacuum(frame) for frame in unsaid)
        for frame in unsaid:
            frame.pbc = np.full(3, not empty)
        notes.append(
            "the file gives a box and not its periodicity: taken as open, "
            f"with at least {VACUUM_ANGSTROM:.0f} A of vacuum around each molecule"
            if empty
            else "the file gives a box and not its periodicity: taken as periodic"
        )
    settled = {id(frame) for frame in unsaid}
    for frame in frames:
        alone = _called_isolated(frame) if id(frame) in settled else is_isolated(frame)
        if frame.cell is not None and (alone or (frame.pbc is not None and not frame.pbc.any())):
            frame.cell = frame.pbc = None
    return notes
