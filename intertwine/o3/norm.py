"""Norms of irreps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from intertwine.numerics import Rebuildable, choose, ignore_keys, safe
from intertwine.o3.blocks import LAYOUTS, split_blocks
from intertwine.o3.irreps import Irreps


class Norm(Rebuildable):
    r"""The Euclidean norm :math:`\|x_u\|` of every single irrep, or its square.

    A zero vector has norm 0 with derivatives 0 (e3nn's convention for the first one, here to every order).

    Args:
        irreps_in: representation of the input; neighbours of one irrep are merged, as e3nn does.
        squared: whether to leave out the square root.
        layout: "mul_ir" or "ir_mul", of the input; the output is scalars.

    >>> Norm("2x1o")(torch.tensor([3.0, 0.0, 4.0, 0.0, 0.0, 0.0]))
    tensor([5., 0.])
    """

    def __init__(self, irreps_in: Any, squared: bool = False, *, layout: str = "mul_ir") -> None:
        super().__init__()
        self.layout = choose(layout, LAYOUTS, kind="layout", where="Norm")
        self.irreps_in = Irreps(irreps_in).simplify()
        self.irreps_out = Irreps([(mul, "0e") for mul, _ in self.irreps_in]).simplify()
        self.squared = squared
        ignore_keys(self, [r"tp\..*"])

    def _rebuild(self, state: Mapping[str, Any]) -> None:
        Norm.__init__(self, state["irreps_in"], state["squared"])

    def extra_repr(self) -> str:
        return f"{self.irreps_in} -> {self.irreps_out}"

    def forward(self, features: Float[Tensor, "*batch dim_in"]) -> Float[Tensor, "*batch dim_out"]:
        """Norms (..., irreps_out.dim) of features (..., irreps_in.dim), in the unit of the features (or its square)."""
        squares = [block.square().sum(-1) for block in split_blocks(features, self.irreps_in, self.layout)]
        if not squares:
            return features.new_zeros(*features.shape[:-1], 0)
        joined = squares[0] if len(squares) == 1 else torch.cat(squares, dim=-1)
        return joined if self.squared else safe.sqrt(joined)
