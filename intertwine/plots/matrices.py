"""Representation matrices as images: which component mixes with which."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from intertwine.groups import DirectSum, Representation
from intertwine.numerics import InputError
from intertwine.o3 import Irreps, wigner_d
from intertwine.plots.style import array, figure, root

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = "bwr"  # the lectures'
INK, FAINT = "#222222", "#bbbbbb"
MOST_COPIES = 24  # copies of irreps beyond which they are not separated by lines
CHARACTER_PER_WIDTH = 0.026  # part of the width that a character of a label takes


def representation(
    rho: Representation | str | Any,
    rotation: Any = None,
    *,
    blocks: Irreps | str | None = None,
    axes: Axes | None = None,
    title: str = "",
    bar: bool = True,
) -> Figure:
    r"""The matrix :math:`\rho(R)` as an image: blue -1, white 0, red 1; lines around the irreps that it consists of.

    Components in different blocks never mix. That is what a change to the spherical basis is for: for two vectors,
    :math:`R \otimes R` fills a 9 x 9 square, and :math:`D^0 \oplus D^1 \oplus D^2` leaves 35 of the 81 entries.

    Args:
        rho: a representation (``Irreps``, ``groups.Cartesian``, ...), a string of irreps, or a plain square matrix
            (dim, dim).
        rotation: the element at which the representation is taken: an orthogonal matrix (3, 3), or one element of the
            representation's own group (an integer, of a finite one); none for a plain matrix.
        blocks: irreps of a plain matrix, for its lines and labels.
        axes: where to draw; a new figure if None.
        title: of the image.
        bar: whether the scale of colours stands beside the image.

    Returns:
        The figure of the axes.

    Raises:
        InputError: a representation without a rotation or a matrix with one, a matrix that is not square, an element
            that is not one of the group's, or irreps of another dimension.
    """
    if isinstance(rho, str):
        rho = Irreps(rho)
    if isinstance(rho, Representation):
        if rotation is None:
            raise InputError(
                "no rotation", where="representation", remedy="give the matrix R at which the representation is taken."
            )
        matrix = array(rho.matrix(_element(rho, rotation)), "representation")
        parts = _parts(rho)
    else:
        if rotation is not None:
            raise InputError(
                "a matrix and a rotation",
                where="representation",
                remedy="a matrix is drawn as is: leave the rotation out.",
            )
        matrix = array(rho, "representation")
        parts = _parts(Irreps(blocks)) if blocks is not None else []
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise InputError(f"shape {matrix.shape}", where="representation", remedy="give a square matrix.")
    if parts and sum(mul * dim for mul, dim, _ in parts) != len(matrix):
        raise InputError(
            f"{blocks} for a {matrix.shape} matrix", where="blocks", remedy="give irreps of the matrix's dimension."
        )
    if axes is None:
        axes = figure(4.6 if bar else 4.0, 4.1).add_subplot()
    image = _image(axes, matrix, title)
    _mark(axes, parts, len(matrix))
    if bar:
        _bar(axes, image)
    return root(axes)


def wigner(l: int | Sequence[int], rotation: Any, *, axes: Axes | Sequence[Axes] | None = None) -> Figure:
    r"""Wigner matrices :math:`D^l(R)` as images, rows and columns labelled by the component (m, or x, y, z for l = 1).

    Args:
        l: degree, or several of them, drawn side by side.
        rotation: R, an orthogonal matrix (3, 3).
        axes: where to draw, one for each degree; a new figure if None.

    Raises:
        InputError: no degree, a negative one, a rotation that is not (3, 3), or another number of axes than of degrees.
    """
    degrees = [l] if isinstance(l, int) else list(l)
    if not degrees or min(degrees) < 0:
        raise InputError(f"degrees {degrees}", where="wigner", remedy="give one or more degrees l >= 0.")
    if axes is None:
        panels = list(figure(2.5 * len(degrees) + 0.7, 2.9).subplots(1, len(degrees), squeeze=False)[0])
    else:
        panels = list(axes) if isinstance(axes, Sequence | np.ndarray) else [axes]
    if len(panels) != len(degrees):
        raise InputError(
            f"{len(panels)} axes for {len(degrees)} degrees", where="axes", remedy="give one for each degree."
        )
    for degree, panel in zip(degrees, panels):
        image = _image(panel, array(wigner_d(degree, _square(rotation)), "rotation"), f"$D^{{{degree}}}$")
        names = ["x", "y", "z"] if degree == 1 else [str(m).replace("-", "−") for m in range(-degree, degree + 1)]
        step = -(-len(names) // 13)
        places = [place for place in range(len(names)) if (place - degree) % step == 0]
        panel.set_xticks(places, [names[place] for place in places], fontsize=7)
        panel.set_yticks(places, [names[place] for place in places], fontsize=7)
    _bar(panels if axes is None else panels[-1], image)
    return root(panels[0])


def _element(rho: Representation, element: Any) -> torch.Tensor:
    """One element of the representation's group; a rotation in space where it does not say its group."""
    group = getattr(rho, "group", None)
    if group is None or group.name in ("O(3)", "SO(3)"):
        return _square(element)
    g = torch.as_tensor(element).detach().cpu()
    group.require(g, "representation")
    if g.ndim != len(group.element_shape):
        raise InputError(f"{len(g)} elements", where="representation", remedy="give one element of the group.")
    return g.to(torch.float64) if group.element_shape else g


