r"""Ten synthetic shapes as clouds of points, or as voxels, made in code.

Two pairs differ only in proportion (cube and brick, ring and tyre), and one only in handedness (a right and a left
helix, mirror images of each other): a network that is blind to lengths fails on the first, one that can't tell a shape
from its mirror image on the last. All stand upright, their axes along z. Their root mean square radius is about 10:
then 256 points are as far apart as atoms, for which the cutoffs of the models are made.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import torch

from intertwine.data.splits import Splits
from intertwine.data.store import GraphStore
from intertwine.geometry import raster_positions
from intertwine.numerics import InputError

POINTS, RADIUS, NOISE = 256, 10.0, 0.4  # of a cloud; root mean square; standard deviation of each coordinate
SIZES, STRETCH = (0.9, 1.1), 0.05  # of a shape: a common factor, and a relative deviation of each axis
RING, TYRE = 0.25, 0.5  # radius of the tube, of a ring of radius 1
TURNS, TUBE, HEIGHT = 1.5, 0.15, 2.0  # of a helix of radius 0.7
CLOUDS, VOXELS = (100, 20, 50), (30, 8, 12)  # entries of a class: to train on, to validate, to test
SIDE, EXTENT = 16, 20.0  # voxels along an edge, and half of its length
DENSE, MANY = 4_096, 100_000  # points of a surface that voxels are filled by; that its size is taken from

Draw = np.random.Generator


def _sphere(n: int, draw: Draw) -> np.ndarray:
    x = draw.standard_normal((n, 3))
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def _box(a: float, b: float, c: float) -> Callable[[int, Draw], np.ndarray]:
    """The surface of a box with these edges."""

    def sample(n: int, draw: Draw) -> np.ndarray:
        edges = np.array([a, b, c])
        areas = np.repeat([b * c, a * c, a * b], 2)
        face = draw.choice(6, n, p=areas / areas.sum())
        x = draw.uniform(-0.5, 0.5, (n, 3))
        x[np.arange(n), face // 2] = face % 2 - 0.5
        return x * edges

    return sample


def _torus(tube: float) -> Callable[[int, Draw], np.ndarray]:
    """A ring of radius 1 about z with a tube of that radius."""

    def sample(n: int, draw: Draw) -> np.ndarray:
        around = draw.uniform(0, 2 * np.pi, 8 * n)
        kept = draw.uniform(0, 1 + tube, 8 * n) < 1 + tube * np.cos(around)  # by area
        around = around[kept][:n]
        along = draw.uniform(0, 2 * np.pi, n)
        out = 1 + tube * np.cos(around)
        return np.stack([out * np.cos(along), out * np.sin(along), tube * np.sin(around)], axis=1)

    return sample


def _cone(n: int, draw: Draw) -> np.ndarray:
    """A cone of radius 1 and height 2 on its base, closed."""
    slant = np.sqrt(5.0)
    base = draw.uniform(size=n) < 1 / (1 + slant)
    radius, angle = np.sqrt(draw.uniform(size=n)), draw.uniform(0, 2 * np.pi, n)
    z = np.where(base, -1.0, 1 - 2 * radius)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle), z], axis=1)


def _tetrahedron(n: int, draw: Draw) -> np.ndarray:
    """A regular tetrahedron on its base."""
    s = np.sqrt(3.0)
    corners = np.array([[2, 0, -1], [-1, s, -1], [-1, -s, -1], [0, 0, 2 * np.sqrt(2) - 1]])
    corners -= corners.mean(0)
    faces = corners[np.array([[0, 1, 2], [0, 1, 3], [1, 2, 3], [0, 2, 3]])[draw.integers(4, size=n)]]
    share = draw.dirichlet(np.ones(3), n)
    return np.einsum("nk,nkd->nd", share, faces)


def _helix(hand: int) -> Callable[[int, Draw], np.ndarray]:
    """A wire of one and a half turns about z; right-handed for +1."""

    def sample(n: int, draw: Draw) -> np.ndarray:
        t = draw.uniform(0, 1, n)
        phase = 2 * np.pi * TURNS * t * hand
        wire = np.stack([0.7 * np.cos(phase), 0.7 * np.sin(phase), HEIGHT * (t - 0.5)], axis=1)
        return wire + TUBE * _sphere(n, draw)

    return sample


def _jack(n: int, draw: Draw) -> np.ndarray:
    """Three bars at right angles through one centre, one of them upright."""
    bar = _box(2.0, 0.3, 0.3)(n, draw)
    shift = draw.integers(3, size=n)
    return bar[np.arange(n)[:, None], (np.arange(3) - shift[:, None]) % 3]


#: The classes: name -> points on the surface, uniform by area.
SHAPES: dict[str, Callable[[int, Draw], np.ndarray]] = {
    "sphere": _sphere, "cube": _box(1.0, 1.0, 1.0), "brick": _box(1.0, 1.0, 1.8),
    "ring": _torus(RING), "tyre": _torus(TYRE),
    "cone": _cone, "tetrahedron": _tetrahedron, "right helix": _helix(1), "left helix": _helix(-1), "jack": _jack,
}  # fmt: skip


def cloud(kind: str, seed: int, number: int, points: int = POINTS, noise: float = NOISE) -> np.ndarray:
    """Points of one shape (points, 3), which the arguments decide.

    Args:
        kind: one of ``SHAPES``.
        seed, number: of the random numbers.
        points: how many.
        noise: standard deviation of each coordinate.
    """
    draw = np.random.default_rng([seed, list(SHAPES).index(kind), number])
    x = SHAPES[kind](points, draw)
    centre, radius = _size(kind)
    x = (x - centre) * (RADIUS / radius)
    x = x * draw.uniform(*SIZES) * (1 + STRETCH * draw.uniform(-1, 1, 3))
    return x + noise * draw.standard_normal(x.shape)


@lru_cache
def _size(kind: str) -> tuple[np.ndarray, float]:
    """The centre (3) and the root mean square radius of a shape's surface, from many points."""
    x = SHAPES[kind](MANY, np.random.default_rng(0))
    centre = x.mean(0)
    return centre, float(np.sqrt(((x - centre) ** 2).sum(1).mean()))


