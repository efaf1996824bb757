"""What edges start with where the data give a representation of pairs of nodes, and what is seen again in recycling."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from intertwine.geometry import Graph, field, pair_rows
from intertwine.nn.radial import GaussianBasis
from intertwine.numerics import GeometryError, safe


class PairEmbedding(nn.Module):
    r""":math:`z_{ij} = W p_{ij} + b` of invariants p of pairs of nodes.

    Args:
        width: features of z.
        inputs: columns of each field, by name. A field is of level "pair": one row for each pair (i, j) of
            :func:`intertwine.geometry.pair_list`, of one column or several.
    """

    def __init__(self, width: int, inputs: Mapping[str, int]) -> None:
        super().__init__()
        self.inputs = dict(inputs)
        self.linear = nn.Linear(sum(self.inputs.values()), width)

    def forward(self, graph: Graph, edge_index: Int[Tensor, "2 edges"]) -> Float[Tensor, "edges width"]:
        """z of the edges.

        Args:
            graph: one graph or a batch.
            edge_index: (j, i); z_ij is of the pair (i, j).

        Raises:
            GeometryError: a field is missing, not finite, or of another shape; a pair is not listed.
        """
        rows = pair_rows(graph, edge_index[1], edge_index[0])
        columns = []
        for name, width in self.inputs.items():
            value = field(graph, name)
            value = (value.unsqueeze(-1) if value.ndim == 1 else value.flatten(1)).to(graph.precision)
            if value.shape[1] != width or (len(rows) and len(value) <= int(rows.max())):
                what = f"shape {tuple(value.shape)}, and the model takes {width} columns for each pair of nodes"
                remedy = f'give (pairs, {width}) and declare it: Graph(..., levels={{"{name}": "pair"}}).'
                raise GeometryError(what, where=name, remedy=remedy)
            columns.append(value.index_select(0, rows))
        return self.linear(torch.cat(columns, dim=1))


class Recycling(nn.Module):
    r"""What a pass through a model tells the next one:
    :math:`s_i \mathrel{+}= \mathrm{norm}(s_i^{before})`, :math:`z_{ij} \mathrel{+}= W e(d_{ij}^{before})`.

    Jumper et al. 2021, algorithm 32, with smooth functions of the distance, from 3 3/8 to 21 3/8 A, in the place of its
    15 bins.

    Args:
        width: features of s.
        edge_width: features of z.
    """

    def __init__(self, width: int, edge_width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.radial = GaussianBasis(15, 21.375, 3.375)
        self.linear = nn.Linear(15, edge_width)

    def forward(
        self, s: Float[Tensor, "nodes width"], x_ij: Float[Tensor, "edges 3"]
    ) -> tuple[Float[Tensor, "nodes width"], Float[Tensor, "edges edge_width"]]:
        """What is added to s and z.

        Args:
            s: the last s of the pass before.
            x_ij: from node i to node j at its end (A).
        """
        return self.norm(s), self.linear(self.radial(safe.norm(x_ij)))
