r"""Attention over the edges of a node, smooth where a neighbour enters or leaves.

.. math::
    w_{ij} = \frac{c_{ij}\, e^{a_{ij}}}{1 + \sum_{k \in N(i)} c_{ik}\, e^{a_{ik}}}

with logits a and an envelope c that vanishes at the cutoff. The 1 is an edge to nowhere with logit 0. Without it the
weight of a node's only neighbour would be one however close to the cutoff it is, and jump to zero there; with it every
weight is as smooth as the envelope. A mean is attention with all logits zero:
:math:`\sum_j c_{ij} x_{ij} / (1 + \sum_j c_{ij})`.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from intertwine.numerics import segment


def edge_softmax(
    logits: Float[Tensor, "edges *heads"],
    envelope: Float[Tensor, " edges"] | None,
    index: Int[Tensor, " edges"],
    nodes: int,
) -> Float[Tensor, "edges *heads"]:
    r"""Weights :math:`w_{ij}` of the edges, the same for any order of the edges; of one node they sum to less than one.

    Args:
        logits: :math:`a_{ij}`, one or several (heads, channels) for each edge. Any size: nothing overflows.
        envelope: :math:`c_{ij} \ge 0`; None where all pairs are connected, for the ordinary softmax, whose weights sum
            to one.
        index: the node i that an edge belongs to.
        nodes: number of nodes.
    """
    if envelope is None:
        return segment.softmax(logits, index, nodes)
    p, rest = _exponentials(logits, envelope, index, nodes)
    return p / (rest + segment.sum(p, index, nodes)).index_select(0, index)


def attend(
    logits: Float[Tensor, "edges *heads"],
    envelope: Float[Tensor, " edges"] | None,
    values: Float[Tensor, "edges *shape"],
    index: Int[Tensor, " edges"],
    nodes: int,
    nowhere: bool = True,
) -> Float[Tensor, "nodes *shape"]:
    r""":math:`y_i = \sum_j w_{ij} x_{ij}`, normalised once per node instead of once per edge.

    Args:
        logits: :math:`a_{ij}`, of a shape that broadcasts against that of the values: (edges, 1) or (edges, channels),
            say.
        envelope: as in :func:`edge_softmax`.
        values: :math:`x_{ij}`.
        index: the node i that an edge belongs to.
        nodes: number of nodes.
        nowhere: the edge to nowhere. Without it weights sum to one; every node then needs an edge whose envelope is 1,
            one to itself say.
    """
    if envelope is None:
        return segment.sum(segment.softmax(logits, index, nodes) * values, index, nodes)
    p, rest = _exponentials(logits, envelope, index, nodes, nowhere)
    return segment.sum(p * values, index, nodes) / (rest + segment.sum(p, index, nodes))


def edge_mean(
    values: Float[Tensor, "edges *shape"],
    envelope: Float[Tensor, " edges"] | None,
    index: Int[Tensor, " edges"],
    nodes: int,
) -> Float[Tensor, "nodes *shape"]:
    r""":math:`y_i = \sum_j c_{ij} x_{ij} / (1 + \sum_j c_{ij})`: a mean that does not jump when a neighbour enters;
    without an envelope the plain mean."""
    if envelope is None:
        return segment.mean(values, index, nodes)
    total = segment.sum(_columns(envelope, values.ndim) * values, index, nodes)
    return total / (1 + _columns(segment.sum(envelope, index, nodes), values.ndim))


def _exponentials(
    logits: Float[Tensor, "edges *heads"],
    envelope: Float[Tensor, " edges"],
    index: Int[Tensor, " edges"],
    nodes: int,
    nowhere: bool = True,
) -> tuple[Float[Tensor, "edges *heads"], Float[Tensor, "nodes *heads"]]:
    r""":math:`c_{ij} e^{a_{ij} - m_i}` of the edges and :math:`e^{-m_i}` of the nodes,
    :math:`m_i = \max(0, \max_j(a_{ij} + \ln c_{ij}))`; without the edge to nowhere zeros, and m without the 0.

    The largest term of a node is one, and the weights do not depend on m, which therefore counts as a constant. Edges
    outside of the envelope take no part, not even in m; nor do those where c is so small (1e-19 in float32, 1e-154 in
    float64) that 1/c squared, which second derivatives contain, would overflow.
    """
    smallest = torch.finfo(logits.dtype).tiny ** 0.5
    inside = _columns(envelope > smallest, logits.ndim)
    c = torch.where(inside, _columns(envelope, logits.ndim), 0.0)
    a = torch.where(inside, logits, 0.0)
    with torch.no_grad():
        top = torch.where(inside, a + c.clamp(min=smallest).log(), 0.0 if nowhere else -torch.inf)
        shift = segment.max(top, index, nodes)
        shift = shift.clamp(min=0) if nowhere else shift
    p = (a - shift.index_select(0, index)).exp() * c
    return p, (-shift).exp() if nowhere else torch.zeros_like(shift)


def _columns(x: Shaped[Tensor, " rows"], ndim: int) -> Shaped[Tensor, "rows ..."]:
    return x.view(-1, *[1] * (ndim - 1))
