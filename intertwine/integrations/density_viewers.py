"""Densities as pages that a browser turns: of predictions, and of cube files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from ase import Atoms
from torch import Tensor

from intertwine import plots
from intertwine.data.cube import Cube
from intertwine.geometry import Graph
from intertwine.integrations.density_cubes import predicted_density, require_cubes
from intertwine.numerics import InputError
from intertwine.orbitals.grid import values_on_grid
from intertwine.tasks import Density, Task
from intertwine.tasks.density_pictures import surface_grid

SAME = 1e-4  # A, by which two grids that are one may differ: files round their lengths


def write_viewer(
    path: Path | str,
    cube: Cube,
    true: Cube | None = None,
    *,
    title: str = "electron density",
    caption: str = "",
    names: tuple[str, str] = ("predicted", "true"),
) -> Path:
    """Write a page with surfaces of the density of a cube, and of another one and their difference, which turn under
    the mouse or a finger. It is one file, which asks no other for anything.

    Args:
        path: of the page; end it in .html.
        cube: a density (e / Bohr^3), as :func:`intertwine.data.cube.read_cube` reads it.
        true: another density on the same grid, or None.
        title, caption: what stands above. Default of the caption: the comment of the cube.
        names: of the two densities.

    Returns:
        The path.

    Raises:
        InputError: several values of each point, two grids, or values that are not finite.
        CheckpointError: it can't be written.
    """
    both = [cube, *([true] if true is not None else [])]
    for each in both:
        if each.values.shape[-1] != 1:
            what = f"{each.values.shape[-1]} values of each point"
            remedy = "choose one: cube._replace(values=cube.values[..., k : k + 1])."
            raise InputError(what, where="cube", remedy=remedy)
        if each.grid.counts != cube.grid.counts or not _same_place(each, cube):
            what = f"grids of {cube.grid.counts} and {each.grid.counts} points, or in other places"
            raise InputError(what, where="true", remedy="write both densities on one grid.")
    values: list[Tensor] = [each.values[..., 0] for each in both]
    return plots.density_viewer(
        path, values[0], cube.grid, cube.numbers, cube.pos, values[1] if len(values) > 1 else None, title=title,
        caption=caption or " ".join(cube.comment.split()), names=names,
    )  # fmt: skip


def write_density_viewers(
    files: Sequence[Path],
    structures: Sequence[Graph | Atoms],
    predictions: Sequence[Mapping[str, Any]],
    task: Task,
    captions: Sequence[str] = (),
) -> None:
    """Write the predicted density of each structure as a page (:func:`write_viewer`), on a grid of about 100,000
    points.

    Args:
        files: one for each structure.
        structures: molecules.
        predictions: of the task, for each structure.
        task: of densities.
        captions: what stands above, for each structure, after its formula. Default: nothing.

    Raises:
        InputError: another task, or a periodic structure.
        CheckpointError: a file can't be written.
    """
    require_cubes(task, structures)
    assert isinstance(task, Density)
    words = captions or [""] * len(files)
    for path, structure, prediction, said in zip(files, structures, predictions, words, strict=True):
        graph, density = predicted_density(structure, prediction, task)
        grid = surface_grid(graph.pos.to(torch.float64))
        formula = Atoms(graph.z.tolist()).get_chemical_formula()
        caption = f"{formula}: {said}" if said else formula
        values = values_on_grid(density, grid)
        plots.density_viewer(path, values, grid, graph.z, graph.pos, caption=caption)


def _same_place(first: Cube, second: Cube) -> bool:
    ends = [torch.stack([c.grid.points(0, 1)[0], c.grid.points(c.grid.size - 1)[0]]) for c in (first, second)]
    steps = (first.grid.steps - second.grid.steps).abs() * torch.tensor(first.grid.counts).unsqueeze(1)
    return bool((ends[0] - ends[1]).abs().max() < SAME) and bool(steps.max() < SAME)
