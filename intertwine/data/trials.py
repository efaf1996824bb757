"""Images, voxels, point clouds and spherical signals made in code, to try a function on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from intertwine.geometry import Graph, raster, raster_positions
from intertwine.numerics import InputError
from intertwine.o3 import Irreps

PIXELS, VOXELS = 28, 12  # along each axis
BLOBS = 12  # bumps of an image
POINTS = 32  # of a cloud
COUNT = 3  # structures of each kind


def images(channels: int = 1, sizes: tuple[int, ...] = (PIXELS, PIXELS), count: int = COUNT) -> list[Graph]:
    """Smooth random images, or voxels, without symmetry, which vanish towards the edges: sums of Gaussian bumps as wide
    as a tenth of the image, in float64; the same on every call.

    Args:
        channels: values of a pixel.
        sizes: rows and columns, or three sizes.
        count: how many.
    """
    return [raster(_bumps(channels, sizes, torch.Generator().manual_seed(k))) for k in range(count)]


def clouds(points: int = POINTS, count: int = COUNT) -> list[Graph]:
    """Random points of a sphere's inside, of radius about 1 and without species; the same on every call."""
    draws = [
        torch.randn(points, 3, generator=torch.Generator().manual_seed(k), dtype=torch.float64) for k in range(count)
    ]
    return [Graph(draw / (1 + draw.norm(dim=1, keepdim=True))) for draw in draws]


def signals(irreps: str | Irreps = "1x0e + 1x1o + 1x2e", count: int = COUNT) -> list[Graph]:
    """Random functions on the sphere by their coefficients: one node at the origin each, with the field ``signal``; the
    same on every call.

    Args:
        irreps: how the coefficients transform.
        count: how many.
    """
    irreps, graphs = Irreps(irreps), []
    for k in range(count):
        draw = torch.randn(1, irreps.dim, generator=torch.Generator().manual_seed(k), dtype=torch.float64)
        graphs.append(
            Graph(torch.zeros(1, 3, dtype=torch.float64), signal=draw, representations={"signal": str(irreps)})
        )
    return graphs


def made_for(kind: str, model: Any) -> list[Graph]:
    """Structures of a kind with the fields that a model reads: as many channels as it takes.

    Args:
        kind: one of :data:`KINDS`.
        model: a backbone; its ``rows`` say the channels of ``x``, its ``signal`` how a spherical signal transforms.

    Raises:
        InputError: no such kind.
    """
    if kind not in KINDS:
        raise InputError(f"trials {kind!r}", where=type(model).__name__, remedy=f"use one of {', '.join(KINDS)}.")
    return KINDS[kind](model)


def _channels(model: Any) -> int:
    rows = model.rows() if hasattr(model, "rows") else {}
    return int(torch.tensor(rows.get("x", (1,))).prod())


#: What can be made, from what a model says of its inputs.
KINDS: dict[str, Callable[[Any], list[Graph]]] = {
    "images": lambda model: images(_channels(model)),
    "voxels": lambda model: images(_channels(model), (VOXELS,) * 3, 2),
    "clouds": lambda model: clouds(),
    "signals": lambda model: signals(getattr(model, "signal", "1x0e + 1x1o + 1x2e")),
}


def _bumps(channels: int, sizes: tuple[int, ...], generator: torch.Generator) -> Float[Tensor, "channels *sizes"]:
    n, radius = len(sizes), min(sizes) / 2
    width = max(radius / 5, 1.0)
    centres = torch.randn(BLOBS, n, generator=generator, dtype=torch.float64)
    centres = centres / (1 + centres.norm(dim=1, keepdim=True)) * (radius - 2 * width)
    heights = torch.randn(channels, BLOBS, generator=generator, dtype=torch.float64)
    points = raster_positions(*sizes)
    shapes = torch.exp(-torch.cdist(points, centres).square() / (2 * width**2))
    return (heights @ shapes.T).reshape(channels, *sizes)
