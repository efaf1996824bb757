r"""Matrices between orbitals as blocks of pairs of atoms, and the irreps that a block is made of.

All atoms share one list of shells, that of the element with most of each degree, so that every pair has a block of one
shape; what an element does not have is masked. A block of shells of degrees :math:`l_1, l_2` is coupled,

.. math:: B_{m_1 m_2} = \sum_l \sqrt{2l + 1} \sum_m C^{l_1 l_2 l}_{m_1 m_2 m}\, y^l_m, \qquad
    l = |l_1 - l_2|, \ldots, l_1 + l_2,

to irreps of parity :math:`(-1)^{l_1 + l_2}` whatever l is: both parities occur. The map is orthogonal. The transposed
block has :math:`(-1)^{l_1 + l_2 - l}\, y^l` in the place of the exchanged shells.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from intertwine.numerics.once import once
from intertwine.o3 import Irrep, Irreps, coupling
from intertwine.orbitals.basis import Basis
from intertwine.orbitals.layout import AtomLayout


class BlockLayout(AtomLayout):
    """The blocks of all pairs of atoms in a basis.

    Args:
        basis: of the orbitals. Which exponents it has is of no importance.

    Attributes:
        degrees: of the shells of a block's rows and columns.
        irreps: what a block is made of, sorted, in the layout mul_ir.
        channels: of each irrep in ``irreps``, the shells (row, column) of each channel.
    """

    def __init__(self, basis: Basis) -> None:
        super().__init__(basis)
        self.channels: dict[Irrep, list[tuple[int, int]]] = {}
        for i, l in enumerate(self.degrees):
            for j, k in enumerate(self.degrees):
                for degree in range(abs(l - k), l + k + 1):
                    self.channels.setdefault(Irrep(degree, (-1) ** (l + k)), []).append((i, j))
        self.channels = dict(sorted(self.channels.items()))
        self.irreps = Irreps([(len(shells), ir) for ir, shells in self.channels.items()])

    @once
    def couplings(self) -> Float[Tensor, "rows columns dim"]:
        """The orthogonal map from irreps to blocks, float64."""
        table = torch.zeros(self.size, self.size, self.irreps.dim, dtype=torch.float64)
        at = 0
        for ir, shells in self.channels.items():
            for i, j in shells:
                rows, columns = self._span(i), self._span(j)
                C = torch.tensor(coupling(self.degrees[i], self.degrees[j], ir.l))
                table[rows, columns, at : at + ir.dim] = ir.dim**0.5 * C
                at += ir.dim
        return table

    @once
    def transposition(self) -> tuple[Int[Tensor, " dim"], Float[Tensor, " dim"]]:
        """Where each component of the transposed block is found, and its sign."""
        places: list[int] = []
        signs: list[float] = []
        at = 0
        for ir, shells in self.channels.items():
            number = {shell: n for n, shell in enumerate(shells)}
            for i, j in shells:
                start = at + number[j, i] * ir.dim
                places += range(start, start + ir.dim)
                signs += [(-1.0) ** (self.degrees[i] + self.degrees[j] - ir.l)] * ir.dim
            at += len(shells) * ir.dim
        return torch.tensor(places), torch.tensor(signs, dtype=torch.float64)

    def to_blocks(self, y: Float[Tensor, "*pairs dim"]) -> Float[Tensor, "*pairs rows columns"]:
        """Blocks from irreps."""
        table = self.couplings.to(y).flatten(0, 1)
        return (y @ table.T).unflatten(-1, (self.size, self.size))

    def to_irreps(self, blocks: Float[Tensor, "*pairs rows columns"]) -> Float[Tensor, "*pairs dim"]:
        """Irreps of blocks."""
        return blocks.flatten(-2) @ self.couplings.to(blocks).flatten(0, 1)

    def transposed(self, y: Float[Tensor, "*pairs dim"]) -> Float[Tensor, "*pairs dim"]:
        """The irreps of the transposed blocks."""
        places, signs = self.transposition
        return y[..., places.to(y.device)] * signs.to(y)

    def shells_of(self, ir: Irrep | str) -> Sequence[tuple[int, int]]:
        """The shells (row, column) of the channels of one irrep."""
        return self.channels[Irrep(ir)]
