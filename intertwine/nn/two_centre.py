r"""Messages of two nodes in the axis that joins them: a network of O(2) in place of tensor products of O(3).

In the frame whose polar axis is the vector from i to j, what remains of the symmetry are rotations about the axis and
mirrors through it. Features of natural parity :math:`(-1)^l` and order 0 are invariant. Those of order m > 0 are pairs
:math:`(x_{-m}, x_m)`, and those of the other parity become such pairs by a quarter turn
:math:`(x_{-m}, x_m) \mapsto (x_m, -x_{-m})`. So the equivariant linear maps mix degrees, parities and channels of one
order at will, with one number for both members of a pair:

.. math::
    s = \mathrm{MLP}\big(x_0,\; e(d_{ij}),\; z_i, z_j\big), \qquad
    h_m = (G_m s) \circ (W_m x_m), \qquad y_m = V_m^{z_i z_j} h_m, \qquad y_0 = V_0^{z_i z_j} s

with x the features of i and j, side by side; V is one of each kind of pair. The cost grows as :math:`L^3` with the
largest degree L.

Source: Passaro and Zitnick, ICML 2023 (the reduction to SO(2)); mirrors as in :mod:`intertwine.nn.so2.linear`.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from intertwine.nn.mlp import MLP
from intertwine.numerics import ExactBuffers
from intertwine.o3 import Irrep, Irreps, edge_frames


class Axes(NamedTuple):
    """Frames of pairs: ``natural`` turns features of natural parity into them, rows sorted by order; ``other`` those
    of the other parity, with the quarter turn; ``axis``: the harmonics of the axis, of norm 1 for each degree, in the
    precision of the vectors.
    """

    natural: Float[Tensor, "pairs rows components"]
    other: Float[Tensor, "pairs rows components"]
    axis: Float[Tensor, "pairs components"]


class PairAxes(ExactBuffers):
    """Makes :class:`Axes` of vectors.

    Args:
        degree: largest degree.
    """

    signs: Tensor
    places: Tensor
    turned: Tensor
    polar: Tensor

    def __init__(self, degree: int) -> None:
        super().__init__()
        self.degree, size = degree, (degree + 1) ** 2
        row_of = {name: row for row, name in enumerate(sorted_rows(degree))}
        places, turned, signs, polar = [], [], [], []
        for l in range(degree + 1):
            for m in range(-l, l + 1):
                for column in range(l * l, (l + 1) ** 2):
                    places.append(row_of[l, m] * size + column)
                    turned.append(row_of[l, -m] * size + column)  # what was m stands in the row -m
                    signs.append(-1.0 if m < 0 else 1.0)
                    if m == 0:
                        polar.append(len(places) - 1)
        for name, values in (("places", places), ("turned", turned), ("polar", polar)):
            self.register_exact(name, torch.tensor(values))
        self.register_exact("signs", torch.tensor(signs, dtype=torch.float64))

    def forward(self, vectors: Float[Tensor, "pairs 3"]) -> Axes:
        exact, pairs, size = edge_frames(vectors, self.degree).matrices, len(vectors), (self.degree + 1) ** 2
        entries = exact.to(self.signs)
        empty = entries.new_zeros(pairs, size * size)
        natural = empty.index_copy(1, self.places, entries).view(pairs, size, size)
        other = empty.index_copy(1, self.turned, entries * self.signs).view(pairs, size, size)
        return Axes(natural, other, exact.index_select(1, self.polar))


class KindLinear(nn.Module):
    """A linear map for each kind of rows: what is small for one kind is not drowned by what is large for another.

    Args:
        kinds: how many. inputs, outputs: features. bias: whether a constant is added.
    """

    def __init__(self, kinds: int, inputs: int, outputs: int, bias: bool) -> None:
        super().__init__()
        single = [nn.Linear(inputs, outputs, bias=bias) for _ in range(kinds)]
        self.weight = nn.Parameter(torch.stack([layer.weight.detach().T for layer in single]))
        self.bias = nn.Parameter(torch.zeros(kinds, outputs)) if bias else None

    def forward(self, x: Float[Tensor, "rows inputs"], counts: list[int]) -> Float[Tensor, "rows outputs"]:
        """Of rows that are sorted by kind, of which there are ``counts`` each."""
        parts = [part @ self.weight[kind] for kind, part in enumerate(x.split(counts)) if len(part)]
        y = torch.cat(parts) if parts else x.new_zeros(0, self.weight.shape[2])
        if self.bias is None:
            return y
        kind = torch.repeat_interleave(torch.tensor(counts, device=x.device))
        return y + self.bias.index_select(0, kind)


class TwoCentre(nn.Module):
    r"""The network of the module's docstring.

    Args:
        width: channels of each irrep of a node's features, which are those of :class:`~intertwine.nn.lift.Lift`.
        degree: their largest degree, and at least that of the result.
        outputs: what each pair gets, one or several results.
        edge_width: invariants of a pair. kinds: how many kinds of pairs there are.
        hidden: features of the hidden layers.
    """

    def __init__(
        self, width: int, degree: int, outputs: list[Irreps], edge_width: int, kinds: int, hidden: int
    ) -> None:
        super().__init__()
        self.degree, self.inner = degree, [max(hidden // (1 + m), 8) for m in range(degree + 1)]
        self.inner[0] = max(hidden // 2, 8)
        self.kinds = nn.Embedding(kinds, hidden)
        self.invariants = MLP([2 * width * (degree + 1) + edge_width, hidden])
        self.network = MLP([hidden, hidden, hidden])
        self.gates = nn.Linear(hidden, sum(self.inner))
        self.maps = nn.ModuleList(
            nn.Linear((degree + 1 - m) * width * (4 if m else 2), self.inner[m], bias=False) for m in range(degree + 1)
        )
        whole = Irreps([block for irreps in outputs for block in irreps])
        counts = [[_count(whole, l, sign) for l in range(degree + 1)] for sign in (1, -1)]
        self.most = [max(sign) for sign in counts]
        self.count = kinds
        self.scalars = KindLinear(kinds, hidden, (degree + 1) * self.most[0], bias=True)
        self.results = nn.ModuleList(
            KindLinear(kinds, self.inner[m], (degree + 1 - m) * (sum(self.most) if m else self.most[1]), bias=False)
            for m in range(degree + 1)
        )
        self.sizes = [irreps.dim for irreps in outputs]
        self.register_buffer("order", _order(outputs, degree, self.most), persistent=False)

    order: Tensor

    def forward(
        self,
        x: Float[Tensor, "nodes components channels"],
        i: Int[Tensor, " pairs"],
        j: Int[Tensor, " pairs"],
        kind: Int[Tensor, " pairs"],
        attributes: Float[Tensor, "pairs k"],
        axes: Axes,
    ) -> tuple[Float[Tensor, "pairs _"], ...]:
        """Each of the results, in the layout mul_ir."""
        kind, order = torch.sort(kind, stable=True)
        counts, back = torch.bincount(kind, minlength=self.count).tolist(), torch.argsort(order)
        axes = Axes(*(part.index_select(0, order) for part in axes))
        i, j, attributes = i[order], j[order], attributes.index_select(0, order)
        return tuple(y.index_select(0, back) for y in self._sorted(x, i, j, kind, counts, attributes, axes))

    def _sorted(
        self,
        x: Tensor,
        i: Tensor,
        j: Tensor,
        kind: Tensor,
        counts: list[int],
        attributes: Tensor,
        axes: Axes,
    ) -> tuple[Tensor, ...]:
        """The results of pairs that are sorted by kind."""
        width, pairs = x.shape[2] // 2, len(i)
        sent, received = x.index_select(0, i), x.index_select(0, j)
        natural = axes.natural @ torch.cat([sent[..., :width], received[..., :width]], dim=2)
        other = axes.other @ torch.cat([sent[..., width:], received[..., width:]], dim=2)
        rows = [self.degree + 1, *[2 * (self.degree + 1 - m) for m in range(1, self.degree + 1)]]
        naturals, others = natural.split(rows, 1), other.split(rows, 1)
        first = self.invariants(torch.cat([naturals[0].flatten(1), attributes], dim=1))
        s = self.network(nn.functional.silu(first) * (1 + self.kinds(kind)))
        s = nn.functional.silu(s)
        gates = self.gates(s).split(self.inner, 1)
        scalars = self.scalars(s, counts).view(pairs, rows[0], self.most[0])
        pseudo = self.results[0](self.maps[0](others[0].flatten(1)) * gates[0], counts)
        made = [(scalars, pseudo.view(pairs, rows[0], self.most[1]))]
        for m in range(1, self.degree + 1):
            pair = torch.cat([naturals[m], others[m]], dim=2).reshape(pairs, 2, rows[m] // 2 * 4 * width)
            inner = (self.maps[m](pair) * gates[m].unsqueeze(1)).flatten(0, 1)
            y = self.results[m](inner, [2 * count for count in counts])
            made.append(y.reshape(pairs, rows[m], sum(self.most)).split(self.most, 2))
        back = [
            turn.mT @ torch.cat([part[number] for part in made], dim=1)
            for number, turn in enumerate((axes.natural, axes.other))
        ]
        return torch.cat(back, dim=2).flatten(1).index_select(1, self.order).split(self.sizes, 1)


def sorted_rows(degree: int) -> list[tuple[int, int]]:
    """(l, m) by order: m = 0 of all degrees, then -1 and 1 of all degrees that have it, and so on."""
    zero = [(l, 0) for l in range(degree + 1)]
    return zero + [(l, m) for k in range(1, degree + 1) for m in (-k, k) for l in range(k, degree + 1)]


def _count(irreps: Irreps, l: int, sign: int) -> int:
    return irreps.count(Irrep(l, sign * (-1) ** l))


def _order(outputs: list[Irreps], degree: int, most: list[int]) -> Tensor:
    """The place of each component of the results among (components, channels) of both parities."""
    taken: dict[tuple[int, int], int] = {}
    places: list[int] = []
    for irreps in outputs:
        for mul, ir in irreps:
            natural = ir.p == (-1) ** ir.l
            start = taken.get((ir.l, ir.p), 0)
            for channel in range(start, start + mul):
                column = channel if natural else most[0] + channel
                places += [(ir.l**2 + m) * sum(most) + column for m in range(2 * ir.l + 1)]
            taken[ir.l, ir.p] = start + mul
    return torch.tensor(places)
