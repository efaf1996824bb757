"""Matrices between orbitals as images, orbital energies as a ladder, errors by block."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from intertwine.numerics import InputError
from intertwine.plots.style import BLUE, GREY, ORANGE, array, figure, save, tidy

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def matrices(
    predicted: Any, true: Any, sizes: Sequence[int], names: Sequence[str], unit: str = "Eh", *,
    path: str | Path | None = None,
) -> Figure:  # fmt: skip
    """A matrix as predicted, as it is, and the difference, as images with lines between the atoms.

    Colours are those of the arsinh of an element in units of 0.1, so that small elements are seen beside large ones; of
    the difference they are linear, with a scale of its own.

    Args:
        predicted, true: square matrices of equal shape.
        sizes: orbitals of each atom. names: of the atoms.
        unit: of the elements.
        path: where to save it; not saved if None.

    Raises:
        InputError: matrices of other shapes, or sizes that do not add up.
    """
    made, real = array(predicted, "predicted"), array(true, "true")
    if made.shape != real.shape or made.shape != (sum(sizes), sum(sizes)):
        what = f"matrices of shapes {made.shape} and {real.shape} for {sum(sizes)} orbitals"
        raise InputError(what, where="matrices", remedy="give square matrices, and the orbitals of each atom.")
    picture, ends = figure(11.0, 3.6), np.cumsum(sizes)[:-1] - 0.5
    centres = np.cumsum(sizes) - np.asarray(sizes) / 2 - 0.5
    squeezed = [np.arcsinh(10 * matrix) for matrix in (made, real)]
    most = float(np.abs(squeezed[1]).max()) or 1.0
    worst = float(np.abs(made - real).max())
    panels = [("predicted", squeezed[0], most), ("true", squeezed[1], most), ("difference", made - real, worst or 1.0)]
    for axes, (title, values, limit) in zip(picture.subplots(1, 3), panels, strict=True):
        image = axes.imshow(values, cmap="RdBu_r", vmin=-limit, vmax=limit, interpolation="nearest")
        axes.set_title(title if title != "difference" else f"difference, at most {worst:.1e} {unit}", fontsize=10)
        for end in ends:
            axes.axhline(end, color=GREY, linewidth=0.6)
            axes.axvline(end, color=GREY, linewidth=0.6)
        axes.set_xticks(centres, names)
        axes.set_yticks(centres, names)
        bar = picture.colorbar(image, ax=axes, shrink=0.8)
        bar.set_label(unit if title == "difference" else f"arsinh of an element / 0.1 {unit}", fontsize=8)
    if path is not None:
        save(picture, path)
    return picture


def ladder(predicted: Any, true: Any, occupied: int, unit: str = "Eh", *, path: str | Path | None = None) -> Figure:
    """Energies of orbitals as the steps of two ladders, predicted beside true; occupied ones are filled lines.

    The lowest ones are far below: they are written, not drawn to scale, if they lie ten times deeper than the next.

    Args:
        predicted, true: energies, ascending.
        occupied: how many orbitals are.
        unit: of the energies.
        path: where to save it; not saved if None.
    """
    made, real = array(predicted, "predicted"), array(true, "true")
    picture = figure(5.0, 5.0)
    axes = picture.subplots()
    core = [k for k in range(min(occupied, len(real))) if real[k] < 5 * real[occupied - 1] and real[k] < -5]
    for place, (values, colour) in enumerate(((made, BLUE), (real, ORANGE))):
        for k, value in enumerate(values):
            if k not in core:
                style = "-" if k < occupied else ":"
                axes.hlines(value, place - 0.35, place + 0.35, color=colour, linestyle=style, linewidth=1.6)
    below = "; ".join(f"{made[k]:.5f} and {real[k]:.5f}" for k in core)
    worst = float(np.abs(made - real)[:occupied].max()) if occupied else 0.0
    axes.set_xticks([0, 1], ["predicted", "true"])
    tidy(axes, f"orbital energies; occupied ones (lines) differ by at most {worst:.1e} {unit}", "", f"energy ({unit})")
    if below:
        axes.annotate(f"below: {below}", (0.5, 0.01), xycoords="axes fraction", ha="center", fontsize=8)
    if path is not None:
        save(picture, path)
    return picture


def block_errors(errors: Any, names: Sequence[str], unit: str = "1e-6 Eh", *, path: str | Path | None = None) -> Figure:
    """Mean absolute error of the block of every two shells, as an image with the numbers in it.

    Args:
        errors: (shells, shells).
        names: of the shells.
        unit: of the errors.
        path: where to save it; not saved if None.
    """
    values = array(errors, "errors")
    picture = figure(1.5 + 0.42 * len(names), 1.2 + 0.42 * len(names))
    axes = picture.subplots()
    image = axes.imshow(values, cmap="viridis", vmin=0)
    for (row, column), value in np.ndenumerate(values):
        dark = value < 0.6 * values.max()
        axes.text(column, row, f"{value:.2g}", ha="center", va="center", fontsize=6, color="w" if dark else "k")
    axes.set_xticks(range(len(names)), names, rotation=90, fontsize=7)
    axes.set_yticks(range(len(names)), names, fontsize=7)
    axes.set_title(f"mean absolute error ({unit})", fontsize=10)
    picture.colorbar(image, ax=axes, shrink=0.8)
    if path is not None:
        save(picture, path)
    return picture
