"""Predicted densities as cube files, which programs that draw surfaces read."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from ase import Atoms
from jaxtyping import Float, Int
from torch import Tensor

from intertwine.data.cube import Cube, as_written, write_cube
from intertwine.geometry import Graph
from intertwine.numerics import Caution, InputError
from intertwine.orbitals.grid import MARGIN, SPACING, grid_around, values_on_grid
from intertwine.tasks import Density, Task

COARSE = 0.01  # of the electrons, by which the sum over a grid may be off before it is called coarse


def molecular_cube(
    numbers: Int[Tensor, " atoms"],
    pos: Float[Tensor, "atoms 3"],
    density: Callable[[Tensor], Tensor],
    spacing: float = SPACING,
    margin: float = MARGIN,
    comment: str = "",
) -> Cube:
    """A density on a grid around a neutral molecule.

    Args:
        numbers: atomic numbers.
        pos: positions (A).
        density: of points (1, points, 3) in A, (1, points) in e / Bohr^3; of a prediction, a fit or a label.
        spacing: of the grid (A).
        margin: from the atoms to its end (A).
        comment: first line of a file.

    Returns:
        The cube, whose ``integral`` are the electrons that a sum over it counts. A
        :class:`~intertwine.numerics.Caution` says if they are off by more than 1 %.

    Raises:
        InputError: lengths that are not positive, or a grid of more than 50 million points.
    """
    cube = _sampled(numbers, pos, density, spacing, margin, comment)
    _caution([(comment or "the grid", cube)], spacing)
    return cube


def write_density_cubes(
    files: Sequence[Path],
    structures: Sequence[Graph | Atoms],
    predictions: Sequence[Mapping[str, Any]],
    task: Task,
    spacing: float = SPACING,
    margin: float = MARGIN,
) -> str:
    """Write the predicted density of each structure to a cube file; a :class:`~intertwine.numerics.Caution` says if the
    sum over the worst grid is off by more than 1 % of its electrons.

    Args:
        files: one for each structure.
        structures: molecules.
        predictions: of the task, for each structure.
        task: of densities.
        spacing: of the grids (A).
        margin: from the atoms to their ends (A).

    Returns:
        What the sums over the grids count, in a sentence.

    Raises:
        InputError: another task; a periodic structure; a grid as :func:`molecular_cube` refuses it.
        CheckpointError: a file can't be written.
    """
    require_cubes(task, structures, spacing, margin)
    assert isinstance(task, Density)
    told: list[tuple[str, Cube]] = []
    for path, structure, prediction in zip(files, structures, predictions, strict=True):
        graph, density = predicted_density(structure, prediction, task)
        comment = "electron density (e/Bohr^3), predicted by intertwine"
        cube = _sampled(graph.z, graph.pos.to(torch.float64), density, spacing, margin, comment)
        write_cube(path, cube)
        told = [max([*told, (str(path), cube)], key=lambda pair: abs(_lack(pair[1])))]  # the worst
    _caution(told, spacing)
    electrons = [f"{float(cube.integral()[0]):.6g} of {cube.nuclear_charge():g} electrons" for _, cube in told]
    return f"the sum over a grid of {spacing:g} A counts {electrons[0]} where it is worst" if told else ""


def predicted_density(
    structure: Graph | Atoms, prediction: Mapping[str, Any], task: Density
) -> tuple[Graph, Callable[[Tensor], Tensor]]:
    """A molecule as a graph, and its predicted density at points (1, points, 3) in A, (1, points) in e / Bohr^3.

    Args:
        structure: the molecule.
        prediction: of the task.
        task: of densities.
    """
    graph = structure if isinstance(structure, Graph) else Graph(structure.positions, z=structure.numbers)
    rows = torch.as_tensor(prediction[task.form.output])
    return graph, lambda points: task.values(graph, rows, points[0]).unsqueeze(0)


def require_cubes(
    task: Task, structures: Sequence[Graph | Atoms], spacing: float = SPACING, margin: float = MARGIN
) -> None:
    """Raise an :class:`InputError` unless a task predicts densities, and structures are molecules that a grid can be
    around; arguments as of :func:`write_density_cubes`."""
    if not isinstance(task, Density):
        remedy = "give a run of the task density: `intertwine train water --target density`."
        raise InputError(f"a run of {task.name} predicts no density", where="cube", remedy=remedy)
    for number, structure in enumerate(structures):
        periodic = bool(structure.pbc.any()) if isinstance(structure, Atoms) else structure.get("cell") is not None
        if periodic:
            remedy = "take its cell away: the densities that are learned are of molecules."
            raise InputError("a periodic structure", where=f"structure {number}", remedy=remedy)
        pos = torch.as_tensor(structure.positions) if isinstance(structure, Atoms) else structure.pos
        grid_around(pos, spacing, margin)


def _sampled(
    numbers: Tensor, pos: Tensor, density: Callable[[Tensor], Tensor], spacing: float, margin: float, comment: str
) -> Cube:
    grid = as_written(grid_around(pos, spacing, margin))
    return Cube(numbers, pos, grid, values_on_grid(density, grid).unsqueeze(-1), comment=comment)


def _lack(cube: Cube) -> float:
    """Electrons that the sum over the grid lacks."""
    return cube.nuclear_charge() - float(cube.integral()[0])


def _caution(cubes: Sequence[tuple[str, Cube]], spacing: float) -> None:
    for name, cube in cubes:
        lack, electrons = _lack(cube), cube.nuclear_charge()
        if abs(lack) > COARSE * electrons:
            kind = "lacks" if lack > 0 else "has too many:"
            warnings.warn(
                f"{name}: a grid of {spacing:g} A is too coarse to count electrons: its sum {kind} {abs(lack):.3g} of "
                f"{electrons:g}. The values at its points are right; for sums give a smaller spacing, or use "
                "intertwine.orbitals.quadrature",
                Caution,
                stacklevel=3,
            )
