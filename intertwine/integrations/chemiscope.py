"""Structures and predictions as a file of chemiscope, which shows properties as a map and the structures beside it.

The format is JSON, packed by gzip if the name says so. It is that of chemiscope 1.0: ``structures`` (A), ``properties``
of structures and of atoms, ``environments``, ``shapes``. A number that a structure lacks is ``NaN``, as chemiscope
itself writes it.

Source: chemiscope's page on its JSON file format; Fraux, Cersonsky and Ceriotti, J. Open Source Softw. 5, 2117 (2020).
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ase import Atoms
from ase.data import chemical_symbols

from intertwine.geometry import LEVELS, Graph
from intertwine.integrations.export import STRESS
from intertwine.numerics import InputError, write_atomically
from intertwine.tasks import Task
from intertwine.tasks.comparison import compared

SUFFIXES = (".json", ".json.gz")
MOST_COMPONENTS = 9  # of a tensor that is listed by its components
AROUND = 4.0  # A, the part of a structure that is shown around an atom, where the model has no cutoff
LONGEST = 1.5  # A, of the arrows
Properties = dict[str, dict[str, Any]]


def write_chemiscope(
    path: Path | str,
    structures: Sequence[Graph | Atoms],
    predictions: Sequence[Mapping[str, Any]],
    task: Task,
    *,
    name: str = "",
    frames: Sequence[int] | None = None,
) -> list[str]:
    """Write structures with predictions, and where they have labels with errors.

    Numbers of a structure or an atom are called ``predicted energy``; of tensors of up to nine components each is
    listed (``predicted dipole[1]``), of vectors also the length (``length of predicted forces``). Vectors of atoms are
    arrows too. ``error of forces`` is the mean absolute error of a structure over its components, ``error of forces
    (atom)`` the length of the difference; an energy's is per atom. A density's or a Hamiltonian's is what the task
    measures.

    Args:
        path: ends in .json or .json.gz.
        structures: graphs, whose labels are compared, or structures of ASE, whose labels are not looked at.
        predictions: arrays by name, for each structure, as :func:`intertwine.training.predict` returns them.
        task: what predicted them.
        name: of the data, as the page shows it.
        frames: the numbers of the structures in their file. Default: from 0.

    Returns:
        Notes: what the file does not hold of the predictions.

    Raises:
        InputError: another suffix, no structures, or nodes that are no atoms.
        CheckpointError: it can't be written; the former file is intact.
    """
    path = require_chemiscope(path)
    if not len(structures):
        raise InputError("no structures", where=str(path), remedy="give one or more.")
    atoms = [_atoms(structure, number) for number, structure in enumerate(structures)]
    properties: Properties = {
        "frame": _of_structures([int(k) for k in (range(len(atoms)) if frames is None else frames)]),
        "atoms": _of_structures([len(each) for each in atoms]),
        "element": _of_atoms([chemical_symbols[z] for each in atoms for z in each.numbers]),
        "atomic number": _of_atoms([int(z) for each in atoms for z in each.numbers]),
    }
    counts = [len(each) for each in atoms]
    predicted, shapes, left = _predicted(predictions, task, counts)
    errors = _errors(structures, predictions, task, counts)
    properties |= predicted | errors
    document = {
        "meta": {"name": name or path.name, "description": "predictions of intertwine; lengths in A" + _arrows(shapes)},
        "structures": [_structure(each) for each in atoms],
        "properties": properties,
        "environments": [
            {"structure": k, "center": i, "cutoff": float(task.cutoff or AROUND)}
            for k, count in enumerate(counts)
            for i in range(count)
        ],
        "settings": _settings(predicted, errors, shapes),
    }
    document |= {"shapes": shapes} if shapes else {}
    content = json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()
    write_atomically(path, gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)
    return [f"{path}: chemiscope has no place for {', '.join(left)}"] if left else []


def require_chemiscope(path: Path | str) -> Path:
    """The path, or an :class:`InputError` if it does not end in .json or .json.gz."""
    path = Path(path)
    if not path.name.endswith(SUFFIXES):
        what = f"{path.name!r} is no name of a chemiscope file"
        raise InputError(what, where=str(path), remedy="let it end in .json.gz, or in .json.")
    return path


def _atoms(structure: Graph | Atoms, number: int) -> Atoms:
    if isinstance(structure, Graph):
        if structure.get("z") is None or structure.dimension != 3:
            remedy = "chemiscope shows atoms: give a run on molecules or materials."
            raise InputError("nodes that are no atoms", where=f"structure {number}", remedy=remedy)
        return structure.to_ase()
    return structure


def _structure(atoms: Atoms) -> dict[str, Any]:
    x, y, z = atoms.positions.T.tolist()
    names = [chemical_symbols[number] for number in atoms.numbers]
    plain: dict[str, Any] = {"size": len(atoms), "names": names, "x": x, "y": y, "z": z}
    return plain | ({"cell": np.asarray(atoms.cell).ravel().tolist()} if atoms.pbc.any() else {})


def _of_structures(values: list[Any], unit: str = "") -> dict[str, Any]:
    return {"target": "structure", "values": values} | ({"units": unit} if unit else {})


def _of_atoms(values: list[Any], unit: str = "") -> dict[str, Any]:
    return {"target": "atom", "values": values} | ({"units": unit} if unit else {})


def _predicted(
    predictions: Sequence[Mapping[str, Any]], task: Task, counts: Sequence[int]
) -> tuple[Properties, dict[str, Any], list[str]]:
    """Properties, arrows, and the names of what is neither of structures nor of atoms, or has too many components."""
    units = STRESS | {name: output.unit for name, output in task.outputs.items()}
    levels = {name: output.level for name, output in task.outputs.items()}
    follows = next(iter(levels.values())) if len(levels) == 1 else "graph"  # of what an answer adds to its output
    properties: Properties = {}
    shapes: dict[str, Any] = {}
    left: list[str] = []
    for name in dict.fromkeys(name for p in predictions for name in p):
        level = levels.get(name, follows)
        rows = [n if level == "node" else 1 for n in counts]
        table = _table([p.get(name) for p in predictions], rows) if level in ("node", "graph") else None
        if table is None:
            left.append(name)
            continue
        make, words, unit = _of_atoms if level == "node" else _of_structures, f"predicted {name}", units.get(name, "")
        if table.shape[1] == 1:
            properties[words] = make(table[:, 0].tolist(), unit)
            if name in task.outputs and task.outputs[name].per_atom:
                shares = table[:, 0] / np.maximum(counts, 1)
                properties[f"{words} per atom"] = make(shares.tolist(), f"{unit}/atom")
            continue
        properties |= {f"{words}[{k + 1}]": make(column.tolist(), unit) for k, column in enumerate(table.T)}
        if table.shape[1] == 3:
            lengths = np.linalg.norm(table, axis=1)
            properties[f"length of {words}"] = make(lengths.tolist(), unit)
            if level == "node" and np.isfinite(lengths).all() and lengths.max() > 0:
                shapes |= _shape(words, table, float(lengths.max()), unit)
    return properties, shapes, left


def _table(values: Sequence[Any], rows: Sequence[int]) -> np.ndarray | None:
    """Values of all structures, (rows, components), NaN where one has none; None if there are too many components."""
    flat = [None if value is None else np.asarray(value).reshape(n, -1) for value, n in zip(values, rows, strict=True)]
    columns = {each.shape[1] for each in flat if each is not None}
    if len(columns) != 1 or (width := columns.pop()) > MOST_COMPONENTS or not width:
        return None
    words = any(each is not None and each.dtype.kind in "US" for each in flat)
    parts = [
        np.full((n, width), "" if words else np.nan) if each is None else each if words else each.astype(np.float64)
        for each, n in zip(flat, rows, strict=True)
    ]
    return np.concatenate(parts)


def _shape(words: str, vectors: np.ndarray, most: float, unit: str) -> dict[str, Any]:
    """Arrows, of which the longest has a length that fits."""
    named = f"{words}, 1 A for {most / LONGEST:.3g} {unit}".rstrip()
    sizes = {"baseRadius": 0.06, "headRadius": 0.12, "headLength": 0.2}
    atoms = [{"vector": vector} for vector in (LONGEST / most * vectors).round(5).tolist()]
    return {named: {"kind": "arrow", "parameters": {"global": sizes, "atom": atoms}}}


def _arrows(shapes: Mapping[str, Any]) -> str:
    return f". Arrows: {'; '.join(shapes)}" if shapes else ""


def _errors(
    structures: Sequence[Graph | Atoms], predictions: Sequence[Mapping[str, Any]], task: Task, counts: Sequence[int]
) -> Properties:
    """Errors of structures, and those of atoms, of graphs that have the label."""
    of_structures: dict[str, list[float]] = {}
    of_atoms: dict[str, list[np.ndarray]] = {}
    units: dict[str, str] = {}
    for number, (structure, prediction) in enumerate(zip(structures, predictions, strict=True)):
        if not isinstance(structure, Graph):
            continue
        for target, (difference, unit, level) in _differences(structure, prediction, task).items():
            units[target] = unit
            single = of_structures.setdefault(target, [float("nan")] * len(structures))
            single[number] = float(np.abs(difference).mean())
            if level == "node" and len(difference) == counts[number]:
                each = of_atoms.setdefault(target, [np.full(n, np.nan) for n in counts])
                each[number] = np.linalg.norm(difference.reshape(len(difference), -1), axis=1)
    errors = {f"error of {target}": _of_structures(values, units[target]) for target, values in of_structures.items()}
    return errors | {
        f"error of {target} (atom)": _of_atoms(np.concatenate(values).tolist(), units[target])
        for target, values in of_atoms.items()
    }


def _differences(graph: Graph, prediction: Mapping[str, Any], task: Task) -> dict[str, tuple[np.ndarray, str, str]]:
    """Prediction minus label, its unit and its level, of each target; of what is not compared with a label of its own
    size, the residuals of the task."""
    outputs = {name: output for name, output in task.outputs.items() if output.level in ("node", "graph")}
    both = compared(outputs, [graph], [prediction])
    differences = {name: (p - t, unit, outputs[name].level) for name, (p, t, unit) in both.items()}
    tensors = {
        name: torch.as_tensor(np.asarray(value)[None] if LEVELS[task.outputs[name].level].single else np.asarray(value))
        for name, value in prediction.items()
        if name in task.outputs and np.asarray(value).dtype.kind in "fiu"
    }
    others = {name: metric for name, metric in task.metrics.items() if name not in task.outputs}
    if not others or not set(task.outputs) <= set(tensors):
        return differences
    with torch.no_grad():
        residuals = task.residuals(tensors, graph)
    for target, metric in others.items():
        if target in residuals and residuals[target].numel():
            values = metric.factor * residuals[target].to(torch.float64).numpy()
            differences[target] = np.atleast_1d(values), metric.unit, "graph"
    return differences


def _settings(predicted: Properties, errors: Properties, shapes: Mapping[str, Any]) -> dict[str, Any]:
    """A map of errors over predictions, or of predictions over the frames."""
    first, wrong = (
        [name for name, each in table.items() if each["target"] == "structure" and _is_number(each["values"])]
        for table in (predicted, errors)
    )
    y = (wrong or first or ["atoms"])[0]
    x = first[0] if wrong and first else "frame"
    shown = {"shape": next(iter(shapes))} if shapes else {}
    axes = {"x": {"property": x}, "y": {"property": y}, "color": {"property": y}}
    return {"target": "structure", "map": axes, "structure": [{"unitCell": True, **shown}]}


def _is_number(values: Sequence[Any]) -> bool:
    return not isinstance(values[0], str)
