r"""Functions on the sphere as surfaces: in every direction u the distance from the centre is :math:`|f(u)|`, the colour
its sign.

Drawn by orthographic projection and Lambert's shading on ordinary axes, so that many of them fit into one picture. The
y axis, which is the polar axis of the harmonics, points up.
"""

from __future__ import annotations

from math import isqrt, pi
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from intertwine.numerics import InputError, choose
from intertwine.o3 import Irreps
from intertwine.o3.spherical_harmonics import spherical_harmonics as spherical_harmonics_at
from intertwine.plots.shading import camera, shaded
from intertwine.plots.style import BLUE, GREY, RED, array, figure, root

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

VIEW_DEGREES = (22.0, 35.0)  # degrees: elevation above the xz plane, and turn about y
NAMES = {0: [""], 1: ["x", "y", "z"]}


def harmonic_surface(
    l: int, m: int, *, axes: Axes | None = None, view: tuple[float, float] = VIEW_DEGREES, resolution: int = 72
) -> Figure:
    r"""The real spherical harmonic :math:`Y_{lm}` as a surface: :math:`|Y_{lm}(u)|` from the centre, orange-red where
    positive.

    Args:
        l: degree.
        m: order, from -l to l: the place in e3nn's order, in which l = 1 is (x, y, z).
        axes: where to draw; a new figure if None.
        view: elevation and turn of the camera, degrees.
        resolution: number of directions along a meridian; twice as many around the equator.

    Raises:
        InputError: l negative, or m beyond it.
    """
    if l < 0 or abs(m) > l:
        raise InputError(f"l = {l}, m = {m}", where="harmonic_surface", remedy="give l >= 0 and -l <= m <= l.")
    directions = _sphere(resolution)
    axes = axes if axes is not None else figure(2.6, 2.6).add_subplot()
    size = _draw(axes, directions, _basis([l], directions)[..., l + m], view)
    _frame(axes, size, f"$Y_{{{l},{m}}}$")
    return root(axes)


def spherical_harmonics(
    lmax: int, *, view: tuple[float, float] = VIEW_DEGREES, resolution: int = 60, triad: bool = True
) -> Figure:
    """All real spherical harmonics up to a degree: row l, column m, all at the same scale within a row.

    Args:
        lmax: largest degree.
        view: elevation and turn of the camera, degrees.
        resolution: number of directions along a meridian.
        triad: whether the coordinate axes stand in the corner.

    Raises:
        InputError: lmax negative.
    """
    if lmax < 0:
        raise InputError(f"lmax = {lmax}", where="spherical_harmonics", remedy="give lmax >= 0.")
    picture = figure(1.2 * (2 * lmax + 1.6), 1.2 * (1.06 * lmax + 1.28))
    axes = picture.add_subplot()
    directions = _sphere(resolution)
    for l in range(lmax + 1):
        values = _basis([l], directions)
        values *= 0.46 / np.abs(values).max()
        for m in range(-l, l + 1):
            _draw(axes, directions, values[..., l + m], view, at=(float(m), -1.06 * l))
            if l < 2:
                axes.text(
                    m + 0.36, -1.06 * l + 0.36, NAMES[l][l + m], ha="center", va="center", fontsize=9, style="italic"
                )
        axes.text(-lmax - 0.62, -1.06 * l, f"$l = {l}$", ha="right", va="center", fontsize=10)
    for m in range(-lmax, lmax + 1):
        axes.text(m, -1.06 * lmax - 0.6, f"$m = {m}$" if lmax else "", ha="center", va="center", fontsize=9, color=GREY)
    axes.set_xlim(-lmax - 1.1, lmax + 0.5)
    axes.set_ylim(-1.06 * lmax - 0.72, 0.56)
    axes.set_aspect("equal")
    axes.set_axis_off()
    if triad and lmax:
        _triad(axes, view, (lmax - 0.1, 0.0), 0.42)
    return picture


def spherical_tensor(
    coefficients: Any,
    irreps: Irreps | str | None = None,
    *,
    axes: Axes | None = None,
    view: tuple[float, float] = VIEW_DEGREES,
    resolution: int = 90,
    title: str = "",
    engine: str = "matplotlib",
) -> Any:
    r"""A signal on the sphere, :math:`f(u) = \sum_{lm} c_{lm} Y_{lm}(u)` with ``integral`` harmonics, as a surface.

    Args:
        coefficients: :math:`c`, (dim), in the order of the irreps.
        irreps: their irreps, each degree at most once and with multiplicity 1 (an ``o3.SphericalTensor``, for example);
            ``0 + 1 + ... + lmax`` of that size if None. Parities play no role.
        axes: where to draw; a new figure if None.
        view: elevation and turn of the camera, degrees.
        resolution: number of directions along a meridian.
        title: of the picture.
        engine: ``"matplotlib"``, or ``"plotly"`` for a surface that turns under the mouse (the package plotly must be
            installed).

    Returns:
        A matplotlib or a plotly figure.

    Raises:
        InputError: coefficients that do not fit the irreps, a degree that appears twice, an unknown engine, plotly
            missing, or axes given to plotly.
    """
    choose(engine, ("matplotlib", "plotly"), kind="engine", where="spherical_tensor")
    values = array(coefficients, "coefficients")
    directions = _sphere(resolution)
    signal = _basis(_degrees(values, irreps), directions) @ values
    if engine == "plotly":
        if axes is not None:
            raise InputError(
                "matplotlib axes for plotly",
                where="axes",
                remedy="leave the axes out: plotly makes a figure of its own.",
            )
        return _plotly(directions, signal, title)
    axes = axes if axes is not None else figure(3.4, 3.4).add_subplot()
    size = _draw(axes, directions, signal, view)
    _triad(axes, view, (0.0, 0.0), 1.12 * size)
    _frame(axes, 1.28 * size, title)
    return root(axes)


