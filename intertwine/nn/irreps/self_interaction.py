r"""Linear maps of a node's features that depend on its kind, such as its species; evaluated once for each kind that is
there.

Few nodes take one map for all kinds instead, K times the multiplications and a K-th of the calls; so do nodes with
attributes of their own:

.. math:: W_{z_i} x_i = (W_1 \dots W_K)\, (\delta_{z_i 1} x_i, \dots, \delta_{z_i K} x_i), \qquad
    \sum_a \alpha_{ia} W_a x_i = (W_1 \dots W_A)\, (\alpha_{i1} x_i, \dots, \alpha_{iA} x_i)
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from intertwine.kernels.linear.plan import Mixing
from intertwine.numerics import safe
from intertwine.o3 import Irreps, Linear
from intertwine.o3.mixing import applicable, mix

#: Multiplications of one kind's map, below which calls cost more than they do; measured on 32 channels to l = 2.
FEW_MULTIPLICATIONS = 4_000_000


class Kinds(NamedTuple):
    """The nodes' attributes, and which nodes share them: rows ``order``, ``counts[k]`` of them of kind k, are of
    attributes k. With ``counts`` None every node has attributes of its own. ``inverse`` undoes ``order``. ``which``
    (nodes, kinds) is 1 where a node is of a kind."""

    attributes: Float[Tensor, "rows attributes"]
    order: Int[Tensor, " nodes"] | None = None
    inverse: Int[Tensor, " nodes"] | None = None
    counts: list[int] | None = None
    which: Float[Tensor, "nodes kinds"] | None = None


def sort_kinds(kind: Int[Tensor, " nodes"], table: Float[Tensor, "kinds attributes"]) -> Kinds:
    """The nodes by kind; each kind separately under a compiler or in a CUDA graph, which can't have lists of lengths.

    Args:
        kind: number of each node's kind, a row of ``table``.
        table: attributes of each kind.
    """
    if safe.traced(kind) or safe.captured(kind) or not len(kind):
        return Kinds(table.index_select(0, kind))
    present, which, counts = kind.unique(return_inverse=True, return_counts=True)
    order = which.argsort(stable=True)
    inverse = torch.empty_like(order)
    inverse[order] = torch.arange(len(order), device=order.device)
    one_hot = torch.nn.functional.one_hot(which, len(present)).to(table.dtype)
    return Kinds(table.index_select(0, present), order, inverse, counts.tolist(), one_hot)


@lru_cache
def _joint(irreps_in: Irreps, irreps_out: Irreps, kinds: int) -> Mixing | None:
    """The maps of all kinds side by side, as one."""
    return Linear([*irreps_in] * kinds, irreps_out, internal_weights=False, layout="ir_mul")._mixing


def _outer(numbers: Float[Tensor, "nodes k"], x: Float[Tensor, "nodes dim"]) -> Float[Tensor, "nodes k*dim"]:
    """A copy of x (nodes, dim) times each of the numbers (nodes, k) of its node, side by side."""
    return (numbers.unsqueeze(-1) * x.unsqueeze(1)).flatten(1)


class SelfInteraction(nn.Module):
    r""":math:`W_{z_i} x_i`, with :math:`W_z = A^{-1/2} \sum_a \alpha_{z a} W_a` from the attributes :math:`\alpha` of a
    species.

    The numbers of an ``o3.FullyConnectedTensorProduct`` of features and attributes: the product with one argument fixed
    is a linear map.

    Args:
        irreps_in, irreps_out: representations, features in ``ir_mul``.
        attributes: A, number of attributes.
    """

    def __init__(self, irreps_in: Irreps, irreps_out: Irreps, attributes: int) -> None:
        super().__init__()
        self.irreps_in, self.irreps_out = irreps_in, irreps_out
        self.cost = sum(mul * ir.dim * irreps_out.count(ir) for mul, ir in irreps_in)
        self.shared = Linear(irreps_in, irreps_out, internal_weights=False, layout="ir_mul")
        self.joint = Linear([*irreps_in] * attributes, irreps_out, internal_weights=False, layout="ir_mul")
        self.weight = nn.Parameter(torch.randn(attributes, self.shared.weight_numel))
        for layer in (self.shared, self.joint):
            for name, buffer in list(layer.named_buffers()):
                layer.register_buffer(name, buffer, persistent=False)

    def forward(self, x: Float[Tensor, "nodes dim_in"], kinds: Kinds) -> Float[Tensor, "nodes dim_out"]:
        """One linear map for each kind, (nodes, irreps_out.dim)."""
        if kinds.counts is None or kinds.order is None or kinds.inverse is None:
            return self.joint(_outer(kinds.attributes, x), self.weight.reshape(-1))
        weights = (kinds.attributes * self.weight.shape[0] ** -0.5) @ self.weight
        if len(kinds.counts) == 1:
            return self.shared(x, weights[0])
        if kinds.which is not None and len(x) * self.cost <= FEW_MULTIPLICATIONS and applicable(x, weights):
            plan, many = _joint(self.irreps_in, self.irreps_out, len(kinds.counts)), len(kinds.counts)
            if plan is not None:
                return mix(_outer(kinds.which, x), weights.reshape(-1) * many**0.5, plan)
        pieces = [
            self.shared(piece, weight)
            for piece, weight in zip(x.index_select(0, kinds.order).split(kinds.counts), weights)
        ]
        return torch.cat(pieces).index_select(0, kinds.inverse)
