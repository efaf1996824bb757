"""Pictures of densities: files that are drawn, titles that say the error, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from intertwine import plots
from intertwine.numerics import InputError


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
