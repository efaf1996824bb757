"""A search over settings: what each trial gave, and the best so far."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from intertwine.numerics import InputError
from intertwine.plots.style import BLUE, GREY, ORANGE, array, figure, same_shape, save, tidy

NUMBERED = 40  # trials, up to which each has its number


def trials(
    figures: Any, stopped: Sequence[bool], minutes: Any, path: str | Path, *, y: str = "validation error"
) -> Path:
    """The figure of each trial over the time at which it ended, and the smallest so far as steps, on a logarithmic
    axis. The first trial is that of the defaults, through which a line goes.

    Args:
        figures: (trials,), positive, in the order of the trials.
        stopped: whether each was stopped early; such a trial is never the best.
        minutes: (trials,) after which each had ended.
        path: where the picture goes.
        y: label of the vertical axis.

    Raises:
        InputError: no trial, other lengths, or a figure that is not positive.
    """
    values, ends, early = array(figures, "figures"), array(minutes, "minutes"), np.asarray(stopped, dtype=bool)
    same_shape(values, ends, "figures and minutes")
    same_shape(values, early, "figures and stopped")
    if not (values > 0).all():
        raise InputError(f"a figure of {values.min():g}", where="figures", remedy="give positive figures.")
    picture = figure(5.8, 3.8)
    axes = picture.add_subplot()
    axes.axhline(values[0], color=GREY, linewidth=0.9, linestyle=":", label="the first trial")
    best = np.minimum.accumulate(np.where(early, np.inf, values))
    shown = np.isfinite(best)
    axes.step(ends[shown], best[shown], where="post", color=BLUE, linewidth=1.4, label="best so far")
    for kind, colour, marker, words in ((~early, BLUE, "o", "trial"), (early, ORANGE, "x", "stopped early")):
        if kind.any():
            axes.plot(ends[kind], values[kind], marker, color=colour, markersize=5, label=words)
    for number, place in enumerate(zip(ends, values, strict=True), 1) if len(values) <= NUMBERED else ():
        axes.annotate(str(number), place, xytext=(3, 4), textcoords="offset points", fontsize=7, color=GREY)
    axes.set_yscale("log")
    for formatted in (axes.yaxis.set_major_formatter, axes.yaxis.set_minor_formatter):
        formatted(lambda value, _: f"{value:g}")
    axes.set_xlim(left=0)
    tidy(axes, "trials", "minutes", y)
    axes.legend(frameon=False, fontsize=8)
    return save(picture, path)
