"""Pictures of densities: files that are drawn, titles that say the error, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from intertwine import plots
from intertwine.numerics import InputError
from intertwine.orbitals.grid import Grid
from intertwine.orbitals.isosurface import Surface, isosurface
from intertwine.plots.atoms import bonds, facing, look
from intertwine.plots.isosurfaces import half_level
from intertwine.plots.solids import balls_and_sticks, image, smooth


def test_a_slice_and_its_difference(tmp_path: Path) -> None:
    x, y = np.linspace(-1, 1, 12), np.linspace(-1, 1, 10)
    true = np.exp(-4 * (x**2 + y[:, None] ** 2))
    picture = plots.density_slice(true + 0.01, true, x, y, [[0.0, 0.0]], ["O"], path=tmp_path / "slice.png")
    assert (tmp_path / "slice.png").stat().st_size > 1000
    titles = [axes.get_title(loc="left") for axes in picture.axes]
    assert titles[:3] == ["predicted", "true", "difference, at most 1.0e-02"]
    with pytest.raises(InputError, match="for 12 rows and 10 columns"):
        plots.density_slice(true, true, y, x, [[0.0, 0.0]], ["O"])


def test_the_error_over_distance_says_its_share(tmp_path: Path) -> None:
    distance = np.arange(5) * 0.1 + 0.05
    picture = plots.error_over_distance(distance, np.full(5, 0.01), np.full(5, 2.0), 0.1, path=tmp_path / "error.png")
    assert (tmp_path / "error.png").exists()
    assert picture.axes[0].get_title(loc="left") == "error of a density: 0.5 % of its electrons"
    density, error = (line.get_ydata() for line in picture.axes[0].lines)
    np.testing.assert_allclose(density, 20)
    np.testing.assert_allclose(error, 0.1)


WATER = np.array([[0.0, 0.0, 0.0], [0.76, 0.59, 0.0], [-0.76, 0.59, 0.0]])
BOX = (-1.0, 1.0, -1.0, 1.0)


def square(height: float, colour: tuple[float, float, float], opacity: float, half: float = 0.5):
    """A square in a plane of equal depth."""
    corners = torch.tensor([[-half, -half, height], [half, -half, height], [half, half, height], [-half, half, height]])
    return smooth(Surface(corners.double(), torch.tensor([[0, 1, 2], [0, 2, 3]])), colour, opacity)


def test_surfaces_say_their_levels(tmp_path: Path) -> None:
    steps = 0.3 * torch.eye(3, dtype=torch.float64)
    grid = Grid(torch.tensor([-2.1, -1.8, -1.8], dtype=torch.float64), steps, (15, 15, 13))
    r = torch.cdist(grid.points(), torch.from_numpy(WATER))
    true = torch.exp(-2.5 * r).sum(1).reshape(grid.counts)
    picture = plots.density_surfaces(1.02 * true, true, grid, [8, 1, 1], WATER, 0.06, path=tmp_path / "surface.png")
    assert (tmp_path / "surface.png").stat().st_size > 1000
    titles = [axes.get_title() for axes in picture.axes]
    assert titles[:2] == ["predicted, at 0.06 e/Bohr³", "true, at 0.06 e/Bohr³"]
    assert titles[2] == f"difference, at ±{half_level(0.02 * true):.1g} e/Bohr³"
    drawn = np.asarray(picture.axes[0].images[0].get_array())
    assert 0.1 < (drawn[..., 3] > 0.3).mean() < 0.9
    with pytest.raises(InputError, match="on a grid of"):
        plots.density_surfaces(true[1:], true, grid, [8, 1, 1], WATER)


def test_the_level_of_a_difference_has_half_of_it_inside() -> None:
    assert half_level(np.array([4.0, -3.0, 2.0, 1.0])) == 3.0  # 4 + 3 of 10 are at or above
    assert half_level(np.array([0.0, 0.0])) == 1.0
    assert half_level(np.array([-0.0123, 0.0])) == 0.01


def test_what_lies_behind_is_seen_through_what_lies_before() -> None:
    """Whatever the order in which solids are given: the nearer one weighs its opacity, the farther one the rest."""
    red, blue = square(0.4, (1.0, 0.0, 0.0), 0.25), square(-0.4, (0.0, 0.0, 1.0), 0.5)
    both, turned = (image(solids, np.eye(3), BOX, 20) for solids in ([red, blue], [blue, red]))
    np.testing.assert_array_equal(both, turned)
    lone = [image([each], np.eye(3), BOX, 20)[10, 10] for each in (red, blue)]
    assert [each[3] for each in lone] == pytest.approx([0.25, 0.5])
    mixed = 0.25 * lone[0][:3] + 0.75 * 0.5 * lone[1][:3]
    np.testing.assert_allclose(both[10, 10], [*(mixed / 0.625), 0.625])
    assert both[:4].max() == both[:, :4].max() == 0
    assert (both[..., 3] > 0).mean() == pytest.approx(0.25, abs=0.01)
    from_behind = image([red, blue], np.diag([-1.0, 1.0, -1.0]), BOX, 20)[10, 10]
    assert from_behind[2] > both[10, 10, 2]


def test_a_ball_covers_a_circle() -> None:
    (ball,) = balls_and_sticks([8], [[0.2, 0.0, 0.0]])
    radius = float(look([8])[2][0])
    seen = image([ball], np.eye(3), BOX, 100)
    assert 4 * seen[..., 3].mean() == pytest.approx(np.pi * radius**2, rel=0.01)
    centre = (seen[..., 3].sum(0) @ np.linspace(-0.99, 0.99, 100)) / seen[..., 3].sum()
    assert centre == pytest.approx(0.2, abs=0.01)


def test_atoms_bonds_and_the_view() -> None:
    assert look([8, 0, 300])[0] == ["O", "X", "X"]
    assert bonds([8, 1, 1], WATER) == [(0, 1), (0, 2)]
    assert bonds([8, 0, 1], WATER) == [(0, 2)]
    assert len(balls_and_sticks([8, 1, 1], WATER)) == 3 + 2 * 2
    rows = facing(WATER[:, [2, 0, 1]])  # in the plane x = 0
    np.testing.assert_allclose(rows @ rows.T, np.eye(3), atol=1e-12)
    assert abs(rows[2, 0]) == pytest.approx(1, abs=1e-6)
    assert np.linalg.det(rows) == pytest.approx(1)


def test_normals_of_a_surface_are_smooth() -> None:
    """Means over the triangles of a sphere come near to its radii, and nearer on a finer grid."""
    apart = []
    for spacing, count in ((0.2, 15), (0.1, 29)):
        steps = spacing * torch.eye(3, dtype=torch.float64)
        grid = Grid(torch.full((3,), -1.4, dtype=torch.float64), steps, (count, count, count))
        sphere = isosurface(-grid.points().norm(dim=1).reshape(grid.counts), grid, -1.0)
        solid = smooth(sphere, (0.0, 1.0, 0.0))
        np.testing.assert_allclose(np.linalg.norm(solid.normals, axis=1), 1)
        radii = solid.vertices / np.linalg.norm(solid.vertices, axis=1, keepdims=True)
        apart.append(float((1 - (solid.normals * radii).sum(1)).mean()))
    assert 0 < apart[1] < 0.5 * apart[0] < 0.01
