"""Gated non-linearity of Weiler et al. (2018)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from intertwine.nn.irreps.activation import Activation
from intertwine.numerics import InputError, Rebuildable, choose, ignore_keys
from intertwine.o3 import Irreps
from intertwine.o3.blocks import LAYOUTS, blocks_as_laid, require_features

Act = Callable[[Tensor], Tensor] | None


class Gate(Rebuildable):
    r"""Scalars through functions, everything else times a scalar that went through one:
    :math:`\phi_i(s_i) \oplus \phi_j(g_j)\, x_j`.

    The input is the direct sum of scalars, gates and gated irreps, sorted and merged by e3nn's rule (``irreps_in`` says
    how; use it as the ``irreps_out`` of the layer before). Each single irrep of ``irreps_gated`` has its own gate, in
    order.
    Source: Weiler et al., 3D Steerable CNNs (2018), section 4.3.

    Args:
        irreps_scalars: scalars that are kept.
        act_scalars: a function for each of their blocks, or None.
        irreps_gates: scalars used up as gates, as many as there are gated irreps.
        act_gates: a function for each of their blocks, or None.
        irreps_gated: irreps to be gated.
        layout: "mul_ir" or "ir_mul", of input and output.

    Raises:
        InputError: scalars or gates that are none, or another number of gates.

    >>> Gate("16x0o", [torch.tanh], "32x0o", [torch.tanh], "16x1e+16x1o").irreps_out
    16x0o+16x1o+16x1e
    """

    def __init__(
        self,
        irreps_scalars: Any,
        act_scalars: Sequence[Act],
        irreps_gates: Any,
        act_gates: Sequence[Act],
        irreps_gated: Any,
        *,
        layout: str = "mul_ir",
    ) -> None:
        super().__init__()
        self.layout = choose(layout, LAYOUTS, kind="layout", where="Gate")
        scalars, gates, gated = Irreps(irreps_scalars), Irreps(irreps_gates), Irreps(irreps_gated)
        for name, irreps in (("irreps_scalars", scalars), ("irreps_gates", gates)):
            if any(mul and ir.l for mul, ir in irreps):
                raise InputError(
                    f"{name} {irreps} are not scalars", where="Gate", remedy="move the rest to irreps_gated."
                )
        if gates.num_irreps != gated.num_irreps:
            raise InputError(
                f"{gates.num_irreps} gates for {gated.num_irreps} irreps",
                where="Gate",
                remedy="give one gate for each single irrep.",
            )
        self.act_scalars = Activation(scalars, act_scalars)
        self.act_gates = Activation(gates, act_gates)
        self.irreps_scalars, self.irreps_gates, self.irreps_gated = (
            part.simplify() for part in (scalars, gates, gated)
        )
        joined = self.irreps_scalars + self.irreps_gates + self.irreps_gated
        order = joined.sort()
        self.irreps_in = order.irreps.simplify()
        self._sorted, self._places = order.irreps, order.p
        self._pieces = _gated_pieces(self.irreps_gated, self.act_gates.irreps_out.simplify())
        self.irreps_out = self.act_scalars.irreps_out + Irreps([(mul, (ir.l, ir.p * p)) for mul, ir, p in self._pieces])
        ignore_keys(self, [r"(mul|sc)\..*"])

    def _rebuild(self, state: Mapping[str, Any]) -> None:
        scalars, gates = (state["_modules"][name] for name in ("act_scalars", "act_gates"))
        Gate.__init__(
            self, scalars.irreps_in, scalars.functions(), gates.irreps_in, gates.functions(), state["irreps_gated"]
        )

    def extra_repr(self) -> str:
        return f"{self.irreps_in} -> {self.irreps_out}"

    def forward(self, features: Float[Tensor, "*batch dim_in"]) -> Float[Tensor, "*batch dim_out"]:
        """Features (..., irreps_out.dim) from (..., irreps_in.dim)."""
        require_features(features, self.irreps_in)
        pieces = self._parts(features)
        first, second = len(self.irreps_scalars), len(self.irreps_scalars) + len(self.irreps_gates)
        kept = self.act_scalars(_cat(pieces[:first], features))
        if not self._pieces:
            return kept
        numbers = self.act_gates(_cat(pieces[first:second], features)).split([mul for mul, _, _ in self._pieces], -1)
        components = -2 if self.layout == "ir_mul" else -1
        products = [
            block * number.unsqueeze(components) for block, number in zip(self._gated_blocks(pieces[second:]), numbers)
        ]
        return torch.cat([kept, *(product.flatten(-2) for product in products)], dim=-1)

    def _parts(self, features: Tensor) -> list[Tensor]:
        """The blocks of scalars, gates and gated irreps in turn, (..., block.dim)."""
        if self.layout == "ir_mul":  # neighbours of one irrep were merged: their channels lie side by side
            pieces = _unmerged(features, self._sorted, self.irreps_in)
        else:
            pieces = list(features.split([block.dim for block in self._sorted], -1))
        return [pieces[place] for place in self._places]

    def _gated_blocks(self, gated: Sequence[Tensor]) -> list[Tensor]:
        """Gated irreps in pieces that share a parity of their gates, as they lie."""
        split_blocks: list[Tensor] = []
        pieces = iter(self._pieces)
        for flat, (mul, ir) in zip(gated, self.irreps_gated):
            (block,) = blocks_as_laid(flat, Irreps([(mul, ir)]), self.layout)
            sizes: list[int] = []
            while sum(sizes) < mul:
                sizes.append(next(pieces)[0])
            channels = -1 if self.layout == "ir_mul" else -2
            split_blocks += block.split(sizes, channels) if len(sizes) > 1 else [block] * len(sizes)
        return split_blocks


def _gated_pieces(gated: Irreps, gates: Irreps) -> list[tuple[int, Any, int]]:
    """Where either of the two changes its block: (channels, irrep, parity of the gates)."""
    left: list[list[Any]] = [[mul, ir] for mul, ir in gated if mul]
    right: list[list[Any]] = [[mul, ir.p] for mul, ir in gates if mul]
    pieces = []
    while left and right:
        mul = min(left[0][0], right[0][0])
        pieces.append((mul, left[0][1], right[0][1]))
        for side in (left, right):
            side[0][0] -= mul
            if not side[0][0]:
                side.pop(0)
    return pieces


def _unmerged(features: Tensor, parts: Irreps, merged: Irreps) -> list[Tensor]:
    """The blocks of ``parts`` in ``ir_mul``, from features of ``merged``, which is ``parts`` simplified."""
    pieces: list[Tensor] = []
    remaining = [block for block in parts if block.mul]
    for block, (mul, _) in zip(blocks_as_laid(features, merged, "ir_mul"), merged):
        sizes: list[int] = []
        while sum(sizes) < mul:
            sizes.append(remaining.pop(0).mul)
        pieces += [piece.flatten(-2) for piece in (block.split(sizes, -1) if len(sizes) > 1 else [block])]
    laid = iter(pieces)
    return [next(laid) if block.mul else features.new_zeros(*features.shape[:-1], 0) for block in parts]


def _cat(pieces: Sequence[Tensor], like: Tensor) -> Tensor:
    if not pieces:
        return like.new_zeros(*like.shape[:-1], 0)
    return pieces[0] if len(pieces) == 1 else torch.cat(list(pieces), dim=-1)