def shapes(
    *, points: int = POINTS, noise: float = NOISE, seed: int = 0, parts: tuple[int, int, int] = CLOUDS,
    progress: bool = False,
) -> GraphStore:  # fmt: skip
    """Clouds of ten shapes with their class: ``pos`` (N, 3) in float32 and ``label``; 1,000 / 200 / 500.

    Args:
        points: of a cloud, 256.
        noise: standard deviation of each coordinate; 0.4, where the root mean square radius is 10.
        seed: of everything.
        parts: entries of a class in the three parts.
        progress: not used; they are made in a second.

    Raises:
        InputError: no points, a negative noise, or no entries to train on.
    """
    _check(points, noise, parts)
    names, total = list(SHAPES), sum(parts)
    clouds = [cloud(kind, seed, k, points, noise) for k in range(total) for kind in names]
    fields = {
        "pos": torch.from_numpy(np.concatenate(clouds)).to(torch.float32),
        "label": torch.arange(len(names)).repeat(total),
    }
    note = f"shapes: {points} points a cloud, noise {noise:g}, upright; seed {seed}"
    return _store(fields, points, parts, "shapes", "point cloud", note)


def voxels(*, seed: int = 0, parts: tuple[int, int, int] = VOXELS, progress: bool = False) -> GraphStore:
    """The shapes as occupancy of 16 x 16 x 16 voxels: ``pos`` (N, 3) in voxels, ``x`` (N, 1), 1 where the surface
    passes, and ``label``; 300 / 80 / 120. They are shifted by up to half a voxel.

    Args:
        seed: of everything.
        parts: entries of a class in the three parts.
        progress: not used.
    """
    _check(1, 0.0, parts)
    names, total = list(SHAPES), sum(parts)
    grids = torch.zeros(total * len(names), SIDE**3)
    for k in range(len(grids)):
        number, kind = divmod(k, len(names))
        x = cloud(names[kind], seed, number, DENSE, 0.0)
        shift = np.random.default_rng([seed, kind, number, 1]).uniform(-0.5, 0.5, 3)
        place = np.floor((x + EXTENT) * SIDE / (2 * EXTENT) + shift).astype(np.int64).clip(0, SIDE - 1)
        grids[k, np.unique(np.ravel_multi_index(tuple(place.T), (SIDE,) * 3))] = 1.0
    fields = {
        "pos": raster_positions(SIDE, SIDE, SIDE).to(torch.float32).repeat(len(grids), 1),
        "x": grids.reshape(-1, 1),
        "label": torch.arange(len(names)).repeat(total),
    }
    note = f"voxels: the surfaces of `shapes` in {SIDE} x {SIDE} x {SIDE} voxels, upright; seed {seed}"
    return _store(fields, SIDE**3, parts, "voxels", "voxels", note)


def _store(
    fields: dict[str, torch.Tensor], nodes: int, parts: tuple[int, int, int], name: str, domain: str, note: str
) -> GraphStore:
    """Entries k with class k mod 10, divided in their order."""
    graphs = len(fields["label"])
    train, validation = parts[0] * len(SHAPES), (parts[0] + parts[1]) * len(SHAPES)
    return GraphStore(
        fields, torch.arange(graphs + 1) * nodes, {key: "graph" if key == "label" else "node" for key in fields},
        name=name, notes=[note], splits=Splits(range(train), range(train, validation), range(validation, graphs)),
        classes={"label": list(SHAPES)}, domain=domain, task="classification", target="label",
    )  # fmt: skip


def _check(points: int, noise: float, parts: tuple[int, int, int]) -> None:
    if points < 1 or not 0 <= noise < float("inf") or min(parts) < 0 or parts[0] < 1:
        what = f"{points} points with noise {noise}, {parts} entries of a class"
        raise InputError(
            what, where="shapes", remedy="give 1 or more points and training entries, and noise of 0 or more."
        )
