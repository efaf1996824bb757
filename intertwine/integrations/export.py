"""Predictions as files that other programs read."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.stress import full_3x3_to_voigt_6_stress

from intertwine.geometry import LEVELS, Graph
from intertwine.integrations.writing import format_of, write_structures
from intertwine.numerics import InputError, replacing
from intertwine.tasks import Task

CALCULATED = ("energy", "forces", "stress", "dipole")  # what ASE stores as results of a calculator
# of one surface: never some given and some predicted
MECHANICAL = {"energy", "free_energy", "energies", "forces", "stress", "stresses"}
OF_ATOMS = ("node", "graph")  # levels that files of structures have places for
STRESS = {"stress": "eV/A^3"}  # a force field says it of periodic structures, also if it was not trained on it


def to_atoms(
    structure: Graph | Atoms, prediction: dict[str, Any] | None = None, of_atoms: Collection[str] | None = None
) -> Atoms:
    """A structure as ASE atoms, with predictions where ASE's readers look for them.

    Args:
        structure: a structure of ASE, of which all is kept, but results of its calculator that are predicted; or one
            graph with atomic numbers.
        prediction: arrays by name; energies and the like become calculator results, others arrays or info entries,
            predicted positions the array ``target_pos``.
        of_atoms: which of them have a row for each atom; None goes by their lengths.

    Raises:
        InputError: the nodes are not atoms.
    """
    prediction = prediction or {}
    atoms = structure.copy() if isinstance(structure, Atoms) else _bare(structure)
    results = _given(structure) if isinstance(structure, Atoms) else {}
    for name in MECHANICAL & results.keys() if MECHANICAL & prediction.keys() else prediction.keys() & results.keys():
        del results[name]
    for name, value in prediction.items():
        array = np.asarray(value)
        if name == "stress":
            results[name] = full_3x3_to_voigt_6_stress(array.reshape(3, 3))
        elif name in CALCULATED:
            results[name] = (
                float(array.reshape(-1)[0]) if name == "energy" else array.reshape(-1) if name == "dipole" else array
            )
        elif name in of_atoms if of_atoms is not None else array.ndim and len(array) == len(atoms):
            atoms.arrays["target_pos" if name == "pos" else name] = array
        else:
            atoms.info[name] = array.reshape(-1)[0] if array.size == 1 else array
    if results:
        atoms.calc = SinglePointCalculator(atoms, **results)
    return atoms


def _bare(graph: Graph) -> Atoms:
    if graph.get("z") is None:
        raise InputError(
            "the nodes have no atomic numbers", where="z", remedy="write predictions of particles to .json or .npz."
        )
    periodic = graph.get("cell") is not None
    cell, pbc = (graph.cell[0].numpy(), graph.pbc[0].numpy()) if periodic else (None, False)
    return Atoms(graph.z.numpy(), graph.pos.numpy(), cell=cell, pbc=pbc)


def _given(atoms: Atoms) -> dict[str, Any]:
    """What a file says that was calculated, as far as it is numbers."""
    results = {} if atoms.calc is None else dict(atoms.calc.results)
    return {
        name: value for name, value in results.items() if value is not None and np.asarray(value).dtype.kind in "fiu"
    }


def write_predictions(
    path: Path, structures: Sequence[Graph | Atoms], predictions: Sequence[dict[str, Any]], task: Task
) -> list[str]:
    """Write predictions to .json (with units), .npz (one array a name, frames concatenated, and ``atoms`` per frame),
    or, with the structures, to any format that ASE writes (.xyz). Energies are in eV, lengths in A. The file is there
    whole or not at all.

    Arrays of .npz are NaN where a frame has no such prediction (a stress, of an open structure). Of pairs, edges and
    points, whose number that of the atoms does not tell, ``<name>_rows`` has their number per frame, 0 where there is
    none.

    Returns:
        Notes: what the format does not hold of the structures.

    Raises:
        InputError: the suffix names no known format, one for atoms where the nodes are not, or one that can't hold
            pairs or points.
        CheckpointError: the file can't be written; the former one is intact.
    """
    path = Path(path)
    kind, units = holds(path, task), STRESS | _units(task)
    if kind == "json":
        plain = [{name: np.asarray(value).tolist() for name, value in p.items()} for p in predictions]
        with replacing(path) as temporary:
            temporary.write_text(json.dumps({"units": units, "predictions": plain}, indent=1))
        return []
    if kind == "npz":
        atoms = np.array([_size(structure) for structure in structures])
        names = dict.fromkeys(name for p in predictions for name in p)
        columns: dict[str, Any] = {name: _column(name, predictions, atoms, task) for name in names}
        for name in [name for name in names if _level(name, task) not in OF_ATOMS]:
            columns[f"{name}_rows"] = np.array([len(p.get(name, ())) for p in predictions])
        with replacing(path) as temporary, temporary.open("wb") as file:
            np.savez(file, atoms=atoms, **columns)
        return []
    of_atoms = [name for name, output in task.outputs.items() if output.level == "node"]
    frames = [to_atoms(structure, p, of_atoms) for structure, p in zip(structures, predictions, strict=True)]
    for frame, prediction in zip(frames, predictions, strict=True):
        if "pos_unit" in frame.info:  # the file names units: then of all that is new
            frame.info |= {f"{name}_unit": unit for name in prediction if (unit := units.get(name))}
    return write_structures(path, frames, kind)


def holds(path: Path, task: Task) -> str:
    """The name of a file's format, if it can hold what the task predicts.

    Raises:
        InputError: it is one of ASE's, which hold numbers of atoms and of whole structures, and there are numbers of
            something else; or no known format.
    """
    kind = format_of(path)
    words = {name: f"of {output.level}s" for name, output in task.outputs.items() if output.level not in OF_ATOMS}
    if kind not in ("json", "npz") and words:
        what = (
            f"{kind} holds numbers of atoms and of structures; "
            f"{', '.join(f'{name} is {word}' for name, word in words.items())}"
        )
        raise InputError(what, where=str(path), remedy="write .npz or .json.")
    return kind


def _level(name: str, task: Task) -> str:
    return task.outputs[name].level if name in task.outputs else "graph"


def _units(task: Task) -> dict[str, str]:
    return {name: output.unit for name, output in task.outputs.items()}


def _size(structure: Graph | Atoms) -> int:
    return len(structure) if isinstance(structure, Atoms) else structure.num_nodes


def _column(name: str, predictions: Sequence[dict[str, Any]], atoms: np.ndarray, task: Task) -> np.ndarray:
    """One prediction of all frames: of graphs stacked, of others concatenated; NaN where a frame lacks it."""
    level = _level(name, task)
    shape = next(np.shape(p[name]) for p in predictions if name in p)
    lacking = [shape if LEVELS[level].single else (n if level == "node" else 0, *shape[1:]) for n in atoms]
    parts = [
        np.asarray(p[name]) if name in p else np.full(none, np.nan)
        for p, none in zip(predictions, lacking, strict=True)
    ]
    return np.stack(parts) if LEVELS[level].single else np.concatenate(parts)
