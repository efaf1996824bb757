"""Six numbers for a symmetric tensor: the order is that of ASE, and no other file of the tree knows it."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from ase.stress import full_3x3_to_voigt_6_stress, voigt_6_to_full_3x3_stress

from intertwine.geometry import VASP, from_voigt, six, to_voigt

ROOT = Path(__file__).resolve().parents[2] / "intertwine"
NUMBERS = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]


@pytest.mark.parametrize("rows", [(), (1,), (4,), (2, 3)])
def test_the_order_is_ases(rows: tuple[int, ...]) -> None:
    """There and back to the bit; a matrix that is not symmetric gives its symmetric part."""
    numbers = np.random.default_rng(0).normal(size=(*rows, 6))
    matrices = from_voigt(numbers)
    assert np.array_equal(to_voigt(matrices), numbers)
    for matrix, values in zip(matrices.reshape(-1, 3, 3), numbers.reshape(-1, 6), strict=True):
        assert np.array_equal(matrix, voigt_6_to_full_3x3_stress(values))
    any_matrix = np.random.default_rng(1).normal(size=(*rows, 3, 3))
    for matrix, values in zip(any_matrix.reshape(-1, 3, 3), to_voigt(any_matrix).reshape(-1, 6), strict=True):
        assert values == pytest.approx(full_3x3_to_voigt_6_stress(matrix), rel=1e-15)


def test_vasp_writes_another_order() -> None:
    assert to_voigt(from_voigt([1.0, 2, 3, 4, 5, 6], VASP)).tolist() == [1, 2, 3, 5, 6, 4]


@pytest.mark.parametrize("shape", [(6,), (1, 6), (3, 3), (1, 3, 3), (9,), (1, 9)])
def test_a_stress_of_any_form_is_six_numbers(shape: tuple[int, ...]) -> None:
    tensor = NUMBERS if 6 in shape else from_voigt(NUMBERS)
    assert six(np.reshape(tensor, shape)).tolist() == NUMBERS


def test_one_module_knows_the_order() -> None:
    """Nothing else takes six numbers apart, or asks ASE to."""
    words = re.compile(r"voigt_6_|zz, \w\w, \w\w, \w\w =")
    assert [str(file.relative_to(ROOT)) for file in ROOT.rglob("*.py") if words.search(file.read_text())] == []
    assert all(words.search(code) for code in ("xx, yy, zz, yz, xz, xy = x", "full_3x3_to_voigt_6_stress"))
