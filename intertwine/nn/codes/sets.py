r"""Codes of sets of points: eta, psi and delta of an autoencoder of molecules and point clouds, of the group
SE(3) x S_n.

.. math::
    z = \eta(x), \qquad \hat x_{\pi(k)} = R\, \delta(z)_k + t, \qquad \psi(x) = (R, t, \pi), \qquad
    \eta(g x) = \eta(x), \quad \psi(g x) = g\, \psi(x)

Winter et al., NeurIPS 2022 (arXiv:2202.07559), eq. 3 and section 3.3; the order of a set as in Winter, Noé and Clevert,
NeurIPS 2021 (arXiv:2104.09856). Departures: features of the points are those of any network; the code sees triple
products of vectors, which tell a molecule from its mirror image; the scores that order the points see their coordinates
in the frame R, so that only a symmetry without fixed frame ties them.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from intertwine.groups import Representation
from intertwine.nn.checks import check_sizes
from intertwine.nn.codes.heads import Estimate, OrderHead, RotationHead, ShiftHead
from intertwine.nn.mlp import MLP
from intertwine.nn.readout import NORM_SMOOTHING, require
from intertwine.numerics import safe, segment

LEAST = 1e-2  # of the sum of the lengths of all contributions: a shorter sum has no direction to speak of


class SetParts(NamedTuple):
    """What a set is taken apart into.

    Attributes:
        code: z (sets, size of the code).
        rotation: R (sets, 3, 3), axes as columns.
        shift: t (sets, 3), from the centroid, in the unit of the points.
        order: the points of all sets in canonical order (points), set after set.
    """

    code: Float[Tensor, "sets code"]
    rotation: Estimate
    shift: Estimate
    order: Estimate


class SetEncoder(nn.Module):
    r"""eta and psi from scalars :math:`s_i` and vectors :math:`v_i` of the points, of both parities, and their places
    :math:`r_i` from the centroid:

    .. math::
        h_i = \mathrm{MLP}(s_i, |V v_i|, |r_i|), \qquad u_i = W v_i + a(h_i)\, r_i, \qquad
        U_c = \frac1n \sum_i b_c(h_i)\, u_{ic}

    The code is a perceptron of the mean of h, of n, and of the products :math:`A_c \cdot B_c` and :math:`A_c \cdot (B_c
    \times C_c)` of linear maps A, B, C of U. Two sums of U with invariant weights give the rotation, a third one the
    translation. The score of a point is a perceptron of :math:`h_i` and :math:`R^T (r_i - t)`; where R is open, of
    :math:`h_i` alone.

    Args:
        features: representation of the network's features, with scalars (0e).
        code: numbers of the code.
        channels: vectors U.
        hidden: width of the perceptrons.
        temperature: of SoftSort, in the unit of the scores.

    Raises:
        InputError: features without scalars.
    """

    def __init__(
        self, features: Representation, code: int, channels: int = 32, hidden: int = 128, temperature: float = 0.1
    ) -> None:
        super().__init__()
        check_sizes(code=code, channels=channels, hidden=hidden)
        self.irreps = require(features, "0e", "a code")
        self.scalars = [name for name in ("0e", "0o") if self.irreps.count(name)]
        self.vectors = [name for name in ("1o", "1e") if self.irreps.count(name)]
        scalars, vectors = (sum(self.irreps.count(name) for name in names) for names in (self.scalars, self.vectors))
        self.values = nn.Linear(vectors, channels, bias=False) if vectors else None
        self.norms = nn.Linear(vectors, channels, bias=False) if vectors else None
        self.points = MLP([scalars + (channels if vectors else 0) + 2, hidden, hidden], last=True)
        self.places, self.weights = nn.Linear(hidden, channels), nn.Linear(hidden, channels)
        self.mixed = nn.Linear(channels, 3 * channels, bias=False)
        self.norm = nn.LayerNorm(hidden + 1 + 2 * channels)
        self.trunk = MLP([hidden + 1 + 2 * channels, hidden, hidden], last=True)
        self.code, self.gates = nn.Linear(hidden, code), nn.Linear(hidden, 3 * channels)
        self.scores = MLP([2 * hidden + 4, hidden, hidden // 2, 1])
        self.rotation, self.shift, self.order = RotationHead(3, LEAST), ShiftHead(3), OrderHead(temperature)

    def forward(
        self, features: Float[Tensor, "points dim"], places: Float[Tensor, "points 3"], owner: Int[Tensor, " points"],
        sets: int,
    ) -> SetParts:  # fmt: skip
        """
        Args:
            features: of the network.
            places: r, from the centroid of each set, over a typical distance (no unit).
            owner: set of each point.
            sets: how many; each has a point.
        """
        s = torch.cat([self.irreps.part(features, name).squeeze(-1) for name in self.scalars], dim=1)
        radius = safe.norm(places, keepdim=True)
        inputs, own = [s, radius, radius.square()], None
        if self.values is not None and self.norms is not None:
            v = torch.cat([self.irreps.part(features, name) for name in self.vectors], dim=1).transpose(1, 2)
            inputs.append(safe.soft_norm(self.norms(v), NORM_SMOOTHING, dim=1))
            own = self.values(v)
        h = self.points(torch.cat(inputs, dim=1))
        u = self.places(h).unsqueeze(1) * places.unsqueeze(2)
        u = (u if own is None else u + own) * self.weights(h).unsqueeze(1)  # (points, 3, channels)
        pooled, sizes = segment.mean(u, owner, sets), segment.mean(safe.norm(u.transpose(1, 2)), owner, sets)
        count = segment.count(owner, sets, h.dtype).log().unsqueeze(1)
        hidden = self.trunk(self.norm(torch.cat([segment.mean(h, owner, sets), count, *self._products(pooled)], dim=1)))
        gates = self.gates(hidden).unflatten(1, (3, -1))
        sums = torch.einsum("gkc,gxc->gkx", gates, pooled)
        lengths = (gates.abs() * sizes.unsqueeze(1)).sum(2, keepdim=True)
        rotation = self.rotation((sums / torch.where(lengths > 0, lengths, 1.0))[:, :2])
        shift = self.shift((torch.zeros_like(sums[:, 2]), sums[:, 2]))
        seen = (places - shift.element[owner]).unsqueeze(1) @ rotation.element[owner]
        closed = (~rotation.open)[owner].unsqueeze(1).to(h)
        scores = self.scores(torch.cat([h, hidden[owner], closed * seen.squeeze(1), closed], dim=1)).squeeze(1)
        return SetParts(self.code(hidden), rotation, shift, self.order((scores, owner, sets)))

    def _products(self, pooled: Float[Tensor, "sets 3 channels"]) -> list[Float[Tensor, "sets channels"]]:
        """Invariants of the vectors: scalar and triple products, of the growth of lengths."""
        a, b, c = self.mixed(pooled).chunk(3, dim=2)
        square, triple = (a * b).sum(1), (a * torch.linalg.cross(b, c, dim=1)).sum(1)
        return [square / (1 + square.square()) ** 0.25, triple / (1 + triple.square()) ** (1 / 3)]


class SetDecoder(nn.Module):
    """delta: from a code to a canonical set of up to ``most`` points, of which the first n are there.

    Args:
        code: numbers of the code.
        most: places of the canonical set.
        kinds: species that are told apart; 0 for points without species.
        hidden: width of the perceptron.
    """

    def __init__(self, code: int, most: int, kinds: int, hidden: int = 256) -> None:
        super().__init__()
        check_sizes(code=code, most=most, hidden=hidden, kinds=kinds + 1)
        self.most, self.kinds = most, kinds
        self.mlp = MLP([code, hidden, hidden, most * (3 + kinds) + most])

    def forward(
        self, code: Float[Tensor, "sets code"]
    ) -> tuple[Float[Tensor, "sets most 3"], Float[Tensor, "sets most kinds"], Float[Tensor, "sets most"]]:
        """Positions, in the unit that the encoder had; logits of the species of each place; logits of the numbers of
        points 1, 2, ..."""
        made, sizes = self.mlp(code).split([self.most * (3 + self.kinds), self.most], dim=1)
        places, kinds = made.unflatten(1, (self.most, 3 + self.kinds)).split([3, self.kinds], dim=2)
        return places, kinds, sizes
