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


def to_atoms(graph: Graph, prediction: dict[str, Any] | None = None) -> Atoms:
    """A graph as ASE atoms, with predictions where ASE's readers look for them.

    Args:
        graph: one graph with atomic numbers.
        prediction: arrays by name; energies and the like become calculator results, others arrays or info entries.
    """
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
            atoms.arrays[name] = array
        else:
            atoms.info[name] = array.reshape(-1)[0] if array.size == 1 else array
    if results:
        atoms.calc = SinglePointCalculator(atoms, **results)
    return atoms


def write_predictions(path: Path, graphs: Sequence[Graph], predictions: Sequence[dict[str, Any]], task: Task) -> None:
    """Write predictions to .json (with units), .npz (one array a name, frames concatenated, and ``atoms`` per frame), or, with the
    structures, to any format that ASE writes (.xyz).

    Raises:
        InputError: the suffix names no known format.
    """
    path = Path(path)
    if path.suffix == ".json":
        units = {name: output.unit for name, output in task.outputs.items()}
        plain = [{name: np.asarray(value).tolist() for name, value in p.items()} for p in predictions]
        path.write_text(json.dumps({"units": units, "predictions": plain}, indent=1))
    elif path.suffix == ".npz":
        names = predictions[0] if predictions else {}
        arrays = {name: np.concatenate([np.atleast_1d(p[name]) for p in predictions]) for name in names}
        np.savez(path, atoms=np.array([g.num_nodes for g in graphs]), **arrays)
    else:
        frames = [to_atoms(graph, p) for graph, p in zip(graphs, predictions, strict=True)]
        try:
            write(path, frames, format="extxyz" if path.suffix in (".xyz", ".extxyz") else None)
        except (ValueError, KeyError) as error:
            raise InputError(f"can't write this format: {error}", where=str(path), remedy="use .xyz, .json or .npz.") from error
