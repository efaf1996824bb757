r"""Matrices between the orbitals of a crystal: blocks of pairs of atoms, of which the second may be in another cell.

Files of the form ``0/i_j_a_b_c``: the block of the atoms i and j, j moved by a, b, c lattice vectors. Such files hold
no positions. The overlaps tell them: an overlap of an s with a p shell points along the pair,

.. math:: S^{sp}_{ij} = f(d_{ij})\, u_{ij}, \qquad
    (1 - u_{ij} u_{ij}^T)\,(x_j + n_{ij} A - x_i) = 0,

a homogeneous linear system for all positions x and the lattice vectors A, whose solution is unique up to translations
and a scale. The volume sets the scale.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from intertwine.numerics import DataError, InputError

SMALLEST = 1e-3  # overlap of s and p below which its direction is not read: files have seven digits


class Hoppings(NamedTuple):
    """Blocks of a crystal: atoms ``i`` and ``j``, ``shifts`` of j in lattice vectors, ``blocks`` in the file's unit."""

    i: Int[Tensor, " pairs"]
    j: Int[Tensor, " pairs"]
    shifts: Int[Tensor, "pairs 3"]
    blocks: Float[Tensor, "pairs n n"]


def read_hoppings(path: str | Path) -> Hoppings:
    """The blocks of a file, sorted, float64.

    Raises:
        InputError: h5py is not installed.
        DataError: the file has not this form, a block lacks its transpose, or is not symmetric with it.
    """
    try:
        import h5py
    except ImportError as error:
        raise InputError("needs h5py", where=str(path), remedy='pip install "intertwine[hdf5]"') from error
    remedy = "give an HDF5 file with blocks 0/i_j_a_b_c."
    try:
        with h5py.File(path, "r") as file:
            table = {tuple(map(int, name.split("_"))): block[()] for name, block in file["0"].items()}
        keys = sorted(table)
        numbers = torch.tensor(keys).view(-1, 5)
        blocks = torch.from_numpy(np.stack([table[key] for key in keys]).astype(np.float64))
        place = {key: number for number, key in enumerate(keys)}
        back = [place[j, i, -a, -b, -c] for i, j, a, b, c in keys]
    except (OSError, KeyError, ValueError) as error:
        raise DataError(
            f"no blocks of a crystal, or not all of them: {error}", where=str(path), remedy=remedy
        ) from error
    if float((blocks - blocks[back].mT).abs().max()) > 1e-3 * float(blocks.abs().max()):
        raise DataError("the matrix is not symmetric", where=str(path), remedy="give a Hermitian one.")
    return Hoppings(numbers[:, 0], numbers[:, 1], numbers[:, 2:], 0.5 * (blocks + blocks[back].mT))


def geometry_of(overlaps: Hoppings, volume: float) -> tuple[Float[Tensor, "atoms 3"], Float[Tensor, "3 3"], float]:
    """Positions and lattice vectors (A) that the overlaps of a basis s, p belong to, in the axes of its p orbitals.

    Args:
        overlaps: with blocks of four orbitals, s first.
        volume: of the cell (A^3).

    Returns:
        positions, lattice vectors as rows, and the largest sine of the angle between a pair and its overlap.

    Raises:
        DataError: blocks of another basis, or too few of them.
    """
    if overlaps.blocks.shape[1:] != (4, 4):
        raise DataError(
            f"blocks of shape {tuple(overlaps.blocks.shape[1:])}", where="overlaps", remedy="give a basis s, p."
        )
    u = overlaps.blocks[:, 0, 1:]
    chosen = u.norm(dim=1) > SMALLEST
    i, j, n = overlaps.i[chosen], overlaps.j[chosen], overlaps.shifts[chosen].to(torch.float64)
    u, atoms = torch.nn.functional.normalize(u[chosen], dim=1), int(overlaps.i.max()) + 1
    P = torch.eye(3, dtype=torch.float64) - u.unsqueeze(2) * u.unsqueeze(1)
    columns = torch.zeros(len(i), atoms + 3, dtype=torch.float64)
    columns[torch.arange(len(i)), j] += 1
    columns[torch.arange(len(i)), i] -= 1
    columns[:, atoms:] = n
    system = torch.einsum("pab,pk->pakb", P, columns).flatten(0, 1).flatten(1)[:, 3:]  # the first atom is the origin
    values, vectors = torch.linalg.eigh(system.T @ system)
    if not float(values[1]) > 1e3 * abs(float(values[0])):
        raise DataError("the overlaps do not fix the positions", where="overlaps", remedy="give those of all pairs.")
    solution = torch.cat([torch.zeros(3, dtype=torch.float64), vectors[:, 0]]).view(-1, 3)
    solution = solution * (volume / solution[atoms:].det().abs()) ** (1 / 3)
    pos, cell = solution[:atoms], solution[atoms:]
    r = torch.nn.functional.normalize(pos[j] + n @ cell - pos[i], dim=1)
    sign = torch.sign((r * u).sum(1).sum())  # the overlap of s and p points towards the p shell, or away
    sine = float((r - sign * (r * u).sum(1, keepdim=True).abs() * u).norm(dim=1).max())
    return pos, cell, sine
