"""Pictures of predicted matrices between orbitals: images, a ladder of energies, errors by shells."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from ase.data import chemical_symbols
from jaxtyping import Float, Int
from torch import Tensor

from intertwine import plots
from intertwine.orbitals import Basis, overlap_matrix, spectrum
from intertwine.orbitals.basis import HARTREE

LETTERS = "spdfghi"


def pictures_of(
    basis: Basis,
    numbers: Int[Tensor, " atoms"],
    pos: Float[Tensor, "molecules atoms 3"],
    predicted: Float[Tensor, "molecules n n"],
    true: Float[Tensor, "molecules n n"],
    occupied: int,
) -> dict[str, Callable[..., Any]]:
    """What :meth:`intertwine.tasks.Task.pictures` returns, of molecules of one composition.

    Args:
        basis: of the orbitals.
        numbers: atomic numbers. pos: positions (A).
        predicted, true: matrices (eV).
        occupied: how many orbitals are.
    """
    z = numbers.tolist()
    names = [chemical_symbols[element] for element in z]
    sizes = [basis.size(element) for element in z]
    both = [matrix[0] / HARTREE for matrix in (predicted, true)]
    S = overlap_matrix(basis, numbers, pos[0])
    energies = [spectrum(matrix, S).energies for matrix in both]
    errors, shells = shell_errors(basis, numbers, predicted - true)
    return {
        "matrix.png": partial(plots.matrices, both[0], both[1], sizes, names),
        "orbital_energies.png": partial(plots.ladder, energies[0], energies[1], occupied),
        "block_errors.png": partial(plots.block_errors, errors, shells),
    }


def shell_errors(
    basis: Basis, numbers: Int[Tensor, " atoms"], difference: Float[Tensor, "molecules n n"]
) -> tuple[Float[Tensor, "shells shells"], list[str]]:
    """Mean absolute errors (1e-6 Eh) of the blocks of every two shells, and the shells' names, "O1 2p" for example.

    Args:
        basis: of the orbitals.
        numbers: atomic numbers.
        difference: of two matrices (eV).
    """
    names: list[str] = []
    owner: list[int] = []
    for atom, z in enumerate(numbers.tolist()):
        counts: dict[int, int] = {}
        for shell in basis.of(z):
            l = shell.degree
            counts[l] = counts.get(l, 0) + 1
            owner += [len(names)] * (2 * l + 1)
            names.append(f"{chemical_symbols[z]}{atom + 1} {counts[l] + l}{LETTERS[l]}")
    member = torch.nn.functional.one_hot(torch.tensor(owner), len(names)).to(torch.float64)
    sums = member.T @ difference.to(torch.float64).abs().mean(0) @ member
    return sums / (member.sum(0).unsqueeze(1) * member.sum(0)) * (1e6 / HARTREE), names
