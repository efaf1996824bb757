"""Predictions as files that other programs read."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import chain, count
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import all_properties
from ase.calculators.singlepoint import SinglePointCalculator

from intertwine.data.files import PER_ATOM
from intertwine.data.labels import AMBIGUOUS_ATOM_COUNTS
from intertwine.data.marks import CALCULATED, CALCULATED_BY, IN_DATA, INITIAL, OURS, PREDICTED
from intertwine.data.names import parse
from intertwine.geometry import FIELDS, LEVELS, Graph, six, to_voigt
from intertwine.integrations.rows import ARRAYS
from intertwine.integrations.writing import COMPLETE, FORMATS, format_of, write_structures
from intertwine.numerics import InputError, replacing
from intertwine.tasks import Task

OF_ATOMS = ("node", "graph")  # levels that files of structures have places for
STRESS = {"stress": "eV/A^3"}  # a force field says it of periodic structures, also if it was not trained on it


def to_atoms(
    structure: Graph | Atoms,
    prediction: Mapping[str, Any] | None = None,
    levels: Mapping[str, str] | None = None,
    prefix: str = PREDICTED,
) -> Atoms:
    """A structure as ASE atoms, with everything that it has, and predictions beside it under names of their own.

    A prediction of the atoms is an array, ``atoms.arrays["predicted_forces"]``, one of the structure an entry,
    ``atoms.info["predicted_energy"]``: what was calculated before (``atoms.calc.results``) stays as it is.

    Args:
        structure: a structure of ASE, or one graph with atomic numbers.
        prediction: arrays by name.
        levels: what each belongs to, "node" or "graph", by name (:attr:`intertwine.tasks.Task.outputs`); others are
            left out. Default: what the name means, or as many rows as there are atoms, unless that may be chance.
        prefix: before the name of each prediction.

    Raises:
        InputError: the nodes are not atoms; or nothing tells whether an array has a row for each atom or is a vector or
            a tensor of the structure.
    """
    atoms = structure.copy() if isinstance(structure, Atoms) else structure.to_ase()
    results = _given(structure) if isinstance(structure, Atoms) else _given(atoms)
    atoms.calc = None
    atoms.info |= {name: value for name, value in results.items() if name not in all_properties}
    results = {name: value for name, value in results.items() if name in all_properties}
    if results:
        atoms.calc = SinglePointCalculator(atoms, **results)
    for name, value in (prediction or {}).items():
        array = np.asarray(value)
        level = levels.get(name) if levels is not None else _level_of(name, array, len(atoms))
        if level == "node":
            atoms.set_array(f"{prefix}_{name}", array)
        elif level == "graph":
            single = array[0] if array.ndim > 1 and len(array) == 1 and name in FIELDS else array
            single = six(array) if name in STRESS else single
            atoms.info[f"{prefix}_{name}"] = single.reshape(-1)[0].item() if single.size == 1 else single
    return atoms


def start_of(atoms: Atoms, by: str) -> dict[str, str]:
    """Mark what a file says of a structure that will be moved, in place: labels of the start get names that no reader
    takes for labels of another structure, and that nothing else of the structure has.

    A label is called ``initial_energy``; ``initial_calculated_charges`` where the structure has an entry or array of
    the first name, or ASE knows one (``initial_charges``, ``initial_magmoms``): those stay as given.

    Args:
        atoms: the structure; its calculator, if it has one, is taken away.
        by: what will move it and calculate its results.

    Returns:
        The new names of the labels that there were, by their former names.
    """
    labels: dict[str, str] = {}
    for table in (atoms.info, atoms.arrays):
        for name in [name for name in table if isinstance(name, str) and parse(name) is not None]:
            value = table.pop(name)
            labels[name] = _free_name(atoms, name)
            table[labels[name]] = value
    for name, value in _given(atoms).items():
        of_atoms = name in PER_ATOM and np.shape(value)[:1] == (len(atoms),)
        labels[name] = _free_name(atoms, name)
        (atoms.arrays if of_atoms else atoms.info)[labels[name]] = np.asarray(value) if of_atoms else value
    for name, new in labels.items():
        if f"{name}_unit" in atoms.info:
            atoms.info[f"{new}_unit"] = atoms.info.pop(f"{name}_unit")
    atoms.calc = None
    atoms.info[CALCULATED_BY] = f"{OURS}, {by}"
    return labels


def _free_name(atoms: Atoms, name: str) -> str:
    """What a label of the start is called: a name that neither the structure nor ASE uses already."""
    used = {*atoms.info, *atoms.arrays, *ARRAYS}
    calculated = f"{INITIAL}_{CALCULATED}_{name}"
    numbered = (f"{calculated}_{number}" for number in count(2))
    return next(each for each in chain((f"{INITIAL}_{name}", calculated), numbered) if each not in used)


def _level_of(name: str, array: np.ndarray, atoms: int) -> str:
    """What a prediction belongs to, where no task says it."""
    if name in FIELDS:
        return FIELDS[name].level
    if name in all_properties:
        return "node" if name in PER_ATOM else "graph"
    if array.ndim == 0 or len(array) != atoms:
        return "graph"
    if atoms in AMBIGUOUS_ATOM_COUNTS:
        what = f"{name} has shape {array.shape} for {atoms} atoms: a row for each, or of the structure?"
        raise InputError(what, where=name, remedy=f'say it: levels={{"{name}": "node"}} or "graph".')
    return "node"


def _given(atoms: Atoms) -> dict[str, Any]:
    """What a file says that was calculated, as far as it is numbers."""
    results = {} if atoms.calc is None else dict(atoms.calc.results)
    return {
        name: value for name, value in results.items() if value is not None and np.asarray(value).dtype.kind in "fiu"
    }


def write_predictions(
    path: Path,
    structures: Sequence[Graph | Atoms],
    predictions: Sequence[Mapping[str, Any]],
    task: Task,
    *,
    prefix: str = PREDICTED,
    keys: Mapping[str, str] | None = None,
) -> list[str]:
    """Write structures with predictions beside what they had: .xyz, .traj, .db, .json; or arrays, .npz. Energies are in
    eV, lengths in A. The file is there whole or not at all.

    Predictions are called ``predicted_energy``, ``predicted_forces`` and so on, a column of the atoms or an entry of
    the structure as the task says, and have their unit beside them (``predicted_energy_unit``); see :func:`to_atoms`.
    Where a structure has the label, the prediction has its shape: nine numbers for nine, a matrix for a matrix, six of
    Voigt's order for six. A stress has always six: xx, yy, zz, yz, xz, xy, which is ASE's order.

    A .json is an ASE database, whose members ``units`` and ``predictions`` (a mapping a structure) are for programs
    without ASE; where nodes are no atoms there is nothing else. An .npz has one array a prediction, by the same
    name, frames concatenated, NaN where a frame has none (a stress, of an open structure), its unit beside it, and
    ``atoms`` per frame; of pairs, edges and points, whose number that of the atoms does not tell,
    ``predicted_<name>_rows`` has their number per frame. Of the structures it has ``numbers``,
    ``positions``, ``cell`` and ``pbc``.

    Args:
        path: where to.
        structures: what was predicted for.
        predictions: arrays by name, for each structure.
        task: what predicted them.
        prefix: before the name of each prediction.
        keys: what the structures call a label, where it is not called as it is predicted.

    Returns:
        Notes: what the format does not hold of the structures.

    Raises:
        InputError: the suffix names no format that holds predictions, or one for atoms where the nodes are not, or one
            that can't hold pairs or points; or a structure has a prediction of that name already.
        CheckpointError: the file can't be written; the former one is intact.
    """
    path = Path(path)
    kind, units = holds(path, task), STRESS | {name: output.unit for name, output in task.outputs.items()}
    check_names(structures, task, prefix)
    predictions = [p | {name: six(p[name]) for name in STRESS if name in p} for p in map(dict, predictions)]
    frames: list[Atoms] = []
    if kind != "npz" and _are_atoms(structures):
        shaped = [_as_labelled(s, p, task, keys or {}) for s, p in zip(structures, predictions, strict=True)]
        frames = _frames(structures, shaped, task, prefix, units)
    if kind == "json":
        plain = [{name: np.asarray(value).tolist() for name, value in p.items()} for p in predictions]
        tables = {"units": units, "predictions": plain}
        if frames or not len(structures):
            return write_structures(path, frames, kind, tables)
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(tables, indent=1))
        return []
    if kind == "npz":
        with replacing(path) as temporary, temporary.open("wb") as file:
            arrays: dict[str, Any] = _arrays(structures, predictions, task, prefix, units)
            np.savez(file, **arrays)
        kept = {"numbers", "positions"}
        more = dict.fromkeys(
            str(name)
            for atoms in structures
            if isinstance(atoms, Atoms)
            for table in (_given(atoms), atoms.arrays, atoms.info)
            for name in table
            if name not in kept and name != IN_DATA
        )
        return [f"{path}: npz does not hold {', '.join(more)}; .xyz, .traj, .db and .json do"] if more else []
    return write_structures(path, frames, kind)


def prefix_of(tag: str = "") -> str:
    """What stands before the names of predictions: "predicted", or with a word for the model "predicted_word".

    Raises:
        InputError: it is no word of letters, digits and underscores.
    """
    if not f"{PREDICTED}_{tag}".isidentifier() or not tag.isascii():
        raise InputError(f"{tag!r} is no word", where="tag", remedy="use letters, digits and underscores.")
    return f"{PREDICTED}_{tag}" if tag else PREDICTED


def holds(path: Path, task: Task) -> str:
    """The name of a file's format, if it can hold what the task predicts.

    Raises:
        InputError: it holds structures and no more; or it holds numbers of atoms and of whole structures, and there are
            numbers of something else; or it is no known format.
    """
    kind = format_of(path)
    words = {name: f"of {output.level}s" for name, output in task.outputs.items() if output.level not in OF_ATOMS}
    if kind not in ("json", "npz") and words:
        what = (
            f"{kind} holds numbers of atoms and of structures; "
            f"{', '.join(f'{name} is {word}' for name, word in words.items())}"
        )
        raise InputError(what, where=str(path), remedy="write .npz or .json.")
    if kind not in (*COMPLETE, "npz"):
        raise InputError(f"{kind} holds structures and no predictions", where=str(path), remedy=FORMATS)
    return kind


def check_names(
    structures: Sequence[Graph | Atoms], task: Task, prefix: str = PREDICTED, places: Sequence[str] = ()
) -> None:
    """Raise an :class:`InputError` if a structure has what a prediction will be called: what was given stays."""
    names = {f"{prefix}_{name}" for name in (*task.outputs, *STRESS)}
    for number, structure in enumerate(structures):
        if isinstance(structure, Atoms) and (taken := sorted(names & {*structure.info, *structure.arrays})):
            remedy = "give other names (--tag small: predicted_small_energy), or predict for the file without them."
            raise InputError(
                f"has {', '.join(taken)} already",
                where=places[number] if places else f"structure {number}",
                remedy=remedy,
            )


def _are_atoms(structures: Sequence[Graph | Atoms]) -> bool:
    return all(isinstance(s, Atoms) or (s.get("z") is not None and s.dimension == 3) for s in structures)


def _frames(
    structures: Sequence[Graph | Atoms],
    predictions: Sequence[Mapping[str, Any]],
    task: Task,
    prefix: str,
    units: Mapping[str, str],
) -> list[Atoms]:
    levels = dict.fromkeys(STRESS, "graph") | {name: output.level for name, output in task.outputs.items()}
    frames = [to_atoms(s, p, levels, prefix) for s, p in zip(structures, predictions, strict=True)]
    for frame, prediction in zip(frames, predictions, strict=True):
        frame.info |= {f"{prefix}_{name}_unit": unit for name in prediction if (unit := units.get(name))}
    return frames


def _as_labelled(
    structure: Graph | Atoms, prediction: Mapping[str, Any], task: Task, keys: Mapping[str, str]
) -> Mapping[str, Any]:
    """Predictions in the shapes that the labels have in the structure; others as they are."""
    if not isinstance(structure, Atoms):
        return prediction
    results, shaped = _given(structure), dict(prediction)
    for name, value in prediction.items():
        if name in STRESS:
            continue
        label = (task.outputs[name].label if name in task.outputs else None) or name
        of_atoms = _level(name, task) == "node"
        tables = (structure.arrays,) if of_atoms else (structure.info,)
        names = dict.fromkeys(each for each in (keys.get(label), label, name) if each)
        labels = [table[each] for each in names for table in (*tables, results) if each in table]
        if labels:
            shaped[name] = _shaped(np.asarray(value), np.shape(labels[0]), len(structure) if of_atoms else None)
    return shaped


def _shaped(array: np.ndarray, shape: tuple[int, ...], rows: int | None) -> np.ndarray:
    """The same numbers in another shape, where it has room for them and keeps the rows of the atoms."""
    if rows is not None and (shape[:1] != (rows,) or array.shape[:1] != (rows,)):
        return array
    if array.size == int(np.prod(shape)):
        return array.reshape(shape)
    matrix = array.reshape(3, 3) if rows is None and array.size == 9 else None
    if matrix is not None and int(np.prod(shape)) == 6 and np.array_equal(matrix, matrix.T):
        return to_voigt(matrix).reshape(shape)
    return array


def _arrays(
    structures: Sequence[Graph | Atoms],
    predictions: Sequence[Mapping[str, Any]],
    task: Task,
    prefix: str,
    units: Mapping[str, str],
) -> dict[str, np.ndarray]:
    """Arrays of an .npz."""
    atoms = np.array([len(s) if isinstance(s, Atoms) else s.num_nodes for s in structures])
    names = dict.fromkeys(name for p in predictions for name in p)
    arrays = {"atoms": atoms} | {f"{prefix}_{name}": _column(name, predictions, atoms, task) for name in names}
    arrays |= {f"{prefix}_{name}_unit": np.array(unit) for name in names if (unit := units.get(name))}
    for name in [name for name in names if _level(name, task) not in OF_ATOMS]:
        arrays[f"{prefix}_{name}_rows"] = np.array([len(p.get(name, ())) for p in predictions])
    if len(structures) and _are_atoms(structures):
        frames = [s if isinstance(s, Atoms) else s.to_ase() for s in structures]
        geometry = {
            "numbers": np.concatenate([frame.numbers for frame in frames]),
            "positions": np.concatenate([frame.positions for frame in frames]),
            "cell": np.stack([np.array(frame.cell) for frame in frames]),
            "pbc": np.stack([frame.pbc for frame in frames]),
        }
        arrays = geometry | arrays
    return arrays


def _level(name: str, task: Task) -> str:
    return task.outputs[name].level if name in task.outputs else "graph"


def _column(name: str, predictions: Sequence[Mapping[str, Any]], atoms: np.ndarray, task: Task) -> np.ndarray:
    """One prediction of all frames: of graphs stacked, of others concatenated; NaN where a frame lacks it."""
    level = _level(name, task)
    shape = next(np.shape(p[name]) for p in predictions if name in p)
    lacking = [shape if LEVELS[level].single else (n if level == "node" else 0, *shape[1:]) for n in atoms]
    parts = [
        np.asarray(p[name]) if name in p else np.full(none, np.nan)
        for p, none in zip(predictions, lacking, strict=True)
    ]
    return np.stack(parts) if LEVELS[level].single else np.concatenate(parts)
