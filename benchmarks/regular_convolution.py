"""The regular group convolution on points beside its sum over pairs of group elements: forward and backward, time and
peak memory.

python benchmarks/regular_convolution.py [--save]

256 points with 25 neighbours each, 32 channels, the 12 or 24 rotations of a polyhedron at every point, a separable
kernel of 4 radial functions times harmonics to l = 2. ``ours`` is one ``GroupConvolution``. ``pairs`` is the equation
as LieConv's public formulation has it (Finzi et al. 2020, arXiv:2002.12880: elements of the group, the kernel at
g_i^-1 g_j, a tensor of pairs): every orientation of a point is an element, whose neighbours are all orientations of 25
points; the kernel's value at each pair of elements and channel, times the neighbour's features, summed. Harmonics are
evaluated at R_h^-1 x. Both have the same weights and must agree to 1e-6 of their size, in values and gradients (of
features, positions and weights).
"""

from __future__ import annotations

import argparse
from functools import partial
from typing import Any

import torch
from group_convolutions import CHANNELS, NEIGHBOURS, POINTS, Case, measured_rows
from measure import table, write
from torch import Tensor

from intertwine.geometry import Graph
from intertwine.nn.embedding import EdgeEmbedding
from intertwine.nn.groups.orientations import orientations
from intertwine.nn.groups.regular import GroupConvolution
from intertwine.nn.groups.steerable_basis import SteerableBasis


class RegularCase(Case):
    """Points, neighbours and weights that both share."""

    NAMES = ("ours", "pairs")

    def __init__(self, group: str, dtype: torch.dtype = torch.float32) -> None:
        generator = torch.Generator().manual_seed(0)
        torch.manual_seed(0)
        pos = torch.rand(POINTS, 3, generator=generator, dtype=torch.float64)
        distances = torch.cdist(pos, pos).fill_diagonal_(torch.inf)
        near, where = distances.topk(NEIGHBOURS, largest=False)
        self.edge_index = torch.stack([where.flatten(), torch.arange(POINTS).repeat_interleave(NEIGHBOURS)])
        self.edges = EdgeEmbedding(1.2 * float(near.max()), 8, "bessel", "polynomial").to(dtype)
        self.grid = orientations(group, 3).to(dtype)
        self.basis = SteerableBasis(3, 2, 4, 8).to(dtype)
        self.layer = GroupConvolution(CHANNELS, self.basis, self.grid, NEIGHBOURS).to(dtype)
        self.pos = pos.to(dtype).requires_grad_()
        self.f = torch.randn(POINTS, self.grid.count, CHANNELS, generator=generator).to(dtype).requires_grad_()
        self.cotangent = torch.randn(self.f.shape, generator=generator).to(dtype)
        self.weights = [*self.layer.parameters(), *self.basis.parameters()]

    def _edges(self) -> Any:
        return self.edges(Graph(self.pos, edge_index=self.edge_index).in_precision(self.pos.dtype))

    def ours(self) -> Tensor:
        return self.layer(self.f, self.basis(self._edges()), self.edge_index)

    def pairs(self) -> Tensor:
        """The kernel at every pair of elements: (points, neighbours, h, h', channels)."""
        edges, layer = self._edges(), self.layer
        seen = torch.einsum("hba,eb->eha", self.grid.matrices, edges.directions)  # R_h^-1 x
        rho = self.basis.radial(edges.attributes) * edges.envelope
        phi = rho[:, None, :, None] * self.basis.harmonics(seen.flatten(0, 1)).unflatten(0, seen.shape[:2])[:, :, None]
        of_x = phi.flatten(2) @ layer.position
        of_R = self.grid.kernel(layer.orientation) * self.grid.weights[:, None]
        kernel = (of_x[:, :, None] * of_R).unflatten(0, (POINTS, NEIGHBOURS))
        values = self.f[self.edge_index[0]].unflatten(0, (POINTS, NEIGHBOURS))
        own = (of_R * layer.self_weight * self.f[:, None]).sum(2)
        return (kernel * values[:, :, None]).sum((1, 3)) * NEIGHBOURS**-0.5 + own


def rows(repeats: int) -> list[dict[str, Any]]:
    """One for each group."""
    return measured_rows({name: partial(RegularCase, name) for name in ("tetrahedral", "octahedral")}, "group", repeats)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--save", action="store_true", help="write benchmarks/results/regular_convolution.json")
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    measured = rows(chosen.repeats)
    print(f"{POINTS} points x {NEIGHBOURS} neighbours x {CHANNELS} channels, forward + backward, float32")
    print(table(measured))
    if chosen.save:
        print(write("regular_convolution", {"rows": measured}))
