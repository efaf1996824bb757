r"""Convolution in the frames of the edges (eSCN): the cost of a tensor product with harmonics, reduced from O(L^6) to
O(L^3).

.. math:: z_i = \sum_{j \in N(i)} D(R_{ij})^T\, S_{ij}\, D(R_{ij})\, x_j, \qquad R_{ij}\, r_{ij} / \|r_{ij}\| = e_y

The features of each edge are turned so that the edge lies on the polar axis, mixed by maps S that commute with the
rotations about it (:mod:`intertwine.nn.so2.linear`), turned back, and summed at the destination. With S from the path
weights (:class:`~intertwine.nn.so2.from_paths.PathsToSO2`) this is the tensor product with :math:`Y(r_{ij})`, number by
number.

Source: Passaro and Zitnick, "Reducing SO(3) Convolutions to SO(2) for Efficient Equivariant GNNs" (ICML 2023).
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from intertwine.kernels.convolution.derivatives import convolve
from intertwine.nn.so2.linear import SO2Linear
from intertwine.nn.so2.plans import resting, turning
from intertwine.numerics import InputError, choose, safe, segment
from intertwine.o3.blocks import LAYOUTS, join_blocks, require_features, require_tensors, split_blocks
from intertwine.o3.edge_frames import EdgeFrames, edge_frames


class SO2Convolution(nn.Module):
    r"""The layer of the module's docstring.

    It is equivariant to O(3) with ``reflections`` (the default), which is what a tensor product with harmonics is;
    without, to SO(3) alone, as in eSCN and EquiformerV2: then each pair of degrees has both kinds of maps, about twice
    the weights, and the parities of the representations mean nothing. Dropping orders above ``mmax`` keeps either.

    An edge of length zero has no frame: its message is the mean over all directions, which joins equal irreps (without
    ``reflections`` equal degrees) only. A tensor product, where the harmonics of the zero vector vanish except for l =
    0, does the same.

    Args:
        irreps_in, irreps_out: representations of the features x and z.
        mode: ``"uvu"``: each channel separately, between blocks of equal multiplicity, weights for each edge (from a
            radial network). ``"uvw"``: channels mixed by weights that belong to the layer, the same for all edges; the
            edges may bring factors.
        mmax: the highest order |m| that passes; None is all.
        reflections: O(3) rather than SO(3).
        layout: of x and z, ``"ir_mul"`` or ``"mul_ir"``.
        dtype, device: of the weights; None is torch's default.

    Attributes:
        linear: the maps S. weight_numel: numbers that each edge brings: weights in mode uvu, factors in uvw.
        lmax: largest degree that has to be turned. mmax: highest order that passes.

    Raises:
        InputError: an unknown mode or layout, or mmax < 0.

    >>> layer = SO2Convolution("8x0e+8x1o+8x2e", "8x0e+8x1o+8x2e", mode="uvw")
    >>> x, r, edge_index = torch.randn(3, 72), torch.randn(2, 3), torch.tensor([[0, 1], [2, 2]])
    >>> layer(x, r, edge_index).shape
    torch.Size([3, 72])
    """

    def __init__(
        self,
        irreps_in: Any,
        irreps_out: Any,
        *,
        mode: str = "uvu",
        mmax: int | None = None,
        reflections: bool = True,
        layout: str = "ir_mul",
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__()
        self.layout = choose(layout, LAYOUTS, kind="layout", where="SO2Convolution")
        self.linear = SO2Linear(irreps_in, irreps_out, mode=mode, mmax=mmax, reflections=reflections)
        self.irreps_in = self.linear.irreps_in
        self.irreps_out = self.linear.irreps_out
        self.mode = mode
        self.mmax = self.linear.mmax
        self.lmax = max([*self.irreps_in.ls, *self.irreps_out.ls], default=0)
        self.weight_numel = self.linear.weight_numel if mode == "uvu" else self.linear.scale_numel
        self._own_plans = (
            turning(str(self.irreps_in), layout, self.mmax, (self.lmax, self.mmax)),
            turning(str(self.irreps_out), layout, self.mmax, (self.lmax, self.mmax), tuple(self.linear.factors)),
        )
        if mode == "uvw":
            self.weight = nn.Parameter(torch.randn(self.linear.weight_numel, dtype=dtype, device=device))
        else:
            self.register_parameter("weight", None)
            self._rest = resting(
                self.linear.pairs(),
                self.irreps_in,
                self.irreps_out,
                layout,
                self.linear.factors,
                self.linear.weight_numel,
            )

    def extra_repr(self) -> str:
        return f"lmax={self.lmax}, {self.weight_numel} numbers an edge, layout={self.layout!r}"

    def frames(self, vectors: Float[Tensor, "edges 3"]) -> EdgeFrames:
        """The frames that this layer needs, to be shared by all layers of the same lmax and mmax, or smaller ones."""
        return edge_frames(vectors, self.lmax, self.mmax)

    def forward(
        self,
        x: Float[Tensor, "nodes_in dim_in"],
        edges: Float[Tensor, "edges 3"] | EdgeFrames,
        edge_index: Int[Tensor, "2 edges"],
        weight: Float[Tensor, "edges weights"] | None = None,
        nodes: int | None = None,
    ) -> Float[Tensor, "nodes_out dim_out"]:
        """z, the sum of the messages at every node.

        Args:
            x: features of the nodes, (nodes_in, irreps_in.dim).
            edges: edge vectors r_ij (edges, 3), in any unit; or what :meth:`frames` or ``edge_frames`` made of them.
            edge_index: the sources j, then the destinations i.
            weight: (edges, weight_numel): in mode uvu the weights; in mode uvw the factors of the inputs, 1 if None.
            nodes: number of rows of the result; that of x if None.

        Returns:
            (nodes, irreps_out.dim).

        Raises:
            InputError: shapes, precisions or devices that do not fit, an index out of range, weights missing in mode
                uvu, or frames without the degrees or orders that are needed.
        """
        nodes = x.shape[0] if nodes is None else nodes
        if nodes < 0:
            raise InputError(f"{nodes} nodes", where="nodes", remedy="give a number >= 0.")
        if safe.autocasting(x):  # half precision is for matrix products, geometry is in the precision of the edges
            dtype = (edges.matrices if isinstance(edges, EdgeFrames) else edges).dtype
            x, weight = x.to(dtype), None if weight is None else weight.to(dtype)
            with safe.without_autocast(x.device):
                return self.forward(x, edges, edge_index, weight, nodes)
        self._check(x, edge_index, weight)
        frames = edges if isinstance(edges, EdgeFrames) else self.frames(edges)
        self._check_frames(frames, edge_index.shape[1], x)
        if not self.linear.slots:
            return x.new_zeros(nodes, self.irreps_out.dim)
        source, destination = edge_index.unbind()
        own, scale = (weight, None) if self.weight is None else (self.weight, weight)
        there, back = self._plans(frames.lmax, frames.mmax)
        seen = convolve(there, x, frames.matrices, None, source, None, edge_index.shape[1])
        mixed = self.linear(seen, own, scale)
        z = convolve(back, mixed, frames.matrices, None, None, destination, nodes)
        if frames.zero is None:
            return z
        return z + self._at_rest(x, own, scale, frames.zero.to(x.dtype).unsqueeze(-1), source, destination, nodes)

    def _plans(self, lmax: int, mmax: int) -> tuple[str, str]:
        """Those that turn into frames of this size, and back."""
        if (lmax, mmax) == (self.lmax, self.mmax):
            return self._own_plans
        there = turning(str(self.irreps_in), self.layout, self.mmax, (lmax, mmax))
        return there, turning(str(self.irreps_out), self.layout, self.mmax, (lmax, mmax), tuple(self.linear.factors))

    def _at_rest(
        self,
        x: Tensor,
        weight: Tensor | None,
        scale: Tensor | None,
        mask: Tensor,
        source: Tensor,
        destination: Tensor,
        nodes: Any,
    ) -> Tensor:
        """The messages of the edges of length zero, where the mask is 1, summed."""
        if weight is None or self.mode == "uvu":
            return convolve(self._rest, x, mask, weight, source, destination, nodes)
        sent = [block.mT for block in split_blocks(x.index_select(0, source) * mask, self.irreps_in, self.layout)]
        matrices = [
            block.mT * factor for block, factor in zip(self.linear.mean(sent, weight, scale), self.linear.factors)
        ]
        return segment.sum(join_blocks(matrices, self.layout), destination, nodes)

    def _check_frames(self, frames: EdgeFrames, edges: Any, x: Tensor) -> None:
        if frames.lmax < self.lmax or frames.mmax < self.mmax:
            raise InputError(
                f"the frames have degrees up to {frames.lmax} and orders up to {frames.mmax}",
                where="edges",
                remedy=f"make them with edge_frames(vectors, {self.lmax}, {self.mmax}), or more.",
            )
        rotations = frames.matrices
        if rotations.shape[0] != edges or rotations.dtype != x.dtype or rotations.device != x.device:
            raise InputError(
                f"{rotations.shape[0]} edges in {rotations.dtype} on {rotations.device}; "
                f"x is in {x.dtype} on {x.device}, and edge_index has {edges}",
                where="edges",
                remedy="give one vector an edge, in the precision and on the device of x.",
            )

    def _check(self, x: Tensor, edge_index: Tensor, weight: Tensor | None) -> None:
        require_tensors(x=x, edge_index=edge_index, weight=weight)
        require_features(x, self.irreps_in)
        if x.ndim != 2:
            raise InputError(f"x has shape {tuple(x.shape)}", where="x", remedy="give one row a node.")
        if self.weight is not None and x.dtype != self.weight.dtype:
            raise InputError(
                f"the layer is in {self.weight.dtype}, x in {x.dtype}",
                where="x",
                remedy="cast one of them, with .to(dtype).",
            )
        if edge_index.ndim != 2 or edge_index.shape[0] != 2 or edge_index.dtype != torch.int64:
            raise InputError(
                f"it is {edge_index.dtype} {tuple(edge_index.shape)}",
                where="edge_index",
                remedy="give int64 (2, edges).",
            )
        if weight is None:
            if self.mode == "uvu":
                raise InputError(
                    "the weights are missing", where="weight", remedy=f"mode uvu needs (edges, {self.weight_numel})."
                )
        elif (
            weight.shape != (edge_index.shape[1], self.weight_numel)
            or weight.dtype != x.dtype
            or weight.device != x.device
        ):
            raise InputError(
                f"they are {weight.dtype} {tuple(weight.shape)} on {weight.device}",
                where="weight",
                remedy=f"give {x.dtype} ({edge_index.shape[1]}, {self.weight_numel}) on {x.device}.",
            )
