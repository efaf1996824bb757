"""Products of two features channel by channel, every path with a weight of each channel."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from intertwine.nn.irreps.contraction_operator import polynomial, product_name, product_paths
from intertwine.numerics import InputError
from intertwine.o3 import Irreps
from intertwine.o3.blocks import require_features


class ChannelProduct(nn.Module):
    r"""The most general bilinear map of two features that commutes with O(3) and keeps channels apart:

    .. math::
        z^{o}_{u} = \sum_{a, b} w^{o}_{ab\,u} \sqrt{2 l_o + 1}\, (x^a_u \otimes y^b_u)_{l_o}

    over all blocks a of x and b of y that couple to block o of z. A path of independent components of variance 1 has
    variance :math:`w^2`. One operator evaluates it: no product of two components is stored. Features are in ``ir_mul``,
    all blocks with the same number of channels u. ``o3.ElementwiseTensorProduct`` gives every path a block of its own.

    Args:
        irreps_1, irreps_2: representations of x and y.
        irreps_out: of z; blocks of one irrep have weights of their own.
        dtype: of the weights.

    Attributes:
        irreps_in: of x and y side by side.
        paths: blocks (a, b, o) of each path.
        weight: w (paths, channels), at first normal random numbers over the square root of the number of paths to a
            block.

    Raises:
        InputError: blocks with other numbers of channels, or a block of z that no path leads to.

    >>> layer = ChannelProduct("8x0e + 8x1o", "8x0e + 8x1o", "8x1o + 8x1e")
    >>> layer.paths, layer(torch.ones(5, 64)).shape
    ([(0, 1, 0), (1, 0, 0), (1, 1, 1)], torch.Size([5, 48]))
    """

    def __init__(self, irreps_1: Any, irreps_2: Any, irreps_out: Any, *, dtype: torch.dtype | None = None) -> None:
        super().__init__()
        blocks = Irreps(irreps_1), Irreps(irreps_2), Irreps(irreps_out)
        multiplicities = {mul for irreps in blocks for mul, _ in irreps}
        if len(multiplicities) != 1 or 0 in multiplicities:
            raise InputError(
                f"blocks of {sorted(multiplicities)} channels",
                where="ChannelProduct",
                remedy="give all blocks the same multiplicity, with o3.Linear before and after.",
            )
        self.irreps_in, self.irreps_out = blocks[0] + blocks[1], blocks[2]
        (self.channels,) = multiplicities
        self.paths = product_paths(*blocks)
        ways = [sum(to == block for *_, to in self.paths) for block in range(len(self.irreps_out))]
        if 0 in ways:
            raise InputError(
                f"no path from {blocks[0]} and {blocks[1]} leads to {self.irreps_out[ways.index(0)]}",
                where="ChannelProduct",
                remedy="leave it out.",
            )
        self._name = product_name(*blocks)
        weight = torch.randn(len(self.paths), self.channels, dtype=dtype)
        self.weight = nn.Parameter(weight * weight.new_tensor([[ways[to] ** -0.5] for *_, to in self.paths]))

    def extra_repr(self) -> str:
        return f"{self.irreps_in} -> {self.irreps_out} | {len(self.paths)} paths"

    def forward(self, xy: Float[Tensor, "rows dim_in"]) -> Float[Tensor, "rows dim_out"]:
        """z (rows, irreps_out.dim).

        Args:
            xy: x and y side by side, (rows, irreps_in.dim).

        Raises:
            InputError: another last axis.
        """
        require_features(xy, self.irreps_in)
        group = torch.zeros(xy.shape[0], dtype=torch.int64, device=xy.device)
        x = xy.unflatten(1, (-1, self.channels))
        return polynomial(x, self.weight.unsqueeze(0), group, self._name).flatten(1)
