r"""Convolution with a matrix-valued kernel of the edge: what MPNN's edge networks and point convolutions share."""

from __future__ import annotations

from jaxtyping import Float, Int
from torch import Tensor, nn

from intertwine.nn.convolution import Convolution
from intertwine.o3 import Irreps

NEIGHBOURS = 16  # for which the first messages are as large as the features


class KernelConvolution(nn.Module):
    r""":math:`m_i = \sum_j k(a_{ij})\, f_j` with a kernel of matrices, :math:`k(a) = \sum_m \varphi_m(a)\, H_m`.

    Any network of the edge with a linear last layer is such a kernel: :math:`\varphi` are its last hidden units, H its
    last weights. H is the same on all edges, so it leaves the sum (PointConv, Wu et al. 2019, section 4),

    .. math:: m_i = \sum_m H_m \Big(\sum_j \varphi_m(a_{ij})\, f_j\Big)

    and what is left is a convolution of invariants on the fused kernel: no edge ever holds a matrix, or a message.

    Args:
        width: features F of a node.
        functions: number of functions :math:`\varphi_m`.
        outputs: features of the message, F if None.
    """

    def __init__(self, width: int, functions: int, outputs: int | None = None) -> None:
        super().__init__()
        self.sums = Convolution(Irreps(f"{width}x0e"), Irreps([(1, "0e")] * functions), weighted=False)
        # (out, m * F): all H_m
        self.mix = nn.Linear(functions * width, width if outputs is None else outputs, bias=False)
        nn.init.normal_(self.mix.weight, std=(NEIGHBOURS * functions * width) ** -0.5)

    def forward(
        self, f: Float[Tensor, "nodes width"], phi: Float[Tensor, "edges functions"], edge_index: Int[Tensor, "2 edges"]
    ) -> Float[Tensor, "nodes outputs"]:
        r"""Messages m from features f and :math:`\varphi(a_{ij})`, which must carry the envelope of a cutoff."""
        return self.mix(self.sums(f, phi, edge_index))
