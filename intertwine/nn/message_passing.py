r"""The core of the library: message passing conditioned on geometry (lecture 3.2).

.. math::
    m_{ij} = \phi_m(f_i, f_j, a_{ij}), \qquad f_i' = \phi_f\Big(f_i, \sum_{j \in N(i)} m_{ij}\Big)

Every architecture is a choice of where the features f live, what they transform like, and what the message may look at.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from jaxtyping import Int
from torch import Tensor, nn

from intertwine.numerics import segment


class MessagePassing(nn.Module, ABC):
    r"""One layer. A subclass writes :math:`\phi_m` as ``message`` and :math:`\phi_f` as ``update``.

    Features, messages and attributes are tensors or tuples of tensors (scalars and vectors, say); None stands for "not
    looked at" and is never gathered. ``prepare`` may transform features once per node before they are sent along the
    edges: a linear map shared by all edges commutes with the gather and costs far less there. A subclass states the
    shapes of its own (:mod:`intertwine.nn.shapes` names those that many share).
    """

    def prepare(self, f: Any) -> tuple[Any, Any]:
        """What a node shows to the messages it receives, and to those it sends: (f_i, f_j)."""
        return f, f

    @abstractmethod
    def message(self, f_i: Any, f_j: Any, a_ij: Any) -> Any:
        r""":math:`m_{ij} = \phi_m(f_i, f_j, a_{ij})`, one row per edge."""

    def aggregate(self, m_ij: Any, i: Int[Tensor, " edges"], nodes: int) -> Any:
        r""":math:`m_i = \sum_{j \in N(i)} m_{ij}`."""
        return _map(lambda m: segment.sum(m, i, nodes), m_ij)

    @abstractmethod
    def update(self, f_i: Any, m_i: Any) -> Any:
        r""":math:`f_i' = \phi_f(f_i, m_i)`, one row per node."""

    def forward(self, f: Any, a_ij: Any, edge_index: Int[Tensor, "2 edges"]) -> Any:
        """Gather, message, aggregate, update. ``edge_index`` holds the sources j, then the destinations i."""
        j, i = edge_index
        received, sent = self.prepare(f)
        m_ij = self.message(
            _map(lambda x: x.index_select(0, i), received), _map(lambda x: x.index_select(0, j), sent), a_ij
        )
        return self.update(f, self.aggregate(m_ij, i, _nodes(f)))


def _map(function: Callable[[Tensor], Tensor], x: Any) -> Any:
    if x is None:
        return None
    return tuple(_map(function, y) for y in x) if isinstance(x, tuple) else function(x)


def _nodes(f: Any) -> int:
    return _nodes(f[0]) if isinstance(f, tuple) else f.shape[0]
