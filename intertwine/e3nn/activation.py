"""The activation of scalars, which programs hand to ``torch.fx``."""

from __future__ import annotations

from typing import Any

import torch
from torch import fx

from intertwine.nn.irreps import activation


class Activation(activation.Activation):
    """:class:`intertwine.nn.Activation` that ``torch.fx.symbolic_trace`` can follow, which mace does before it compiles
    a network.
    """

    def forward(self, features: Any, dim: int = -1) -> Any:
        """As :class:`intertwine.nn.Activation`; without a check of the size while a graph is recorded."""
        if not isinstance(features, fx.Proxy):
            return super().forward(features, dim)
        pieces: Any = features.split([block.dim for block in self.irreps_in], dim)
        return torch.cat([pieces[i] if act is None else act(pieces[i]) for i, act in enumerate(self.acts)], dim=dim)
