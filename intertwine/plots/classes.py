"""What a classification says: which classes it takes for which, examples of its answers, and the error of turned
entries.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from intertwine.numerics import InputError
from intertwine.plots.style import BLUE, GREEN, GREY, RED, array, figure, save, tidy

WRITTEN = 20  # classes up to which every cell of the confusion matrix has its number
PER_ROW = 6  # examples in a row


def confusion(counts: Any, classes: Sequence[str], path: str | Path) -> Path:
    """The confusion matrix: a row for each true class, a column for each answer, in numbers of entries; the colour is
    the share of the row.

    Args:
        counts: of true class (rows) and answer (columns), (K, K).
        classes: names.
        path: where the picture goes.

    Raises:
        InputError: another shape, or nothing counted.
    """
    table = array(counts, "counts")
    k = len(classes)
    if table.shape != (k, k) or not table.sum() > 0:
        what = f"counts of shape {table.shape} for {k} classes" if table.shape != (k, k) else "nothing was counted"
        raise InputError(what, where="confusion", remedy="give (classes, classes) numbers.")
    share = table / np.maximum(table.sum(1, keepdims=True), 1)
    side = max(3.6, 1.6 + 0.34 * min(k, 40))
    picture = figure(side + 0.8, side)
    axes = picture.add_subplot()
    drawn = axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    picture.colorbar(drawn, ax=axes, shrink=0.7, label="share of the true class")
    wrong = table.sum() - np.trace(table)
    tidy(axes, f"{100 * wrong / table.sum():.3g} % of {int(table.sum())} wrong", "answer", "true class")
    axes.grid(False)
    axes.set_xticks(range(k), classes, rotation=90 if max(map(len, classes)) > 2 else 0)
    axes.set_yticks(range(k), classes)
    if k <= WRITTEN:
        for i, j in zip(*np.nonzero(table), strict=True):
            colour = "white" if share[i, j] > 0.5 else "black"
            axes.text(j, i, f"{int(table[i, j])}", ha="center", va="center", fontsize=7, color=colour)
    return save(picture, path)


def examples(entries: Sequence[Any], titles: Sequence[tuple[str, bool]], path: str | Path, title: str = "") -> Path:
    """Entries with the answers to them, six in a row.

    Args:
        entries: of each an image (rows, columns), or points (points, 2 or 3 and a height, which colours them).
        titles: the words above each, and whether the answer is right.
        path: where the picture goes.
        title: of the whole.

    Raises:
        InputError: no entries.
    """
    if not len(entries):
        raise InputError("no entries", where="examples", remedy="give at least one.")
    rows = -(-len(entries) // PER_ROW)
    picture = figure(1.55 * min(PER_ROW, len(entries)) + 0.2, 1.75 * rows + 0.4)
    for place, (entry, (words, right)) in enumerate(zip(entries, titles, strict=True)):
        values = array(entry, f"entry {place}")
        cloud = values.ndim == 2 and values.shape[1] == 3
        axes = picture.add_subplot(rows, min(PER_ROW, len(entries)), place + 1)
        if cloud:
            order = np.argsort(values[:, 2])  # what is in front is drawn last
            axes.scatter(values[order, 0], values[order, 1], c=values[order, 2], s=3, cmap="viridis", linewidths=0)
            axes.set_aspect("equal")
        else:
            axes.imshow(values, cmap="gray_r")
        axes.set_axis_off()
        axes.set_title(words, fontsize=7, color=GREEN if right else RED)
    picture.suptitle(title, fontsize=9)
    return save(picture, path)


def error_by_angle(angles: Any, errors: Any, path: str | Path, *, baseline: float | None = None, how: str = "") -> Path:
    """The share of wrong answers to entries that are turned, over the angle.

    Args:
        angles: degrees (angles).
        errors: % (angles).
        path: where the picture goes.
        baseline: the error of a constant answer, %.
        how: how entries are turned, in words.

    Raises:
        InputError: numbers that are not finite, or not as many of both.
    """
    x, y = array(angles, "angles"), array(errors, "errors")
    if x.shape != y.shape:
        raise InputError(f"{x.size} angles and {y.size} errors", where="error_by_angle", remedy="give one each.")
    picture = figure(5.4, 3.4)
    axes = picture.add_subplot()
    axes.plot(x, y, color=BLUE, marker="o", markersize=3)
    if baseline is not None:
        axes.axhline(baseline, color=GREY, linewidth=0.8, linestyle="--", label="most frequent class")
        axes.legend(fontsize=8, frameon=False)
    axes.set_ylim(0, max(5.0, 1.08 * float(np.nanmax([*y, baseline or 0.0]))))
    axes.set_xticks(np.arange(0, 361, 45))
    tidy(axes, f"error of turned entries: {how}" if how else "error of turned entries", "angle (degrees)", "wrong (%)")
    return save(picture, path)
