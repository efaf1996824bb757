"""The isometries that a card claims: random ones, or elements of its own group of rotations."""

from __future__ import annotations

import re

import torch

from intertwine.groups import FiniteGroup, Isometry
from intertwine.nn.groups.orientations import FiniteOrientations, orientations

#: Of which no rotation is claimed.
SHIFTS = ("T(n)", "T(2)", "T(3)", "S(n)")


def point_group(symmetry: str, dimension: int = 3) -> FiniteGroup | None:
    """The finite group of "T(3) x octahedral"; None of a symmetry that names none."""
    match = re.fullmatch(r"T\((\d)\) x (.+)", symmetry)
    if match is None or match[2].endswith(")"):  # of all rotations, "T(2) x SO(2)"
        return None
    grid = orientations(match[2], dimension)
    assert isinstance(grid, FiniteOrientations)
    return grid.group


def isometry(matrix: torch.Tensor) -> Isometry:
    return Isometry(matrix, torch.ones(matrix.shape[-1], dtype=torch.float64))


def claimed(symmetry: str, generator: torch.Generator, dimension: int = 3) -> list[Isometry]:
    """Three isometries that a model of this symmetry must keep, with a shift of 1 A in each direction for those of a
    finite group; none for one that knows translations only."""
    if symmetry in SHIFTS:
        return []
    if (group := point_group(symmetry, dimension)) is not None:
        assert group.matrices is not None
        return [isometry(matrix) for matrix in group.matrices[group.sample(3, generator)]]
    improper = "SO(" not in symmetry and not symmetry.startswith("SE")
    return [Isometry.random(dimension, generator=generator, improper=improper, shift=1.0) for _ in range(3)]
