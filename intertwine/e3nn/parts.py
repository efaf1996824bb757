"""Two small modules that only e3nn has."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from intertwine.e3nn.errors import at_border
from intertwine.nn.extract import Extract
from intertwine.numerics import InputError
from intertwine.o3.irreps import Irreps


class Identity(nn.Module):
    """The identity, of which e3nn makes a module.

    Raises:
        InputError: the two representations differ.
    """

    output_mask: Tensor

    @at_border
    def __init__(self, irreps_in: Any, irreps_out: Any) -> None:
        super().__init__()
        self.irreps_in, self.irreps_out = Irreps(irreps_in).simplify(), Irreps(irreps_out).simplify()
        if self.irreps_in != self.irreps_out:
            raise InputError(f"{self.irreps_in} is not {self.irreps_out}", where="Identity", remedy="give the same irreps twice.")
        self.register_buffer("output_mask", torch.ones(self.irreps_out.dim))

    def __repr__(self) -> str:
        return f"Identity({self.irreps_in} -> {self.irreps_out})"

    def forward(self, features: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """The input."""
        return features


class Sortcut(nn.Module):
    """Cut features, whose irreps are sorted, into several representations: what e3nn's gate does first.

    Args:
        irreps_outs: the parts.

    Attributes:
        irreps_in: their sum, sorted and simplified.
    """

    def __init__(self, *irreps_outs: Any) -> None:
        super().__init__()
        self.irreps_outs = tuple(Irreps(irreps).simplify() for irreps in irreps_outs)
        irreps, place, _ = sum(self.irreps_outs, Irreps()).sort()
        places = iter(place)
        self.cut = Extract(irreps, self.irreps_outs, [tuple(next(places) for _ in part) for part in self.irreps_outs])
        self.irreps_in = irreps.simplify()

    def forward(self, x: Float[Tensor, "*batch dim"]) -> Any:
        """The parts of (..., irreps_in.dim)."""
        return self.cut(x)
