"""Dropout of whole irreps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jaxtyping import Float
from torch import Tensor

from intertwine.numerics import InputError, Rebuildable, choose
from intertwine.o3 import Irreps
from intertwine.o3.blocks import LAYOUTS, join_blocks, split_blocks


class Dropout(Rebuildable):
    r"""In training, every single irrep is zero with probability p and otherwise multiplied by :math:`1/(1-p)`; one draw
    a batch entry.

    Args:
        irreps: representation of input and output.
        p: probability in [0, 1].
        layout: "mul_ir" or "ir_mul".

    Raises:
        InputError: p is not a probability.
    """

    def __init__(self, irreps: Any, p: int | float, *, layout: str = "mul_ir") -> None:
        super().__init__()
        self.layout = choose(layout, LAYOUTS, kind="layout", where="Dropout")
        if not 0 <= p <= 1:
            raise InputError(f"p={p} is not a probability", where="Dropout", remedy="give a number from 0 to 1.")
        self.irreps, self.p = Irreps(irreps), p

    def _rebuild(self, state: Mapping[str, Any]) -> None:
        Dropout.__init__(self, state["irreps"], state["p"])

    def extra_repr(self) -> str:
        return f"{self.irreps}, p={self.p}"

    def forward(self, x: Float[Tensor, "batch *samples dim"]) -> Float[Tensor, "batch *samples dim"]:
        """Features of the shape of x, (batch, ..., irreps.dim)."""
        blocks = split_blocks(x, self.irreps, self.layout)
        if x.ndim < 2:
            raise InputError(
                f"features have shape {tuple(x.shape)}",
                where="Dropout",
                remedy="give a batch axis first: x.unsqueeze(0).",
            )
        if not self.training or not blocks:
            return x
        kept = []
        for block in blocks:
            noise = x.new_empty(x.shape[0], block.shape[-2])
            noise = noise.fill_(1 - self.p) if self.p in (0, 1) else noise.bernoulli_(1 - self.p).div_(1 - self.p)
            kept.append(block * noise.reshape(x.shape[0], *[1] * (x.ndim - 2), block.shape[-2], 1))
        return join_blocks(kept, self.layout)
