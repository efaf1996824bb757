"""Quantities over time: training and molecular dynamics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from intertwine.numerics import InputError
from intertwine.plots.style import BLUE, CYCLE, GREY, RED, array, figure, in_unit, same_shape, save, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FEW_POINTS = 40  # points of a curve, up to which each is marked
FEWEST_POINTS = 4  # points of a curve, from which on its largest may be left out
RARE = 20  # of so many points one may be beyond the end of the axis


def learning_curve(
    history: Mapping[str, Any], path: str | Path, *, x: str = "epoch", y: str = "", title: str = "learning curve"
) -> Path:
    """Losses or errors over training, on a logarithmic axis.

    Args:
        history: name -> one value per row, among them ``x``; entries that are not finite (an epoch without validation)
            are left out of their curve, and the legend says of which curve nothing is left. A few values that would
            take more than a third of the height from all others are marked at the upper edge; the legend has the
            largest of them.
        path: where the picture goes.
        x: name of the column on the horizontal axis; row numbers where there is none.
        y: label of the vertical axis, with its unit.
        title: of the picture.

    Raises:
        InputError: no curve, nothing finite, or columns of different lengths.
    """
    picture = figure(5.4, 3.6)
    draw_learning_curve(picture.add_subplot(), history, x=x, y=y, title=title)
    return save(picture, path)


def draw_learning_curve(
    axes: Axes, history: Mapping[str, Any], *, x: str = "epoch", y: str = "", title: str = "learning curve"
) -> None:
    """:func:`learning_curve` on axes of your own."""
    columns = {name: array(values, name, empty=name != x).ravel() for name, values in history.items()}
    curves = {name: values for name, values in columns.items() if name != x}
    if not curves:
        raise InputError("no curve", where="history", remedy=f"give at least one column besides {x!r}.")
    steps = columns.get(x, np.arange(len(next(iter(curves.values()))), dtype=np.float64))
    for name, values in curves.items():
        same_shape(steps, values, f"{x}, {name}")
    draw_curves(axes, {name.replace("_", " "): (steps, values) for name, values in curves.items()})
    tidy(axes, title, x, y or "loss")


def learning_curves(
    panels: Mapping[str, tuple[str, Mapping[str, tuple[Any, Any]]]], path: str | Path, *, x: str = "epoch"
) -> Path:
    """Several curves over each other, such as those of several runs, a panel for each quantity.

    Args:
        panels: what -> (unit, name of the curve -> (places on the horizontal axis, values)).
        path: where the picture goes.
        x: label of the horizontal axis.

    Raises:
        InputError: no panel, nothing finite in one, or columns of different lengths.
    """
    if not panels:
        raise InputError("no curve", where="panels", remedy="give the curves of at least one run.")
    columns = min(2, len(panels))
    rows = -(-len(panels) // columns)
    picture = figure(5.4 * columns, 3.8 * rows)
    for k, (what, (unit, runs)) in enumerate(panels.items()):
        axes = picture.add_subplot(rows, columns, k + 1)
        pairs = {name: (array(x, name), array(y, name, empty=True)) for name, (x, y) in runs.items()}
        for name, (epochs, values) in pairs.items():
            same_shape(epochs, values, f"{x}, {name}")
        draw_curves(axes, pairs)
        tidy(axes, what, x, in_unit(what.split(" of ")[0], unit))
    return save(picture, path)


def draw_curves(axes: Axes, curves: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> None:
    """Curves of positive values, each over places of its own; as in :func:`learning_curve`.

    Args:
        axes: where.
        curves: name -> (places on the horizontal axis, values), of one length each.

    Raises:
        InputError: no curve has a finite value.
    """
    drawn = {name: np.isfinite(steps) & np.isfinite(values) for name, (steps, values) in curves.items()}
    kept = {name: values[drawn[name]] for name, (_, values) in curves.items() if drawn[name].any()}
    if not kept:
        raise InputError(f"no finite value of {', '.join(curves)}", where="history", remedy="there is nothing to draw.")
    everything = np.concatenate(list(kept.values()))
    logarithmic = bool((everything >= 0).all() and (everything > 0).any())
    limits = limits_of_most(list(kept.values()), logarithmic)
    for colour, (name, (steps, values)) in zip(CYCLE * len(curves), curves.items()):
        here = drawn[name]
        marker = "o" if here.sum() <= FEW_POINTS else None
        above = here & (values > limits[1]) if limits else np.zeros_like(here)
        label = name if here.any() else f"{name}: no finite value"
        label += f" (▲ up to {values[above].max():.3g})" if above.any() else ""
        axes.plot(steps[here], values[here], color=colour, label=label, linewidth=1.4, marker=marker, markersize=3)
        if above.any():
            top = np.full(above.sum(), limits[1] if limits else 0.0)
            axes.plot(steps[above], top, linestyle="", marker="^", color=colour, markersize=5, clip_on=False)
    if logarithmic:
        axes.set_yscale("log")
    if limits:
        axes.set_ylim(*limits)
    elif logarithmic and everything.max() == everything.min():
        axes.set_ylim(everything[0] / 3, everything[0] * 3)
    places = np.concatenate([steps[drawn[name]] for name, (steps, _) in curves.items()])
    if np.ptp(places) == 0:
        axes.set_xlim(places[0] - 0.5, places[0] + 0.5)
    if (places == np.round(places)).all():
        from matplotlib.ticker import MaxNLocator

        axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True, steps=[1, 2, 5, 10], min_n_ticks=1))
    axes.legend(loc="best", fontsize=8, frameon=False)


def limits_of_most(curves: Sequence[np.ndarray], logarithmic: bool) -> tuple[float, float] | None:
    """Ends of an axis that leaves out the largest values of each curve, one in twenty and at least one; None where
    these don't take more than a third of the height, and a factor of ten, from the others.

    Args:
        curves: finite values.
        logarithmic: the axis is; values that are not positive don't count then.
    """
    values = [np.sort(curve[curve > 0] if logarithmic else curve) for curve in curves]
    most = [v[: len(v) - max(1, len(v) // RARE)] if len(v) >= FEWEST_POINTS else v for v in values]
    rest, everything = np.concatenate(most), np.concatenate(values)
    if not len(rest) or not everything.max() > 10 * abs(rest.max()):
        return None
    scale, back = (np.log10, lambda v: 10.0**v) if logarithmic else (np.asarray, float)
    low, high, highest = (float(scale(v)) for v in (everything.min(), rest.max(), everything.max()))
    if not highest - low > 1.5 * (high - low):
        return None
    scaled = scale(everything)
    high = float(scaled[scaled <= high + 0.25 * (high - low)].max())  # who is within it costs little
    margin = 0.05 * (high - low) or (0.1 if logarithmic else 0.1 * abs(high) or 1.0)
    return float(back(low - margin)), float(back(high + margin))


def trajectory(
    time: Any, energy: Any, temperature: Any, path: str | Path, *, atoms: int = 1, target: float | None = None,
    what: str = "total energy", conserved: tuple[Any, Any] | None = None, drift: float | None = None,
    caveat: str = "",
) -> Path:  # fmt: skip
    """Change of the energy, and temperature, of a molecular-dynamics run.

    Args:
        time: (frames,) ps.
        energy: (frames,) total energy, or with a bath the energy that is conserved, eV.
        temperature: (frames,) K.
        path: where the picture goes.
        atoms: number of atoms: energies are drawn per atom.
        target: temperature asked for (K), drawn as a line.
        what: name of the energy.
        conserved: (points,) ps and (points,) eV: the energy that is conserved, where it is another one and has times of
            its own, as the shadow energy; the title tells its drift then.
        drift: the drift that the title tells, eV per atom per ns; by default the slope by least squares of the energy
            that is conserved.
        caveat: what speaks against mean and drift, as a line over both panels.

    Raises:
        InputError: columns of different lengths, or no atoms.
    """
    if atoms < 1:
        raise InputError(f"{atoms} atoms", where="atoms", remedy="give the number of atoms, 1 or more.")
    t, e, k = array(time, "time").ravel(), array(energy, "energy").ravel(), array(temperature, "temperature").ravel()
    same_shape(t, e, "time, energy")
    same_shape(t, k, "time, temperature")
    curves = {what: (t, e)}
    if conserved is not None:
        what = "conserved energy"
        curves[what] = (array(conserved[0], "times").ravel(), array(conserved[1], what).ravel())
        same_shape(*curves[what], f"times, {what}")
    marker = "o" if len(t) <= FEW_POINTS else None
    picture = figure(5.4, 4.4)
    upper, lower = picture.subplots(2, 1, sharex=True)
    upper.axhline(0.0, color=GREY, linewidth=0.8)
    for colour, (name, (times, energies)) in zip((BLUE, RED) if conserved is None else (GREY, BLUE), curves.items()):
        change = 1e3 * (energies - energies[0]) / atoms
        mark = marker if energies is e else None
        upper.plot(times, change, color=colour, label=name, linewidth=1.0, marker=mark, markersize=3)
    drift = slope_per_ns(times, energies, atoms) if drift is None else drift
    told = f"{drift:.3g} eV/atom/ns" if np.isfinite(drift) else "none of so few frames"
    tidy(upper, f"drift of the {what}: {told}", "", "E(t) − E(0) (meV/atom)")
    if len(curves) > 1:
        upper.legend(loc="best", fontsize=8, frameon=False)
    lower.plot(t, k, color=RED, linewidth=1.0, marker=marker, markersize=3)
    if target is not None:
        lower.axhline(target, color=GREY, linewidth=0.8, linestyle="--")
    tidy(lower, f"temperature: mean {np.nanmean(k):.0f} K", "time (ps)", "T (K)")
    if caveat:
        picture.suptitle(caveat, fontsize=7.5, color=RED, x=0.01, ha="left")
    return save(picture, path)


def slope_per_ns(time: np.ndarray, energy: np.ndarray, atoms: int) -> float:
    """Least-squares slope of energies (eV) at times (ps), in eV per atom per ns; nan of fewer than three."""
    finite = np.isfinite(time) & np.isfinite(energy)
    if finite.sum() < 3 or not np.ptp(time[finite]) > 0:
        return float("nan")
    change = (energy[finite] - energy[finite][0]) / atoms
    return float(np.polyfit(1e-3 * time[finite], change, 1)[0])
