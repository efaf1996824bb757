r"""An image, or voxels, turned within its grid: what is at a pixel is read where the pixel came from.

.. math:: x'(p) = x(R^{-1} p)

with p from the centre of the grid, by linear interpolation between the 2^n pixels around, and zero outside. Where R
takes pixels to pixels (right angles of a square) the result is exact to the last bit. Any other rotation loses what is
finer than two pixels, and corners.
"""

from __future__ import annotations

import itertools

import torch
from jaxtyping import Float
from torch import Tensor

from intertwine.geometry.action import act
from intertwine.geometry.graph import Graph
from intertwine.geometry.raster import raster_positions, rasters
from intertwine.groups import Isometry
from intertwine.numerics import GeometryError

ON_PIXEL = 1e-9  # of a pixel: nearer than this a point is at the pixel
READ_AT_ONCE = 2**22  # values that are looked up at a time


def resampled(
    values: Float[Tensor, "images channels *sizes"], rotation: Float[Tensor, "*images n n"]
) -> Float[Tensor, "images channels *sizes"]:
    """Images (B, C, rows, columns), or voxels, turned about their centres.

    Args:
        values: of the pixels.
        rotation: R, one for all (n, n) or one each (B, n, n), in the axes of
            :func:`~intertwine.geometry.raster_positions`: of an image x points right and y up.
    """
    sizes, n = values.shape[2:], values.ndim - 2
    rotation = rotation.to(torch.float64).expand(len(values), n, n)
    points = raster_positions(*sizes)
    result = torch.empty_like(values)
    step = max(1, READ_AT_ONCE // max(1, values[:1].numel()))
    for start in range(0, len(values), step):
        here = slice(start, start + step)
        result[here] = _read(values[here], points @ rotation[here])  # R^{-1} p = R^T p, as rows p^T R
    return result


def _read(values: Tensor, points: Float[Tensor, "images pixels n"]) -> Tensor:
    """The images between their pixels, at points from their centres."""
    sizes, n = values.shape[2:], points.shape[-1]
    steps = torch.stack([-points[..., 1], points[..., 0]], dim=-1) if n == 2 else points
    place = steps + (torch.tensor(sizes, dtype=torch.float64) - 1) / 2
    near = place.round()
    place = torch.where((place - near).abs() < ON_PIXEL, near, place)
    low = place.floor()
    share = place - low
    flat, result = values.flatten(2), torch.zeros(*values.shape[:2], points.shape[1], dtype=values.dtype)
    limit = torch.tensor(sizes) - 1
    for corner in itertools.product((0, 1), repeat=n):
        offset = torch.tensor(corner)
        weight = torch.where(offset.bool(), share, 1 - share).prod(-1)
        index = low.to(torch.int64) + offset
        inside = ((index >= 0) & (index <= limit)).all(-1)
        index = index.clamp(min=torch.zeros_like(limit), max=limit)
        number = index[..., 0]
        for axis in range(1, n):
            number = number * sizes[axis] + index[..., axis]
        weight = torch.where(inside, weight, 0.0).to(values.dtype)
        result += weight.unsqueeze(1) * torch.gather(flat, 2, number.unsqueeze(1).expand(-1, flat.shape[1], -1))
    return result.unflatten(-1, sizes)


def is_raster(graph: Graph) -> bool:
    """Whether a graph is an image or voxels: several nodes with values ``x`` on a full grid of pixels 1 apart."""
    if graph.get("x") is None or graph.get("z") is not None or graph.num_nodes < 2:
        return False
    try:
        rasters(graph, graph.x.flatten(1))
    except GeometryError:
        return False
    return True


def turned(graph: Graph, rotation: Float[Tensor, "n n"]) -> Graph:
    """A graph turned by a rotation: an image or voxels resampled on their own grid (:func:`resampled`), anything else
    moved by :func:`~intertwine.geometry.act`, with all of its fields.
    """
    if not is_raster(graph):
        centre = graph.pos.to(torch.float64).mean(0) if graph.num_nodes else graph.pos.new_zeros(graph.dimension)
        rotation = rotation.to(torch.float64)
        return act(Isometry(rotation, centre - rotation @ centre), graph)
    image = rasters(graph, graph.x.flatten(1))
    return graph.replaced(x=image.at_nodes(resampled(image.values, rotation)).reshape(graph.x.shape))
