"""What is measured of networks on a grid of orientations or directions: where their features live, and which finite
group they keep."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from intertwine.geometry import Graph
from intertwine.groups import Isometry
from intertwine.nn import Backbone
from intertwine.nn.groups.directions import Directions
from intertwine.nn.groups.orientations import INVERSION, POLYHEDRAL, Orientations

Grid = Orientations | Directions


def grid_of(model: Backbone, graph: Graph, same: float) -> Grid | None:
    """The grid that the model has features on, if they are not the same at all its places (by ``same``, relative)."""
    grids = [module for module in model.modules() if isinstance(module, Orientations | Directions)]
    if not grids:
        return None
    with torch.no_grad():
        f = model.lifted(model.ready(graph))  # (nodes, places, channels)
    assert f.shape[1] == grids[0].count
    return grids[0] if (f - f[:, :1]).abs().max() > same * f.abs().max() else None


def smaller(grid: Grid | None) -> dict[str, str]:
    """Arguments of the same network on fewer orientations, if it has many."""
    return {"group": "tetrahedral"} if isinstance(grid, Orientations) else {}


def space(grid: Grid, group: str) -> str:
    """Where features on a grid live: at elements of the group that is kept, or at points and unit vectors."""
    if isinstance(grid, Orientations):
        return group
    assert (grid.points.double().norm(dim=1) - 1).abs().max() < 1e-6
    return "R^3 x S^2"


def shifted(matrix: Tensor) -> Isometry:
    """A rotation or reflection, then a shift."""
    return Isometry(matrix, torch.ones(len(matrix), dtype=torch.float64))


def point_group(keeps: Callable[[Isometry], bool]) -> str:
    """The largest group of a polyhedron whose generators are kept; empty if none is."""
    groups = {
        name + INVERSION * inversion: make(inversion) for name, make in POLYHEDRAL.items() for inversion in (0, 1)
    }
    for name, finite in sorted(groups.items(), key=lambda item: -(item[1].order or 0)):
        if all(keeps(shifted(matrix)) for matrix in finite.linear(finite.generators())):
            return name
    return ""
