"""Structures in the form in which a format holds all of them, and what of them it does not hold."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import read
from ase.io.extxyz import key_val_str_to_dict

from intertwine.data.files import read_frames
from intertwine.data.marks import IN_DATA, OF_ATOMS
from intertwine.geometry import from_voigt, six
from intertwine.integrations.rows import ARRAYS, DATABASES

RESULTS_OF_ATOMS = {"charges", "magmoms"}  # what ASE's reader makes of columns "charge" and "magmom"
READ_BACK = 6  # structures of a file, at most, that are looked at for what it does not hold
CONSTRAINTS = "constraints"  # what those are called that a file does not hold, before their kinds
PLACES = ("FixAtoms", "FixCartesian", "FixScaled")  # constraints that hold coordinates


def pack(atoms: Atoms, kind: str) -> Atoms:
    """The structure in the form in which ASE writes all of it: what extended xyz and trajectories have no place for
    goes to ``info``.
    """
    if kind not in ("extxyz", "traj"):
        return atoms
    packed = atoms.copy()
    packed.calc = atoms.calc
    packed.info.pop(IN_DATA, None)
    for name, array in list(packed.arrays.items()):
        text = array.dtype.kind in "USO"
        if kind == "traj" and name not in ARRAYS:
            packed.info[name] = packed.arrays.pop(name)
            packed.info[OF_ATOMS] = [*packed.info.get(OF_ATOMS, []), name]
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


def with_six_stresses(atoms: Atoms) -> Atoms:
    """The structure with its stress as ASE has it, in six numbers; a file of extended xyz may give nine, which ASE
    can't read from its other formats.
    """
    results = getattr(atoms.calc, "results", {})
    stress = results.get("stress")
    if stress is None or np.size(stress) != 9:
        return atoms
    result = atoms.copy()
    other = {name: value for name, value in results.items() if name != "stress"}
    result.calc = SinglePointCalculator(result, **other, stress=six(stress))
    result.calc.name = atoms.calc.name
    return result


def lost(path: Path, frames: Sequence[Atoms], kind: str) -> list[str]:
    """What of structures is not in a file that they were written to, by those that have between them all entries and
    kinds of constraints; nothing is said of formats that are not read.
    """
    return list(
        dict.fromkeys(name for index in _between_them(frames) for name in _lost(path, frames[index], kind, index))
    )


def _between_them(frames: Sequence[Atoms]) -> list[int]:
    """A few structures with all that the others have: the one with most, and each that has more than those before."""
    carried = [{*_names(atoms), *(type(each) for each in atoms.constraints)} for atoms in frames]
    order = sorted(range(len(frames)), key=lambda k: -len(carried[k]))
    known: set[Any] = set()
    picked = []
    for k in order:
        if not carried[k] <= known:
            known |= carried[k]
            picked.append(k)
    return picked[:READ_BACK] or order[:1]


def _lost(path: Path, atoms: Atoms, kind: str, index: int) -> list[str]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            again, kept = _read_back(path, kind, index)
    except Exception:  # a picture, or a format that ASE only writes
        return []
    held = {type(constraint).__name__ for constraint in again.constraints}
    held |= set(PLACES) if held & set(PLACES) else set()  # which one a format speaks of differs
    missing = [
        f"{CONSTRAINTS} ({name})"
        for name in dict.fromkeys(type(c).__name__ for c in atoms.constraints)
        if name not in held
    ]
    if atoms.cell.any() and not np.allclose(again.cell.cellpar(), atoms.cell.cellpar(), rtol=1e-3):  # it may be turned
        missing.append("cell")
    kept |= {name.removesuffix("s") for name in kept & RESULTS_OF_ATOMS}
    return [*missing, *(name for name in _names(atoms) if name not in kept)]


def _names(atoms: Atoms) -> list[str]:
    """The names of all that a structure carries."""
    results = atoms.calc.results if atoms.calc is not None else {}
    names = dict.fromkeys(str(name) for table in (results, atoms.arrays, atoms.info) for name in table)
    return [name for name in names if name != IN_DATA]


def _read_back(path: Path, kind: str, index: int) -> tuple[Atoms, set[str]]:
    """A structure of a file, and the names of everything that is there with it."""
    if kind in DATABASES:  # of whose rows ASE's reader of files gives the structure alone
        frame = next(islice(read_frames(path), index, None))
        return frame.atoms, {*frame.values, *frame.columns, "numbers", "positions"}
    again: Any = read(path, index=index, format=kind)
    return again, {*again.arrays, *again.info, *(again.calc.results if again.calc is not None else ())}


def _entry(name: Any, value: Any) -> Any:
    """An entry of ``info`` that comes back from a comment line as it went in; ASE writes numbers, plain words and flat
    arrays rightly.
    """
    if name in ("virial", "stress") and np.size(value) == 6:
        return from_voigt(np.reshape(value, 6))
    flat = isinstance(value, np.ndarray) and value.shape != (1,)  # which would come back as a number
    if flat or isinstance(value, int | float | np.generic) or (isinstance(value, str) and _is_word(value)):
        return value
    try:
        text = json.dumps(value, default=_plain)
    except (TypeError, ValueError):
        return value
    return "_JSON " + text.replace("\\", "\\\\")  # its reader takes a backslash away


def _is_word(text: str) -> bool:
    """Whether a text comes back as it is: not as a number (an identity "007") or a logical ("T"), and on one line."""
    return bool(text) and not set(text) & set('\n\r\\"') and key_val_str_to_dict(f'word="{text}"') == {"word": text}


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):
        return value.tolist()
    if hasattr(value, "todict"):
        return value.todict()
    raise TypeError(type(value).__name__)
