"""Predictions against labels, and how the errors are spread over species."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from intertwine.numerics import InputError
from intertwine.plots.style import BLUE, GREY, ORANGE, array, figure, same_shape, save, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DENSITY_POINTS = 2000  # points beyond which a density is drawn
DENSITY_BINS = 120
MILLI = {"eV": "meV", "eV/A": "meV/Å", "eV/atom": "meV/atom", "eV/A^3": "meV/Å³"}


def parity(predicted: Any, true: Any, unit: str, path: str | Path, name: str = "energy", *, baseline: str = "") -> Path:
    """Predicted against true values, with MAE and RMSE; a density where there are more than 2,000 points.

    Args:
        predicted: values of any shape, in ``unit``.
        true: labels of the same shape and unit.
        unit: "eV", "eV/A", ...; errors in the title are in thousandths of the units of energies and forces.
        path: where the picture goes (.png, .pdf, .svg).
        name: what is drawn, "energy" or "forces" for example.
        baseline: errors of a prediction that does not look at the geometry, in words, a second line of the title.

    Raises:
        InputError: shapes that differ, or nothing finite to draw.
    """
    picture = figure(4.6, 4.4)
    draw_parity(picture.add_subplot(), predicted, true, unit, name, baseline)
    return save(picture, path)


def draw_parity(axes: Axes, predicted: Any, true: Any, unit: str, name: str, baseline: str = "") -> None:
    """:func:`parity` on axes of your own."""
    p, t = array(predicted, f"predicted {name}"), array(true, f"true {name}")
    same_shape(p, t, name)
    p, t = p.ravel(), t.ravel()
    finite = np.isfinite(p) & np.isfinite(t)
    p, t = p[finite], t[finite]
    if not len(p):
        raise InputError("no pair of finite values", where=name, remedy="check predictions and labels for NaN.")
    low, high = float(min(p.min(), t.min())), float(max(p.max(), t.max()))
    margin = 0.03 * (high - low) or 1.0
    low, high = low - margin, high + margin
    axes.plot([low, high], [low, high], color=GREY, linewidth=0.8, zorder=1)
    if len(p) > DENSITY_POINTS:
        drawn = axes.hexbin(
            t,
            p,
            gridsize=DENSITY_BINS,
            bins="log",
            mincnt=1,
            cmap="cividis",
            extent=(low, high, low, high),
            linewidths=0.1,
            zorder=2,
        )
        bar = axes.figure.colorbar(drawn, ax=axes, shrink=0.7, pad=0.02)
        bar.set_label("points", fontsize=8)
        bar.ax.tick_params(labelsize=7)
    else:
        axes.plot(t, p, linestyle="", marker="o", markersize=3, color=BLUE, alpha=0.5, markeredgewidth=0, zorder=2)
    axes.set_xlim(low, high)
    axes.set_ylim(low, high)
    axes.set_aspect("equal")
    axes.locator_params(nbins=5)
    axes.ticklabel_format(useOffset=False)
    error = p - t
    mae, rmse = float(np.abs(error).mean()), float(np.sqrt((error**2).mean()))
    factor, small = (1e3, MILLI[unit]) if unit in MILLI else (1.0, unit)
    shown = unit.replace("/A^3", "/Å³").replace("/A", "/Å")
    tidy(
        axes,
        f"{name}: MAE {factor * mae:.3g}, RMSE {factor * rmse:.3g} {small}".rstrip() + f"\n{baseline}" * bool(baseline),
        f"reference ({shown})",
        f"predicted ({shown})",
    )


def error_by_species(errors: Mapping[str, Any], unit: str, path: str | Path, name: str = "forces") -> Path:
    """Mean absolute and root-mean-square errors, species by species.

    Args:
        errors: symbol -> residuals of that species' atoms, any shape, in ``unit``.
        unit: their unit.
        path: where the picture goes.
        name: what the residuals are of.

    Raises:
        InputError: no species, or one without residuals.
    """
    picture = figure(4.6, 3.4)
    draw_error_by_species(picture.add_subplot(), errors, unit, name)
    return save(picture, path)


def draw_error_by_species(axes: Axes, errors: Mapping[str, Any], unit: str, name: str) -> None:
    """:func:`error_by_species` on axes of your own."""
    if not errors:
        raise InputError("no species", where="errors", remedy="give residuals by chemical symbol.")
    values = {symbol: array(residuals, f"errors of {symbol}") for symbol, residuals in errors.items()}
    factor, shown = (1e3, MILLI[unit]) if unit in MILLI else (1.0, unit)
    places = np.arange(len(values))
    mae = [factor * float(np.nanmean(np.abs(v))) for v in values.values()]
    rmse = [factor * float(np.sqrt(np.nanmean(v**2))) for v in values.values()]
    axes.bar(places - 0.2, mae, 0.38, color=BLUE, label="MAE")
    axes.bar(places + 0.2, rmse, 0.38, color=ORANGE, label="RMSE")
    axes.set_xticks(places, list(values))
    axes.margins(y=0.25)  # the legend stands above the bars
    axes.legend(loc="upper right", ncols=2, fontsize=8, frameon=False)
    tidy(axes, f"{name} by species", "", f"error ({shown})")
    axes.grid(False, axis="x")
