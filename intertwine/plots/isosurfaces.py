"""Electron densities as surfaces around the atoms: as predicted, as it is, and the difference with both signs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from intertwine.numerics import InputError
from intertwine.orbitals.grid import Grid
from intertwine.orbitals.isosurface import Surface, isosurface
from intertwine.plots.atoms import facing
from intertwine.plots.shading import camera
from intertwine.plots.solids import balls_and_sticks, image, smooth
from intertwine.plots.style import BLUE, GREEN, GREY, RED, array, figure, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LEVEL = 0.05  # e / Bohr^3, at which a density shows its bonds; at 0.002 it has the size of the molecule
VIEW_DEGREES = (24.0, -28.0)  # elevation and turn, from before the plane in which the atoms spread most
OPACITY = 0.45
MARGIN = 0.6  # A, around atoms and surfaces
PIXELS = 360  # of a panel's longer side
Box = tuple[float, float, float, float]


def density_surfaces(
    predicted: Any,
    true: Any,
    grid: Grid,
    numbers: Any,
    pos: Any,
    level: float = LEVEL,
    *,
    path: str | Path | None = None,
) -> Figure:
    """Surfaces of a density as predicted and as it is, and of the difference: red where too much is predicted, blue
    where too little.

    The difference is drawn at the level within which half of its absolute values on the grid lie.

    Args:
        predicted, true: values (a, b, c) on the grid, in e / Bohr^3.
        grid: where the values are.
        numbers: atomic numbers. pos: positions (A).
        level: of the two densities (e / Bohr^3).
        path: where to save it; not saved if None.

    Raises:
        InputError: values of other shapes than the grid, or not finite.
    """
    made, real = array(predicted, "predicted"), array(true, "true")
    if made.shape != real.shape or made.shape != tuple(grid.counts):
        what = f"values of shapes {made.shape} and {real.shape} on a grid of {tuple(grid.counts)}"
        raise InputError(what, where="density_surfaces", remedy="give values (a, b, c) of both.")
    at = half_level(made - real)
    panels = [
        (f"predicted, at {level:g} e/Bohr³", [(made, level, GREEN)]),
        (f"true, at {level:g} e/Bohr³", [(real, level, GREY)]),
        (f"difference, at ±{at:.1g} e/Bohr³", [(made - real, at, RED), (real - made, at, BLUE)]),
    ]
    picture = figure(11.0, 3.3)
    x = np.asarray(pos, dtype=np.float64)
    rows = camera(VIEW_DEGREES) @ facing(x)
    drawn = [
        [(isosurface(torch.from_numpy(values), grid, at), colour) for values, at, colour in parts]
        for _, parts in panels
    ]
    box = _box([x, *(surface.vertices.numpy() for parts in drawn for surface, _ in parts)], rows)
    for axes, (title, _), parts in zip(picture.subplots(1, 3), panels, drawn, strict=True):
        draw_molecule(axes, parts, numbers, x, rows, box)
        axes.set_title(title, fontsize=10)
    if path is not None:
        save(picture, path)
    return picture


def half_level(values: Any) -> float:
    """The level within which half of the absolute values on a grid lie, rounded to one digit; 1 of zeros.

    Args:
        values: on the grid.
    """
    falling = np.sort(np.abs(np.asarray(values, dtype=np.float64)).ravel())[::-1]
    sums = falling.cumsum()
    level = float(falling[np.searchsorted(sums, 0.5 * sums[-1])])
    return float(f"{level:.0e}") if level > 0 else 1.0


def draw_molecule(
    axes: Axes, surfaces: Sequence[tuple[Surface, str]], numbers: Any, pos: Any, rows: np.ndarray, box: Box
) -> None:
    """Atoms as balls, bonds as sticks, and surfaces that one sees through, by orthographic projection.

    Args:
        axes: where to draw.
        surfaces: each with its colour.
        numbers: atomic numbers. pos: positions (A).
        rows: right, up and towards the viewer, (3, 3).
        box: left, right, bottom and top (A) of what is drawn.
    """
    from matplotlib.colors import to_rgb

    solids = balls_and_sticks(numbers, pos)
    solids += [smooth(surface, to_rgb(colour), OPACITY) for surface, colour in surfaces]
    axes.imshow(image(solids, rows, box, PIXELS), origin="lower", extent=box, interpolation="antialiased")
    axes.set_axis_off()


def _box(places: Sequence[np.ndarray], rows: np.ndarray) -> Box:
    """What contains all points, with a margin."""
    flat = np.concatenate(places) @ rows[:2].T
    (left, bottom), (right, top) = flat.min(0) - MARGIN, flat.max(0) + MARGIN
    return float(left), float(right), float(bottom), float(top)
