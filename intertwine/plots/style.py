"""One look for all pictures: colours that colour-blind readers tell apart, quiet axes, saving without global state."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from intertwine.numerics import InputError, write_atomically

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Text

# Okabe and Ito's palette (2008)
BLUE, ORANGE, GREEN, RED, PURPLE, SKY, GREY = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#D55E00",
    "#CC79A7",
    "#56B4E9",
    "#666666",
)
CYCLE = (BLUE, ORANGE, GREEN, PURPLE, SKY, RED)
DOTS_PER_INCH = 150
EDGE_PIXELS = 20  # that stay free beside a title: letters of another size are not wider by exactly its ratio


def figure(width: float = 5.0, height: float = 4.0) -> Figure:
    """An empty figure (inches) that knows nothing of pyplot."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    result = Figure(figsize=(width, height), dpi=DOTS_PER_INCH, layout="constrained", facecolor="white")
    FigureCanvasAgg(result)
    return result


def tidy(axes: Axes, title: str, x: str, y: str) -> None:
    """Title, labels with units, a light grid, and no box."""
    axes.set_title(title, fontsize=10, loc="left")
    axes.set_xlabel(x, fontsize=9)
    axes.set_ylabel(y, fontsize=9)
    axes.tick_params(which="both", labelsize=8)
    axes.grid(True, color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def titles_of(axes: Axes) -> list[Text]:
    """The title of axes, as an object; none if it is empty."""
    from matplotlib.text import Text

    words = {axes.get_title(loc=place) for place in ("left", "center")} - {""}
    return [child for child in axes.get_children() if isinstance(child, Text) and child.get_text() in words]


def fit_titles(picture: Figure) -> None:
    """Make titles smaller that would end beyond the picture, or in the title of the panel beside theirs."""
    picture.draw_without_rendering()
    boxes = {title: title.get_window_extent() for axes in picture.axes for title in titles_of(axes)}
    for title, box in boxes.items():
        beside = [b.x0 for b in boxes.values() if b.x0 > box.x0 + 1 and b.y0 < box.y1 and b.y1 > box.y0]
        room = min([picture.bbox.x1, *beside]) - box.x0 - EDGE_PIXELS
        if box.width > room > 0:
            title.set_fontsize(title.get_fontsize() * room / box.width)


def save(picture: Figure, path: str | Path) -> Path:
    """Write a picture, all of it or nothing; the suffix says the format (png, pdf, svg).

    Raises:
        InputError: matplotlib does not know the suffix.
    """
    path = Path(path)
    suffix = path.suffix.removeprefix(".") or "png"
    if suffix not in picture.canvas.get_supported_filetypes():
        raise InputError(f"no picture format {suffix!r}", where=str(path), remedy="end the name in .png, .pdf or .svg.")
    path.parent.mkdir(parents=True, exist_ok=True)
    fit_titles(picture)
    content = io.BytesIO()
    picture.savefig(content, format=suffix)
    write_atomically(path, content.getvalue())
    return path


def in_unit(words: str, unit: str) -> str:
    """``words (unit)``, with signs for A and its powers; the words alone for a number without a unit."""
    return f"{words} ({unit.replace('/A^3', '/Å³').replace('/A', '/Å')})" if unit else words


def array(values: Any, name: str, *, empty: bool = False) -> np.ndarray:
    """Numbers as a float64 array; ``empty`` allows that none is finite.

    Raises:
        InputError: not numbers, none, or none that is finite.
    """
    values = values.detach().cpu() if hasattr(values, "detach") else values
    try:
        result = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"not an array of numbers: {error}", where=name, remedy="give a tensor, an array or a list."
        ) from error
    if not (empty or np.isfinite(result).any()):
        raise InputError(f"{result.size} values, none finite", where=name, remedy="there is nothing to draw.")
    return result


def same_shape(first: np.ndarray, second: np.ndarray, names: str) -> None:
    """Raise an :class:`InputError` unless two arrays have the same shape."""
    if first.shape != second.shape:
        raise InputError(
            f"shapes {first.shape} and {second.shape}", where=names, remedy="give arrays of the same shape."
        )


def root(axes: Axes) -> Figure:
    """The figure that axes belong to."""
    result = axes.get_figure(root=True)
    if result is None:
        raise InputError("axes of no figure", where="axes", remedy="give axes that belong to a figure.")
    return result
