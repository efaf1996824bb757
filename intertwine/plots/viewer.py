r"""Electron densities as a page that a browser turns: one file, which asks no other for anything.

The page holds the values on the grid, 16 bits each, and finds the surfaces itself, so that a slider chooses the level.
A value v is kept as the whole number

.. math:: n = \mathrm{round}\left(\frac{\mathrm{arsinh}(v / s) - a}{b}\right), \qquad 0 \le n < 2^{16},

so that it is off by at most :math:`\tfrac12 b \sqrt{v^2 + s^2}`: some 1e-4 of itself where it is above the scale s.
"""

from __future__ import annotations

import base64
import html
import json
import math
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from intertwine.numerics import InputError, write_atomically
from intertwine.orbitals.grid import Grid
from intertwine.plots.atoms import bonds, facing, look
from intertwine.plots.isosurfaces import LEVEL, VIEW_DEGREES, half_level
from intertwine.plots.shading import camera
from intertwine.plots.style import BLUE, GREEN, GREY, RED, array

MOST_POINTS = 150_000  # of a page's grid: with two fields of them it has 0.9 MB
LEAST = 1e-3  # e / Bohr^3, of the slider of a density
BELOW = 30.0  # times below the level of the start the slider of a difference reaches
STEPS = 2**16 - 1  # of the whole numbers that values are kept as


def density_viewer(
    path: str | Path,
    predicted: Any,
    grid: Grid,
    numbers: Any,
    pos: Any,
    true: Any | None = None,
    *,
    title: str = "electron density",
    caption: str = "",
    names: tuple[str, str] = ("predicted", "true"),
    level: float = LEVEL,
) -> Path:
    """Write a page with surfaces of a density, and if the true one is given also of that and of the difference, which
    turn under the mouse or a finger; sliders choose the levels.

    The grid is cut to where there is something to show, and thinned to 150,000 points.

    Args:
        path: of the file, which should end in .html.
        predicted: values (a, b, c) on the grid, in e / Bohr^3.
        grid: where the values are.
        numbers: atomic numbers. pos: positions (A).
        true: values of another density on the same grid, or None.
        title, caption: what stands above.
        names: of the two densities.
        level: of the densities at the start (e / Bohr^3).

    Returns:
        The path.

    Raises:
        InputError: values of another shape than the grid, or not finite.
        CheckpointError: it can't be written.
    """
    both = [array(values, name) for values, name in zip((predicted, true), names, strict=True) if values is not None]
    for values, name in zip(both, names):
        if values.shape != tuple(grid.counts) or not np.isfinite(values).all():
            what = f"values of shape {values.shape} on a grid of {tuple(grid.counts)}, or not finite"
            raise InputError(what, where=name, remedy="give finite values (a, b, c) on the grid.")
    fields = [both[0], both[0] - both[1]] if len(both) == 2 else both  # a difference of rounded numbers would be rough
    least = [min(LEAST, level)] + [half_level(field) / BELOW for field in fields[1:]]
    tensors, grid = _fitting([torch.from_numpy(field) for field in fields], grid, least[0])
    levels = [_levels("density", [tensors[0].numpy()], least[0], level)]
    levels += [_levels("difference", [field.numpy()], low, BELOW * low) for field, low in zip(tensors[1:], least[1:])]
    scene = _molecule(numbers, pos) | {
        "unit": "e/Bohr³",
        "grid": {"origin": grid.origin.tolist(), "steps": grid.steps.tolist(), "counts": list(grid.counts)},
        "fields": [encoded(field.numpy(), low["least"]) for field, low in zip(tensors, levels, strict=True)],
        "levels": levels,
        "surfaces": _surfaces(names, len(fields)),
    }
    write_atomically(Path(path), _page(title, caption, scene).encode())
    return Path(path)


def encoded(values: np.ndarray, scale: float) -> dict[str, Any]:
    """Values as 16 bits each of their arsinh, as the page reads them: ``data`` (base64, the low byte first, the last
    axis fastest), ``scale``, and the ``least`` arsinh and its ``step``.

    Args:
        values: on a grid.
        scale: above which the error is relative, in the unit of the values.
    """
    squeezed = np.arcsinh(np.asarray(values, dtype=np.float64) / scale)
    least = float(squeezed.min())
    step = float(squeezed.max() - least) / STEPS or 1.0
    counts = np.rint((squeezed - least) / step).astype("<u2")
    return {"scale": scale, "least": least, "step": step, "data": base64.b64encode(counts.tobytes()).decode()}