def _square(rotation: Any) -> torch.Tensor:
    """A rotation as a float64 matrix, on the CPU."""
    matrix = torch.as_tensor(rotation).detach().to("cpu", torch.float64)
    if tuple(matrix.shape) != (3, 3) or not bool(matrix.isfinite().all()):
        raise InputError(
            f"shape {tuple(matrix.shape)}", where="rotation", remedy="give one finite orthogonal matrix (3, 3)."
        )
    return matrix


def _parts(rho: Representation) -> list[tuple[int, int, str]]:
    """Multiplicity, dimension and name of the blocks of a representation; none where it is not a direct sum."""
    if isinstance(rho, Irreps):
        terms = [(mul, ir.dim, str(ir)) for mul, ir in rho.blocks]
    elif isinstance(rho, DirectSum):
        terms = [(mul, part.dim, str(part)) for mul, part in rho.terms]
    else:
        terms = []
    return [term for term in terms if term[0] * term[1]]


def _image(axes: Axes, matrix: np.ndarray, title: str) -> Any:
    image = axes.imshow(matrix, cmap=COLOURS, vmin=-1, vmax=1, interpolation="nearest")
    axes.set_title(title, fontsize=10, loc="left")
    axes.tick_params(length=0, labelsize=8)
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_color(INK)
        spine.set_linewidth(0.8)
    return image


def _mark(axes: Axes, parts: list[tuple[int, int, str]], size: int) -> None:
    """Lines between blocks, thinner ones between copies, and the names of the irreps along the top and the left."""
    copies = sum(mul for mul, _, _ in parts)
    places, names, start = [], [], 0
    for mul, dim, name in parts:
        if start:
            _cross(axes, start, 1.0, INK)
        each = copies <= MOST_COPIES and dim / size > CHARACTER_PER_WIDTH * len(name)
        for copy in range(mul):
            if copy and copies <= MOST_COPIES:
                _cross(axes, start + copy * dim, 0.5, FAINT)
            if each:
                places.append(start + (copy + 0.5) * dim - 0.5)
                names.append(name)
        label = f"{mul}x{name}" if mul > 1 else name
        if not each and mul * dim / size > CHARACTER_PER_WIDTH * len(label):
            places.append(start + mul * dim / 2 - 0.5)
            names.append(label)
        start += mul * dim
    axes.set_xticks(places, names)
    axes.set_yticks(places, names)
    axes.xaxis.tick_top()


def _cross(axes: Axes, where: int, width: float, colour: str) -> None:
    axes.axhline(where - 0.5, color=colour, linewidth=width)
    axes.axvline(where - 0.5, color=colour, linewidth=width)


def _bar(axes: Axes | list[Axes], image: Any) -> None:
    first = axes[0] if isinstance(axes, list) else axes
    bar = root(first).colorbar(image, ax=axes, shrink=0.8, pad=0.02, ticks=[-1, 0, 1])
    bar.ax.tick_params(labelsize=7, length=2)
    bar.outline.set_linewidth(0.5)  # type: ignore[operator]
