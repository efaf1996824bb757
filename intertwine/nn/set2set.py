"""Set2set: a readout that asks the nodes several questions, each after the answer to the last."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from intertwine.geometry import Graph
from intertwine.groups import Representation
from intertwine.nn.checks import check_sizes
from intertwine.nn.mlp import MLP
from intertwine.nn.readout import require
from intertwine.nn.recurrent import LSTMCell
from intertwine.numerics import segment


class Set2Set(nn.Module):
    r"""From the features of a graph's nodes to a vector of the graph, whatever their order and number.

    .. math::
        q_t &= \mathrm{LSTM}(q^*_{t-1}), \qquad \alpha_{it} = \mathrm{softmax}_i\, (f_i \cdot q_t) \\
        r_t &= \textstyle\sum_i \alpha_{it} f_i, \qquad q^*_t = (q_t, r_t)

    with :math:`q^*_0 = 0`; a graph without nodes has r = 0. Vinyals, Bengio and Kudlur, ICLR 2016 (arXiv:1511.06391),
    eq. 3 to 7; the readout of Gilmer et al. 2017.

    Args:
        width: features F of a node.
        steps: questions asked.

    Raises:
        InputError: a size is not positive.
    """

    def __init__(self, width: int, steps: int = 3) -> None:
        super().__init__()
        check_sizes(width=width, steps=steps)
        self.width, self.steps = width, steps
        self.lstm = LSTMCell(2 * width, width)

    def forward(self, f: Float[Tensor, "nodes width"], graph: Graph) -> Float[Tensor, "graphs answers"]:
        """Invariants f of the nodes to :math:`q^*_T` (graphs, 2F)."""
        owner, graphs = graph.membership(), graph.graphs
        q, memory, r = (f.new_zeros(graphs, self.width) for _ in range(3))
        for _ in range(self.steps):
            q, memory = self.lstm(torch.cat([q, r], dim=-1), (q, memory))
            attention = segment.softmax((f * q.index_select(0, owner)).sum(-1), owner, graphs)
            r = segment.sum(attention.unsqueeze(-1) * f, owner, graphs)
        return torch.cat([q, r], dim=-1)


class SetHead(nn.Module):
    r""":math:`y = \mathrm{MLP}(\mathrm{set2set}(W s_i))`: scalars of a graph from the scalars (0e) of its nodes.

    Unlike a sum over nodes it is not extensive: for properties that do not add up.

    Args:
        irreps: representation of the node features.
        outputs: scalars per graph.
        steps: questions asked.

    Raises:
        InputError: the features have no scalars.
    """

    def __init__(self, irreps: Representation, outputs: int = 1, steps: int = 3) -> None:
        super().__init__()
        self.irreps = require(irreps, "0e", "a scalar target")
        width = self.irreps.count("0e")
        self.project = nn.Linear(width, width)
        self.set = Set2Set(width, steps)
        self.mlp = MLP([2 * width, width, outputs])

    def forward(self, f: Float[Tensor, "nodes features"], graph: Graph) -> Float[Tensor, "graphs outputs"]:
        return self.mlp(self.set(self.project(self.irreps.part(f, "0e").squeeze(-1)), graph))
