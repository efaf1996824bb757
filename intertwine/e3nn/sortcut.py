"""The first step of e3nn's gate, which programs import from its private module."""

from __future__ import annotations

from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from intertwine.nn.irreps.extract import Extract
from intertwine.o3.irreps import Irreps


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
