"""A tensor product's paths: which blocks of the two inputs meet, how, and into which block of the output they go."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from intertwine.numerics import InputError
from intertwine.plots.style import BLUE, GREEN, GREY, ORANGE, PURPLE, RED, SKY, figure, root

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DEGREES = (BLUE, ORANGE, GREEN, PURPLE, SKY, RED)  # l = 0, 1, 2, ...; repeated
INK = "#222222"
LEFT_INCHES, RIGHT_INCHES, BOX_INCHES = -3.7, 3.7, 1.1  # inches: outer edges of the inputs' columns, and their width
HALF_PATH_INCHES = 1.62  # half of a path's width
ROW_INCHES, HEADER_INCHES, GAP_INCHES = 0.25, 0.27, 0.13  # heights of a path, of an output's name, and between outputs


@runtime_checkable
class Bilinear(Protocol):
    """What is drawn of a tensor product: three irreps, and instructions as in ``o3.TensorProduct``."""

    irreps_in1: Any
    irreps_in2: Any
    irreps_out: Any
    instructions: Sequence[Any]


def paths(product: Any, *, axes: Axes | None = None, title: str | None = None) -> Figure:
    r"""The paths :math:`(l_1, l_2) \to l` of a tensor product, one row each.

    Left the blocks of the first input, right those of the second, in the middle the output's, each holding the paths
    that are summed in it. A path says which irreps it couples, how multiplicities combine (the connection mode, with
    the sizes of u, v, w), its number of weights and the factor that it is multiplied with. Colours are degrees; a
    broken line has no weights.

    Args:
        product: an ``o3.TensorProduct`` (or a subclass, or e3nn's).
        axes: where to draw; a new figure of fitting height if None.
        title: above it; the class's name and the totals if None.

    Raises:
        InputError: there are no paths, or it is no tensor product.
    """
    if not isinstance(product, Bilinear):
        raise InputError(
            f"{type(product).__name__} is not a tensor product", where="paths", remedy="give an o3.TensorProduct."
        )
    rows = list(product.instructions)
    if not rows:
        raise InputError(
            "a tensor product without paths",
            where="paths",
            remedy="check that the irreps of the inputs reach the output's.",
        )
    groups: dict[int, list[Any]] = {}
    for row in sorted(rows, key=lambda row: (row.i_out, row.i_in1, row.i_in2)):
        groups.setdefault(row.i_out, []).append(row)
    height = sum(HEADER_INCHES + ROW_INCHES * len(group) + GAP_INCHES for group in groups.values())
    left, right = _places(product.irreps_in1, height), _places(product.irreps_in2, height)
    height = max(height, 0.34 * len(left), 0.34 * len(right))
    if axes is None:
        axes = figure(RIGHT_INCHES - LEFT_INCHES + 0.3, height + 0.9).add_subplot()
    total = sum(prod(row.path_shape) for row in rows if row.has_weight)
    head = f"{type(product).__name__}: {len(rows)} path{'s' * (len(rows) != 1)}, {_number(total)}"
    axes.set_title(head if title is None else title, fontsize=10, loc="left")
    _inputs(axes, product.irreps_in1, left, LEFT_INCHES, f"input 1, dimension {product.irreps_in1.dim}")
    _inputs(axes, product.irreps_in2, right, RIGHT_INCHES - BOX_INCHES, f"input 2, dimension {product.irreps_in2.dim}")
    axes.text(0, 0.12, f"output, dimension {product.irreps_out.dim}", ha="center", va="bottom", fontsize=8, color=GREY)
    y = 0.0
    for block, group in groups.items():
        _group(axes, product, block, y, len(group))
        y -= HEADER_INCHES
        for row in group:
            _path(axes, product, row, y - ROW_INCHES / 2, left, right)
            y -= ROW_INCHES
        y -= GAP_INCHES
    axes.set_xlim(LEFT_INCHES - 0.1, RIGHT_INCHES + 0.1)
    axes.set_ylim(-height - 0.05, 0.35)
    axes.set_aspect("equal")
    axes.set_axis_off()
    return root(axes)


def _number(weights: int) -> str:
    return f"{weights:,} weight{'s' * (weights != 1)}" if weights else "no weights"


def _colour(irreps: Any, block: int) -> str:
    return DEGREES[irreps[block][1].l % len(DEGREES)]


def _name(irreps: Any, block: int) -> str:
    mul, ir = irreps[block]
    return f"{mul}x{ir}"


def _places(irreps: Any, height: float) -> list[float]:
    """Heights of the centres of an input's blocks: spread evenly over the diagram."""
    number = len(irreps)
    height = max(height, 0.34 * number)
    return [-height * (place + 0.5) / number for place in range(number)]


def _box(
    axes: Axes, x: float, y: float, width: float, height: float, colour: str, alpha: float, line: float = 0.0
) -> None:
    """A rounded box with its lower left corner at (x, y)."""
    from matplotlib.colors import to_rgba
    from matplotlib.patches import FancyBboxPatch

    style = "round,pad=0,rounding_size=0.05"
    axes.add_patch(
        FancyBboxPatch(
            (x, y),
            width,
            height,
            boxstyle=style,
            facecolor=to_rgba(colour, alpha),
            edgecolor=colour,
            linewidth=line,
            zorder=3,
        )
    )


def _inputs(axes: Axes, irreps: Any, places: list[float], x: float, name: str) -> None:
    axes.text(x + BOX_INCHES / 2, 0.12, name, ha="center", va="bottom", fontsize=8, color=GREY)
    for block, y in enumerate(places):
        _box(axes, x, y - 0.13, BOX_INCHES, 0.26, _colour(irreps, block), 0.9)
        axes.text(
            x + BOX_INCHES / 2,
            y - 0.01,
            _name(irreps, block),
            ha="center",
            va="center",
            fontsize=9,
            color="white",
            weight="bold",
            zorder=4,
        )


def _group(axes: Axes, product: Any, block: int, y: float, number: int) -> None:
    """The frame of one block of the output, with its name in the first row."""
    height, colour = HEADER_INCHES + ROW_INCHES * number, _colour(product.irreps_out, block)
    _box(axes, -HALF_PATH_INCHES, y - height, 2 * HALF_PATH_INCHES, height, "white", 1.0)
    _box(axes, -HALF_PATH_INCHES, y - height, 2 * HALF_PATH_INCHES, height, colour, 0.10, 0.8)
    _box(axes, -HALF_PATH_INCHES, y - HEADER_INCHES + 0.02, 2 * HALF_PATH_INCHES, HEADER_INCHES - 0.02, colour, 0.9)
    name = _name(product.irreps_out, block)
    axes.text(
        0, y - HEADER_INCHES / 2, name, ha="center", va="center", fontsize=9, color="white", weight="bold", zorder=4
    )


def _path(axes: Axes, product: Any, row: Any, y: float, left: list[float], right: list[float]) -> None:
    """One row: two curves that come in, and what happens where they meet."""
    style = "-" if row.has_weight else (0, (4, 2))
    _curve(
        axes,
        (LEFT_INCHES + BOX_INCHES, left[row.i_in1]),
        (-HALF_PATH_INCHES, y),
        _colour(product.irreps_in1, row.i_in1),
        style,
    )
    _curve(
        axes,
        (RIGHT_INCHES - BOX_INCHES, right[row.i_in2]),
        (HALF_PATH_INCHES, y),
        _colour(product.irreps_in2, row.i_in2),
        style,
    )
    couple = f"{product.irreps_in1[row.i_in1][1]} ⊗ {product.irreps_in2[row.i_in2][1]}"
    sizes = "·".join(map(str, row.path_shape))
    weights = _number(prod(row.path_shape)) if row.has_weight else "no weights"
    axes.text(-HALF_PATH_INCHES + 0.08, y, couple, ha="left", va="center", fontsize=7.5, color=INK, zorder=4)
    axes.text(
        -HALF_PATH_INCHES + 0.78,
        y,
        f"{row.connection_mode} {sizes}",
        ha="left",
        va="center",
        fontsize=7.5,
        color=INK,
        zorder=4,
    )
    axes.text(
        HALF_PATH_INCHES - 0.68,
        y,
        weights,
        ha="right",
        va="center",
        fontsize=7.5,
        color=INK if row.has_weight else GREY,
        zorder=4,
    )
    axes.text(
        HALF_PATH_INCHES - 0.06,
        y,
        f"×{row.path_weight:.3g}",
        ha="right",
        va="center",
        fontsize=7.5,
        color=GREY,
        zorder=4,
    )


def _curve(axes: Axes, start: tuple[float, float], end: tuple[float, float], colour: str, style: Any) -> None:
    """From a block of an input to a path, leaving and arriving horizontally."""
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    middle = (start[0] + end[0]) / 2
    curve = Path(
        [start, (middle, start[1]), (middle, end[1]), end], [Path.MOVETO, Path.CURVE4, Path.CURVE4, Path.CURVE4]
    )
    axes.add_patch(
        PathPatch(curve, facecolor="none", edgecolor=colour, linewidth=1.4, linestyle=style, alpha=0.75, zorder=2)
    )
