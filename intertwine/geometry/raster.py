r"""Images and voxels as graphs: a node for each pixel, at the pixel's centre, with its values as the invariants ``x``.

A network of points takes them as they are; one of images takes :func:`rasters`, which finds the place of each node from
its position. So nodes may be listed in any order, and an image turned by :func:`~intertwine.geometry.act` through a
right angle is the turned image, exactly. Through other angles its nodes leave the grid, and a network of images needs
one that is resampled.

Pixels are 1 apart. Of an image (row, column), x points along the columns and y against the rows, so that a turn from x
to y is counterclockwise on the screen; of voxels (i, j, k) the axes are x, y and z.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from intertwine.geometry.graph import Graph
from intertwine.numerics import GeometryError, InputError

OFF_GRID = 1e-3  # of a pixel: positions that rounding has moved are still on the grid


class Raster(NamedTuple):
    """A batch of images of one size, or of voxels, and where each node of the graph is among the pixels.

    Attributes:
        values: (B, C, rows, columns) or (B, C, i, j, k).
        places: (N), the number of each node's pixel where those of all images are counted, the last axis fastest.
    """

    values: Float[Tensor, "images channels *sizes"]
    places: Int[Tensor, " nodes"]

    def at_nodes(self, maps: Shaped[Tensor, "images features *sizes"]) -> Shaped[Tensor, "nodes features"]:
        """Feature maps of the same size, read at the nodes, in their order."""
        return maps.movedim(1, -1).flatten(0, -2)[self.places]


def raster_positions(*sizes: int) -> Float[Tensor, "pixels n"]:
    """Centres of the pixels in float64, from the centre of the image (pixels, n), the last axis of the array fastest.

    Raises:
        InputError: other than two or three sizes, or one below 1.
    """
    if len(sizes) not in (2, 3) or min(sizes) < 1:
        raise InputError(
            f"sizes {sizes}", where="raster", remedy="give rows and columns, or three sizes, of 1 or more."
        )
    axes = torch.meshgrid(*(torch.arange(n, dtype=torch.float64) - (n - 1) / 2 for n in sizes), indexing="ij")
    if len(sizes) == 2:
        axes = (axes[1], -axes[0])
    return torch.stack([axis.flatten() for axis in axes], dim=-1)


def raster(values: Float[Tensor, "channels *sizes"]) -> Graph:
    """The graph of an image (C, rows, columns) or of voxels (C, i, j, k): ``pos`` (N, n) and ``x`` (N, C).

    Raises:
        InputError: another number of axes, or an empty one.
    """
    pos = raster_positions(*values.shape[1:])
    return Graph(pos=pos.to(values), x=values.flatten(1).T)


def rasters(graph: Graph, values: Float[Tensor, "nodes channels"]) -> Raster:
    """The images of a batch, which have one size, from the values of their nodes.

    Args:
        graph: one or several images; their positions are those of a full grid up to a shift.
        values: what each node has, ``graph.x`` for example.

    Raises:
        GeometryError: positions between the pixels, a pixel that is missing or has two nodes, images of several sizes.
    """
    owner, graphs, n = graph.membership(), graph.graphs, graph.dimension
    if n not in (2, 3):
        raise GeometryError(f"a grid of dimension {n}", where="pos", remedy="give images (2) or voxels (3).")
    steps = graph.pos.detach().to(torch.float64)
    steps = torch.stack([-steps[:, 1], steps[:, 0]], dim=-1) if n == 2 else steps
    low = steps.new_full((graphs, n), torch.inf).scatter_reduce(0, owner[:, None].expand(-1, n), steps, "amin")
    steps = steps - low[owner]
    index = steps.round()
    if index.numel() and float((steps - index).abs().max()) > OFF_GRID:
        k = int((steps - index).abs().amax(1).argmax())
        raise GeometryError(
            f"node {k} is between the pixels",
            where="pos",
            remedy="pixels are 1 apart; resample an image that was turned, or use a model of points, such as lieconv.",
        )
    index = index.to(torch.int64)
    sizes = tuple(int(k) + 1 for k in index.amax(0)) if len(index) else (0,) * n
    pixels = int(torch.tensor(sizes).prod())
    places = owner
    for axis, size in enumerate(sizes):
        places = places * size + index[:, axis]
    count = torch.bincount(places, minlength=graphs * pixels)
    if pixels == 0 or bool((count != 1).any()):
        counts = torch.bincount(owner, minlength=graphs)
        odd = int((counts != pixels).to(torch.int64).argmax())
        grid = " x ".join(map(str, sizes))
        raise GeometryError(
            f"image {odd} of the batch has {int(counts[odd])} pixels, a grid of {grid} has {pixels}",
            where="pos",
            remedy="give a node for each pixel of a full grid, and images of one size in a batch.",
        )
    return placed(values, places, sizes, graphs)


def placed(
    values: Float[Tensor, "nodes channels"], places: Int[Tensor, " nodes"], sizes: tuple[int, ...], graphs: int
) -> Raster:
    """The images of a batch, from the values of their nodes and the number of each node's pixel, as :func:`rasters`
    finds them."""
    pixels = 1
    for size in sizes:
        pixels *= size
    flat = values.new_zeros(graphs * pixels, values.shape[1]).index_copy(0, places, values)
    return Raster(flat.unflatten(0, (graphs, *sizes)).movedim(-1, 1), places)
