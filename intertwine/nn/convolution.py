r"""Convolutions by tensor products: features of the neighbours times attributes of the edges, summed at every node.

.. math:: z_i = \frac{1}{\sqrt{\bar N}} \sum_{j \in N(i)} x_j \otimes_{w_{ij}} y_{ij}

The attributes y are most often harmonics :math:`Y(r_{ij})`. Gather, product and sum are one kernel
(:class:`intertwine.kernels.convolution.fused.Fused`): no messages are stored. Two kinds of weights are useful:

* weights of each edge that keep the channels apart, followed by a linear map of the nodes: :class:`Convolution`;
* weights shared by all edges that mix channels. They commute with the sum, so they too are a linear map of the nodes:
  :class:`~intertwine.nn.irreps.fully_connected_convolution.FullyConnectedConvolution`.

Weights of each edge that mix channels (a matrix for each edge and path) commute with nothing, and cost edges x channels
in x channels out. There is no layer for them: take ``segment.sum`` of an ``o3.FullyConnectedTensorProduct``.
"""

from __future__ import annotations

from math import inf
from typing import Any

from jaxtyping import Float, Int
from torch import Tensor, nn

from intertwine.kernels.convolution.fused import Fused
from intertwine.numerics import InputError, choose
from intertwine.o3.blocks import LAYOUTS, require_features, require_tensors
from intertwine.o3.irreps import Irreps
from intertwine.o3.tensor_product import TensorProduct


