r"""A guess of the blocks of a matrix between orbitals, linear in functions of distances, by least squares.

.. math:: H_{ij} \approx b_{z_i z_j}(d_{ij}) \circ Y(\hat r_{ij}), \qquad
    H_{ii} \approx c_{z_i} + \sum_j c_{z_i z_j}(d_{ij}) \circ Y(\hat r_{ij}), \qquad b, c = \sum_k B_k e_k(d)

Everything is float64. It is all that an equivariant function of two centres can be: in the frame of a pair only the
components m = 0 of natural parity are left. What it leaves of each irrep is the scale of a network that adds to it.
These are the "pairs"; the guess "atoms" has the constants c alone, "none" is zero.

Of distances far beyond the training set nothing is known: blocks go smoothly to zero within :data:`FADE` from
:data:`BEYOND` it on, and those of two elements that were never together are zero.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from intertwine.geometry.frames.weighted import smooth_step
from intertwine.nn.cutoff import envelope
from intertwine.nn.radial import BesselBasis
from intertwine.numerics import WideBuffers, choose
from intertwine.o3 import Irreps

CUT = 5e-3  # singular values of a fit below this share of the largest are left out: what they fit is not smooth
VARY = 3e-2  # the same of the directions in which radial functions vary
MOST = 8.0  # standard deviations
BEYOND, FADE = 0.2, 0.5  # A: how far beyond the training set is answered; over which the answer goes to zero
GUESSES = ("pairs", "atoms", "none")
LEAST_SCALE = 1e-3  # of a channel, of the largest of its kind: below, a network would learn noise


class PairGuess(WideBuffers):
    """The guess of the module's docstring.

    Args:
        irreps: of a block. species: how many there are. cutoff: of the radial functions (A). size: how many.
        kind: one of :data:`GUESSES`.

    Raises:
        InputError: an unknown kind.
    """

    hopping_coefficients: Tensor
    onsite_coefficients: Tensor
    constant: Tensor
    hopping_scales: Tensor
    onsite_scales: Tensor
    middle: Tensor
    spreads: Tensor
    reach: Tensor

    def __init__(self, irreps: Irreps, species: int, cutoff: float, size: int, kind: str = "pairs") -> None:
        super().__init__()
        self.irreps, self.species = irreps, species
        self.kind = choose(kind, dict.fromkeys(GUESSES), kind="guess", where="guess")
        self.radial, self.envelope = BesselBasis(size, cutoff), envelope("polynomial", cutoff)
        channels = [(ir.l, ir.p == (-1) ** ir.l) for mul, ir in irreps for _ in range(mul)]
        self.natural = torch.tensor([number for number, (_, natural) in enumerate(channels) if natural])
        shape = (species**2, size, len(channels))
        self.register_wide("hopping_coefficients", torch.zeros(shape, dtype=torch.float64))
        self.register_wide("onsite_coefficients", torch.zeros(shape, dtype=torch.float64))
        self.register_wide("constant", torch.zeros(species, len(channels), dtype=torch.float64))
        self.register_wide("hopping_scales", torch.ones(species**2, len(channels), dtype=torch.float64))
        self.register_wide("onsite_scales", torch.ones(species, len(channels), dtype=torch.float64))
        self.register_wide("reach", torch.full((species**2,), float(cutoff), dtype=torch.float64))
        self.register_wide("middle", torch.zeros(species**2, size, dtype=torch.float64))
        self.register_wide("spreads", torch.eye(size, dtype=torch.float64).repeat(species**2, 1, 1))
        channel = [number for number, (l, _) in enumerate(channels) for _ in range(2 * l + 1)]
        place = [l * l + m for l, _ in channels for m in range(2 * l + 1)]
        self.register_buffer("channel", torch.tensor(channel), persistent=False)
        self.register_buffer("place", torch.tensor(place), persistent=False)
        self.degrees = [l for l, _ in channels]

    channel: Tensor
    place: Tensor

    def functions(
        self, kind: Int[Tensor, " pairs"], d: Float[Tensor, " pairs"]
    ) -> tuple[Float[Tensor, "pairs size"], Float[Tensor, "pairs 1"]]:
        """Radial functions of the distances (A), and the envelope, which fades beyond distances that were seen."""
        seen = smooth_step((d - self.reach[kind] - BEYOND) / FADE)
        return self.radial(d), (self.envelope(d) * seen).unsqueeze(1)

    def standardised(
        self, kind: Int[Tensor, " pairs"], functions: Float[Tensor, "pairs size"]
    ) -> Float[Tensor, "pairs size"]:
        """Radial functions in the directions in which they vary in the training set, each of mean 0 and variance 1.

        Distances of one kind of pair are nearly the same in molecules, and so are all radial functions of them. Values
        stay below :data:`MOST`, however far a distance is from those.
        """
        y = ((functions - self.middle[kind]).unsqueeze(1) @ self.spreads[kind]).squeeze(1)
        return y / (1 + (y / MOST).square()).sqrt()

    def hopping(
        self, kind: Int[Tensor, " pairs"], functions: Float[Tensor, "pairs size"], axis: Float[Tensor, "pairs rows"]
    ) -> Float[Tensor, "pairs dim"]:
        """The guess of a pair's block, before the envelope."""
        return self._along(self.hopping_coefficients, kind, functions, axis)

    def onsite(
        self, kind: Int[Tensor, " pairs"], functions: Float[Tensor, "pairs size"], axis: Float[Tensor, "pairs rows"]
    ) -> Float[Tensor, "pairs dim"]:
        """What a neighbour adds to a node's block, before the envelope."""
        return self._along(self.onsite_coefficients, kind, functions, axis)

    def constants(self, kind: Int[Tensor, " nodes"]) -> Float[Tensor, "nodes dim"]:
        """The block of a node alone, float64."""
        return self.constant[kind].index_select(1, self.channel)

    def hopping_scale(self, kind: Int[Tensor, " pairs"]) -> Float[Tensor, "pairs dim"]:
        """The size of what the guess leaves of a pair's block, of each irrep."""
        return self.hopping_scales[kind].index_select(1, self.channel)

    def onsite_scale(self, kind: Int[Tensor, " nodes"]) -> Float[Tensor, "nodes dim"]:
        """The same of a node's block."""
        return self.onsite_scales[kind].index_select(1, self.channel)

    def _along(self, coefficients: Tensor, kind: Tensor, functions: Tensor, axis: Tensor) -> Tensor:
        values = (functions.unsqueeze(1) @ coefficients[kind]).squeeze(1)
        return values.index_select(1, self.channel) * axis.index_select(1, self.place)

    def fit_hopping(
        self,
        y: Float[Tensor, "pairs dim"],
        kind: Int[Tensor, " pairs"],
        d: Float[Tensor, " pairs"],
        axis: Float[Tensor, "pairs rows"],
    ) -> None:
        """The best coefficients for the blocks of pairs; everything float64."""
        functions, envelope = self.radial(d), self.envelope(d).unsqueeze(1)
        along = y.new_zeros(len(y), len(self.degrees)).index_add(1, self.channel, y * axis[:, self.place])
        self.hopping_coefficients.zero_()
        self.reach.fill_(-BEYOND - FADE)
        for each in kind.unique().tolist():
            rows = (kind == each) & (envelope[:, 0] > 0)
            if bool(rows.any()):
                self._standardise(each, functions[rows])
                self.reach[each] = d[rows].max()
                if self.kind == "pairs":
                    best = _least_squares(functions[rows] * envelope[rows], along[rows][:, self.natural])
                    self.hopping_coefficients[each, :, self.natural] = best.to(self.hopping_coefficients)
                guess = self.hopping_coefficients[each].to(torch.float64)
                rest = y[rows] - envelope[rows] * (functions[rows] @ guess)[:, self.channel] * axis[rows][:, self.place]
                self.hopping_scales[each] = self._sizes(rest)

    def _standardise(self, kind: int, functions: Float[Tensor, "pairs size"]) -> None:
        middle = functions.mean(0)
        _, s, V = torch.linalg.svd(functions - middle, full_matrices=False)
        kept = s > VARY * s.max()
        spreads = torch.zeros_like(self.spreads[kind])
        if len(functions) > 1 and bool(s.max() > 0):
            spreads[:, : int(kept.sum())] = V[kept].T / s[kept] * len(functions) ** 0.5
        self.middle[kind], self.spreads[kind] = middle.to(self.middle), spreads.to(self.spreads)

    def fit_onsite(
        self,
        y: Float[Tensor, "nodes dim"],
        species: Int[Tensor, " nodes"],
        i: Int[Tensor, " pairs"],
        kind: Int[Tensor, " pairs"],
        d: Float[Tensor, " pairs"],
        axis: Float[Tensor, "pairs rows"],
    ) -> None:
        """The best constants and coefficients for the blocks of nodes; everything float64."""
        functions, size = self.radial(d) * self.envelope(d).unsqueeze(1), self.radial.size
        self.onsite_coefficients.zero_()
        for own in species.unique().tolist():
            nodes, rest = species == own, y[species == own].clone()
            for l in dict.fromkeys(self.degrees):
                channels = [c for c in self.natural.tolist() if self.degrees[c] == l]
                if not channels:
                    continue
                harmonics = axis[:, l * l : (l + 1) ** 2]
                columns = y.new_zeros(len(species), 2 * l + 1, self.species * size)
                products = harmonics.unsqueeze(2) * functions.unsqueeze(1)
                for other in range(self.species):
                    chosen = kind == own * self.species + other
                    part = columns[:, :, other * size : (other + 1) * size]
                    part.index_add_(0, i[chosen], products[chosen])
                at = torch.stack([(self.channel == c).nonzero().flatten() for c in channels], dim=1)
                design, goal = columns[nodes].flatten(0, 1), rest[:, at].flatten(0, 1)
                constant = l == 0 and self.kind != "none"
                mean = goal.mean(0) if constant else goal.new_zeros(len(channels))
                centre = design.mean(0) if constant else design.new_zeros(design.shape[1])
                best = _least_squares(design - centre, goal - mean)
                if self.kind != "pairs":
                    best = torch.zeros_like(best)
                kept = best.to(self.onsite_coefficients.dtype)
                for other in range(self.species):
                    row = self.onsite_coefficients[own * self.species + other]
                    row[:, channels] = kept[other * size : (other + 1) * size]
                if constant:
                    self.constant[own, channels] = mean - centre @ kept.to(torch.float64)
                    goal = goal - self.constant[own, channels]
                rest[:, at] = (goal - design @ kept.to(torch.float64)).unflatten(0, (-1, 2 * l + 1))
            self.onsite_scales[own] = self._sizes(rest)

    def _sizes(self, rest: Float[Tensor, "rows dim"]) -> Float[Tensor, " channels"]:
        """Root mean squares of each irrep; exactly 0 where there is nothing at all."""
        squares = rest.new_zeros(len(self.degrees)).index_add(0, self.channel, rest.square().mean(0))
        sizes = (squares / torch.tensor([2.0 * l + 1 for l in self.degrees], dtype=rest.dtype)).sqrt()
        floor = LEAST_SCALE * sizes.max()
        return torch.where(sizes > 0, sizes.clamp(min=float(floor)), sizes).to(self.hopping_scales)


def _least_squares(design: Float[Tensor, "rows k"], goal: Float[Tensor, "rows n"]) -> Float[Tensor, "k n"]:
    U, s, V = torch.linalg.svd(design, full_matrices=False)
    kept = s > CUT * s.max() if len(s) else s > 0
    return V[kept].T @ ((U[:, kept].T @ goal) / s[kept].unsqueeze(1))