def decoded(field: dict[str, Any]) -> np.ndarray:
    """The values of :func:`encoded`, flat."""
    counts = np.frombuffer(base64.b64decode(field["data"]), dtype="<u2").astype(np.float64)
    return field["scale"] * np.sinh(field["least"] + field["step"] * counts)


def _surfaces(names: tuple[str, str], fields: int) -> list[dict[str, Any]]:
    """What can be shown: sums of fields with weights, whose sign times the value is above a level."""
    if fields == 1:
        return [{"name": names[0], "weights": [1], "sign": 1, "colour": GREEN, "level": 0, "on": True}]
    made, real = names
    return [
        {"name": made, "weights": [1, 0], "sign": 1, "colour": GREEN, "level": 0, "on": True},
        {"name": real, "weights": [1, -1], "sign": 1, "colour": GREY, "level": 0, "on": False},
        {"name": f"{made} above {real}", "weights": [0, 1], "sign": 1, "colour": RED, "level": 1, "on": False},
        {"name": f"{made} below {real}", "weights": [0, 1], "sign": -1, "colour": BLUE, "level": 1, "on": False},
    ]


def _levels(name: str, fields: Sequence[np.ndarray], least: float, start: float) -> dict[str, Any]:
    """The range of a slider; below its end a surface would be cut by the end of the grid, if that leaves room."""
    most = max(float(np.abs(field).max()) for field in fields) or 1.0
    start = min(start, most / 2)
    ends = [np.abs(field)[where].max() for field in fields for axis in range(3) for where in _ends(axis)]
    return {"name": name, "least": float(np.clip(max(ends), min(least, start), start)), "most": most, "start": start}


def _ends(axis: int) -> list[tuple[Any, ...]]:
    return [(*(slice(None),) * axis, end) for end in (0, -1)]


def _fitting(fields: list[Tensor], grid: Grid, least: float) -> tuple[list[Float[Tensor, "a b c"]], Grid]:
    """Values and grid without the rim in which the first field is below a level, and with fewer points if there are
    too many."""
    seen = (fields[0].abs() > least).nonzero()
    if len(seen):
        low = (seen.min(0).values - 1).clamp(min=0)
        high = torch.minimum(seen.max(0).values + 2, torch.tensor(grid.counts))
        fields = [f[low[0] : high[0], low[1] : high[1], low[2] : high[2]].contiguous() for f in fields]
        a, b, c = (high - low).tolist()
        grid = Grid(grid.origin + low.to(grid.steps) @ grid.steps, grid.steps, (a, b, c))
    if grid.size > MOST_POINTS:
        thin = (grid.size / MOST_POINTS) ** (1 / 3)
        a, b, c = (max(2, math.floor(n / thin)) for n in grid.counts)
        stretch = torch.tensor([(n - 1) / (m - 1) for n, m in zip(grid.counts, (a, b, c), strict=True)])
        fields = [
            torch.nn.functional.interpolate(f[None, None], (a, b, c), mode="trilinear", align_corners=True)[0, 0]
            for f in fields
        ]
        grid = Grid(grid.origin, grid.steps * stretch.to(grid.steps).unsqueeze(1), (a, b, c))
    return fields, grid


def _molecule(numbers: Any, pos: Any) -> dict[str, Any]:
    """Atoms, bonds, and how they are seen at the start."""
    x = np.asarray(pos, dtype=np.float64).reshape(-1, 3)
    symbols, colours, radii = look(numbers)
    centre = (x.min(0) + x.max(0)) / 2
    return {
        "atoms": [
            {"symbol": symbol, "position": place.tolist(), "radius": float(radius), "colour": _hex(colour)}
            for symbol, place, radius, colour in zip(symbols, x, radii, colours, strict=True)
        ],
        "bonds": bonds(numbers, x),
        "centre": centre.tolist(),
        "radius": float(np.linalg.norm(x - centre, axis=1).max()) + 1.4,
        "turn": (camera(VIEW_DEGREES) @ facing(x)).tolist(),
    }


def _hex(colour: np.ndarray) -> str:
    return "#" + "".join(f"{round(255 * part):02x}" for part in colour.tolist())


def _page(title: str, caption: str, scene: dict[str, Any]) -> str:
    folder = files("intertwine.plots") / "assets"
    page, style, surfaces, viewer = (
        (folder / name).read_text(encoding="utf-8")
        for name in ("viewer.html", "viewer.css", "surfaces.js", "viewer.js")
    )
    content = json.dumps(scene, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    words = {"title": html.escape(title), "caption": html.escape(caption)}
    return page.format(**words, style=style, scene=content, surfaces=surfaces, viewer=viewer)
