"""Structures as files give them, to be used: nothing that ASE keeps of a structure is lost, and no label is read."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import all_properties
from ase.calculators.singlepoint import SinglePointCalculator
from ase.constraints import FixAtoms, FixCartesian

from intertwine.data.files import read_frames
from intertwine.data.folders import is_several, members
from intertwine.data.frames import Frame, check, decide_periodicity, place
from intertwine.data.labels import AMBIGUOUS_ATOM_COUNTS
from intertwine.data.names import parse
from intertwine.data.npz import NAMES, arrays_of, required
from intertwine.data.opening import ending, require_file
from intertwine.data.progress import progress_bar
from intertwine.data.units import CANONICAL, DIMENSIONS, complete, factor
from intertwine.geometry import FIELDS
from intertwine.numerics import DataError, InputError, nearest

#: Formats that hold numbers of any unit. All others are one program's, whose unit ASE knows: it gives A.
CONTAINERS = (".xyz", ".extxyz", ".traj", ".db", ".json", ".npz", ".lammpstrj", ".dump", ".data", ".nc")
#: Columns that ASE gives a meaning, with type and shape of one atom's entry.
SPECIAL: dict[str, tuple[type, tuple[int, ...]]] = {
    "tags": (int, ()), "momenta": (float, (3,)), "masses": (float, ()), "initial_charges": (float, ()),
    "initial_magmoms": (float, ()),
}  # fmt: skip
#: Names of what atoms have, where an array could as well be a vector of the structure.
OF_ATOMS_BY_NAME = re.compile(
    r"q|tags|momenta|(.*_)?(charges?|mass(es)?|spins?|magmoms?|velocit(y|ies)|forces?|energies)", re.IGNORECASE
)
STRESSES = ("stress", "virial", "virials")


@dataclass
class Structures:
    """The structures of a file, or of several.

    Args:
        atoms: each as ASE keeps it, positions and cell in A: constraints, masses, charges, moments, tags, momenta, info
            and arrays; what the file calculated, in the file's units, is the result of its calculator.
        notes: what was assumed, one sentence each.
        places: file and frame of each, for messages.
        files: the files, and the first structure of each.
        read: number of structures that were read, of which only the last may be here.
        assumed: positions of some were taken to be in A though nothing says so.
    """

    atoms: list[Atoms]
    notes: list[str] = field(default_factory=list)
    places: list[str] = field(default_factory=list)
    files: tuple[tuple[str, int], ...] = ()
    read: int = 0
    assumed: bool = False


def read_structures(
    path: str | Path,
    *,
    units: Mapping[str, str] | None = None,
    of_run: Mapping[str, str] | None = None,
    keys: Mapping[str, str] | None = None,
    limit: int | None = None,
    last: bool = False,
    progress: bool = True,
) -> Structures:
    """The structures of a file, or of a folder or pattern of files, for use by a model. Labels are not read: they may
    be missing, wrong, or in one frame only.

    Args:
        path: a file that :func:`~intertwine.data.read_file` reads; or a folder or a pattern, whose files come in
            natural order.
        units: units in the file, by quantity; that of "pos" matters.
        of_run: units of the data that the model was trained on. They hold where neither ``units`` nor the file says
            anything, but not in formats whose unit is fixed (POSCAR, CIF, ...).
        keys: names of the positions and atomic numbers in an npz, if they are not the usual ones.
        limit: only the first structures.
        last: only the last structure.
        progress: show a bar.

    Raises:
        DataError: the file is missing, empty, damaged or of an unknown format, or a structure is unusable: no atoms, an
            unknown element, a position that is not finite, a singular cell, partially occupied sites; frames count from
            0.
        InputError: an unknown unit.
    """
    path = Path(path).expanduser()
    files, notes = _files(path)
    for name, unit in (units or {}).items():
        if name not in DIMENSIONS:
            raise InputError(
                f"a unit is given for {name!r}, which is not read", where="units", remedy=nearest(name, DIMENSIONS)
            )
        factor(unit, name)  # an unknown one is said
    cells: set[bytes] = set()
    structures: Any = deque(maxlen=1) if last else []
    read = 0
    with progress_bar(f"reading {path.name}", limit, progress) as advance:
        for each in islice(_frames(files, keys or {}), limit):
            structures.append(each)
            read += 1
            advance(1)
    frames = [frame for _, frame in structures]
    for frame in frames:
        check(frame, cells)
    if not frames:
        remedy = "get it again; it may be truncated, or of another format than its name says."
        raise DataError("the file holds no structures", where=str(path), remedy=remedy)
    boxes = [frame.cell for frame in frames]  # that of an open structure is kept, though it means nothing to a model
    notes += decide_periodicity(
        frames, any(str(name).lower().endswith(STRESSES) for frame in frames for name in frame.values)
    )
    atoms, assumed = [], False
    for (file, frame), box in zip(structures, boxes, strict=True):
        unit, said = _length(file, frame, dict(units or {}), dict(of_run or {}))
        assumed = assumed or (said is None and not _fixes(file, frame))
        if said and said not in notes:
            notes.append(said)
        kept = units_of_labels(frame, unit, units or {}, of_run or {}, keys or {})
        atoms.append(_atoms(frame, box, factor(unit, "pos"), kept, declare=said is not None))
    names = [str(file) for file, _ in structures]
    begun = tuple((name, k) for k, name in enumerate(names) if k == 0 or name != names[k - 1])
    return Structures(atoms, notes, [frame.where for frame in frames], begun, read, assumed)


def declared_units(path: str | Path) -> dict[str, str]:
    """The units that a file, or the first of several, declares itself, by its own names of quantities; those of its
    first frame. A format that fixes its units (POSCAR, OUTCAR, ...) declares those that ASE gives."""
    (path, *_), _ = _files(Path(path).expanduser())
    frame = next(iter(read_frames(path)), None) if path.suffix.lower() != ".npz" else None
    if frame is None:
        return {}
    return (CANONICAL if _fixes(path, frame) else {}) | _declared(frame)


def _files(path: Path) -> tuple[list[Path], list[str]]:
    """The files to read, and notes about those of a folder that are not."""
    if is_several(path):
        return members(path)
    require_file(path)
    return [path], []


def _frames(files: Sequence[Path], keys: Mapping[str, str]) -> Iterator[tuple[Path, Frame]]:
    """The frames of the files, one after the other, each with its file."""
    for path in files:
        for frame in _npz(path, keys) if path.suffix.lower() == ".npz" else read_frames(path):
            yield path, frame


def _fixes(path: Path, frame: Frame) -> bool:
    """Whether the format is one program's, whose units ASE knows."""
    return frame.atoms is not None and ending(path)[0] not in CONTAINERS


