"""Predictions against labels, and how the errors are spread over species."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from intertwine.numerics import InputError
from intertwine.numerics.showing import figure as digits
from intertwine.plots.style import BLUE, GREY, ORANGE, RED, array, figure, in_unit, same_shape, save, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DENSITY_POINTS = 2000  # points beyond which a density is drawn
DENSITY_BINS = 120
FEWEST_POINTS = 10  # points, from which on the farthest may be beyond the ends of the axes
NOTE_GAP_PT, NOTE_PT = 5, 7  # of the note on points outside, from the axes, and its size
RARE = 200  # of so many points one may be
PER_ROW = 30  # species in a row of the picture by species
WORST = 12  # species in a panel
FAR = 5  # times the middle species' error: from there on the axis is logarithmic, and the number is written
LONGEST_SYMBOL = 2  # letters
FEWEST_SLOTS = 4  # places for species in a row, also if there are fewer
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

    A few points that would press all others into a third of the axes are marked at their edge, and counted there; the
    errors are those of all points.

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
    low, high = _ends(p, t)
    inside = (p >= low) & (p <= high) & (t >= low) & (t <= high)
    axes.plot([low, high], [low, high], color=GREY, linewidth=0.8, zorder=1)
    if len(p) > DENSITY_POINTS:
        drawn = axes.hexbin(
            t[inside],
            p[inside],
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
        dots: dict[str, Any] = {"linestyle": "", "marker": "o", "markersize": 3, "alpha": 0.5, "markeredgewidth": 0}
        axes.plot(t[inside], p[inside], color=BLUE, zorder=2, **dots)
    if not inside.all():
        x, y = (np.clip(side[~inside], low, high) for side in (t, p))
        axes.plot(x, y, linestyle="", marker="D", markersize=5, color=RED, clip_on=False, zorder=3)
        far = np.stack([p, t])[:, ~inside]
        note = f"{(~inside).sum()} of {len(p):,} outside, from {far.min():.4g} to {far.max():.4g}"
        above: dict[str, Any] = {"xycoords": "axes fraction", "textcoords": "offset points", "va": "bottom"}
        axes.annotate(note, (0, 1), (0, NOTE_GAP_PT), fontsize=NOTE_PT, color=RED, **above)  # where no point is
    axes.set_xlim(low, high)
    axes.set_ylim(low, high)
    axes.set_aspect("equal")
    axes.locator_params(nbins=5)
    axes.ticklabel_format(useOffset=False)
    error = p - t
    mae, rmse = float(np.abs(error).mean()), float(np.sqrt((error**2).mean()))
    factor, small = (1e3, MILLI[unit]) if unit in MILLI else (1.0, unit)
    title = f"{name}: MAE {digits(factor * mae)}, RMSE {digits(factor * rmse)} {small}".rstrip()
    title += f"\n{baseline}" if baseline else ""
    tidy(axes, title, in_unit("reference", unit), in_unit("predicted", unit))
    if not inside.all():
        axes.set_title(title, fontsize=10, loc="left", pad=NOTE_GAP_PT + 2 * NOTE_PT)


def _ends(p: np.ndarray, t: np.ndarray) -> tuple[float, float]:
    """The ends of both axes: of all points, or of all but a few that are far away."""

    def ends(values: np.ndarray) -> tuple[float, float]:
        low, high = float(values.min()), float(values.max())
        margin = 0.03 * (high - low) or max(1e-3 * abs(high), 1e-6)
        return low - margin, high + margin

    everything = np.stack([p, t])
    low, high = ends(everything)
    if len(p) < FEWEST_POINTS:
        return low, high
    distance = np.abs(everything - np.median(t)).max(axis=0)
    first, last = ends(everything[:, np.argsort(distance)[: len(p) - max(1, len(p) // RARE)]])
    if not high - low > 3 * (last - first):
        return low, high
    room = 0.5 * (last - first)  # who is within it costs little
    return ends(everything[(everything >= first - room) & (everything <= last + room)])


def error_by_species(
    errors: Mapping[str, Any],
    unit: str,
    path: str | Path,
    name: str = "forces",
    *,
    notes: Mapping[str, str] | None = None,
) -> Path:
    """Mean absolute and root-mean-square errors, species by species; thirty in a row.

    Where one is more than five times that of the middle species, the axis is logarithmic and its RMSE is written.

    Args:
        errors: symbol -> residuals of that species' atoms, any shape, in ``unit``; residuals that are not finite, and
            species that have no others, are left out.
        unit: their unit.
        path: where the picture goes.
        name: what the residuals are of.
        notes: symbol -> why its errors say nothing: written in the place of its bars, which have no part in the axis.

    Raises:
        InputError: no species, or nothing finite.
    """
    values = _finite(errors)
    notes = _noted(values, notes)
    rows = [list(values)[k : k + PER_ROW] for k in range(0, len(values), PER_ROW)]
    longest = len(rows[0])
    picture = figure(max(4.6, 0.8 + 0.3 * longest), 1.2 + 2.2 * len(rows))
    for axes, row in zip(picture.subplots(len(rows), 1, sharey=True, squeeze=False)[:, 0], rows, strict=True):
        _bars(axes, {symbol: values[symbol] for symbol in row}, unit, _logarithmic(values, notes), notes, longest)
    tidy(picture.axes[0], f"{name} by species", "", picture.axes[0].get_ylabel())
    for axes in picture.axes:
        axes.grid(False, axis="x")
    for legend in [axes.get_legend() for axes in picture.axes[1:]]:
        if legend is not None:
            legend.remove()
    return save(picture, path)


def draw_error_by_species(
    axes: Axes, errors: Mapping[str, Any], unit: str, name: str, *, most: int = WORST,
    notes: Mapping[str, str] | None = None,
) -> None:  # fmt: skip
    """:func:`error_by_species` on axes of your own; of more than ``most`` species those with the largest errors, and
    all others together, without those that have a note.
    """
    values, title = _finite(errors), f"{name} by species"
    notes = _noted(values, notes)
    told = [symbol for symbol in values if symbol not in notes]
    if len(values) > most:
        order = sorted(told, key=lambda symbol: -float((values[symbol] ** 2).mean()))
        most = min(most, len(order) + 1)
        worst, others = order[: most - 1], order[most - 1 :]
        title = f"{name}: the {most - 1} worst of {len(values)} species"
        rest = {"others": np.concatenate([values[symbol] for symbol in others])} if others else {}
        values = {symbol: values[symbol] for symbol in worst} | rest
    _bars(axes, values, unit, _logarithmic(values, notes), notes)
    tidy(axes, title, "", axes.get_ylabel())
    axes.grid(False, axis="x")


def _finite(errors: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The finite residuals of each species that has some."""
    values = {symbol: array(v, f"errors of {symbol}", empty=True).ravel() for symbol, v in errors.items()}
    values = {symbol: v[np.isfinite(v)] for symbol, v in values.items() if np.isfinite(v).any()}
    if not values:
        raise InputError("no species", where="errors", remedy="give finite residuals by chemical symbol.")
    return values


