r"""Functions of both ends of an edge and of its attributes whose first layer is taken once per node where it can be.

A linear map of the concatenation :math:`(f_i, f_j, a_{ij})` is a sum of three, two of which commute with the gather:
with 20 neighbours a node that is a twentieth of their work.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from intertwine.nn.mlp import MLP

Part = Float[Tensor, "nodes *axes hidden"] | None


class EdgeLayer(nn.Module, ABC):
    """A function of both ends of an edge and of its attributes; ``forward`` takes what :meth:`nodes` made of them."""

    @abstractmethod
    def nodes(
        self, f_i: Float[Tensor, "nodes *axes k_i"] | None, f_j: Float[Tensor, "nodes *axes k_j"] | None
    ) -> tuple[Part, Part]:
        """The parts of the nodes, to be gathered and given to ``forward``; None where there is no such part."""

    def of_edges(
        self,
        f: Float[Tensor, "nodes *axes k"],
        attributes: Float[Tensor, "edges *axes attributes"],
        edge_index: Int[Tensor, "2 edges"],
    ) -> Float[Tensor, "edges *axes outputs"]:
        """:math:`y_{ij}` of the edges, from features of the nodes."""
        ends = zip(self.nodes(f, f), (edge_index[1], edge_index[0]))
        received, sent = (None if part is None else part.index_select(0, nodes) for part, nodes in ends)
        return self(received, sent, attributes)  # type: ignore[no-any-return]


class EdgeLinear(EdgeLayer):
    r""":math:`y_{ij} = W_1 f_i + W_2 f_j + W_3 a_{ij} + b`, the first two computed by :meth:`nodes`.

    Args:
        received: features of f_i; 0 for none.
        sent: features of f_j; 0 for none.
        attributes: features of a_ij.
        outputs: features of y_ij.
        bias: whether there is b, which starts at zero. Weights start as those of one Xavier-uniform matrix.
    """

    def __init__(self, received: int, sent: int, attributes: int, outputs: int, bias: bool = True) -> None:
        super().__init__()
        self.received = nn.Linear(received, outputs, bias=False) if received else None
        self.sent = nn.Linear(sent, outputs, bias=False) if sent else None
        self.attributes = nn.Linear(attributes, outputs, bias=bias)
        parts = [part for part in (self.received, self.sent, self.attributes) if part is not None]
        whole = nn.init.xavier_uniform_(torch.empty(outputs, received + sent + attributes))
        for part, weight in zip(parts, whole.split([part.in_features for part in parts], dim=1)):
            part.weight.data.copy_(weight)
        if bias:
            nn.init.zeros_(self.attributes.bias)

    def nodes(
        self, f_i: Float[Tensor, "nodes *axes k_i"] | None, f_j: Float[Tensor, "nodes *axes k_j"] | None
    ) -> tuple[Part, Part]:
        return (None if self.received is None else self.received(f_i)), (None if self.sent is None else self.sent(f_j))

    def forward(
        self,
        received: Float[Tensor, "edges *axes outputs"] | None,
        sent: Float[Tensor, "edges *axes outputs"] | None,
        attributes: Float[Tensor, "edges *axes attributes"],
    ) -> Float[Tensor, "edges *axes outputs"]:
        y = self.attributes(attributes)
        for part in (received, sent):
            y = y if part is None else y + part
        return y


class EdgeMLP(EdgeLayer):
    r""":math:`y_{ij} = \mathrm{MLP}(f_i, f_j, a_{ij})` with one hidden layer.

    Args:
        received: features of f_i; 0 for none.
        sent: features of f_j; 0 for none.
        attributes: features of a_ij.
        hidden: features of the hidden layer.
        outputs: features of y_ij.
        activation: the non-linearity.
    """

    def __init__(
        self,
        received: int,
        sent: int,
        attributes: int,
        hidden: int,
        outputs: int,
        activation: Callable[[Tensor], Tensor] = F.silu,
    ) -> None:
        super().__init__()
        self.first = EdgeLinear(received, sent, attributes, hidden)
        self.second = MLP([hidden, outputs])
        self.activation = activation

    def nodes(
        self, f_i: Float[Tensor, "nodes *axes k_i"] | None, f_j: Float[Tensor, "nodes *axes k_j"] | None
    ) -> tuple[Part, Part]:
        return self.first.nodes(f_i, f_j)

    def forward(
        self,
        received: Float[Tensor, "edges hidden"] | None,
        sent: Float[Tensor, "edges hidden"] | None,
        attributes: Float[Tensor, "edges attributes"],
    ) -> Float[Tensor, "edges outputs"]:
        return self.second(self.activation(self.first(received, sent, attributes)))
