"""Rows of molecules: every atom and bond is drawn, in one scale, and what does not fit is refused."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase.build import molecule
from matplotlib.patches import Circle

from intertwine.numerics import InputError
from intertwine.plots import molecule_rows


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    pictures: list[Any] = []
    module = sys.modules["intertwine.plots.codes"]
    monkeypatch.setattr(module, "save", lambda picture, path: pictures.append(picture) or path)
    return pictures


def test_atoms_and_bonds(drawn: list[Any], tmp_path: Path) -> None:
    made = [molecule("H2O"), molecule("CH3OH")]
    row = [(atoms.numbers, atoms.positions + np.array([5.0, 0.0, 2.0])) for atoms in made]
    molecule_rows({"input": row, "reconstruction": row}, tmp_path / "a.png", "two")
    (picture,) = drawn
    axes = picture.axes
    assert [len(each.patches) for each in axes] == [3, 6, 3, 6]
    assert [len(each.lines) for each in axes] == [2, 5, 2, 5]
    assert len({each.get_xlim() for each in axes}) == 1
    assert [each.get_ylabel() for each in axes] == ["input", "", "reconstruction", ""]
    centres = np.array([patch.center for patch in axes[0].patches if isinstance(patch, Circle)])
    expected = made[0].positions - made[0].positions.mean(0)
    assert np.allclose(centres, expected[:, :2])


def test_points_have_no_bonds(drawn: list[Any], tmp_path: Path) -> None:
    molecule_rows({"points": [(np.zeros(4, dtype=int), np.eye(4)[:, :3])]}, tmp_path / "a.png")
    assert len(drawn[0].axes[0].patches) == 4
    assert not drawn[0].axes[0].lines


@pytest.mark.parametrize("rows", [{}, {"a": []}, {"a": [([1], [[0.0, 0.0, 0.0]])], "b": []}])
def test_rows_that_differ_are_refused(rows: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="molecule_rows"):
        molecule_rows(rows, tmp_path / "a.png")