def _declared(frame: Frame) -> dict[str, str]:
    info = {} if frame.atoms is None else frame.atoms.info
    return {name[:-5]: str(value) for name, value in info.items() if str(name).endswith("_unit")} | frame.units


def _length(path: Path, frame: Frame, told: dict[str, str], of_run: dict[str, str]) -> tuple[str, str | None]:
    """The unit of positions, and a sentence on it wherever it might be another than A."""
    declared = _declared(frame).get("pos")
    if "pos" in told:
        return told["pos"], f"positions read in {told['pos']}, as --unit says"
    if declared is not None:
        return declared, f"positions read in {declared}, as the file declares"
    if "pos" not in of_run:
        return "A", None
    if _fixes(path, frame):
        return (
            "A",
            (
                "positions read in A, which this format fixes; "
                f"those of the run were in {of_run['pos']} (--unit pos={of_run['pos']})"
            ),
        )
    return of_run["pos"], f"positions read in {of_run['pos']}, the unit of the run (--unit pos=A for another)"


def units_of_labels(
    frame: Frame, length: str, told: Mapping[str, str], of_run: Mapping[str, str], keys: Mapping[str, str]
) -> dict[str, str]:
    """The units of the labels that a frame has, by its own names: they stay in them while positions become A, so a file
    that is written has to say it. None where everything is in eV and A.

    Args:
        frame: the structure.
        length: the unit that its positions were in.
        told: units by label, before those that the file declares.
        of_run: units by label, where nothing else is said.
        keys: the file's own names of labels.
    """
    declared = _declared(frame)
    if not (told or of_run or declared) and length == "A":
        return {}
    called = {key: label for label, key in keys.items()}
    units: dict[str, str] = {}
    for name in (*frame.values, *frame.columns):
        meaning = parse(name)
        label = called.get(name) or (meaning.quantity if meaning is not None else name)
        label = "energy" if label == "free_energy" else label
        energy = told.get("energy") or declared.get(keys.get("energy", "energy")) or of_run.get("energy", "eV")
        own = told.get(label) or declared.get(name) or of_run.get(label)
        unit = own or (complete({"energy": energy, "pos": length}).get(label) if label in DIMENSIONS else None)
        if unit and label != "pos":
            units[name] = unit
    return units


def _atoms(frame: Frame, box: np.ndarray | None, scale: float, labelled: Mapping[str, str], *, declare: bool) -> Atoms:
    """A frame as ASE's object: ASE's own, or made as ASE would have; ``labelled`` are the units of its labels."""
    atoms = _kept(frame) if frame.atoms is not None else _made(frame, box)
    atoms.info |= {f"{name}_unit": unit for name, unit in labelled.items()}
    if scale != 1.0:
        atoms.arrays["positions"] *= scale  # not set_positions, which holds fixed atoms
        atoms.cell[:] *= scale
        atoms.set_celldisp(atoms.get_celldisp() * scale)
    if declare:
        atoms.info["pos_unit"] = (
            "A"  # or another unit that the file or the run names would be taken for that of an output
        )
    return atoms


def _kept(frame: Frame) -> Atoms:
    """What ASE read, with what our readers found besides: masses of isotopes, entries of a database."""
    atoms = frame.atoms
    for name in SPECIAL:
        if name in frame.columns and name not in atoms.arrays:
            atoms.set_array(name, np.asarray(frame.columns[name]))
    for name, value in frame.values.items():
        if name not in atoms.info and name not in all_properties and name != "constraints":
            atoms.info[name] = value
    if frame.reader in ("db", "ase:json"):
        _add_results(atoms)
    return atoms


