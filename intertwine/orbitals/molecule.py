"""Whole matrices of molecules from blocks of pairs, and back, and how an isometry acts on them."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from intertwine.numerics import DataError
from intertwine.orbitals.basis import Basis
from intertwine.orbitals.blocks import BlockLayout


def orbital_atoms(basis: Basis, numbers: Int[Tensor, " atoms"]) -> Int[Tensor, " n"]:
    """The atom of each orbital of a molecule; a ``DataError`` names an element that the basis does not have."""
    sizes = torch.tensor([basis.size(z) for z in numbers.tolist()], dtype=torch.int64, device=numbers.device)
    return torch.repeat_interleave(torch.arange(len(numbers), device=numbers.device), sizes)


def pair_blocks(
    layout: BlockLayout, numbers: Int[Tensor, " atoms"], matrices: Float[Tensor, "*batch n n"]
) -> Float[Tensor, "*batch pairs dim"]:
    """The irreps of the blocks of all pairs of atoms, row i N + j for the atoms i and j, of one molecule or of many of
    one composition.

    Args:
        layout: of the blocks.
        numbers: atomic numbers of all of them.
        matrices: in the order of :mod:`intertwine.orbitals.order`.

    Raises:
        DataError: the matrix has not as many orbitals as the basis, or an element is not in it.
    """
    rows = layout.rows(numbers)
    if tuple(matrices.shape[-2:]) != (len(rows), len(rows)):
        what = f"the matrix has shape {tuple(matrices.shape)}, and the molecule has {len(rows)} orbitals"
        remedy = f"give matrices in the basis {layout.basis.name}."
        raise DataError(what, where="matrix", remedy=remedy)
    atoms, size = len(numbers), layout.size
    whole = matrices.new_zeros(*matrices.shape[:-2], atoms * size, atoms * size)
    whole[..., rows.unsqueeze(1), rows] = matrices
    blocks = whole.unflatten(-1, (atoms, size)).unflatten(-3, (atoms, size)).transpose(-3, -2)
    return layout.to_irreps(blocks).flatten(-3, -2)


def orbital_matrix(
    layout: BlockLayout,
    numbers: Int[Tensor, " atoms"],
    y: Float[Tensor, "*batch pairs dim"],
    pairs: Int[Tensor, "pairs 2"] | None = None,
) -> Float[Tensor, "*batch n n"]:
    """The matrix of a molecule, or of many of one composition, from the irreps of its blocks.

    Args:
        layout: of the blocks.
        numbers: atomic numbers.
        y: irreps of the blocks.
        pairs: the atoms (i, j) of each; None for all pairs, row i N + j. What is not listed is zero.

    Raises:
        DataError: an element that the basis does not have.
    """
    rows, atoms, size = layout.rows(numbers), len(numbers), layout.size
    blocks = layout.to_blocks(y)
    if pairs is None:
        whole = blocks.unflatten(-3, (atoms, atoms))
    else:
        whole = blocks.new_zeros(*blocks.shape[:-3], atoms, atoms, size, size)
        whole[..., pairs[:, 0], pairs[:, 1], :, :] = blocks
    whole = whole.transpose(-3, -2).flatten(-2).flatten(-3, -2)
    return whole[..., rows.unsqueeze(1), rows]


def matrix_rotation(
    basis: Basis, numbers: Int[Tensor, " atoms"], isometry: Float[Tensor, "3 3"]
) -> Float[Tensor, "n n"]:
    r"""The orthogonal matrix D(R) with :math:`H(Rx) = D\, H(x)\, D^T`, float64; reflections are taken too.

    Args:
        basis: of the orbitals.
        numbers: atomic numbers.
        isometry: orthogonal R.

    Raises:
        DataError: an element that the basis does not have.
    """
    exact = isometry.to(torch.float64)
    return torch.block_diag(*(basis.irreps(z).D_from_matrix(exact) for z in numbers.tolist()))
