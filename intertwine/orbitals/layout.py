"""One row of orbitals for the atoms of every element, so that numbers of orbitals have one shape for all atoms."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from intertwine.orbitals.basis import Basis, shell_irreps


class AtomLayout:
    """All atoms share one list of shells, that of the element with most of each degree; what an element does not have
    is masked.

    Args:
        basis: of the orbitals. Which exponents it has is of no importance.

    Attributes:
        degrees: of the shells of a row.
        orbitals: the irreps of a row, in the layout mul_ir. size: their dimension.
    """

    def __init__(self, basis: Basis) -> None:
        self.basis = basis
        counts = [[shell.degree for shell in shells] for shells in basis.shells.values()]
        most = max((max(degrees) for degrees in counts), default=0)
        self.degrees = [l for l in range(most + 1) for _ in range(max(degrees.count(l) for degrees in counts))]
        self.orbitals = shell_irreps(self.degrees)
        self.size = self.orbitals.dim
        self._starts = [sum(2 * l + 1 for l in self.degrees[:k]) for k in range(len(self.degrees))]

    def places(self, z: int) -> Int[Tensor, " n"]:
        """Where the orbitals of an element are among the rows of a block; a ``DataError`` if the basis lacks it."""
        taken = dict.fromkeys(self.degrees, 0)
        rows: list[int] = []
        for shell in self.basis.of(z):
            row = self.degrees.index(shell.degree) + taken[shell.degree]
            taken[shell.degree] += 1
            rows += range(self._span(row).start, self._span(row).stop)
        return torch.tensor(rows)

    def mask(self, numbers: Int[Tensor, " atoms"]) -> Bool[Tensor, "atoms rows"]:
        """Which rows of a block each atom has."""
        table = torch.zeros(int(numbers.max()) + 1 if len(numbers) else 1, self.size, dtype=torch.bool)
        for z in numbers.unique().tolist():
            table[z, self.places(z)] = True
        return table.to(numbers.device)[numbers]

    def rows(self, numbers: Int[Tensor, " atoms"]) -> Int[Tensor, " n"]:
        """Where each orbital of a molecule is among the rows of all its atoms, one after the other."""
        places = [atom * self.size + self.places(z) for atom, z in enumerate(numbers.tolist())]
        return torch.cat(places).to(numbers.device) if places else numbers.new_zeros(0)

    def to_atoms(
        self, numbers: Int[Tensor, " atoms"], values: Float[Tensor, "*batch n"]
    ) -> Float[Tensor, "*batch atoms row"]:
        """A number of each orbital of a molecule, as a row of each atom."""
        whole = values.new_zeros(*values.shape[:-1], len(numbers) * self.size)
        whole[..., self.rows(numbers)] = values
        return whole.unflatten(-1, (len(numbers), self.size))

    def to_orbitals(
        self, numbers: Int[Tensor, " atoms"], rows: Float[Tensor, "*batch atoms row"]
    ) -> Float[Tensor, "*batch n"]:
        """A number of each orbital of a molecule, from a row of each atom."""
        return rows.flatten(-2)[..., self.rows(numbers)]

    def _span(self, shell: int) -> slice:
        return slice(self._starts[shell], self._starts[shell] + 2 * self.degrees[shell] + 1)