def _add_results(atoms: Atoms) -> None:
    """Labels among the entries of a row become results of the calculator, where they are that of a structure."""
    shapes = {"energy": (1,), "free_energy": (1,), "forces": (len(atoms), 3), "stress": (6,), "dipole": (3,)}
    results = dict(atoms.calc.results) if atoms.calc is not None else {}
    for name, shape in shapes.items():
        array = np.asarray(atoms.info.get(name, ""))
        if name not in results and array.dtype.kind in "fiu" and array.size == np.prod(shape):
            array = array.astype(float).reshape(shape)
            results[name] = float(array[0]) if shape == (1,) else array
            del atoms.info[name]
    if results:
        atoms.calc = SinglePointCalculator(atoms)
        atoms.calc.results.update(results)


def _made(frame: Frame, box: np.ndarray | None) -> Atoms:
    atoms = Atoms(frame.numbers, frame.positions, cell=box, pbc=False if frame.pbc is None else frame.pbc)
    results: dict[str, Any] = {}
    for name, column in frame.columns.items():
        if name == "move_mask":
            atoms.set_constraint(_fixed(column, frame))
        elif name in all_properties:
            results[name] = column
        elif name in SPECIAL:
            kind, shape = SPECIAL[name]
            array = np.asarray(column)
            if array.shape[1:] != shape or array.dtype.kind not in "fiub":
                remedy = f"give {int(np.prod(shape))} number{'s' if shape else ''} per atom."
                raise DataError(f"{name} has shape {array.shape}", where=frame.where, remedy=remedy)
            atoms.set_array(name, array.astype(kind))
        else:
            atoms.set_array(name, np.asarray(column))
    for name, value in frame.values.items():
        if name == "celldisp" and np.size(value) == 3:
            atoms.set_celldisp(np.reshape(value, 3))
        elif name in all_properties:
            results[name] = value
        else:
            atoms.info[name] = value
    if frame.comment and not frame.values and "=" not in frame.comment:
        atoms.info["comment"] = frame.comment
    if results:
        atoms.calc = SinglePointCalculator(atoms)
        atoms.calc.results.update(results)  # as they are: the constructor would check labels
    return atoms


def _fixed(mask: Any, frame: Frame) -> list[Any]:
    """Constraints of extended xyz's ``move_mask``: T (or 1) where an atom, or a coordinate of it, may move."""
    free = np.asarray(mask)
    if free.shape not in ((len(frame.numbers),), (len(frame.numbers), 3)) or free.dtype.kind not in "fiub":
        raise DataError(
            f"move_mask has shape {free.shape}", where=frame.where, remedy="give one or three logicals (T, F) per atom."
        )
    free = free.astype(bool)
    if free.ndim == 1:
        return [FixAtoms(mask=~free)] if not free.all() else []
    whole = ~free.any(1)
    constraints: list[Any] = [FixAtoms(mask=whole)] if whole.any() else []
    for row in np.unique(free[~whole & ~free.all(1)], axis=0):
        constraints.append(FixCartesian(np.flatnonzero((free == row).all(1)), mask=~row))
    return constraints


def _npz(path: Path, keys: Mapping[str, str]) -> Iterator[Frame]:
    """Frames of an npz of one molecule (MD17 and the like); arrays with a row per frame are kept by name."""
    arrays = arrays_of(path)
    keys_read = {label: required(path, label, keys.get(label), arrays) for label in NAMES}
    z, pos = arrays.pop(keys_read["z"]).reshape(-1).astype(np.int64), arrays.pop(keys_read["pos"]).astype(np.float64)
    if pos.ndim != 3 or pos.shape[1:] != (len(z), 3) or not len(pos):
        raise DataError(
            f"positions have shape {pos.shape} for {len(z)} atoms",
            where=str(path),
            remedy="expected (frames, atoms, 3).",
        )
    rows = {name: array for name, array in arrays.items() if array.shape[:1] == (len(pos),)}
    of_atoms = {name for name, array in rows.items() if _has_rows_of_atoms(name, array.shape[1:], len(z))}
    for k in range(len(pos)):
        frame = Frame(z, pos[k], place(path, k))
        for name, array in rows.items():
            (frame.columns if name in of_atoms else frame.values)[name] = array[k]
        yield frame


def _has_rows_of_atoms(name: str, shape: tuple[int, ...], atoms: int) -> bool:
    """Whether an array of a frame belongs to the atoms: by its name, or because it has as many rows where that is no
    chance; three numbers of a molecule of three atoms are a vector of the molecule."""
    meaning = parse(name)
    if meaning is not None or name in FIELDS:
        of_atoms = meaning.quantity == "forces" if meaning is not None else FIELDS[name].level == "node"
    else:
        of_atoms = OF_ATOMS_BY_NAME.fullmatch(name) is not None or atoms not in AMBIGUOUS_ATOM_COUNTS
    return of_atoms and shape[:1] == (atoms,)
