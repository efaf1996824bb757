"""Linear maps of a node's features that depend on its kind, such as its species; evaluated once for each kind that is there."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from intertwine.numerics import safe
from intertwine.o3 import Irreps, Linear


class Kinds(NamedTuple):
    """The nodes' attributes, and which nodes share them: rows ``order``, ``counts[k]`` of them of kind k, are of attributes k. With
    ``counts`` None every node has attributes of its own. ``inverse`` undoes ``order``."""

    attributes: Tensor
    order: Tensor | None = None
    inverse: Tensor | None = None
    counts: list[int] | None = None


def sort_kinds(kind: Int[Tensor, " nodes"], table: Float[Tensor, "kinds attributes"]) -> Kinds:
    """The nodes by kind; each by itself under a compiler, which can't have lists of lengths.

    Args:
        kind: number of each node's kind, a row of ``table``.
        table: attributes of each kind.
    """
    if safe.traced(kind) or not len(kind):
        return Kinds(table.index_select(0, kind))
    present, which, counts = kind.unique(return_inverse=True, return_counts=True)
    order = which.argsort(stable=True)
    inverse = torch.empty_like(order)
    inverse[order] = torch.arange(len(order), device=order.device)
    return Kinds(table.index_select(0, present), order, inverse, counts.tolist())


class SelfInteraction(nn.Module):
    r""":math:`W_{z_i} x_i`, with :math:`W_z = A^{-1/2} \sum_a \alpha_{z a} W_a` from the attributes :math:`\alpha` of a species.

    The numbers of an ``o3.FullyConnectedTensorProduct`` of features and attributes: the product with one argument fixed is a linear map.

    Args:
        irreps_in, irreps_out: representations, features in ``ir_mul``.
        attributes: A, number of attributes.
    """

    def __init__(self, irreps_in: Irreps, irreps_out: Irreps, attributes: int) -> None:
        super().__init__()
        self.shared = Linear(irreps_in, irreps_out, internal_weights=False, layout="ir_mul")
        self.single = Linear(irreps_in, irreps_out, internal_weights=False, shared_weights=False, layout="ir_mul")
        self.weight = nn.Parameter(torch.randn(attributes, self.shared.weight_numel))
        for layer in (self.shared, self.single):
            for name, buffer in list(layer.named_buffers()):
                layer.register_buffer(name, buffer, persistent=False)

    def forward(self, x: Float[Tensor, "nodes dim_in"], kinds: Kinds) -> Float[Tensor, "nodes dim_out"]:
        """One linear map for each kind, (nodes, irreps_out.dim)."""
        weights = (kinds.attributes * self.weight.shape[0] ** -0.5) @ self.weight
        if kinds.counts is None or kinds.order is None or kinds.inverse is None:
            return self.single(x, weights)
        if len(kinds.counts) == 1:
            return self.shared(x, weights[0])
        pieces = [self.shared(piece, weight) for piece, weight in zip(x.index_select(0, kinds.order).split(kinds.counts), weights)]
        return torch.cat(pieces).index_select(0, kinds.inverse)