class Convolution(nn.Module):
    r"""Every channel of x times the attributes of each edge, with weights of the edge, summed at the destinations:

    .. math::
        z^{p}_{i u} = \sqrt{\frac{2 l_3 + 1}{V \bar N}} \sum_{j \in N(i)} \sum_{v}
        w^{p}_{ij\,uv}\, (x_{j u} \otimes y_{ij\,v})_{l_3}

    A path p takes one block of x (channels u) and one of y (channels v = 1 ... V, most often one) to a block of z of
    its own. If x, y and w have independent components of variance 1, so has each term; and so has the sum where a node
    has :math:`\bar N` neighbours.

    The blocks of z are sorted by irrep, those of one irrep in the order of the blocks of x and then of y, and the
    weights lie in the order of the blocks of z: that is MACE's order.
    ``o3.Linear(layer.irreps_out, ..., layout=layer.layout)`` mixes them. (In ``ir_mul`` don't call ``simplify`` on
    ``irreps_out``: neighbouring blocks of one irrep are not one block there.)

    Args:
        irreps_in: representation of x.
        irreps_edge: representation of the attributes y, such as ``Irreps.spherical_harmonics(2)``, in component
            normalisation.
        filter_ir_out: irreps to keep in z, whatever their multiplicities; None keeps all.
        lmax: largest degree to keep in z; None keeps all.
        weighted: whether the edges bring weights; without, all w are 1.
        average_degree: :math:`\bar N`, the average number of neighbours; 1 gives the plain sum.
        layout: of x, y and z, ``"ir_mul"`` or ``"mul_ir"``.

    Attributes:
        irreps_out: representation of z. weight_numel: number of weights of an edge.
        instructions: the paths in the words of ``o3.TensorProduct``, with their normalisation (but for the degree) in
            ``path_weight``.

    Raises:
        InputError: nothing that is asked for can be reached, an unknown layout, an average degree that is not positive.

    Source: Thomas et al., "Tensor field networks" (2018); Batzner et al., "E(3)-equivariant graph neural networks for
    data-efficient and accurate interatomic potentials" (2022).

    >>> layer = Convolution("8x0e+8x1o", "0e+1o+2e", "0e+1o", average_degree=2)
    >>> layer.irreps_out, layer.weight_numel
    (8x0e+8x0e+8x1o+8x1o+8x1o, 40)
    >>> import torch
    >>> x, y, edge_index = torch.randn(3, 32), torch.randn(2, 9), torch.tensor([[0, 1], [2, 2]])
    >>> layer(x, y, edge_index, torch.randn(2, 40)).shape
    torch.Size([3, 88])
    """

    def __init__(
        self,
        irreps_in: Any,
        irreps_edge: Any,
        filter_ir_out: Any = None,
        *,
        lmax: int | None = None,
        weighted: bool = True,
        average_degree: int | float = 1,
        layout: str = "ir_mul",
    ) -> None:
        super().__init__()
        self.irreps_in, self.irreps_edge = Irreps(irreps_in), Irreps(irreps_edge)
        self.layout = choose(layout, LAYOUTS, kind="layout", where="Convolution")
        if not isinstance(average_degree, int | float) or not 0 < average_degree < inf:
            raise InputError(
                f"{average_degree} neighbours on average", where="average_degree", remedy="give a number > 0."
            )
        self.average_degree, self.weighted = float(average_degree), weighted
        self.irreps_out, paths = self._paths(None if filter_ir_out is None else Irreps(filter_ir_out), lmax)
        product = TensorProduct(
            self.irreps_in,
            self.irreps_edge,
            self.irreps_out,
            paths,
            shared_weights=False,
            internal_weights=False,
            layout=layout,
        )
        self.instructions, self.weight_numel = product.instructions, product.weight_numel
        self.fused = Fused(product.kernel.plan)

    def _paths(self, kept: Irreps | None, lmax: int | None) -> tuple[Irreps, list[tuple[int, int, int, str, bool]]]:
        """The blocks of z, and the paths to them in their order."""
        paths = [
            (a, b, mul, ir)
            for a, (mul, ir_in) in enumerate(self.irreps_in)
            for b, (channels, other) in enumerate(self.irreps_edge)
            for ir in ir_in * other
            if mul and channels
        ]
        wanted = [path for path in paths if (kept is None or path[3] in kept) and (lmax is None or path[3].l <= lmax)]
        if paths and not wanted and (kept is None or len(kept)):
            asked = " ".join([*([] if kept is None else [str(kept)]), *([] if lmax is None else [f"l <= {lmax}"])])
            reachable = Irreps([(1, ir) for ir in sorted({path[3] for path in paths})])
            raise InputError(
                f"no path from {self.irreps_in} with {self.irreps_edge} leads to {asked}",
                where="filter_ir_out",
                remedy=f"these can be reached: {reachable}.",
            )
        irreps, _, order = Irreps([(mul, ir) for *_, mul, ir in wanted]).sort()
        return irreps, [(wanted[old][0], wanted[old][1], new, "uvu", self.weighted) for new, old in enumerate(order)]

    def extra_repr(self) -> str:
        return (
            f"{self.irreps_in} x {self.irreps_edge} -> {self.irreps_out} | {self.weight_numel} weights an edge, "
            f"layout={self.layout!r}"
        )

    def forward(
        self,
        x: Float[Tensor, "senders dim_in"],
        edge_attr: Float[Tensor, "edges dim_edge"],
        edge_index: Int[Tensor, "2 edges"],
        weight: Float[Tensor, "edges weights"] | None = None,
        nodes: int | None = None,
    ) -> Float[Tensor, "nodes dim_out"]:
        """z, the sum of the messages at every node; 0 at a node without edges.

        Args:
            x: features of the nodes, (nodes, irreps_in.dim).
            edge_attr: attributes y of the edges, (edges, irreps_edge.dim).
            edge_index: int64, the sources j, then the destinations i; in any order.
            weight: w, (edges, weight_numel); None for a layer without weights.
            nodes: number of rows of z; that of x if None.

        Returns:
            (nodes, irreps_out.dim).

        Raises:
            InputError: a shape, precision or device that does not fit, an index out of range, weights that are missing
                or not needed.
        """
        self._check(x, edge_attr, edge_index, weight)
        y = edge_attr if self.average_degree == 1 else edge_attr * self.average_degree**-0.5
        return self.fused.convolve(x, y, weight, edge_index[0], edge_index[1], nodes)

    def _check(self, x: Tensor, edge_attr: Tensor, edge_index: Tensor, weight: Tensor | None) -> None:
        require_tensors(x=x, edge_attr=edge_attr, edge_index=edge_index, weight=weight)
        if edge_attr is None:
            raise InputError(
                "the edges' attributes are missing", where="edge_attr", remedy=f"give (edges, {self.irreps_edge.dim})."
            )
        for name, tensor, irreps in (("x", x, self.irreps_in), ("edge_attr", edge_attr, self.irreps_edge)):
            require_features(tensor, irreps)
            if tensor.ndim != 2:
                raise InputError(
                    f"its shape is {tuple(tensor.shape)}", where=name, remedy=f"give (rows, {irreps.dim})."
                )
        if edge_index.ndim != 2 or edge_index.shape[0] != 2:
            shape = tuple(edge_index.shape)
            raise InputError(
                f"its shape is {shape}", where="edge_index", remedy="give (2, edges): sources j, then destinations i."
            )
        if weight is None:
            if self.weight_numel:
                remedy = f"give (edges, {self.weight_numel}), from a network of the distances for example."
                raise InputError("the weights are missing", where="weight", remedy=remedy)
        elif not self.weighted:
            raise InputError(
                "weights given to a layer without any",
                where="weight",
                remedy="pass None, or build it with weighted=True.",
            )
        elif weight.shape != (edge_index.shape[1], self.weight_numel):
            remedy = f"give ({edge_index.shape[1]}, {self.weight_numel}), one row an edge."
            raise InputError(f"its shape is {tuple(weight.shape)}", where="weight", remedy=remedy)
