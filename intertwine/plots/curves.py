"""Quantities over time: training and molecular dynamics."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from intertwine.numerics import InputError
from intertwine.plots.style import BLUE, CYCLE, GREY, RED, array, figure, same_shape, save, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def learning_curve(
    history: Mapping[str, Any], path: str | Path, *, x: str = "epoch", y: str = "", title: str = "learning curve"
) -> Path:
    """Losses or errors over training, on a logarithmic axis.

    Args:
        history: name -> one value per row, among them ``x``; entries that are not finite (an epoch without validation)
            are left out of their curve.
        path: where the picture goes.
        x: name of the column on the horizontal axis; row numbers where there is none.
        y: label of the vertical axis, with its unit.
        title: of the picture.

    Raises:
        InputError: no curve, or columns of different lengths.
    """
    picture = figure(5.4, 3.6)
    draw_learning_curve(picture.add_subplot(), history, x=x, y=y, title=title)
    return save(picture, path)


def draw_learning_curve(
    axes: Axes, history: Mapping[str, Any], *, x: str = "epoch", y: str = "", title: str = "learning curve"
) -> None:
    """:func:`learning_curve` on axes of your own."""
    columns = {name: array(values, name).ravel() for name, values in history.items()}
    curves = {name: values for name, values in columns.items() if name != x}
    if not curves:
        raise InputError("no curve", where="history", remedy=f"give at least one column besides {x!r}.")
    steps = columns.get(x, np.arange(len(next(iter(curves.values()))), dtype=np.float64))
    for colour, (name, values) in zip(CYCLE * len(curves), curves.items()):
        same_shape(steps, values, f"{x}, {name}")
        drawn = np.isfinite(values) & np.isfinite(steps)
        marker = "o" if drawn.sum() <= 40 else None
        axes.plot(steps[drawn], values[drawn], color=colour, label=name, linewidth=1.4, marker=marker, markersize=3)
    if all((values[np.isfinite(values)] > 0).all() for values in curves.values()):
        axes.set_yscale("log")
    axes.legend(loc="upper right", fontsize=8, frameon=False)
    tidy(axes, title, x, y or "loss")


def trajectory(
    time: Any, energy: Any, temperature: Any, path: str | Path, *, atoms: int = 1, target: float | None = None,
    what: str = "total energy",
) -> Path:  # fmt: skip
    """Drift of the energy, and temperature, of a molecular-dynamics run.

    Args:
        time: (frames,) ps.
        energy: (frames,) total energy, or with a bath the energy that is conserved, eV.
        temperature: (frames,) K.
        path: where the picture goes.
        atoms: number of atoms: the drift is drawn per atom.
        target: temperature asked for (K), drawn as a line.
        what: name of the energy.

    Raises:
        InputError: columns of different lengths, or no atoms.
    """
    if atoms < 1:
        raise InputError(f"{atoms} atoms", where="atoms", remedy="give the number of atoms, 1 or more.")
    t, e, k = array(time, "time").ravel(), array(energy, "energy").ravel(), array(temperature, "temperature").ravel()
    same_shape(t, e, "time, energy")
    same_shape(t, k, "time, temperature")
    picture = figure(5.4, 4.4)
    upper, lower = picture.subplots(2, 1, sharex=True)
    drift = 1e3 * (e - e[0]) / atoms
    upper.axhline(0.0, color=GREY, linewidth=0.8)
    upper.plot(t, drift, color=BLUE, linewidth=1.0)
    finite = np.isfinite(t) & np.isfinite(drift)
    slope = np.polyfit(t[finite], drift[finite], 1)[0] if finite.sum() > 2 and np.ptp(t[finite]) > 0 else 0.0
    tidy(upper, f"{what}: drift {1e3 * slope:.3g} meV per atom per ns", "", "E(t) − E(0) (meV/atom)")
    lower.plot(t, k, color=RED, linewidth=1.0)
    if target is not None:
        lower.axhline(target, color=GREY, linewidth=0.8, linestyle="--")
    tidy(lower, f"temperature: mean {np.nanmean(k):.0f} K", "time (ps)", "T (K)")
    return save(picture, path)
