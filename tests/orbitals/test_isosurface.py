"""Surfaces of functions on grids: closed, turned outwards, of the size that the function says."""

from __future__ import annotations

import math

import pytest
import torch

from intertwine.numerics import InputError
from intertwine.orbitals.grid import Grid
from intertwine.orbitals.isosurface import TETRAHEDRA, Surface, isosurface

STEPS = torch.tensor([[0.10, 0.0, 0.0], [0.03, 0.10, 0.0], [0.0, 0.02, 0.11]], dtype=torch.float64)
CELLS = {
    "straight": torch.eye(3, dtype=torch.float64) * 0.1,
    "skewed": STEPS,
    "left-handed": STEPS.flip(0),
    "turned": STEPS @ torch.tensor([[0.6, 0.8, 0.0], [-0.8, 0.6, 0.0], [0.0, 0.0, 1.0]], dtype=torch.float64),
}


def around_zero(steps: torch.Tensor, count: int = 32) -> Grid:
    counts = (count, count + 1, count - 1)
    return Grid(-0.5 * (torch.tensor(counts).to(steps) - 1) @ steps, steps, counts)


def on(grid: Grid, function) -> torch.Tensor:
    return function(grid.points()).reshape(grid.counts)


def edges(surface: Surface) -> torch.Tensor:
    return torch.cat([surface.triangles[:, pair] for pair in ([0, 1], [1, 2], [2, 0])])


def assert_closed(surface: Surface) -> None:
    """Every edge is in two triangles, once in each direction."""
    directed = {tuple(edge) for edge in edges(surface).tolist()}
    assert len(directed) == 3 * len(surface.triangles)
    assert {(b, a) for a, b in directed} == directed


@pytest.mark.parametrize("cell", CELLS)
def test_a_sphere(cell: str) -> None:
    """Closed, of Euler's number 2, with the area and the volume of the sphere, its normals outwards."""
    grid, radius = around_zero(CELLS[cell]), 1.1
    surface = isosurface(on(grid, lambda r: -r.norm(dim=1)), grid, -radius)
    assert_closed(surface)
    assert len(surface.vertices) - len(edges(surface)) / 2 + len(surface.triangles) == 2
    assert surface.area() == pytest.approx(4 * math.pi * radius**2, rel=0.02)
    assert surface.volume() == pytest.approx(4 / 3 * math.pi * radius**3, rel=0.02)  # negative if turned inwards
    a, b, c = surface.vertices[surface.triangles].unbind(1)
    outwards = (torch.linalg.cross(b - a, c - a) * (a + b + c)).sum(1)
    assert bool((outwards > -1e-12).all())
    torch.testing.assert_close(surface.vertices.norm(dim=1), torch.full((len(surface.vertices),), radius).double(),
                               rtol=0, atol=0.01)  # fmt: skip


def test_a_plane_is_exact() -> None:
    """Of a linear function every vertex is on the plane, and its open surface has the area of the cut."""
    grid = around_zero(CELLS["straight"], 12)
    normal = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
    surface = isosurface(on(grid, lambda r: r @ normal), grid, 0.0123)
    torch.testing.assert_close(surface.vertices @ normal, torch.full((len(surface.vertices),), 0.0123).double())
    across = isosurface(on(grid, lambda r: r[:, 0]), grid, 0.02)
    assert across.area() == pytest.approx(12 * 0.1 * 10 * 0.1)


def test_any_values_make_closed_surfaces() -> None:
    """Of noise, also where values are at the level itself."""
    grid = around_zero(STEPS, 9)
    values = torch.zeros(grid.counts, dtype=torch.float64)
    values[1:-1, 1:-1, 1:-1] = torch.randint(0, 4, (7, 8, 6), generator=torch.Generator().manual_seed(3)).double()
    for level in (0.5, 1.0, 2.7):
        surface = isosurface(values, grid, level)
        assert len(surface.triangles) > 500
        assert_closed(surface)


def test_a_torus_has_a_hole() -> None:
    grid = around_zero(CELLS["straight"], 34)
    ring = isosurface(on(grid, lambda r: -torch.hypot(r[:, :2].norm(dim=1) - 0.9, r[:, 2])), grid, -0.4)
    assert_closed(ring)
    assert len(ring.vertices) - len(edges(ring)) / 2 + len(ring.triangles) == 0
    assert ring.area() == pytest.approx(4 * math.pi**2 * 0.9 * 0.4, rel=0.02)


def test_the_six_tetrahedra_fill_the_cell() -> None:
    corner = [torch.tensor([mask >> 2 & 1, mask >> 1 & 1, mask & 1]).double() for mask in range(8)]
    volumes = [torch.linalg.det(torch.stack([corner[k] - corner[t[0]] for k in t[1:]])) for t in TETRAHEDRA]
    torch.testing.assert_close(torch.stack(volumes), torch.ones(6).double())  # of six sixths, all right-handed


def test_nothing_above_and_bad_input() -> None:
    grid = around_zero(STEPS, 5)
    values = torch.rand(grid.counts, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert isosurface(values, grid, 2.0).triangles.shape == (0, 3)
    assert isosurface(values, grid, -1.0).area() == 0
    with pytest.raises(InputError, match="on a grid of"):
        isosurface(values[1:], grid, 0.5)
    with pytest.raises(InputError, match="not finite"):
        isosurface(values, grid, math.nan)
    with pytest.raises(InputError, match="not finite"):
        isosurface(values / 0, grid, 0.5)
