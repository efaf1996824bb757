"""Anisotropic filters: linear maps of an edge's features whose matrix is a function of where the neighbour is."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from intertwine.nn.mlp import MLP


class AnisotropicFilter(nn.Module):
    r""":math:`y_{ij} = W(p_{ij})\, z_{ij}` with a matrix for every edge, :math:`W(p) = \sum_m \varphi_m(p)\, H_m`.

    :math:`\varphi` is one hidden layer and a constant, so that W is a network of p with a linear last layer; the matrix
    itself is never made. p has to be invariant, such as a position in the coordinates of a local frame, where it tells
    directions apart: hence anisotropic. Kofinas, Nagaraja, Gavves 2021 (arXiv:2110.14961), "anisotropic filtering".

    Args:
        positions: columns of p.
        columns: columns of z.
        hidden: units of the hidden layer.
        outputs: columns of y.
    """

    def __init__(self, positions: int, columns: int, hidden: int, outputs: int) -> None:
        super().__init__()
        self.network = MLP([positions, hidden], last=True)
        self.matrices = nn.Linear((hidden + 1) * columns, outputs, bias=False)  # all H_m, beside each other
        nn.init.normal_(self.matrices.weight, std=((hidden + 1) * columns) ** -0.5)

    def forward(
        self, z: Float[Tensor, "edges columns"], p: Float[Tensor, "edges positions"]
    ) -> Float[Tensor, "edges out"]:
        phi = torch.cat([self.network(p), torch.ones_like(p[:, :1])], dim=1)
        return self.matrices((phi.unsqueeze(-1) * z.unsqueeze(1)).flatten(1))  # type: ignore[no-any-return]
