r"""Codes of sets of points: eta, psi and delta of an autoencoder of molecules and point clouds, of the group
SE(3) x S_n, or of S_n alone.

.. math::
    z = \eta(x), \qquad \hat x_{\pi(k)} = R\, \delta(z)_k + t, \qquad \psi(x) = (R, t, \pi), \qquad
    \eta(g x) = \eta(x), \quad \psi(g x) = g\, \psi(x)

Winter et al., NeurIPS 2022 (arXiv:2202.07559), eq. 3 and section 3.3; the order of a set as in Winter, Noé and Clevert,
NeurIPS 2021 (arXiv:2104.09856). Departures: features of the points are those of any network; the two vectors that give
the rotation are points that attention picks, as a mean over all atoms all but vanishes; and eta is a perceptron of
psi(x)^-1 x, the points in their own frame and order, beside invariants: what has a frame is encoded without loss.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from intertwine.groups import Representation
from intertwine.nn.checks import check_sizes
from intertwine.nn.codes.heads import Estimate, OrderHead, RotationHead, ShiftHead, in_order, soft_order
from intertwine.nn.mlp import MLP, ResidualMLP
from intertwine.nn.readout import NORM_SMOOTHING, require
from intertwine.numerics import safe, segment

LEAST = 1e-2  # of the mean distance of the points that are attended to: shorter vectors have no direction to speak of
SHARP, FAR = 4.0, 2.0  # of the logits of attention; what they have more for each typical distance
SPACING = 3.0  # of scores, for each typical distance along the first axis: so the order begins without ties
KEPT = 8  # invariants of each point that the code sees beside its coordinates


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


class Motion(nn.Module):
    r"""The rotation and the translation of sets, and invariants of each set that see its handedness.

    .. math::
        u_i = W v_i + a(h_i)\, r_i, \quad U_c = \frac1n \sum_i b_c(h_i)\, u_{ic}, \quad
        g = \mathrm{MLP}\big(\bar h, \ln n, A_c \cdot B_c, A_c \cdot (B_c \times C_c)\big), \quad t = \sum_c d_c(g) U_c

    with linear maps A, B, C of U. The rotation is that of Gram and Schmidt of

    .. math::
        p = \sum_i \operatorname{softmax}_i\big(4 \alpha(h_i, g) + 2 |r_i|\big)\, r_i, \qquad
        q = \sum_i \operatorname{softmax}_i\big(4 \beta(h_i, g, e \cdot r_i, |r_i^\perp|) + 2 |r_i^\perp|\big)\,
        r_i^\perp,

    e = p / max(|p|, 0.01) and :math:`r^\perp = r - (e \cdot r) e`, each over the same mean of the lengths, or over 0.01
    where that is less.

    Args:
        vectors: of a point's features, of both parities.
        hidden: width of h and of the perceptrons.
        channels: vectors U.
    """

    def __init__(self, vectors: int, hidden: int, channels: int) -> None:
        super().__init__()
        self.values = nn.Linear(vectors, channels, bias=False) if vectors else None
        self.places, self.weights = nn.Linear(hidden, channels), nn.Linear(hidden, channels)
        self.mixed = nn.Linear(channels, 3 * channels, bias=False)
        self.norm = nn.LayerNorm(hidden + 1 + 2 * channels)
        self.trunk = MLP([hidden + 1 + 2 * channels, hidden, hidden], last=True)
        self.gates = nn.Linear(hidden, channels)
        self.far, self.across = MLP([2 * hidden, hidden, 1]), MLP([2 * hidden + 2, hidden, 1])
        self.rotation, self.shift = RotationHead(3, LEAST), ShiftHead(3)

    def forward(
        self, h: Float[Tensor, "points hidden"], v: Float[Tensor, "points 3 vectors"] | None,
        places: Float[Tensor, "points 3"], owner: Int[Tensor, " points"], sets: int,
    ) -> tuple[Float[Tensor, "sets hidden"], Estimate, Estimate]:  # fmt: skip
        """g, R and t."""
        u = self.places(h).unsqueeze(1) * places.unsqueeze(2)
        u = u + self.values(v) if self.values is not None else u
        pooled = segment.mean(u * self.weights(h).unsqueeze(1), owner, sets)
        count = segment.count(owner, sets, h.dtype).log().unsqueeze(1)
        g = self.trunk(self.norm(torch.cat([segment.mean(h, owner, sets), count, *self._products(pooled)], dim=1)))
        both = torch.cat([h, g[owner]], dim=1)
        p = _attended(self.far(both), places, owner, sets)
        e = (p / safe.norm(p, keepdim=True).clamp(min=LEAST))[owner]  # no direction of rounding, and no such derivative
        along = (places * e).sum(1, keepdim=True)
        rest = places - along * e
        q = _attended(self.across(torch.cat([both, along, safe.norm(rest, keepdim=True)], dim=1)), rest, owner, sets)
        t = torch.einsum("gc,gxc->gx", self.gates(g), pooled)
        return g, self.rotation(torch.stack([p, q], dim=1)), self.shift((torch.zeros_like(t), t))

    def _products(self, pooled: Float[Tensor, "sets 3 channels"]) -> list[Float[Tensor, "sets channels"]]:
        """Invariants of the vectors: scalar and triple products, of the growth of lengths."""
        a, b, c = self.mixed(pooled).chunk(3, dim=2)
        square, triple = (a * b).sum(1), (a * torch.linalg.cross(b, c, dim=1)).sum(1)
        return [square / (1 + square.square()) ** 0.25, triple / (1 + triple.square()) ** (1 / 3)]


def _attended(
    logits: Float[Tensor, "points 1"], r: Float[Tensor, "points 3"], owner: Int[Tensor, " points"], sets: int
) -> Float[Tensor, "sets 3"]:
    """A mean of vectors with the weights of softmax, over the same mean of their lengths, or over :data:`LEAST` where
    that is less: what rounding leaves of the atoms of a line is no vector.
    """
    length = safe.norm(r, keepdim=True)
    weight = segment.softmax(SHARP * logits + FAR * length, owner, sets)
    mean = segment.sum(weight * length, owner, sets)
    return segment.sum(weight * r, owner, sets) / mean.clamp(min=LEAST)


class SetEncoder(nn.Module):
    r"""eta and psi from scalars :math:`s_i` and vectors :math:`v_i` of the points, of both parities, and their places
    :math:`r_i` from the centroid:

    .. math::
        h_i = \mathrm{MLP}(s_i, |V v_i|, |r_i|), \qquad x_i = R^T (r_i - t), \qquad
        \sigma_i = \mathrm{MLP}(h_i, g, x_i) + 3 x_{i1}, \qquad
        z = \mathrm{MLP}\Big(g, \big(\sum_i P_{ki}\, (x_i, W h_i, 1)\big)_k\Big)

    with R, t and g of :class:`Motion`, and P SoftSort's matrix of the scores :math:`\sigma`, at a fifth of the
    temperature that the loss has, so that the code has no jump where two scores cross. Where R is open, x is 0.

    Of S_n alone x is r, R is 1, t is 0, and h sees r in place of its length.

    Args:
        features: representation of the network's features, with scalars (0e).
        code: numbers of the code.
        most: points of the largest set.
        channels: vectors U.
        hidden: width of the perceptrons.
        temperature: of SoftSort, in the unit of the scores.
        moving: whether the group has SE(3).

    Raises:
        InputError: features without scalars.
    """

    def __init__(
        self, features: Representation, code: int, most: int, channels: int = 32, hidden: int = 128,
        temperature: float = 0.1, moving: bool = True,
    ) -> None:  # fmt: skip
        super().__init__()
        check_sizes(code=code, most=most, channels=channels, hidden=hidden)
        self.irreps, self.most = require(features, "0e", "a code"), most
        self.scalars = [name for name in ("0e", "0o") if self.irreps.count(name)]
        self.vectors = [name for name in ("1o", "1e") if self.irreps.count(name) and moving]
        scalars, vectors = (sum(self.irreps.count(name) for name in names) for names in (self.scalars, self.vectors))
        self.norms = nn.Linear(vectors, channels, bias=False) if vectors else None
        self.points = MLP([scalars + (channels if vectors else 0) + (2 if moving else 3), hidden, hidden], last=True)
        self.motion = Motion(vectors, hidden, channels) if moving else None
        self.kept = nn.Linear(hidden, KEPT)
        whole = hidden if moving else 0
        self.scores = MLP([hidden + whole + 4, hidden, hidden // 2, 1])
        self.order, self.softness = OrderHead(temperature), temperature / 5
        self.code = ResidualMLP(whole + most * (KEPT + 4), 4 * hidden, code)

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
        v = torch.cat([self.irreps.part(features, name) for name in self.vectors], 1).mT if self.vectors else None
        h = self._invariants(features, v, places)
        if self.motion is None:
            g, rotation, shift = h.new_zeros(sets, 0), *_still(places, sets)
        else:
            g, rotation, shift = self.motion(h, v, places, owner, sets)
        seen = (places - shift.element[owner]).unsqueeze(1) @ rotation.element[owner]
        closed = (rotation.margin.detach() / (rotation.least or 1.0) - 1).clamp(0, 1)[owner].unsqueeze(1).to(h)
        seen = closed * seen.squeeze(1)
        scores = self.scores(torch.cat([h, g[owner], seen, closed], dim=1)).squeeze(1) + SPACING * seen[:, 0]
        order = self.order((scores, owner, sets))
        sizes = torch.bincount(owner, minlength=sets)
        ordered = in_order(scores, owner, order.element, sizes, -torch.inf)
        each = torch.cat([seen, self.kept(h), torch.ones_like(closed)], dim=1)
        slots = soft_order(ordered, self.softness) @ in_order(each, owner, order.element, sizes)
        slots = nn.functional.pad(slots, (0, 0, 0, self.most - slots.shape[1]))
        return SetParts(self.code(torch.cat([g, slots.flatten(1)], dim=1)), rotation, shift, order)

    def _invariants(
        self, features: Float[Tensor, "points dim"], v: Float[Tensor, "points 3 vectors"] | None,
        places: Float[Tensor, "points 3"],
    ) -> Float[Tensor, "points hidden"]:  # fmt: skip
        """h."""
        inputs = [self.irreps.part(features, name).squeeze(-1) for name in self.scalars]
        if self.motion is None:
            return self.points(torch.cat([*inputs, places], dim=1))
        radius = safe.norm(places, keepdim=True)
        inputs += [radius, radius.square()]
        if v is not None and self.norms is not None:
            inputs.append(safe.soft_norm(self.norms(v), NORM_SMOOTHING, dim=1))
        return self.points(torch.cat(inputs, dim=1))


def _still(places: Float[Tensor, "points 3"], sets: int) -> tuple[Estimate, Estimate]:
    """No rotation and no translation, which are never open."""
    never = places.new_full((sets,), torch.inf)
    still = torch.eye(3, dtype=places.dtype, device=places.device).expand(sets, 3, 3)
    return Estimate(still, never, 0.0, ""), Estimate(places.new_zeros(sets, 3), never, 0.0, "")


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
        self.mlp = ResidualMLP(code, 2 * hidden, most * (3 + kinds) + most, blocks=3)

    def forward(
        self, code: Float[Tensor, "sets code"]
    ) -> tuple[Float[Tensor, "sets most 3"], Float[Tensor, "sets most kinds"], Float[Tensor, "sets most"]]:
        """Positions, in the unit that the encoder had; logits of the species of each place; logits of the numbers of
        points 1, 2, ..."""
        made, sizes = self.mlp(code).split([self.most * (3 + self.kinds), self.most], dim=1)
        places, kinds = made.unflatten(1, (self.most, 3 + self.kinds)).split([3, self.kinds], dim=2)
        return places, kinds, sizes
