"""Rows of signals on the sphere: the projection shows f at the right places, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from intertwine.numerics import InputError
from intertwine.o3 import spherical_harmonics
from intertwine.plots import codes, signal_rows


def test_a_picture_is_written(tmp_path: Path) -> None:
    row = [np.eye(9)[k] for k in (0, 2, 7)]
    path = signal_rows({"input": row, "reconstruction": row}, tmp_path / "a.png", "three")
    assert path.stat().st_size > 1000
    assert signal_rows({"zero": [np.zeros(4)]}, tmp_path / "b.png").is_file()


def test_the_projection_keeps_areas_and_shows_the_sphere_from_y() -> None:
    """The mean over the disc of products of harmonics is that over the sphere; y is in the middle, x right, z up."""
    basis = codes._projected(3)
    inside = np.isfinite(basis[..., 0])
    values = basis[inside]
    np.testing.assert_allclose(4 * np.pi * values.T @ values / len(values), np.eye(16), atol=0.03)
    n = len(basis)
    directions = {(n // 2, n // 2): (0, 1, 0), (n // 2, round(0.5 * n * (1 + 0.5**0.5))): (1, 0, 0)}
    directions[(round(0.5 * n * (1 - 0.5**0.5)), n // 2)] = (0, 0, 1)
    for place, u in directions.items():
        there = spherical_harmonics([0, 1], torch.tensor(u, dtype=torch.float64), True, "integral").numpy()
        np.testing.assert_allclose(basis[place][:4], there, atol=0.03)


@pytest.mark.parametrize(
    "rows", [{}, {"a": []}, {"a": [np.ones(4)], "b": []}, {"a": [np.ones(4), np.ones(9)]}, {"a": [np.ones(5)]}]
)
def test_what_is_no_row_of_signals_is_refused(rows: dict, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="signal_rows"):
        signal_rows(rows, tmp_path / "a.png")
