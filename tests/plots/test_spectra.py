"""Lines become curves of their own area, and a picture has a panel for each kind."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from intertwine import plots
from intertwine.numerics import InputError


def test_a_curve_has_the_area_and_the_width_of_its_lines() -> None:
    at = np.linspace(-40_000, 44_000, 200_001)
    curve = plots.broadened([1600.0, 3700.0], [80.0, 20.0], at, width=30.0)
    assert np.trapezoid(curve, at) == pytest.approx(100.0, rel=1e-3)
    alone = plots.broadened([1600.0], [80.0], [1600.0, 1585.0, 1615.0], width=30.0)
    assert alone[1:] == pytest.approx(alone[0] / 2)
    with pytest.raises(InputError, match="shapes"):
        plots.broadened([1.0, 2.0], [1.0], at)
    with pytest.raises(InputError, match="width of 0"):
        plots.broadened([1.0], [1.0], at, width=0.0)


def test_a_picture_has_a_panel_for_each_kind(tmp_path: Path) -> None:
    lines = np.array([1600.0, 3700.0])
    picture = plots.spectrum(
        {"infrared": ("km/mol cm", {"model": (lines, [80.0, 20.0]), "HF": (lines + 9, [70.0, 25.0])}),
         "Raman": ("A^4/amu cm", {"model": (lines, [5.0, 90.0])})},
        path=tmp_path / "spectrum.png",
    )  # fmt: skip
    assert (tmp_path / "spectrum.png").stat().st_size > 1000
    first, second = picture.axes
    assert [len(axes.lines) for axes in (first, second)] == [2, 1]
    top = first.lines[0].get_xdata()[first.lines[0].get_ydata().argmax()]
    assert top == pytest.approx(1600, abs=1)
    assert second.get_xlabel() == "wavenumber (1/cm)"
    with pytest.raises(InputError, match="no lines"):
        plots.spectrum({})
