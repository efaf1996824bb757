"""What an autoencoder makes of its inputs: rows of images, errors and angles of turned ones, a map of its codes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isqrt
from pathlib import Path
from typing import Any

import numpy as np
import torch

from intertwine.numerics import InputError
from intertwine.o3.spherical_harmonics import spherical_harmonics as spherical_harmonics_at
from intertwine.plots.atoms import bonds, look
from intertwine.plots.style import BLUE, GREY, ORANGE, array, figure, save, tidy

MOST_CLASSES = 10  # that a colour each is told apart
DISC = 96  # pixels along an edge of a picture of the sphere


def image_rows(rows: Mapping[str, Sequence[Any]], path: str | Path, title: str = "") -> Path:
    """Rows of images, each with its name; the shades are those of the first row.

    Args:
        rows: by name, as many images (rows, columns) each.
        path: where the picture goes.
        title: of the whole.

    Raises:
        InputError: no images, or not as many in each row.
    """
    count = _as_many(rows, "images", "image_rows")
    grey = [array(image, name) for name, images in list(rows.items())[:1] for image in images]
    low, high = min(float(image.min()) for image in grey), max(float(image.max()) for image in grey)
    picture = figure(0.8 * count + 1.0, 0.85 * len(rows) + 0.4)
    for i, (name, images) in enumerate(rows.items()):
        for j, image in enumerate(images):
            axes = picture.add_subplot(len(rows), count, i * count + j + 1)
            axes.imshow(array(image, f"{name} {j}"), cmap="gray_r", vmin=low, vmax=high)
            axes.set_xticks([])
            axes.set_yticks([])
            if j == 0:
                axes.set_ylabel(name, fontsize=8)
    picture.suptitle(title, fontsize=9)
    return save(picture, path)


def _as_many(rows: Mapping[str, Sequence[Any]], what: str, where: str) -> int:
    """How many there are in each row; an :class:`InputError` where rows differ, or are empty."""
    counts = {len(row) for row in rows.values()}
    if len(counts) != 1 or not counts - {0}:
        raise InputError(f"rows of {sorted(counts)} {what}", where=where, remedy="give as many in each row.")
    return counts.pop()


def molecule_rows(rows: Mapping[str, Sequence[tuple[Any, Any]]], path: str | Path, title: str = "") -> Path:
    """Rows of molecules, each with its name; all as they lie, seen along the z axis and in one scale.

    Args:
        rows: by name, as many molecules each: atomic numbers (atoms), 0 for points, and positions (atoms, 3) in A.
        path: where the picture goes.
        title: of the whole.

    Raises:
        InputError: no molecules, or not as many in each row.
    """
    count = _as_many(rows, "molecules", "molecule_rows")
    places = {name: [array(x, name).reshape(-1, 3) for _, x in row] for name, row in rows.items()}
    centred = {
        name: [(z, x - x.mean(0)) for (z, _), x in zip(row, places[name], strict=True)] for name, row in rows.items()
    }
    edge = max(float(np.abs(x).max()) for row in centred.values() for _, x in row) + 1.0
    picture = figure(1.7 * count + 0.8, 1.7 * len(rows) + 0.4)
    for i, (name, row) in enumerate(centred.items()):
        for j, (z, x) in enumerate(row):
            axes = picture.add_subplot(len(rows), count, i * count + j + 1)
            _draw(axes, z, x)
            axes.set(xlim=(-edge, edge), ylim=(-edge, edge), xticks=[], yticks=[], aspect="equal")
            if j == 0:
                axes.set_ylabel(name, fontsize=8)
    picture.suptitle(title, fontsize=9)
    return save(picture, path)


def signal_rows(rows: Mapping[str, Sequence[Any]], path: str | Path, title: str = "") -> Path:
    r"""Rows of signals on the sphere, each with its name, in one scale: the whole sphere as a disc, by Lambert's
    equal-area projection from the y axis, the polar axis of the harmonics. The inner circle is the equator.

    Args:
        rows: by name, as many signals each: coefficients :math:`c` of :math:`f(u) = \sum_{lm} c_{lm} Y_{lm}(u)`
            ((lmax + 1)^2), with ``integral`` harmonics.
        path: where the picture goes.
        title: of the whole.

    Raises:
        InputError: no signals, not as many in each row, or signals of different degrees.
    """
    counts = {len(signals) for signals in rows.values()}
    values = {name: [array(c, name).reshape(-1) for c in row] for name, row in rows.items()}
    sizes = {len(c) for row in values.values() for c in row}
    if len(counts) != 1 or len(sizes) != 1 or isqrt(max(sizes)) ** 2 != max(sizes):
        what = f"rows of {sorted(counts)} signals of {sorted(sizes)} coefficients"
        remedy = "give as many in each row, with (lmax + 1)^2 coefficients each."
        raise InputError(what, where="signal_rows", remedy=remedy)
    count, basis = counts.pop(), _projected(isqrt(sizes.pop()) - 1)
    images = {name: [basis @ c for c in row] for name, row in values.items()}
    high = max(float(np.nanmax(np.abs(image))) for image in next(iter(images.values()))) or 1.0
    picture = figure(1.3 * count + 0.8, 1.3 * len(rows) + 0.4)
    for i, (name, row) in enumerate(images.items()):
        for j, image in enumerate(row):
            axes = picture.add_subplot(len(rows), count, i * count + j + 1)
            axes.imshow(image, cmap="RdBu_r", vmin=-high, vmax=high, extent=(-1, 1, -1, 1))
            around = np.linspace(0, 2 * np.pi, 200)
            for radius in (0.5**0.5, 1.0):
                axes.plot(radius * np.cos(around), radius * np.sin(around), color=GREY, linewidth=0.5)
            axes.set(xticks=[], yticks=[], xlim=(-1.02, 1.02), ylim=(-1.02, 1.02), aspect="equal")
            axes.set_frame_on(False)
            if j == 0:
                axes.set_ylabel(name, fontsize=8)
    picture.suptitle(title, fontsize=9)
    return save(picture, path)


def _projected(lmax: int) -> np.ndarray:
    """The harmonics at the pixels of Lambert's projection (rows, columns, dim), x to the right and z up as images are
    laid; NaN outside of the disc."""
    steps = (np.arange(DISC) + 0.5) / DISC * 2 - 1
    x, z = np.meshgrid(steps, -steps)
    square = x**2 + z**2
    inside = square <= 1
    square = np.where(inside, square, 0.0)
    stretch = 2 * np.sqrt(1 - square)  # of the disc of radius 1, which has a quarter of the sphere's area
    points = np.stack([stretch * x, 1 - 2 * square, stretch * z], axis=-1)
    degrees = list(range(lmax + 1))
    basis = spherical_harmonics_at(degrees, torch.from_numpy(points), normalize=True, normalization="integral").numpy()
    return np.where(inside[..., None], basis, np.nan)


def _draw(axes: Any, z: Any, x: np.ndarray) -> None:
    """Atoms and bonds, near ones over far ones."""
    from matplotlib.patches import Circle

    _, colours, radii = look(z)
    for a, b in bonds(z, x):
        axes.plot(*x[[a, b], :2].T, color=GREY, linewidth=1.5, zorder=float(x[[a, b], 2].mean()))
    for place, colour, radius in zip(x, colours, np.maximum(radii, 0.15), strict=True):
        ball = Circle(place[:2], radius, facecolor=colour, edgecolor="black", linewidth=0.5, zorder=float(place[2]))
        axes.add_patch(ball)


def turned_codes(angles: Any, errors: Any, predicted: Any | None, folds: Any, path: str | Path) -> Path:
    """The error of turned images over the angle, and beside it the angle that was found over the true one.

    Args:
        angles: degrees (angles).
        errors: root mean square of the pixels (angles).
        predicted: degrees (angles, images); None where there is no group.
        folds: n of the largest C_n that each image has (images): symmetric ones have a colour of their own.
        path: where the picture goes.
    """
    x, y = array(angles, "angles"), array(errors, "errors")
    picture = figure(8.6 if predicted is not None else 4.6, 3.6)
    axes = picture.add_subplot(1, 1 + (predicted is not None), 1)
    axes.plot(x, y, color=BLUE, marker="o", markersize=3)
    axes.set_ylim(0, 1.15 * float(y.max()))
    axes.set_xticks(np.arange(0, 361, 90))
    tidy(axes, "reconstruction of turned images", "angle (degrees)", "RMSE of the pixels")
    if predicted is not None:
        beside, values = picture.add_subplot(1, 2, 2), array(predicted, "predicted")
        symmetric = np.asarray(folds) > 1
        beside.plot([0, 360], [0, 360], color=GREY, linewidth=0.8)
        for kept, colour, name in ((~symmetric, BLUE, "no symmetry"), (symmetric, ORANGE, "nearly symmetric")):
            if kept.any():
                points = np.broadcast_to(x[:, None], values[:, kept].shape)
                beside.scatter(points, values[:, kept], s=4, color=colour, label=name, linewidths=0)
        beside.set_xticks(np.arange(0, 361, 90))
        beside.set_yticks(np.arange(0, 361, 90))
        beside.legend(fontsize=7, frameon=False, loc="upper left")
        tidy(beside, "angle that the head finds", "true angle (degrees)", "found (degrees)")
    return save(picture, path)


def code_map(codes: Any, labels: Any | None, path: str | Path) -> Path:
    """Codes along their two principal axes, coloured by class.

    Args:
        codes: (entries, numbers of the code).
        labels: class of each (entries); None for one colour.
        path: where the picture goes.

    Raises:
        InputError: fewer than two codes.
    """
    from matplotlib import colormaps

    z = array(codes, "codes")
    if z.ndim != 2 or len(z) < 2:
        raise InputError(f"codes of shape {z.shape}", where="code_map", remedy="give two or more rows.")
    z = z - z.mean(0)
    _, sizes, directions = np.linalg.svd(z, full_matrices=False)
    flat = z @ directions[:2].T if len(directions) > 1 else np.stack([z[:, 0], 0 * z[:, 0]], axis=1)
    share = 100 * sizes[:2] ** 2 / max(float((sizes**2).sum()), 1e-300)
    picture = figure(5.0, 4.4)
    axes = picture.add_subplot()
    classes = np.zeros(len(z), dtype=np.int64) if labels is None else np.asarray(labels).astype(np.int64)
    for k in np.unique(classes):
        kept = classes == k
        axes.scatter(
            flat[kept, 0],
            flat[kept, 1],
            s=7,
            color=colormaps["tab10"](int(k) % MOST_CLASSES),
            linewidths=0,
            label=str(k),
        )
    if labels is not None:
        axes.legend(fontsize=7, frameon=False, markerscale=2, ncols=2)
    words = [f"principal axis {i + 1} ({each:.0f} % of the variance)" for i, each in enumerate(share)]
    tidy(axes, f"codes of {len(z)} entries", words[0], words[-1] if len(words) > 1 else "")
    return save(picture, path)
