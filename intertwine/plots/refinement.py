"""Structures that a model refines step by step."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from intertwine.numerics import InputError
from intertwine.plots.style import BLUE, GREY, ORANGE, array, figure, save


def iterations(
    paths: Sequence[Any], targets: Sequence[Any], path: str | Path, *, breaks: Sequence[Any] | None = None
) -> Path:
    """The chains of structures after each iteration, a row each, laid on their targets, with the RMSD above.

    Args:
        paths: of each structure the points of the chain, (points, iterations + 1, 3); the first are those given (A).
        targets: of each structure the points that are to be reached (points, 3), A.
        path: where the picture goes.
        breaks: of each structure whether a chain begins at a point (points,); None where the chain is whole.

    Raises:
        InputError: no structures, or a target of another number of points.
    """
    if not len(paths):
        raise InputError("no structures", where="paths", remedy="give at least one.")
    columns = max(np.shape(each)[1] for each in paths)
    picture = figure(2.1 * columns, 2.0 * len(paths) + 0.4)
    grid = picture.subplots(len(paths), columns, squeeze=False)
    for row, (steps, target) in enumerate(zip(paths, targets, strict=True)):
        x, y = array(steps, "paths"), array(target, "targets")
        if x.ndim != 3 or x[:, 0].shape != y.shape:
            what = f"paths of shape {x.shape} and a target of shape {y.shape}"
            raise InputError(what, where=f"structure {row}", remedy="give (points, iterations + 1, 3) and (points, 3).")
        begins = breaks[row] if breaks is not None and breaks[row] is not None else np.zeros(len(y), dtype=bool)
        pieces = np.split(np.arange(len(y)), np.flatnonzero(begins[1:]) + 1)
        centre = y.mean(0)
        _, _, directions = np.linalg.svd(y - centre)
        for column, axes in enumerate(grid[row]):
            axes.set_axis_off()
            if column >= x.shape[1]:
                continue
            laid = _laid(x[:, column], y)
            rmsd = float(np.sqrt(((laid - y) ** 2).sum(1).mean()))
            for points, colour, width in ((y, GREY, 1.0), (laid, ORANGE if column == 0 else BLUE, 1.6)):
                flat = (points - centre) @ directions[:2].T
                for piece in pieces:
                    axes.plot(*flat[piece].T, color=colour, linewidth=width, marker="o", markersize=2.2)
            axes.set_aspect("equal")
            name = "given" if column == 0 else f"iteration {column}"
            axes.set_title(f"{name}: {rmsd:.2f} A", fontsize=8)
    picture.suptitle("alpha carbons (colour) on the target (grey), RMSD after superposition", fontsize=9)
    return save(picture, path)


def _laid(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """x moved onto y by the best proper motion."""
    a, b = x - x.mean(0), y - y.mean(0)
    u, _, v = np.linalg.svd(b.T @ a)
    rotation = (u * np.array([1.0, 1.0, round(np.linalg.det(u @ v))])) @ v
    return a @ rotation.T + y.mean(0)
