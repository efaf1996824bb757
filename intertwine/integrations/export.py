"""Predictions as files that other programs read."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write
from ase.stress import full_3x3_to_voigt_6_stress

from intertwine.geometry import Graph
from intertwine.numerics import InputError
from intertwine.tasks import Task

CALCULATED = ("energy", "forces", "stress", "dipole")  # what ASE stores as results of a calculator
STRESS = {"stress": "eV/A^3"}  # a force field says it of periodic structures, also if it was not trained on it


def to_atoms(graph: Graph, prediction: dict[str, Any] | None = None) -> Atoms:
    """A graph as ASE atoms, with predictions where ASE's readers look for them.

    Args:
        graph: one graph with atomic numbers.
        prediction: arrays by name; energies and the like become calculator results, others arrays or info entries, predicted
            positions the array ``target_pos``.

    Raises:
        InputError: the nodes are not atoms.
    """
    if graph.get("z") is None:
        raise InputError("the nodes have no atomic numbers", where="z", remedy="write predictions of particles to .json or .npz.")
    periodic = graph.get("cell") is not None
    atoms = Atoms(
        graph.z.numpy(),
        graph.pos.numpy(),
        cell=graph.cell[0].numpy() if periodic else None,
        pbc=graph.pbc[0].numpy() if periodic else False,
    )
    results = {}
    for name, value in (prediction or {}).items():
        array = np.asarray(value)
        if name == "stress":
            results[name] = full_3x3_to_voigt_6_stress(array.reshape(3, 3))
        elif name in CALCULATED:
            results[name] = float(array.reshape(-1)[0]) if name == "energy" else array.reshape(-1) if name == "dipole" else array
        elif array.ndim and len(array) == len(atoms):
            atoms.arrays["target_pos" if name == "pos" else name] = array
        else:
            atoms.info[name] = array.reshape(-1)[0] if array.size == 1 else array
    if results:
        atoms.calc = SinglePointCalculator(atoms, **results)
    return atoms


def write_predictions(path: Path, graphs: Sequence[Graph], predictions: Sequence[dict[str, Any]], task: Task) -> None:
    """Write predictions to .json (with units), .npz (one array a name, frames concatenated, and ``atoms`` per frame), or, with the
    structures, to any format that ASE writes (.xyz).

    Arrays of .npz are NaN where a frame has no such prediction (a stress, of an open structure).

    Raises:
        InputError: the suffix names no known format, or one for atoms where the nodes are not.
    """
    path = Path(path)
    if path.suffix == ".json":
        units = STRESS | {name: output.unit for name, output in task.outputs.items()}
        plain = [{name: np.asarray(value).tolist() for name, value in p.items()} for p in predictions]
        path.write_text(json.dumps({"units": units, "predictions": plain}, indent=1))
    elif path.suffix == ".npz":
        atoms = np.array([g.num_nodes for g in graphs])
        names = dict.fromkeys(name for p in predictions for name in p)
        columns: dict[str, Any] = {name: _column(name, predictions, atoms, task) for name in names}
        np.savez(path, atoms=atoms, **columns)
    else:
        writable(path)
        frames = [to_atoms(graph, p) for graph, p in zip(graphs, predictions, strict=True)]
        try:
            write(path, frames, format="extxyz" if path.suffix in (".xyz", ".extxyz") else None)
        except (ValueError, KeyError) as error:
            raise InputError(f"can't write this format: {error}", where=str(path), remedy="use .xyz, .json or .npz.") from error


def writable(path: Path) -> Path:
    """The path, if its folder exists and its suffix is one that can be written: better said before the work than after it.

    Raises:
        InputError: it can't be written to.
    """
    from ase.io.formats import filetype, ioformats

    path = Path(path)
    if path.is_dir() or not path.parent.is_dir():
        what = "is a folder" if path.is_dir() else f"there is no folder {path.parent}"
        raise InputError(what, where=str(path), remedy="give the name of a file in a folder that exists.")
    if path.suffix not in (".json", ".npz", ".xyz", ".extxyz"):
        kind = filetype(str(path), read=False)
        if kind not in ioformats or not ioformats[kind].can_write:
            raise InputError(
                f"{path.suffix or path.name!r} is no format that can be written", where=str(path), remedy="use .xyz, .json or .npz."
            )
    return path


def _column(name: str, predictions: Sequence[dict[str, Any]], atoms: np.ndarray, task: Task) -> np.ndarray:
    """One prediction of all frames: of nodes concatenated, of graphs stacked; NaN where a frame lacks it."""
    of_nodes = name in task.outputs and task.outputs[name].level == "node"
    shape = next(np.shape(p[name]) for p in predictions if name in p)
    parts = [
        np.asarray(p[name]) if name in p else np.full((n, *shape[1:]) if of_nodes else shape, np.nan)
        for p, n in zip(predictions, atoms, strict=True)
    ]
    return np.concatenate(parts) if of_nodes else np.stack(parts)
