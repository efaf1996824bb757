"""Spectra of vibrations: lines, and the curve that they make when each is as wide as a spectrometer sees it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from intertwine.numerics import InputError
from intertwine.plots.style import CYCLE, array, figure, in_unit, same_shape, save, tidy

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTH = 20.0  # 1/cm, at half the height
POINTS, MARGIN = 4000, 15  # of a curve; widths beyond its outermost lines


def broadened(frequencies: Any, intensities: Any, at: Any, width: float = WIDTH) -> Float[np.ndarray, " points"]:
    r"""Lines as a curve of Lorentzians,

    .. math:: I(\nu) = \sum_k I_k\, \frac{1}{\pi} \frac{w/2}{(\nu - \nu_k)^2 + (w/2)^2}

    Args:
        frequencies: :math:`\nu_k` (modes,) in 1/cm. intensities: :math:`I_k` (modes,), which are areas.
        at: where (points,), in 1/cm.
        width: w (1/cm), the full width at half the height.

    Returns:
        the curve, in the unit of the intensities for 1/cm.

    Raises:
        InputError: as many intensities as frequencies are not there, or the width is not positive.
    """
    lines, areas = array(frequencies, "frequencies", empty=True), array(intensities, "intensities", empty=True)
    same_shape(lines, areas, "frequencies and intensities")
    if not width > 0:
        raise InputError(f"a width of {width} 1/cm", where="width", remedy=f"give a positive one; {WIDTH:g} is usual.")
    half = width / 2
    return (areas * half / np.pi / ((array(at, "at")[:, None] - lines) ** 2 + half**2)).sum(1)


def spectrum(
    panels: Mapping[str, tuple[str, Mapping[str, tuple[Any, Any]]]],
    *,
    width: float = WIDTH,
    path: str | Path | None = None,
) -> Figure:
    """Spectra above each other, on one axis of wavenumbers: a curve for each source, and its lines as sticks.

    The first source is drawn as it is, the others dashed. Sticks are scaled so that the largest of a panel has the
    height of the panel's curves.

    Args:
        panels: title -> (unit of the intensities, source -> (frequencies (1/cm), intensities)).
        width: full width of a line at half its height (1/cm).
        path: where to save it; not saved if None.

    Raises:
        InputError: there are no lines; or as of :func:`broadened`.
    """
    ends = [array(lines, "frequencies") for _, sources in panels.values() for lines, _ in sources.values()]
    if not ends:
        raise InputError("no lines", where="spectrum", remedy="give a panel with a source.")
    low, high = min(x.min() for x in ends) - MARGIN * width, max(x.max() for x in ends) + MARGIN * width
    nu = np.linspace(max(low, 0.0), high, POINTS)
    picture = figure(7.5, 0.6 + 2.1 * len(panels))
    for axes, (title, (unit, sources)) in zip(
        np.ravel(picture.subplots(len(panels), 1, sharex=True)), panels.items(), strict=True
    ):
        curves = [broadened(lines, heights, nu, width) for lines, heights in sources.values()]
        top = max(float(curve.max()) for curve in curves) or 1.0
        most = max(float(np.max(heights)) for _, heights in sources.values()) or 1.0
        for number, ((name, (lines, heights)), curve) in enumerate(zip(sources.items(), curves, strict=True)):
            colour, style = CYCLE[number % len(CYCLE)], "--" if number else "-"
            axes.plot(nu, curve, style, color=colour, linewidth=1.4, label=name)
            axes.vlines(lines, 0, np.asarray(heights) / most * top, color=colour, linewidth=2.6 - number, alpha=0.5)
        tidy(
            axes, title, "wavenumber (1/cm)" if axes.get_subplotspec().is_last_row() else "", in_unit("intensity", unit)
        )
        if len(sources) > 1:
            axes.legend(frameon=False, fontsize=8)
    if path is not None:
        save(picture, path)
    return picture
