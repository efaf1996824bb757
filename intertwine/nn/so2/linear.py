r"""Linear maps that commute with the rotations about one axis: what is left of a tensor product when the edge lies on
the polar axis.

There the harmonics of the edge have the order m = 0 only, and the coupling coefficients :math:`C_{m_1 0 m_3}` vanish
unless :math:`|m_1| = |m_3|`. So the order m of all degrees and channels is mixed among itself, and with its partner -m:

.. math:: \begin{pmatrix} z_{-m} \\ z_{m} \end{pmatrix}
    = \begin{pmatrix} a_m & b_m \\ -b_m & a_m \end{pmatrix} \begin{pmatrix} x_{-m} \\ x_{m} \end{pmatrix}, \qquad
    z_0 = a_0 x_0 .

a comes from degrees with :math:`l_1 + l_2 + l_3` even, b from odd ones. A reflection in a plane that contains the axis
maps :math:`(x_{-m}, x_m)` to :math:`(-x_{-m}, x_m)` in blocks of natural parity :math:`(-1)^l`, and to
:math:`(x_{-m}, -x_m)` in the others. To commute with it, blocks that are both natural or both not are joined by a
alone, a natural and an unnatural one by b alone.

Source: Passaro and Zitnick, "Reducing SO(3) Convolutions to SO(2) for Efficient Equivariant GNNs" (ICML 2023), section
3.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from intertwine.kernels.convolution.derivatives import convolve
from intertwine.nn.so2.plans import frame_dim, mixing
from intertwine.numerics import InputError, choose
from intertwine.o3 import Irreps

MODES = ("uvu", "uvw")


class Slot(NamedTuple):
    """One dense map: the order m of some blocks into the order m of others.

    Attributes:
        order: m, 0 or more. kind: "even" (a) or "odd" (b).
        inputs, outputs: numbers of the blocks.
        start, shape: where its weights begin, and their axes: (outputs, inputs, channels) in mode uvu, (channels of all
            inputs, channels of all outputs) in uvw.
    """

    order: int
    kind: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    start: int
    shape: tuple[int, ...]

    @property
    def numel(self) -> int:
        """Number of weights."""
        return torch.Size(self.shape).numel()


class SO2Linear(nn.Module):
    r"""The maps of the module's docstring between features in the frame of an edge.

    In mode ``"uvu"`` channels are not mixed, blocks of equal multiplicity are joined, and the weights differ from
    edge to edge. In mode ``"uvw"`` channels are mixed by weights that all edges share, after each order of the input
    has been multiplied, if wanted, by factors that differ from edge to edge.

    Args:
        irreps_in, irreps_out: representations of input and output.
        mode: "uvu" or "uvw".
        mmax: the highest order that passes; higher ones are dropped. None is all.
        reflections: commute with the reflections in planes through the axis; otherwise with rotations alone, and
            parities are ignored.

    Attributes:
        slots: the maps. weight_numel: number of their weights. scale_numel: number of factors an edge in mode uvw, for
            each order in turn those of the channels of all blocks that have it.
        mmax: the highest order that input and output have in common, and that passes.
        dim_in, dim_out: sizes of the features in the frame: for each block the orders -m ... m, m = min(l, mmax),
            channels innermost.
        factors: for each output block a number n by which its values are to be multiplied to have variance 1 (averaged
            over the components) if inputs and weights have.

    Raises:
        InputError: an unknown mode, or mmax < 0.

    >>> maps = SO2Linear("8x0e+8x1o", "8x0e+8x1o", mode="uvu")
    >>> [(slot.order, slot.kind, slot.shape) for slot in maps.slots]
    [(0, 'even', (2, 2, 8)), (1, 'even', (1, 1, 8))]
    """

    def __init__(
        self, irreps_in: Any, irreps_out: Any, *, mode: str = "uvu", mmax: int | None = None, reflections: bool = True
    ) -> None:
        super().__init__()
        self.irreps_in, self.irreps_out = Irreps(irreps_in), Irreps(irreps_out)
        self.mode = choose(mode, MODES, kind="mode", where="SO2Linear")
        if mmax is not None and mmax < 0:
            raise InputError(f"orders start at 0, got {mmax}", where="mmax", remedy="give 0 or more, or None for all.")
        self.reflections = reflections
        common = min(max(irreps.ls, default=0) for irreps in (self.irreps_in, self.irreps_out))
        self.mmax = common if mmax is None else min(mmax, common)
        self._inputs = [
            [a for a, (mul, ir) in enumerate(self.irreps_in) if ir.l >= m and mul] for m in range(self.mmax + 1)
        ]
        self.slots = self._slots()
        self.weight_numel = sum(slot.numel for slot in self.slots)
        sizes = [sum(self.irreps_in[a].mul for a in blocks) for blocks in self._inputs]
        places = {name: k for k, name in enumerate(self._named(self.irreps_in))}
        self._sizes = [self.irreps_in[a].mul for a, _ in places]
        self._sorted = [
            places[a, row] for m, blocks in enumerate(self._inputs) for row in ((-m, m) if m else (0,)) for a in blocks
        ]
        self._widths = [(2 if m else 1) * size for m, size in enumerate(sizes)]
        self._scales = [slice(sum(sizes[:m]), sum(sizes[: m + 1])) for m in range(self.mmax + 1)]
        self.scale_numel = sum(sizes)
        self.factors = [self._factor(b) for b in range(len(self.irreps_out))]
        self.dim_in, self.dim_out = frame_dim(self.irreps_in, self.mmax), frame_dim(self.irreps_out, self.mmax)
        self._plan = (
            mixing(self.pairs(), self.irreps_in, self.irreps_out, self.mmax, self.weight_numel) if mode == "uvu" else ""
        )

    def extra_repr(self) -> str:
        kept = "O(2)" if self.reflections else "SO(2)"
        return (
            f"{self.irreps_in} -> {self.irreps_out}, {self.mode}, |m| <= {self.mmax}, "
            f"{kept}, {self.weight_numel} weights"
        )

    def _joined(self, a: int, b: int, kind: str) -> bool:
        """Whether a block of the input meets one of the output in maps of this kind."""
        (mul, ir), (other_mul, other) = self.irreps_in[a], self.irreps_out[b]
        if not mul or not other_mul or (self.mode == "uvu" and mul != other_mul):
            return False
        alike = ir.p * (-1) ** ir.l == other.p * (-1) ** other.l
        return not self.reflections or alike == (kind == "even")

    def _slots(self) -> list[Slot]:
        """For every order and kind the outputs that read the same inputs together."""
        slots: list[Slot] = []
        start = 0
        for m in range(self.mmax + 1):
            for kind in ("even", "odd") if m else ("even",):
                groups: dict[tuple[int, ...], list[int]] = {}
                for b, (_, ir) in enumerate(self.irreps_out):
                    inputs = tuple(a for a in self._inputs[m] if self._joined(a, b, kind))
                    if ir.l >= m and inputs:
                        groups.setdefault(inputs, []).append(b)
                for inputs, outputs in groups.items():
                    into, out = (
                        [irreps[n].mul for n in ns]
                        for irreps, ns in ((self.irreps_in, inputs), (self.irreps_out, outputs))
                    )
                    shape = (len(out), len(into), into[0]) if self.mode == "uvu" else (sum(into), sum(out))
                    slots.append(Slot(m, kind, inputs, tuple(outputs), start, shape))
                    start += slots[-1].numel
        return slots

    def _factor(self, b: int) -> float:
        terms = 0
        for slot in self.slots:
            if b in slot.outputs:
                terms += (1 if slot.order == 0 else 2) * (slot.shape[1] if self.mode == "uvu" else slot.shape[0])
        return (self.irreps_out[b].ir.dim / terms) ** 0.5 if terms else 1.0

    def pairs(self) -> list[tuple[int, int, int, str, int]]:
        """Mode uvu: (block in, block out, order, kind, place of the first weight) of every map."""
        pairs_of_blocks = []
        for slot in self.slots:
            for o, b in enumerate(slot.outputs):
                for i, a in enumerate(slot.inputs):
                    pairs_of_blocks.append(
                        (a, b, slot.order, slot.kind, slot.start + (o * len(slot.inputs) + i) * slot.shape[-1])
                    )
        return pairs_of_blocks

    def forward(
        self,
        x: Float[Tensor, "edges dim_in"],
        weight: Float[Tensor, "... weights"],
        scale: Float[Tensor, "edges factors"] | None = None,
    ) -> Float[Tensor, "edges dim_out"]:
        """Features of the output in the frame.

        Args:
            x: (edges, dim_in).
            weight: mode uvu: (edges, weight_numel); mode uvw: (weight_numel,).
            scale: mode uvw: (edges, scale_numel), or None for ones.

        Returns:
            (edges, dim_out).
        """
        if not self.slots:
            return x.new_zeros(x.shape[0], self.dim_out)
        if self.mode == "uvu":
            return convolve(self._plan, x, x.new_ones(x.shape[0], 1), weight, None, None, x.shape[0])
        return self._mixed(x, weight, scale)

    def _mixed(self, x: Tensor, weight: Tensor, scale: Tensor | None) -> Tensor:
        """Mode uvw: one matrix product for each slot, between two permutations of rows."""
        pieces = x.split(self._sizes, -1)
        parts = torch.cat([pieces[k] for k in self._sorted], -1).split(self._widths, -1)
        scales = (
            None if scale is None else scale.unsqueeze(1).split([part.stop - part.start for part in self._scales], -1)
        )
        weights = iter(weight.split([slot.numel for slot in self.slots]))
        rows: dict[tuple[int, int], Tensor] = {}  # the rows of the output
        for m, part in enumerate(parts):
            pair = part.unflatten(1, (2 if m else 1, -1))
            pair = pair if scales is None else pair * scales[m]
            sums: dict[tuple[int, ...], Tensor] = {}
            for slot in (slot for slot in self.slots if slot.order == m):
                z = _turn(self._read(pair, slot), slot.kind).reshape(-1, slot.shape[0]) @ next(weights).view(slot.shape)
                sums[slot.outputs] = sums[slot.outputs] + z if slot.outputs in sums else z
            for outputs, z in sums.items():
                names = [(b, row) for row in ((-m, m) if m else (0,)) for b in outputs]
                values = z.view(x.shape[0], pair.shape[1] * z.shape[1]).split(
                    [self.irreps_out[b].mul for b, _ in names], -1
                )
                for name, value in zip(names, values):
                    rows[name] = rows[name] + value if name in rows else value
        wanted = self._named(self.irreps_out)
        return torch.cat(
            [rows[name] if name in rows else x.new_zeros(x.shape[0], self.irreps_out[name[0]].mul) for name in wanted],
            -1,
        )

    def _read(self, pair: Tensor, slot: Slot) -> Tensor:
        """The inputs of a slot among all that have its order."""
        here = self._inputs[slot.order]
        if len(slot.inputs) == len(here):
            return pair
        pieces = pair.split([self.irreps_in[a].mul for a in here], -1)
        return torch.cat([pieces[here.index(a)] for a in slot.inputs], -1)

    def _named(self, irreps: Irreps) -> list[tuple[int, int]]:
        """(block, order) of the rows of features in the frame."""
        ends = [min(ir.l, self.mmax) for _, ir in irreps]
        return [(number, m) for number, end in enumerate(ends) for m in range(-end, end + 1)]

    def mean(
        self,
        blocks: Sequence[Float[Tensor, "edges ..."]],
        weight: Float[Tensor, " weights"],
        scale: Float[Tensor, "edges factors"] | None = None,
    ) -> list[Float[Tensor, "edges ..."]]:
        r"""Mode uvw, averaged over all directions of the axis: by Schur's lemma :math:`\sum_m a_m / (2l+1)` times the
        identity, between blocks of equal degree. It is what remains of an edge without a direction.

        Args:
            blocks: all components of each block of the input, (edges, 2l+1, channels).
            weight, scale: as in :meth:`forward`.

        Returns:
            the same of each block of the output.
        """
        means: dict[int, Tensor] = {}
        for slot in (slot for slot in self.slots if slot.kind == "even"):
            w = weight[slot.start : slot.start + slot.numel].unflatten(0, slot.shape)
            for a, part in zip(slot.inputs, w.split([self.irreps_in[a].mul for a in slot.inputs], 0)):
                x = blocks[a] * ((1 if slot.order == 0 else 2) / blocks[a].shape[1])
                if scale is not None:
                    sizes = [self.irreps_in[other].mul for other in self._inputs[slot.order]]
                    x = x * scale[:, None, self._scales[slot.order]].split(sizes, -1)[self._inputs[slot.order].index(a)]
                for b, own in zip(slot.outputs, part.split([self.irreps_out[b].mul for b in slot.outputs], 1)):
                    if self.irreps_out[b].ir.l == self.irreps_in[a].ir.l:
                        means[b] = means[b] + x @ own if b in means else x @ own
        return [
            means.get(b, weight.new_zeros(blocks[0].shape[0], ir.dim, mul))
            for b, (mul, ir) in enumerate(self.irreps_out)
        ]


def _turn(x: Tensor, kind: str) -> Tensor:
    """For odd maps a quarter turn: (x_{-m}, x_m) becomes (x_m, -x_{-m})."""
    if kind == "even":
        return x
    minus, plus = x.unbind(1)
    return torch.stack([plus, -minus], 1)
