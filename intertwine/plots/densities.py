"""Electron densities: a slice as predicted and as it is, the difference, and the error over distance."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from intertwine.numerics import InputError
from intertwine.plots.style import BLUE, ORANGE, array, figure, save, tidy

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DECADES = 5  # of the colours of a density, below 1 e / Bohr^3


def density_slice(
    predicted: Any, true: Any, x: Any, y: Any, atoms: Any, names: Sequence[str], *, path: str | Path | None = None
) -> Figure:
    """A plane through a density as predicted, as it is, and the difference; colours of the first two are logarithmic.

    Args:
        predicted, true: values (rows, columns) in e / Bohr^3.
        x, y: coordinates of the columns and of the rows (A).
        atoms: their places in the plane (A). names: of the atoms.
        path: where to save it; not saved if None.

    Raises:
        InputError: values of other shapes than the coordinates.
    """
    made, real, across, up = (
        array(v, name) for v, name in ((predicted, "predicted"), (true, "true"), (x, "x"), (y, "y"))
    )
    if made.shape != real.shape or made.shape != (len(up), len(across)):
        what = f"values of shapes {made.shape} and {real.shape} for {len(up)} rows and {len(across)} columns"
        raise InputError(what, where="density_slice", remedy="give (rows, columns) of both.")
    places, picture = array(atoms, "atoms"), figure(11.0, 3.6)
    limit = float(np.abs(made - real).max()) or 1.0
    logs = [np.log10(np.clip(values, 10.0**-DECADES, None)) for values in (made, real)]
    panels = [("predicted", logs[0]), ("true", logs[1]), (f"difference, at most {limit:.1e}", made - real)]
    extent = (float(across[0]), float(across[-1]), float(up[0]), float(up[-1]))
    for number, (axes, (title, values)) in enumerate(zip(picture.subplots(1, 3), panels, strict=True)):
        scale = {"cmap": "RdBu_r", "vmin": -limit, "vmax": limit} if number == 2 else {"vmin": -DECADES, "vmax": 1}
        image = axes.imshow(values, origin="lower", extent=extent, aspect="equal", **scale)
        for (a, b), name in zip(places, names, strict=True):
            colour = "k" if number == 2 else "w"
            axes.text(a, b, name, ha="center", va="center", fontsize=8, color=colour)
        tidy(axes, title, "A", "A")
        axes.grid(False)
        bar = picture.colorbar(image, ax=axes, shrink=0.8)
        bar.set_label("e/Bohr³" if number == 2 else "log10 of e/Bohr³", fontsize=8)
    if path is not None:
        save(picture, path)
    return picture


def error_over_distance(
    distance: Any, error: Any, density: Any, width: float, *, path: str | Path | None = None
) -> Figure:
    """How many electrons are at each distance from the nearest nucleus, and how many of them are in a wrong place.

    Args:
        distance: centres of the bins (A).
        error: integral of the absolute error in each (electrons). density: of the density.
        width: of a bin (A).
        path: where to save it; not saved if None.
    """
    d, wrong, there = (array(v, name) for v, name in ((distance, "distance"), (error, "error"), (density, "density")))
    picture = figure(5.5, 4.0)
    axes = picture.subplots()
    axes.plot(d, there / width, color=BLUE, label="density")
    axes.plot(d, wrong / width, color=ORANGE, label="absolute error")
    axes.set_yscale("log")
    axes.set_ylim(bottom=1e-6 * float(there.max() / width))
    share = 100 * float(wrong.sum() / there.sum())
    tidy(
        axes,
        f"error of a density: {share:.2g} % of its electrons",
        "distance from the nearest nucleus (A)",
        "electrons/A",
    )
    axes.legend(frameon=False, fontsize=8)
    if path is not None:
        save(picture, path)
    return picture
