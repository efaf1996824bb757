"""Images and voxels: what moves them exactly, what interpolates, and how far interpolation alone is from nothing."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from intertwine.geometry import Graph, act, keeps_grid, moved_image, raster_positions, rasters, resample
from intertwine.groups import AffineMap

#: Errors of a function up to this many times those that interpolation alone makes in its input are put down to it.
TIMES_INTERPOLATION = 3.0
#: Of an output's size: what networks of images may err between the angles of the pixels, unless they state another.
STATED = 0.05
MOST_INTERPOLATION = 0.5  # of an output's size: where interpolation excuses more, nothing can be told
ROUGH = f"interpolation alone would excuse an error of more than {MOST_INTERPOLATION:g}: give smoother, larger images"
MARGIN = 1.5  # pixels from the edge of the largest disc that is compared
KINDS = ("images", "voxels")
WIDTH = 1.0  # pixels: deviation of the reference filter


def moved_pixels(g: AffineMap, graph: Graph) -> tuple[Graph, bool]:
    """The moved image, and whether it is exact: nodes are moved where pixels meet pixels, values interpolated
    elsewhere.
    """
    sizes = rasters(graph, graph.x).values.shape[2:]
    if keeps_grid(AffineMap(g.linear, torch.zeros_like(g.translation)), sizes):
        return act(g, graph), True
    return resample(AffineMap(g.linear, torch.zeros_like(g.translation)), graph), False


def there_and_back(g: AffineMap, values: Float[Tensor, "images channels *sizes"]) -> float:
    """How far an image is from itself after g and its inverse: largest difference over the root mean square, in the
    disc.
    """
    values = values.to(torch.float64)
    back = moved_image(g.inverse(), moved_image(g, values))
    return _relative(back, values)


def of_reference(g: AffineMap, values: Float[Tensor, "images channels *sizes"]) -> float:
    """The error under g of a filter that is equivariant but for the grid: a Gaussian of one pixel's width."""
    values = values.to(torch.float64)
    return _relative(blurred(moved_image(g, values)), moved_image(g, blurred(values)))


def blurred(values: Float[Tensor, "images channels *sizes"]) -> Float[Tensor, "images channels *sizes"]:
    """A Gaussian filter along each axis, zeros outside."""
    for axis in range(2, values.ndim):
        place = torch.arange(values.shape[axis], dtype=values.dtype)
        kernel = torch.exp(-((place[:, None] - place).square()) / (2 * WIDTH**2))
        kernel = kernel / (WIDTH * (2 * torch.pi) ** 0.5)
        values = (values.movedim(axis, -1) @ kernel.T).movedim(-1, axis)
    return values


def disc(sizes: Sequence[int], margin: float = MARGIN) -> Tensor:
    """The pixels of the largest disc, or ball, in an image (*sizes): what no rotation takes out of it."""
    radius = min(sizes) / 2 - margin
    return (raster_positions(*sizes).norm(dim=1) <= max(radius, 0.5)).reshape(tuple(sizes))


def tapered(values: Float[Tensor, "images channels *sizes"]) -> Float[Tensor, "images channels *sizes"]:
    """The image times a smooth window that is zero from two pixels within the disc on: nothing can be turned out of
    it.
    """
    sizes = values.shape[2:]
    radius, distance = min(sizes) / 2 - 2.0, raster_positions(*sizes).norm(dim=1)
    place = ((radius - distance) / max(0.35 * radius, 1.0)).clamp(0, 1)
    return values * (place**2 * (3 - 2 * place)).reshape(tuple(sizes)).to(values)


def _relative(got: Tensor, expected: Tensor) -> float:
    if got.shape != expected.shape:
        return 0.0  # a right angle of a rectangle, which is exact
    inside = disc(expected.shape[2:])
    size = float(expected.square().mean().sqrt()) or 1.0
    return float(((got - expected) * inside).abs().max()) / size
