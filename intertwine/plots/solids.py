"""Solids of triangles, and images of them through which one sees: every pixel blends all that lies behind it, sorted by
its depth.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from intertwine.orbitals.isosurface import Surface
from intertwine.plots.atoms import bonds, look
from intertwine.plots.shading import shaded

STICK = 0.08  # A, radius of a bond
ROUND = 24  # facets of a ball from pole to pole
SAMPLES = 2  # of a pixel, along each side
MOST_TESTS = 4_000_000  # of points and triangles at a time


class Solid(NamedTuple):
    """``vertices`` with ``normals`` of length 1 and ``colours`` from 0 to 1, and the ``triangles`` between them."""

    vertices: Float[np.ndarray, "vertices 3"]
    normals: Float[np.ndarray, "vertices 3"]
    triangles: Int[np.ndarray, "triangles 3"]
    colours: Float[np.ndarray, "vertices 3"]
    opacity: float = 1.0


def smooth(surface: Surface, colour: Sequence[float], opacity: float = 1.0) -> Solid:
    """A surface of one colour, whose normals are means over the triangles that meet in a vertex, by their areas.

    Args:
        surface: of triangles.
        colour: red, green and blue from 0 to 1.
        opacity: from 0 to 1.
    """
    vertices, triangles = surface.vertices.numpy(), surface.triangles.numpy()
    corners = vertices[triangles]
    faces = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals = np.stack(
        [np.bincount(triangles.ravel(), np.repeat(faces[:, k], 3), len(vertices)) for k in range(3)], axis=1
    )
    normals = normals / np.linalg.norm(normals, axis=1, keepdims=True).clip(1e-300)
    colours = np.tile(np.asarray(colour, dtype=np.float64), (len(vertices), 1))
    return Solid(vertices, normals, triangles, colours, opacity)


def balls_and_sticks(numbers: Any, pos: Any) -> list[Solid]:
    """Atoms as balls, and bonds as sticks of the colours of their ends.

    Args:
        numbers: atomic numbers. pos: positions (A).
    """
    x = np.asarray(pos, dtype=np.float64).reshape(-1, 3)
    _, colours, radii = look(numbers)
    polar, around = np.linspace(0, math.pi, ROUND + 1)[:, None], np.linspace(0, 2 * math.pi, 2 * ROUND + 1)
    sphere = np.stack([np.sin(polar) * np.cos(around), np.sin(polar) * np.sin(around), np.cos(polar) + 0 * around], 2)
    solids = [
        _band(place + radius * sphere, sphere, colour) for place, radius, colour in zip(x, radii, colours, strict=True)
    ]
    for pair in bonds(numbers, x):
        start, end = x[list(pair)]
        along = (end - start) / max(float(np.linalg.norm(end - start)), 1e-9)
        side = np.cross(along, np.eye(3)[np.abs(along).argmin()])
        side /= np.linalg.norm(side)
        ring = np.cos(around)[:, None] * side + np.sin(around)[:, None] * np.cross(along, side)
        for tip, atom in zip((start, end), pair, strict=True):
            ends = np.stack([tip, (start + end) / 2])[:, None]
            solids.append(_band(ends + STICK * ring, np.stack([ring, ring]), colours[atom]))
    return solids


def _band(points: np.ndarray, normals: np.ndarray, colour: np.ndarray) -> Solid:
    """A solid of rings of points, (rings, around, 3)."""
    rings, around = points.shape[:2]
    here = np.arange(rings * around).reshape(rings, around)
    a, b, c, d = (part.ravel() for part in (here[:-1, :-1], here[1:, :-1], here[1:, 1:], here[:-1, 1:]))
    triangles = np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])
    return Solid(points.reshape(-1, 3), normals.reshape(-1, 3), triangles, np.tile(colour, (rings * around, 1)))


def image(
    solids: Iterable[Solid], rows: np.ndarray, box: tuple[float, float, float, float], pixels: int
) -> Float[np.ndarray, "height width 4"]:
    """Solids by orthographic projection, as red, green, blue and opacity from 0 to 1; the first row is the lowest.

    Args:
        solids: what is seen.
        rows: right, up and towards the viewer, (3, 3).
        box: left, right, bottom and top of the image, in the unit of the solids.
        pixels: of the image's longer side.
    """
    scale = SAMPLES * pixels / max(box[1] - box[0], box[3] - box[2])
    width, height = (SAMPLES * max(1, round(scale * side / SAMPLES)) for side in (box[1] - box[0], box[3] - box[2]))
    parts = [_fragments(solid, rows, box, scale, width, height) for solid in solids]
    place, depth, colour, opacity = (np.concatenate(each) for each in zip(*parts, strict=True))
    span = max(float(np.ptp(depth)), 1e-9) if len(depth) else 1.0
    order = np.argsort(place - 0.9 * (depth - depth.min(initial=np.inf)) / span)  # of each point the nearest first
    place, colour, opacity = place[order], colour[order], opacity[order]
    first = np.flatnonzero(np.diff(place, prepend=-1))
    count = np.diff(first, append=len(place))
    blended, left = np.zeros((width * height, 3)), np.ones(width * height)
    for layer in range(int(count.max(initial=0))):
        at = first[count > layer] + layer
        points = place[at]
        blended[points] += (left[points] * opacity[at])[:, None] * colour[at]
        left[points] *= 1 - opacity[at]
    whole = np.concatenate([blended, 1 - left[:, None]], axis=1).reshape(height, width, 4)
    whole = whole.reshape(height // SAMPLES, SAMPLES, width // SAMPLES, SAMPLES, 4).mean((1, 3))
    whole[..., :3] /= whole[..., 3:].clip(1e-9)
    return whole.clip(0, 1)


def _fragments(
    solid: Solid, rows: np.ndarray, box: tuple[float, float, float, float], scale: float, width: int, height: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The points of the image that triangles cover: their numbers, depths, colours and opacities."""
    seen = solid.vertices @ rows.T
    flat = (seen[:, :2] - np.array([box[0], box[2]])) * scale - 0.5  # the centre of a point is a whole number
    corners = flat[solid.triangles]
    low, high = np.ceil(corners.min(1)).astype(int), np.floor(corners.max(1)).astype(int)
    extent = (high - low + 1).max(1)
    covered = []
    size = 1
    while size < 2 * int(extent.max(initial=0)):
        here = np.flatnonzero((extent > size // 2) & (extent <= size) & (size > 0))
        step = max(1, MOST_TESTS // size**2)
        covered += [
            _covered(corners[part], low[part], size, solid.triangles[part])
            for part in (here[k : k + step] for k in range(0, len(here), step))
        ]
        size *= 2
    if not covered:
        return np.zeros(0, int), np.zeros(0), np.zeros((0, 3)), np.zeros(0)
    points, triangles, shares = (np.concatenate(each) for each in zip(*covered, strict=True))
    inside = ((points >= 0) & (points < (width, height))).all(1)
    points, triangles, shares = points[inside], triangles[inside], shares[inside][..., None]
    normals = (solid.normals[triangles] * shares).sum(1) @ rows.T
    normals /= np.linalg.norm(normals, axis=1, keepdims=True).clip(1e-300)
    normals *= np.where(normals[:, 2:] < 0, -1.0, 1.0)
    lit = shaded(normals, (solid.colours[triangles] * shares).sum(1))
    depth = (seen[triangles][..., 2:] * shares).sum((1, 2))
    return points[:, 1] * width + points[:, 0], depth, lit, np.full(len(points), solid.opacity)


def _covered(
    corners: np.ndarray, low: np.ndarray, size: int, triangles: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The points of squares that lie in their triangle: coordinates, the triangle's vertices, shares of these."""
    x, y = (each.ravel() for each in np.meshgrid(np.arange(size), np.arange(size)))
    a, b, c = np.moveaxis(corners - low[:, None], 1, 0)
    whole = _turn(b - a, c - a)
    flat = whole == 0  # seen from the side
    rates = np.stack([_turned(c - b), _turned(a - c), _turned(b - a)], axis=1) / np.where(flat, 1, whole)[:, None, None]
    at_low = np.stack([_turn(b, c), _turn(c, a), _turn(a, b)], axis=1) / np.where(flat, 1, whole)[:, None]
    # single precision finds the points fast, and one in 1e5 of a triangle's size beside it does no harm
    every = rates.astype(np.float32) @ np.stack([x, y]).astype(np.float32) + at_low[..., None].astype(np.float32)
    which, point = np.nonzero((every.min(1) >= 0) & ~flat[:, None])
    shares = at_low[which] + rates[which, :, 0] * x[point, None] + rates[which, :, 1] * y[point, None]
    return low[which] + np.stack([x[point], y[point]], axis=1), triangles[which], shares


def _turn(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    return p[..., 0] * q[..., 1] - p[..., 1] * q[..., 0]


def _turned(side: np.ndarray) -> np.ndarray:
    """How fast twice the area between a side and a point grows with the point."""
    return np.stack([-side[..., 1], side[..., 0]], axis=-1)
