r"""Messages over paths of two and three edges, each product of a message with the whole basis of its path.

.. math::
    y_{ca} = \sum_{b} \big(W_1\, e(d_{ca}, \varphi_{cab})\big)^\top \mathbf{W}\, (W_2 m_{ba})

and likewise over quadruplets with torsions. The basis contracted with :math:`W_1` is one matrix per edge
(:func:`~intertwine.nn.paths.waves.contract`), shared by all layers, and the sum is taken before the tensor W is applied
(Gasteiger, Becker, Günnemann 2021, arXiv:2106.08903, section 6: efficient bilinear layer).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from intertwine.geometry import Graph, directions, distances, edge_vectors
from intertwine.nn.paths.spherical_bessel import LegendreBasis
from intertwine.nn.paths.waves import Paths, RadialWaves, TorsionBasis, contract, normal
from intertwine.nn.scaled_dense import SQRT_HALF, Dense
from intertwine.nn.shapes import Lists
from intertwine.numerics import safe


class Bases(NamedTuple):
    """What the blocks know of the graph: radial functions and unit vectors of the edges, their ends, the opposite edges
    and whether there is one (None where all have one), triplets and quadruplets, the number of nodes."""

    radial: Float[Tensor, "edges functions"]
    unit: Float[Tensor, "edges n"]
    edge_index: Int[Tensor, "2 edges"]
    opposite: Int[Tensor, " edges"]
    paired: Float[Tensor, "edges 1"] | None
    triplets: Paths
    quadruplets: Paths | None
    nodes: int


class PathBasis(nn.Module):
    """All that depends on the positions, computed once.

    Args:
        cutoff, interaction_cutoff: in A.
        radial_size: functions of a distance.
        degrees, torsion_degrees: of angles and torsions; 0 of the latter for no quadruplets.
        basis_width: channels that products of functions are squeezed to.
    """

    def __init__(
        self,
        cutoff: float,
        interaction_cutoff: float,
        radial_size: int,
        degrees: int,
        torsion_degrees: int,
        basis_width: int,
    ) -> None:
        super().__init__()
        self.waves = RadialWaves(cutoff, max(degrees, torsion_degrees), radial_size)
        self.angles = LegendreBasis(degrees)
        self.triplet = nn.Parameter(normal(degrees, radial_size, basis_width))
        self.torsions = None
        if torsion_degrees:
            self.torsions = TorsionBasis(torsion_degrees)
            self.far = RadialWaves(interaction_cutoff, torsion_degrees, radial_size)
            self.bends = LegendreBasis(torsion_degrees)
            self.quadruplet = nn.Parameter(normal(len(self.torsions.orders), radial_size, basis_width))
            self.circular = Dense(torsion_degrees * radial_size, basis_width, activated=False)

    def forward(self, graph: Graph, interaction: Graph, lists: Lists) -> Bases:
        vectors = edge_vectors(graph)
        unit, radial = directions(vectors), self.waves(distances(vectors))
        ba, ca = lists["triplets"]
        angular = self.angles((unit.index_select(0, ba) * unit.index_select(0, ca)).sum(-1)) * math.sqrt(4 * math.pi)
        triplets = contract(
            radial[:, : angular.shape[-1]], self.triplet, angular, lists["triplet_members"], lists["triplet_slots"]
        )
        opposite = lists["opposite"]
        paired = opposite < opposite.shape[0]
        opposite = torch.where(paired, opposite, 0)
        quads = None if self.torsions is None else self.quadruplets(interaction, unit, radial, lists)
        mask = None if not safe.traced(paired) and bool(paired.all()) else paired.to(radial).unsqueeze(-1)
        return Bases(radial[:, 0], unit, graph.edge_index, opposite, mask, triplets, quads, graph.num_nodes)

    def quadruplets(
        self,
        interaction: Graph,
        unit: Float[Tensor, "edges n"],
        radial: Float[Tensor, "edges degrees size"],
        lists: Lists,
    ) -> Paths:
        assert self.torsions is not None
        (db, ba), (pair, ca) = lists["pairs"], lists["quadruplets"]
        vectors = edge_vectors(interaction)
        axis, far = directions(vectors), self.far(distances(vectors))
        v, w = unit.index_select(0, db), axis.index_select(0, ba)
        vw = (v * w).sum(-1)
        bends = self.bends(-vw) * math.sqrt(4 * math.pi)
        circular = self.circular((far.index_select(0, ba) * bends.unsqueeze(-1)).flatten(1))
        u = unit.index_select(0, ca)
        uw, uv = (u * w.index_select(0, pair)).sum(-1), (u * v.index_select(0, pair)).sum(-1)
        angular = self.torsions(uw, vw.index_select(0, pair), uv)
        degrees = torch.tensor([l for l, _ in self.torsions.orders], device=pair.device)
        sums = contract(radial.index_select(1, degrees), self.quadruplet, angular, lists["members"], lists["slots"])
        return sums._replace(first=db, circular=circular)


class Bilinear(nn.Module):
    r"""The efficient bilinear layer, from messages of edges to messages of edges: :math:`m \mapsto \tilde y` for
    triplets or quadruplets.

    Args:
        width: features of an edge.
        inner: features that a path carries.
        basis_width: channels of the basis.
        radial_size: functions of the distance.
        scale: what a sum over the paths of an edge is multiplied by.
        torsions: whether paths are quadruplets.
    """

    def __init__(
        self, width: int, inner: int, basis_width: int, radial_size: int, scale: float, torsions: bool
    ) -> None:
        super().__init__()
        self.sent = Dense(width, width)
        self.radial = Dense(radial_size, width, activated=False)
        self.down = Dense(width, inner)
        self.circular = Dense(basis_width, inner, activated=False) if torsions else None
        self.product = Dense(basis_width * inner, inner, activated=False)
        self.up, self.back = Dense(inner, width), Dense(inner, width)
        self.scale = scale

    def forward(self, m: Float[Tensor, "edges width"], bases: Bases, paths: Paths) -> Float[Tensor, "edges width"]:
        x = self.down(self.sent(m) * self.radial(bases.radial))
        if self.circular is not None:
            x = x.index_select(0, paths.first) * self.circular(paths.circular)
        gathered = x.index_select(0, paths.members.flatten()).view(*paths.members.shape, x.shape[-1])
        y = self.product(torch.bmm(paths.basis, gathered).flatten(1)) * self.scale
        opposite = y.index_select(0, bases.opposite)
        opposite = opposite if bases.paired is None else opposite * bases.paired
        return (self.up(y) + self.back(opposite)) * SQRT_HALF
