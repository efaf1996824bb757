"""Pictures of predicted densities: a slice, surfaces, the difference, and the error over distance from the nuclei."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
from ase import Atoms
from ase.data import chemical_symbols
from jaxtyping import Float, Int
from torch import Tensor

from intertwine import plots
from intertwine.numerics.showing import figure
from intertwine.orbitals.grid import Grid, grid_around, values_on_grid
from intertwine.orbitals.quadrature import molecular_quadrature

MARGIN = 1.5  # A around the atoms of a slice
PIXELS = 120  # of a slice's longer side
EDGES = 0.1  # A, width of a bin of distances
OUTSIDE = 2.5  # A around the atoms of surfaces
POINTS, FINEST = 100_000, 0.08  # about how many of a surface's grid there are, and its least spacing (A)


def pictures_of(
    numbers: Int[Tensor, " atoms"],
    pos: Float[Tensor, "atoms 3"],
    predicted: Callable[[Tensor], Tensor],
    true: Callable[[Tensor], Tensor],
) -> dict[str, Callable[..., Any]]:
    """What :meth:`intertwine.tasks.Task.pictures` returns, of one molecule.

    Args:
        numbers: atomic numbers. pos: positions (A).
        predicted: the density (e / Bohr^3) at points (A), (points, 3) to (points,). true: the same of the label.
    """
    x, y, points, flat = _plane(pos)
    both = predicted, true
    made, label = (density(points.reshape(-1, 3)).reshape(len(y), len(x)) for density in both)
    names = [chemical_symbols[z] for z in numbers.tolist()]
    grid = molecular_quadrature(pos.unsqueeze(0), radii=200, degree=11)
    apart = [density(grid.points[0]) * grid.weights[0] for density in both]
    distance = torch.cdist(grid.points[0], pos).min(1).values
    bins = (distance / EDGES).to(torch.int64)
    count = int(bins.max()) + 1
    sums = torch.zeros(2, count, dtype=torch.float64)
    sums.index_add_(1, bins, torch.stack([(apart[0] - apart[1]).abs(), apart[1]]))
    centres = (torch.arange(count, dtype=torch.float64) + 0.5) * EDGES
    nmape = 100 * float(sums[0].sum() / sums[1].sum())

    @cache
    def sampled() -> tuple[Grid, Tensor, Tensor]:
        grid = surface_grid(pos)
        made, label = (values_on_grid(partial(_of_one, density), grid) for density in both)
        return grid, made, label

    def surfaces(path: str | Path | None = None) -> Any:
        grid, made, label = sampled()
        return plots.density_surfaces(made, label, grid, numbers, pos, path=path)

    def page(path: str | Path) -> Path:
        grid, made, label = sampled()
        formula = Atoms(numbers.tolist()).get_chemical_formula()
        words = f"{formula} of the test set of the run {Path(path).absolute().parent.name}: NMAPE {figure(nmape)} %"
        return plots.density_viewer(path, made, grid, numbers, pos, label, caption=words)

    return {
        "density.png": partial(plots.density_slice, made, label, x, y, flat, names),
        "density_error.png": partial(plots.error_over_distance, centres, sums[0], sums[1], EDGES),
        "density_surface.png": surfaces,
        "density.html": page,
    }


def _of_one(density: Callable[[Tensor], Tensor], points: Float[Tensor, "1 points 3"]) -> Float[Tensor, "1 points"]:
    """The density at the points of one geometry."""
    return density(points[0]).unsqueeze(0)


def surface_grid(pos: Float[Tensor, "atoms 3"]) -> Grid:
    """A grid of about 100,000 points around a molecule, as fine as that allows.

    Args:
        pos: positions (A).
    """
    box = torch.prod(pos.max(0).values - pos.min(0).values + 2 * OUTSIDE)
    return grid_around(pos, max(FINEST, float(box / POINTS) ** (1 / 3)), OUTSIDE)


def _plane(pos: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Coordinates along two axes of a plane (A), its points (rows, columns, 3), and the atoms in it: the plane through
    the centre in which the atoms spread most."""
    centre = pos.mean(0)
    axes = torch.linalg.svd(pos - centre, full_matrices=True)[2][:2]
    flat = (pos - centre) @ axes.T
    low, high = flat.min(0).values - MARGIN, flat.max(0).values + MARGIN
    step = float((high - low).max()) / PIXELS
    x, y = (torch.arange(float(a), float(b), step, dtype=torch.float64) for a, b in zip(low, high, strict=True))
    points = centre + y[:, None, None] * axes[1] + x[None, :, None] * axes[0]
    return x, y, points, flat
