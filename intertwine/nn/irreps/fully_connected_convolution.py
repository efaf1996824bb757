r"""The convolution with weights shared by all edges: a product without weights, and a linear map of the nodes (partial
evaluation).

.. math:: \sum_{j \in N(i)} \sum_{uv} W_{uvw}\, x_{j u} \otimes y_{ij\,v}
    = \sum_{uv} W_{uvw} \Big( \sum_{j \in N(i)} x_{j u} \otimes y_{ij\,v} \Big)

W commutes with the sum: it is applied once for each node rather than once for each edge, and the edges only see the
fused kernel.
"""

from __future__ import annotations

from itertools import accumulate
from math import prod
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from intertwine.nn.convolution import Convolution
from intertwine.numerics import InputError, safe
from intertwine.o3.blocks import join_blocks, require_features, split_blocks
from intertwine.o3.irreps import Irreps
from intertwine.o3.linear import Linear


class FullyConnectedConvolution(nn.Module):
    r"""Every path, all channels mixed by weights that belong to the layer and are the same for all edges:

    .. math:: z_{i w} = \sqrt{\frac{2 l_3 + 1}{F \bar N}} \sum_{j \in N(i)} \sum_{\text{paths}} \sum_{u v}
        W_{u v w}\, (x_{j u} \otimes y_{ij\,v})_{l_3}

    with F the number of terms (u, v) of all paths to the block. These are the numbers of an
    ``o3.FullyConnectedTensorProduct`` on every edge, summed at the destinations, and the parameter has its name, order
    and normalisation: either loads the other's ``state_dict``.

    For weights that depend on the distance multiply ``edge_attr`` by functions of it, or take a :class:`Convolution`
    and a linear map.

    Args:
        irreps_in, irreps_edge, irreps_out: representations of x, y and z.
        average_degree: :math:`\bar N`, the average number of neighbours; 1 gives the plain sum.
        layout: of x, y and z, ``"ir_mul"`` or ``"mul_ir"``.
        dtype, device: of the weights; None is torch's default.

    Attributes:
        convolution: the product without weights. linear: the map of the nodes. weight: its weights, standard normal at
            first.
        output_mask: 1 where z may differ from 0.

    Raises:
        InputError: nothing of ``irreps_out`` can be reached, an unknown layout, an average degree that is not positive.

    >>> layer = FullyConnectedConvolution("8x0e+8x1o", "0e+1o", "4x0e+4x1o")
    >>> x, y, edge_index = torch.randn(3, 32), torch.randn(2, 4), torch.tensor([[0, 1], [2, 2]])
    >>> layer(x, y, edge_index).shape, layer.weight_numel
    (torch.Size([3, 16]), 128)
    """

    output_mask: Tensor

    def __init__(
        self,
        irreps_in: Any,
        irreps_edge: Any,
        irreps_out: Any,
        *,
        average_degree: int | float = 1,
        layout: str = "ir_mul",
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__()
        self.irreps_in, self.irreps_edge, self.irreps_out = Irreps(irreps_in), Irreps(irreps_edge), Irreps(irreps_out)
        self.layout = layout
        apart = Irreps([(1, ir) for mul, ir in self.irreps_edge for _ in range(mul)])  # the channels v one by one
        self.convolution = Convolution(
            self.irreps_in,
            apart,
            self.irreps_out.remove_zero_multiplicities(),
            weighted=False,
            average_degree=average_degree,
            layout=layout,
        )
        self.linear = self._linear({"dtype": dtype, "device": device})
        self.weight_numel = self.linear.weight_numel
        self.weight = nn.Parameter(torch.randn(self.weight_numel, dtype=dtype, device=device))
        self.register_buffer("output_mask", self.linear.get_buffer("output_mask").clone())
        for name, buffer in list(self.linear.named_buffers()):  # what is saved is what a tensor product saves
            self.linear.register_buffer(name, buffer, persistent=False)

    def _linear(self, factory: dict[str, Any]) -> Linear:
        """From the blocks of the convolution to those of z; its weights as (path, v, u, w)."""
        first = [0, *accumulate(mul for mul, _ in self.irreps_edge)]
        mixed = self.convolution.irreps_out
        places = {(path.i_in1, path.i_in2, mixed[path.i_out].ir): path.i_out for path in self.convolution.instructions}
        self._shapes: list[tuple[int, int, int]] = []
        pairs = []
        for a, (mul1, ir_in) in enumerate(self.irreps_in):
            for b, (mul2, other) in enumerate(self.irreps_edge):
                for c, (mul, ir) in enumerate(self.irreps_out):
                    if mul1 and mul2 and mul and ir in ir_in * other:
                        self._shapes.append((mul1, mul2, mul))
                        pairs += [(places[a, first[b] + v, ir], c) for v in range(mul2)]
        return Linear(mixed, self.irreps_out, instructions=pairs, internal_weights=False, layout=self.layout, **factory)

    def extra_repr(self) -> str:
        return (
            f"{self.irreps_in} x {self.irreps_edge} -> {self.irreps_out} | {self.weight_numel} weights, "
            f"layout={self.layout!r}"
        )

    def forward(
        self,
        x: Float[Tensor, "senders dim_in"],
        edge_attr: Float[Tensor, "edges dim_edge"],
        edge_index: Int[Tensor, "2 edges"],
        nodes: int | None = None,
    ) -> Float[Tensor, "nodes dim_out"]:
        """z, the sum of the messages at every node; 0 at a node without edges.

        Args:
            x: features of the nodes, (nodes, irreps_in.dim).
            edge_attr: attributes y of the edges, (edges, irreps_edge.dim).
            edge_index: int64, the sources j, then the destinations i; in any order.
            nodes: number of rows of z; that of x if None.

        Returns:
            (nodes, irreps_out.dim).

        Raises:
            InputError: a shape, precision or device that does not fit, an index out of range.
        """
        require_features(edge_attr, self.irreps_edge)
        if x.dtype != self.weight.dtype and not safe.autocasting(x):
            raise InputError(
                f"the layer is in {self.weight.dtype}, x in {x.dtype}",
                where="x",
                remedy="cast one of them, with .to(dtype).",
            )
        if self.layout == "ir_mul" and any(mul > 1 and ir.l for mul, ir in self.irreps_edge):
            edge_attr = join_blocks(split_blocks(edge_attr, self.irreps_edge, "ir_mul"), "mul_ir")
        return self.linear(self.convolution(x, edge_attr, edge_index, nodes=nodes), self._by_edge_channel())

    def _by_edge_channel(self) -> Tensor:
        """The weights of each path as (v, u, w) rather than (u, v, w)."""
        if all(min(mul1, mul2) <= 1 for mul1, mul2, _ in self._shapes):
            return self.weight
        pieces = self.weight.split([prod(shape) for shape in self._shapes])
        return torch.cat([piece.view(shape).transpose(0, 1).flatten() for piece, shape in zip(pieces, self._shapes)])