def _degrees(values: np.ndarray, irreps: Irreps | str | None) -> list[int]:
    """The degrees of the blocks of a signal, checked."""
    if values.ndim != 1 or not np.isfinite(values).all():
        raise InputError(
            f"shape {values.shape}", where="coefficients", remedy="give one signal: a vector of finite numbers."
        )
    if irreps is None:
        lmax = isqrt(len(values)) - 1
        if lmax < 0 or (lmax + 1) ** 2 != len(values):
            raise InputError(
                f"{len(values)} coefficients",
                where="coefficients",
                remedy="give (lmax + 1)^2 of them, or the irreps too.",
            )
        return list(range(lmax + 1))
    irreps = Irreps(irreps)
    degrees = [ir.l for mul, ir in irreps.blocks for _ in range(mul)]
    if len(set(degrees)) != len(degrees):
        raise InputError(
            f"{irreps} has a degree twice", where="irreps", remedy="give each degree once; draw other signals apart."
        )
    if irreps.dim != len(values):
        raise InputError(
            f"{len(values)} coefficients for {irreps}", where="coefficients", remedy=f"give {irreps.dim} of them."
        )
    return degrees


def _sphere(resolution: int) -> np.ndarray:
    """Directions (polar, around, 3): meridians meet at the poles +-y, the first and the last meridian coincide."""
    if resolution < 4:
        raise InputError(f"resolution {resolution}", where="resolution", remedy="give 4 or more.")
    polar, around = np.linspace(0, pi, resolution)[:, None], np.linspace(0, 2 * pi, 2 * resolution + 1)
    ring = np.sin(polar)
    return np.stack([ring * np.sin(around), np.cos(polar) * np.ones_like(around), ring * np.cos(around)], axis=-1)


def _basis(degrees: list[int], directions: np.ndarray) -> np.ndarray:
    """The harmonics of some degrees in every direction, (polar, around, dim)."""
    return spherical_harmonics_at(
        degrees, torch.from_numpy(directions), normalize=True, normalization="integral"
    ).numpy()


def _draw(
    axes: Axes,
    directions: np.ndarray,
    values: np.ndarray,
    view: tuple[float, float],
    at: tuple[float, float] = (0.0, 0.0),
) -> float:
    """The surface as shaded quadrilaterals from back to front; returns its largest radius."""
    from matplotlib.collections import PolyCollection
    from matplotlib.colors import to_rgb

    points = np.abs(values)[..., None] * directions @ camera(view).T
    corners = np.stack([points[:-1, :-1], points[1:, :-1], points[1:, 1:], points[:-1, 1:]], axis=2).reshape(-1, 4, 3)
    signs = (values[:-1, :-1] + values[1:, :-1] + values[1:, 1:] + values[:-1, 1:]).reshape(-1)
    normals = np.cross(corners[:, 2] - corners[:, 0], corners[:, 3] - corners[:, 1])
    lengths = np.linalg.norm(normals, axis=-1)
    facing = (lengths > 0) & (normals[:, 2] > 0)
    corners, signs, normals = corners[facing], signs[facing], normals[facing] / lengths[facing, None]
    lit = shaded(normals, np.where(signs[:, None] >= 0, to_rgb(RED), to_rgb(BLUE)))
    order = corners[:, :, 2].mean(axis=1).argsort(kind="stable")
    lit = lit[order]
    axes.add_collection(
        PolyCollection(corners[order, :, :2] + np.array(at), facecolors=lit, edgecolors=lit, linewidths=0.55)
    )
    return float(np.abs(values).max())


def _triad(axes: Axes, view: tuple[float, float], at: tuple[float, float], length: float) -> None:
    """The coordinate axes x, y, z, seen as the surfaces are."""
    for name, direction in zip("xyz", length * camera(view).T):
        end = (at[0] + direction[0], at[1] + direction[1])
        axes.annotate(
            "",
            end,
            at,
            arrowprops={"arrowstyle": "-|>", "color": GREY, "linewidth": 0.8, "shrinkA": 0, "shrinkB": 0},
            zorder=0,
        )
        place = (at[0] + 1.14 * direction[0], at[1] + 1.14 * direction[1])
        axes.text(*place, name, ha="center", va="center", fontsize=8, style="italic", color=GREY)


def _frame(axes: Axes, size: float, title: str) -> None:
    size = size or 1.0
    axes.set_xlim(-1.05 * size, 1.05 * size)
    axes.set_ylim(-1.05 * size, 1.05 * size)
    axes.set_aspect("equal")
    axes.set_axis_off()
    axes.set_title(title, fontsize=10)


def _plotly(directions: np.ndarray, values: np.ndarray, title: str) -> Any:
    try:
        import plotly.graph_objects as go
    except ImportError as error:
        raise InputError(
            "plotly is not installed", where="engine", remedy="pip install plotly, or engine='matplotlib'."
        ) from error
    points, most = np.abs(values)[..., None] * directions, float(np.abs(values).max()) or 1.0
    surface = go.Surface(
        x=points[..., 0], y=points[..., 1], z=points[..., 2], surfacecolor=values, cmin=-most, cmax=most,
        colorscale=[[0.0, BLUE], [0.5, "#f2f2f2"], [1.0, RED]], colorbar={"title": "f(u)", "thickness": 12, "len": 0.6},
    )  # fmt: skip
    scene = {"aspectmode": "data", "camera": {"up": {"x": 0, "y": 1, "z": 0}, "eye": {"x": 0.9, "y": 0.7, "z": 1.4}}}
    return go.Figure(
        surface, layout={"title": {"text": title}, "scene": scene, "margin": {"l": 0, "r": 0, "t": 40, "b": 0}}
    )
