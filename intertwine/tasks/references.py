"""Reference values by species: the part of an extensive quantity that composition alone explains."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from intertwine.numerics import segment

SPECIES = 119  # atomic numbers 0 .. 118


class References(nn.Module):
    r""":math:`y_0 = \sum_i r_{z_i}` with one :math:`r_z` per species, fitted by least squares and kept in float64.

    Where compositions don't determine the r_z (a single molecule, say) the smallest solution is taken.
    """

    values: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("values", torch.zeros(SPECIES, dtype=torch.float64))

    def fit(self, compositions: Float[Tensor, "graphs species"], y: Float[Tensor, " graphs"]) -> Float[Tensor, " graphs"]:
        """Fit to targets ``y`` of graphs with the given numbers of atoms by species; returns what is left of ``y``."""
        present = compositions.sum(0) > 0
        counts = compositions[:, present]
        solution = torch.linalg.lstsq(counts, y.unsqueeze(1), driver="gelsd").solution.squeeze(1)
        self.values.zero_()
        self.values[present] = solution
        return y - counts @ solution

    def forward(self, z: Int[Tensor, " nodes"], membership: Int[Tensor, " nodes"], graphs: int) -> Float[Tensor, " graphs"]:
        """:math:`y_0` of each graph, float64."""
        return segment.sum(self.values.index_select(0, z), membership, graphs)

    def _apply(self, function, recurse: bool = True):
        """Follow moves between devices, but stay in float64: a sum of references has more digits than float32 holds."""
        values = self.values
        super()._apply(function, recurse)
        self.values = values.to(self.values.device)
        return self


def composition(z: Int[Tensor, " nodes"]) -> Float[Tensor, " species"]:
    """The number of atoms of each species, by atomic number, float64."""
    return torch.bincount(z, minlength=SPECIES).to(torch.float64)
