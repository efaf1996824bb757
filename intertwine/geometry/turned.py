"""A structure or an image turned about its centre, as a protocol of rotated data asks for."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from intertwine.geometry.action import act
from intertwine.geometry.graph import Graph
from intertwine.geometry.raster import rasters
from intertwine.geometry.resampling import keeps_grid, resample
from intertwine.groups import AffineMap, Isometry
from intertwine.numerics import GeometryError


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
    """A graph turned by a rotation about its centre: an image or voxels resampled linearly on their own grid
    (:func:`resample`) unless pixels come to lie on pixels, anything else moved by :func:`act`, with all of its fields.
    """
    rotation = rotation.to(torch.float64)
    if is_raster(graph):
        about = AffineMap(rotation, torch.zeros_like(rotation[0]))
        if not keeps_grid(about, rasters(graph, graph.x.flatten(1)).values.shape[2:]):
            return resample(about, graph, order=1)
    centre = graph.pos.to(torch.float64).mean(0) if graph.num_nodes else rotation.new_zeros(graph.dimension)
    return act(Isometry(rotation, centre - rotation @ centre), graph)
