"""Symmetric tensors of three dimensions as six numbers, and back: the one place that knows their order."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float

VOIGT = ("xx", "yy", "zz", "yz", "xz", "xy")  # the order of Voigt, and of ASE
VASP = ("xx", "yy", "zz", "xy", "yz", "xz")
ORDER = ", ".join(VOIGT)


def _places(order: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Row and column of each number of an order."""
    row, column = np.array([["xyz".index(axis) for axis in entry] for entry in order]).T
    return row, column


def to_voigt(matrix: Any) -> Float[np.ndarray, "*rows 6"]:
    r"""The symmetric part :math:`\tfrac12(T + T^T)` of matrices as six numbers xx, yy, zz, yz, xz, xy.

    Args:
        matrix: (..., 3, 3), any unit, which stays.
    """
    array = np.asarray(matrix, dtype=np.float64)
    row, column = _places(VOIGT)
    return 0.5 * (array[..., row, column] + array[..., column, row])


def from_voigt(numbers: Any, order: tuple[str, ...] = VOIGT) -> Float[np.ndarray, "*rows 3 3"]:
    """Symmetric matrices from six numbers each.

    Args:
        numbers: (..., 6), any unit, which stays.
        order: what each is: :data:`VOIGT`, or :data:`VASP`, whose last three stand in another order.
    """
    array = np.asarray(numbers, dtype=np.float64)
    matrix = np.empty((*array.shape[:-1], 3, 3))
    row, column = _places(order)
    matrix[..., row, column] = matrix[..., column, row] = array
    return matrix


def six(tensor: Any) -> np.ndarray:
    """A stress in six numbers xx, yy, zz, yz, xz, xy, whichever form it has: six numbers (6,), a matrix (3, 3), nine
    numbers (9,), or one of these behind an axis of length 1; anything else as it is.
    """
    array = np.asarray(tensor)
    if array.size == 9:
        return to_voigt(array.reshape(3, 3))
    return array.reshape(6) if array.size == 6 else array
