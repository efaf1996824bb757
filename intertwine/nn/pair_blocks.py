r"""Head for matrices between orbitals: a block for every node and for every pair, of any irreps.

.. math::
    H_{ii} &= c_{z_i} + \sum_j c(d_{ij}) \circ Y_{ij} + \sigma_{z_i} \circ \Big(L x_i + \sum_j w_{ij} m_{ij}\Big) + T \\
    H_{ij} &= w_{ij}\, \Big(b(d_{ij}) \circ Y_{ij} + \sigma_{z_i z_j} \circ p_{ij}\Big) + T

with m and p of :class:`~intertwine.nn.two_centre.TwoCentre`, the envelope w, harmonics Y of the direction, and T the
transposed block of the reversed pair: :math:`H_{ij} = H_{ji}^T` to the last bit. The functions b and c of the distance,
of every kind of pair, are the best in the training set (:meth:`fit`), so that training begins at a good guess, and
:math:`\sigma` is what they leave, of each irrep.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from intertwine.geometry import Graph, pair_list, pair_rows, pair_vectors
from intertwine.nn.cutoff import positive
from intertwine.nn.embedding import SpeciesTable
from intertwine.nn.lift import Lift
from intertwine.nn.pair_guess import PairGuess
from intertwine.nn.two_centre import PairAxes, TwoCentre
from intertwine.numerics import safe
from intertwine.o3 import Irreps, Linear


class PairGraph(NamedTuple):
    """The pairs of a graph: the nodes ``i``, ``j``, the vector from i to j (A), which pairs are ``onsite`` (i with
    itself), and the row of the reversed pair, ``reverse``."""

    i: Int[Tensor, " pairs"]
    j: Int[Tensor, " pairs"]
    vectors: Float[Tensor, "pairs 3"]
    onsite: Bool[Tensor, " pairs"]
    reverse: Int[Tensor, " pairs"]


def pair_graph(graph: Graph) -> PairGraph:
    """The pairs of a graph, as :func:`intertwine.geometry.pair_list` lists them."""
    i, j = pair_list(graph).T
    return PairGraph(i, j, pair_vectors(graph, i, j), i == j, pair_rows(graph, j, i))


class PairBlocks(nn.Module):
    """The head of the module's docstring.

    Args:
        irreps_in: of the node features.
        irreps: of a block.
        transposed: the irreps of a transposed block, of those of the block.
        species: atomic numbers that occur.
        cutoff: beyond which blocks vanish (A).
        width: channels of the features that pairs look at. hidden: features of the hidden layers.
        radial_size: radial functions. guess: "pairs", "atoms" or "none" (:mod:`intertwine.nn.pair_guess`).
    """

    def __init__(
        self,
        irreps_in: Irreps,
        irreps: Irreps,
        transposed: Callable[[Tensor], Tensor],
        species: list[int],
        cutoff: float | None,
        width: int = 16,
        hidden: int = 192,
        radial_size: int = 8,
        guess: str = "pairs",
    ) -> None:
        super().__init__()
        self.irreps, self.transposed, self.cutoff = Irreps(irreps), transposed, positive(cutoff)
        degree = max(self.irreps.ls)
        self.species, self.count = SpeciesTable(species), len(species)
        self.lift, self.axes = Lift(Irreps(irreps_in), width, degree), PairAxes(degree)
        self.guess = PairGuess(self.irreps, len(species), self.cutoff, radial_size, guess)
        kinds = len(species) ** 2
        self.pairs = TwoCentre(width, degree, [self.irreps, self.irreps], radial_size, kinds, hidden)
        self.own = Linear(self.lift.irreps_out, self.irreps, layout="mul_ir")

    def forward(
        self, x: Float[Tensor, "nodes features"], z: Int[Tensor, " nodes"], pairs: PairGraph
    ) -> Float[Tensor, "pairs dim"]:
        """Blocks of all pairs, float64, in irreps."""
        y = self.lift(x)
        kind, i, j, vectors, both = self._of_two(z, pairs)
        axes, d = self.axes(vectors), safe.norm(vectors)
        functions, envelope = self.guess.functions(both, d)
        message, hopping = self.pairs(y, i, j, both, self.guess.standardised(both, functions).to(x.dtype), axes)
        hopping = envelope * (hopping * self.guess.hopping_scale(both) + self.guess.hopping(both, functions, axes.axis))
        message = _sum(message * envelope.to(x.dtype), i, y)
        site = self.guess.onsite_scale(kind) * (self.own(self._flat(y)) + message) + self.guess.constants(kind)
        return self._whole(site + _sum(envelope * self.guess.onsite(both, functions, axes.axis), i, y), hopping, pairs)

    def guessed(self, z: Int[Tensor, " nodes"], pairs: PairGraph) -> Float[Tensor, "pairs dim"]:
        """What training begins at: the blocks of :meth:`forward` without the network, float64."""
        kind, i, _, vectors, both = self._of_two(z, pairs)
        axis = self.axes(vectors).axis
        functions, envelope = self.guess.functions(both, safe.norm(vectors))
        site = self.guess.constants(kind)
        site = site + _sum(envelope * self.guess.onsite(both, functions, axis), i, site)
        return self._whole(site, envelope * self.guess.hopping(both, functions, axis), pairs)

    def _of_two(self, z: Tensor, pairs: PairGraph) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """The species of each node; of the pairs of two atoms i, j, the vectors (A, float64), and their kinds."""
        kind, near = self.species(z), ~pairs.onsite
        i, j = pairs.i[near], pairs.j[near]
        return kind, i, j, pairs.vectors[near].to(torch.float64), kind[i] * self.count + kind[j]

    def _whole(self, site: Tensor, hopping: Tensor, pairs: PairGraph) -> Float[Tensor, "pairs dim"]:
        """All blocks, made equal to the transposed ones of the reversed pairs."""
        whole = torch.empty(len(pairs.i), self.irreps.dim, dtype=torch.float64, device=site.device)
        whole[pairs.onsite] = site[pairs.i[pairs.onsite]]
        whole[~pairs.onsite] = hopping
        return 0.5 * (whole + self.transposed(whole[pairs.reverse]))

    def fit(self, y: Float[Tensor, "pairs dim"], z: Int[Tensor, " nodes"], pairs: PairGraph) -> float:
        """Take guess and scales from the blocks of a training set, of all its graphs side by side.

        Returns:
            the root mean square of what the guess leaves, of all components that are not zero.
        """
        kind, i, _, vectors, both = self._of_two(z, pairs)
        axes = PairAxes(max(self.irreps.ls)).double()(vectors)
        sites = torch.zeros(len(z), self.irreps.dim, dtype=torch.float64)
        sites[pairs.i[pairs.onsite]] = y[pairs.onsite].to(torch.float64)
        self.guess.fit_hopping(y[~pairs.onsite].to(torch.float64), both, safe.norm(vectors), axes.axis)
        self.guess.fit_onsite(sites, kind, i, both, safe.norm(vectors), axes.axis)
        sizes = torch.cat([self.guess.hopping_scale(both), self.guess.onsite_scale(kind)]).flatten()
        return float(sizes[sizes > 0].square().mean().sqrt()) if bool((sizes > 0).any()) else 1.0

    def _flat(self, y: Float[Tensor, "nodes components channels"]) -> Float[Tensor, "nodes features"]:
        """The lifted features in the layout mul_ir."""
        width, parts = y.shape[2] // 2, []
        for _, ir in self.lift.irreps_out:
            rows = y[:, ir.l**2 : (ir.l + 1) ** 2]
            parts.append((rows[..., :width] if ir.p == (-1) ** ir.l else rows[..., width:]).mT.flatten(1))
        return torch.cat(parts, dim=1)


def _sum(values: Tensor, i: Tensor, like: Tensor) -> Tensor:
    """Sums over the pairs of each node."""
    return values.new_zeros(like.shape[0], values.shape[1]).index_add(0, i, values)