def _noted(values: Mapping[str, np.ndarray], notes: Mapping[str, str] | None) -> dict[str, str]:
    """The notes of the species that there are; none where no species would be left."""
    kept = {symbol: words for symbol, words in (notes or {}).items() if symbol in values}
    return kept if len(kept) < len(values) else {}


def _logarithmic(values: Mapping[str, np.ndarray], notes: Mapping[str, str]) -> bool:
    """Whether a linear axis would hide most species behind a few."""
    return bool(_far(np.array([np.sqrt((v**2).mean()) for s, v in values.items() if s not in notes])).any())


def _far(sizes: np.ndarray) -> np.ndarray:
    """Which are far above the middle one."""
    return sizes > FAR * np.median(sizes) if np.median(sizes) > 0 else np.zeros(len(sizes), dtype=bool)


def _bars(
    axes: Axes,
    values: Mapping[str, np.ndarray],
    unit: str,
    logarithmic: bool,
    notes: Mapping[str, str],
    slots: int = 0,
) -> None:
    """Two bars for each species, or its note; as narrow as if there were ``slots`` of them at least."""
    factor, small = (1e3, MILLI[unit]) if unit in MILLI else (1.0, unit)
    everywhere = np.arange(len(values))
    places = everywhere[[symbol not in notes for symbol in values]]
    mae = [factor * float(np.abs(v).mean()) for symbol, v in values.items() if symbol not in notes]
    rmse = [factor * float(np.sqrt((v**2).mean())) for symbol, v in values.items() if symbol not in notes]
    axes.bar(places - 0.2, mae, 0.38, color=BLUE, label="MAE")
    axes.bar(places + 0.2, rmse, 0.38, color=ORANGE, label="RMSE")
    axes.set_xticks(everywhere, list(values))
    for place, symbol in enumerate(values):
        if symbol in notes:
            upright: dict[str, Any] = {"rotation": 90, "ha": "center", "va": "bottom", "fontsize": NOTE_PT}
            axes.text(place, 0.03, notes[symbol], color=GREY, transform=axes.get_xaxis_transform(), **upright)
    for label in axes.get_xticklabels():  # a word stands upright: beside it is a symbol
        label.set_rotation(90 if len(label.get_text()) > LONGEST_SYMBOL else 0)
    width = max(len(values), slots, FEWEST_SLOTS)
    start = -0.5 if len(values) < slots else (len(values) - 1 - width) / 2  # beside a fuller row, or in the middle
    axes.set_xlim(start, start + width)
    if logarithmic:
        axes.set_yscale("log")
        for place, size in zip(places, rmse, strict=True):
            if size > FAR * np.median(rmse):
                above: dict[str, Any] = {"textcoords": "offset points", "ha": "center", "va": "bottom"}
                axes.annotate(digits(size), (place + 0.2, size), (0, 2), fontsize=NOTE_PT, rotation=90, **above)
    axes.margins(y=0.35 if logarithmic else 0.25)  # the legend stands above the bars
    axes.legend(loc="upper right", ncols=2, fontsize=8, frameon=False)
    tidy(axes, "", "", in_unit("error", small))
