"""A certificate as bars, and everything about a run in one picture."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

from intertwine.numerics import InputError
from intertwine.plots.curves import draw_learning_curve
from intertwine.plots.parity import draw_error_by_species, draw_parity
from intertwine.plots.style import BLUE, GREY, RED, SKY, figure, save, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LEAST_DRAWN_ERROR = 1e-17  # where an error of exactly zero is drawn
LARGEST_DRAWN_ERROR = 10.0
COLOURS = {"float64": BLUE, "float32": SKY}


@runtime_checkable
class Measured(Protocol):
    """What is drawn of a line of a certificate."""

    test: str
    dtype: str
    error: float | None
    bound: float | None
    verdict: str


def certificate(lines: Iterable[Measured], path: str | Path, *, title: str = "certificate") -> Path:
    """The worst error of every test beside its bound, on a logarithmic axis; what failed is red.

    Args:
        lines: the lines of a certificate; tests that have no error (skipped) are left out.
        path: where the picture goes.
        title: of the picture.

    Raises:
        InputError: nothing was measured.
    """
    lines = list(lines)
    picture = figure(6.4, 1.1 + 0.26 * len(_rows(lines)))
    draw_certificate(picture.add_subplot(), lines, title=title)
    return save(picture, path)


def draw_certificate(axes: Axes, lines: Iterable[Measured], *, title: str = "certificate") -> None:
    """:func:`certificate` on axes of your own."""
    rows = _rows(list(lines))
    names = list(dict.fromkeys(test for test, _ in rows))
    precisions = sorted({dtype for _, dtype in rows}, reverse=True)
    height = 0.8 / len(precisions)
    for (test, dtype), (error, bound, failed) in rows.items():
        y = names.index(test) + height * (precisions.index(dtype) - (len(precisions) - 1) / 2)
        shown = min(max(error, LEAST_DRAWN_ERROR), LARGEST_DRAWN_ERROR)
        axes.barh(
            y,
            shown - LEAST_DRAWN_ERROR,
            height,
            left=LEAST_DRAWN_ERROR,
            color=RED if failed else COLOURS.get(dtype, GREY),
        )
        if error == 0:
            axes.text(1.5 * LEAST_DRAWN_ERROR, y, "0", fontsize=6, color=GREY, va="center")
        axes.plot([max(bound, LEAST_DRAWN_ERROR)] * 2, [y - height / 2, y + height / 2], color="black", linewidth=1.5)
    axes.set_xscale("log")
    axes.set_xlim(LEAST_DRAWN_ERROR, 2 * LARGEST_DRAWN_ERROR)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(-0.6, len(names) - 0.4)
    axes.invert_yaxis()
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: list[Any] = [Patch(color=COLOURS.get(dtype, GREY), label=dtype) for dtype in precisions]
    handles += [Patch(color=RED, label="failed")] if any(failed for *_, failed in rows.values()) else []
    handles += [Line2D([], [], color="black", linewidth=1.5, label="bound")]
    axes.legend(
        handles=handles, fontsize=8, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncol=len(handles), frameon=False
    )
    tidy(axes, "", "largest error relative to the output", "")
    axes.set_title(title, fontsize=10, loc="left", pad=22)
    axes.grid(False, axis="y")


def overview(
    path: str | Path,
    *,
    history: Mapping[str, Any] | None = None,
    parities: Mapping[str, tuple[Any, Any, str]] | None = None,
    baselines: Mapping[str, str] | None = None,
    species: tuple[Mapping[str, Any], str] | None = None,
    notes: Mapping[str, str] | None = None,
    lines: Iterable[Measured] | None = None,
    title: str = "",
) -> Path:
    """A run in one picture: learning curve and parities, errors by species and certificate, whichever are given.

    Args:
        path: where the picture goes.
        history: as in :func:`~intertwine.plots.learning_curve`.
        parities: name -> (predicted, true, unit), as in :func:`~intertwine.plots.parity`; the first two are drawn.
        baselines: name -> what a prediction that does not look at the geometry errs, in words.
        species: (errors by symbol, unit), as in :func:`~intertwine.plots.error_by_species`.
        notes: on species, as there.
        lines: as in :func:`certificate`.
        title: of the whole.

    Raises:
        InputError: nothing given.
    """
    panels: list[Any] = []
    if history:
        panels.append(lambda axes: draw_learning_curve(axes, history))
    for name, (predicted, true, unit) in list((parities or {}).items())[:2]:
        words = (baselines or {}).get(name, "")
        panels.append(lambda axes, p=predicted, t=true, u=unit, n=name, b=words: draw_parity(axes, p, t, u, n, b))
    if species is not None and len(panels) % 2:
        panels.append(lambda axes: draw_error_by_species(axes, species[0], species[1], "forces", notes=notes))
    lines = list(lines) if lines is not None else []
    if not panels and not lines:
        raise InputError("nothing to draw", where="overview", remedy="give history, parities, species or lines.")
    rows = -(-len(panels) // 2)
    picture = figure(9.0 + (5.0 if lines else 0.0), 4.0 * max(rows, 1))
    grid = picture.add_gridspec(max(rows, 1), 3 if lines else 2, width_ratios=[1, 1, 1.15] if lines else [1, 1])
    for place, draw in enumerate(panels):
        draw(picture.add_subplot(grid[place // 2, place % 2]))
    if lines:
        draw_certificate(picture.add_subplot(grid[:, 2] if panels else grid[:, :]), lines)
    picture.suptitle(title, fontsize=12, x=0.01, ha="left")
    return save(picture, path)


def _rows(lines: list[Measured]) -> dict[tuple[str, str], tuple[float, float, bool]]:
    """Test and precision -> the error nearest to (or farthest beyond) its bound, the bound, whether anything failed."""
    rows: dict[tuple[str, str], tuple[float, float, bool]] = {}
    for line in lines:
        failed = line.verdict == "failed"
        if not failed and (line.error is None or line.bound is None):
            continue
        error = LARGEST_DRAWN_ERROR if line.error is None or not np.isfinite(line.error) else line.error
        bound = line.bound or 0.0
        key = (line.test, line.dtype)
        ratio = error / max(bound, LEAST_DRAWN_ERROR)
        if key not in rows or (failed, ratio) > (rows[key][2], rows[key][0] / max(rows[key][1], LEAST_DRAWN_ERROR)):
            rows[key] = (error, bound, failed)
    if not rows:
        raise InputError("nothing was measured", where="certificate", remedy="give lines with an error and a bound.")
    return rows
