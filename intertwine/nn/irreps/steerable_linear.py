r"""Conditional linear layers: linear maps whose matrix is a linear function of an attribute (lecture 3.3).

.. math::
    W \begin{pmatrix} v \\ a \end{pmatrix} \quad\text{stacked}, \qquad
    W(a)\, v = \sum_J a_J W_J\, v = v \otimes^W a \quad\text{adaptive}

A linear layer whose matrix is a linear function of an attribute a (harmonics of an edge, say) is a tensor product with
one argument fixed; it is equivariant, W(D_a a) = D_out W(a) D_in^-1, if the product is fully connected along
Clebsch-Gordan paths.

No matrix W(a) is stored: a coupling, whose coefficients are a few numbers of each sample, and a map of channels that is
the same for all.

Brandstetter, Hesselink, van der Pol, Bekkers, Welling, ICLR 2022, arXiv:2110.02905, section 3.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import accumulate
from math import prod
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from intertwine.kernels.convolution.fused import Fused
from intertwine.numerics import InputError, choose
from intertwine.o3.blocks import LAYOUTS, join_blocks, require_features, split_blocks
from intertwine.o3.irreps import Irreps
from intertwine.o3.linear import Linear
from intertwine.o3.tensor_product import TensorProduct


class _Adaptive(nn.Module, ABC):
    r"""What both ways to compute :math:`W(a)\, v` share; a subclass defines ``rows`` and ``product_weight``."""

    irreps_in: Irreps
    irreps_attribute: Irreps
    irreps_out: Irreps
    layout: str

    def _prepare(
        self, irreps_in: Irreps, irreps_attribute: Any, irreps_out: Any, layout: str
    ) -> list[tuple[int, int, int]]:
        """Blocks of v, a and z that meet, in the order of a fully connected tensor product."""
        self.irreps_in, self.irreps_attribute, self.irreps_out = irreps_in, Irreps(irreps_attribute), Irreps(irreps_out)
        self.layout = choose(layout, LAYOUTS, kind="layout", where=type(self).__name__)
        # the channels of a one by one
        self.apart = Irreps([(1, ir) for mul, ir in self.irreps_attribute for _ in range(mul)])
        paths = [
            (a, b, c)
            for a, (mul1, ir_in) in enumerate(self.irreps_in)
            for b, (mul2, other) in enumerate(self.irreps_attribute)
            for c, (mul, ir) in enumerate(self.irreps_out)
            if mul1 and mul2 and mul and ir in ir_in * other
        ]
        if not paths:
            what = f"{self.irreps_in} with {self.irreps_attribute} does not lead to {self.irreps_out}"
            raise InputError(what, where="irreps_out", remedy="ask for irreps that are in the product.")
        return paths

    def _coupling(
        self, left: Irreps, right: Irreps, routes: list[tuple[int, int, int, int, float]], layout: str
    ) -> Fused:
        """The product without weights; routes: (block of left, block of a, channel in it, block of right, variance)."""
        first = [0, *accumulate(mul for mul, _ in self.irreps_attribute)]
        paths = [(at, first[b] + k, out, "uvu", False, share) for at, b, k, out, share in routes]
        rules: dict[str, Any] = {"irrep_normalization": "none", "path_normalization": "none", "layout": layout}
        return Fused(TensorProduct(left, self.apart, right, paths, **rules).kernel.plan)

    def _channels(self, a: Float[Tensor, "rows dim_a"]) -> Float[Tensor, "rows dim_a"]:
        """a with the channels of a block one after the other, as ``apart`` says."""
        if self.layout == "mul_ir" or all(mul <= 1 or not ir.l for mul, ir in self.irreps_attribute):
            return a
        return join_blocks(split_blocks(a, self.irreps_attribute, "ir_mul"), "mul_ir")

    def extra_repr(self) -> str:
        return f"{self.irreps_in} | {self.irreps_attribute} -> {self.irreps_out}, layout={self.layout!r}"

    @abstractmethod
    def rows(self, v: Float[Tensor, "rows dim_in"], a: Float[Tensor, "rows dim_a"]) -> Float[Tensor, "rows dim_out"]:
        """z (rows, irreps_out.dim) of v (rows, irreps_in.dim) and a (rows, irreps_attribute.dim)."""

    @abstractmethod
    def product_weight(self) -> Float[Tensor, " weights"]:
        """The weights of the ``o3.FullyConnectedTensorProduct`` with these numbers."""

    def forward(
        self, v: Float[Tensor, "*batch dim_in"], a: Float[Tensor, "*others dim_a"]
    ) -> Float[Tensor, "*batch dim_out"]:
        """z of v and a, with the same leading axes.

        Raises:
            InputError: a last axis, or the leading axes, do not fit.
        """
        require_features(v, self.irreps_in)
        require_features(a, self.irreps_attribute)
        batch, rows = v.shape[:-1], prod(v.shape[:-1])
        if batch != a.shape[:-1]:
            raise InputError(
                f"v has shape {tuple(v.shape)}, a {tuple(a.shape)}",
                where="a",
                remedy="give one attribute for each row of v.",
            )
        if len(batch) == 1:
            return self.rows(v, a)
        return self.rows(v.reshape(rows, v.shape[-1]), a.reshape(rows, a.shape[-1])).reshape(
            *batch, self.irreps_out.dim
        )

    def matrix(self, a: Float[Tensor, "*batch dim_a"]) -> Float[Tensor, "*batch dim_out dim_in"]:
        """W(a), the tensor product partially evaluated: ``z = matrix(a) @ v`` but for the bias. To look at, and to
        test; the layer itself stores no matrices."""
        n = self.irreps_in.dim
        basis = torch.eye(n, dtype=a.dtype, device=a.device).expand(*a.shape[:-1], n, n)
        columns = self(basis, a.unsqueeze(-2).expand(*a.shape[:-1], n, a.shape[-1]))
        return (columns - self(a.new_zeros(*a.shape[:-1], n), a).unsqueeze(-2)).transpose(-1, -2)


class SteerableLinear(_Adaptive):
    r"""The conditional linear layer in its adaptive form, :math:`z = W(a)\, v + b`:

    .. math:: z_w = \sum_{\text{paths}} \sqrt{\frac{2 l_3 + 1}{P\, U V}} \sum_{u c} W_{u c w}\, (v_u \otimes a_c)_{l_3}
        + \delta_{l_3 0}\, b_w

    with P the number of paths to the block, and U V the channels that a path sums over. Without the bias these are the
    numbers of an ``o3.FullyConnectedTensorProduct(..., path_normalization="path")``, whose weights are
    :meth:`product_weight`; ``matrix`` gives W(a).

    Args:
        irreps_in, irreps_attribute, irreps_out: representations of v, a and z.
        bias: whether scalars (0e) of z have a bias, which starts at zero.
        layout: of v, a and z, ``"ir_mul"`` or ``"mul_ir"``.

    Attributes:
        linear: the map of channels after the coupling, with standard normal weights at first: v, a and z have
            components of variance 1 together.

    Raises:
        InputError: an unknown layout, nothing of ``irreps_out`` can be reached.

    >>> layer = SteerableLinear("8x0e+8x1o", "0e+1o", "4x0e+4x1o")
    >>> v, a = torch.randn(5, 32), torch.randn(5, 4)
    >>> layer(v, a).shape, layer.matrix(a).shape, layer.product_weight().shape
    (torch.Size([5, 16]), torch.Size([5, 16, 32]), torch.Size([128]))
    """

    def __init__(
        self, irreps_in: Any, irreps_attribute: Any, irreps_out: Any, *, bias: bool = True, layout: str = "ir_mul"
    ) -> None:
        super().__init__()
        self._paths = self._prepare(Irreps(irreps_in), irreps_attribute, irreps_out, layout)
        irs = [ir for _, ir in self.irreps_out]
        keys = sorted({(irs[c], a, b, k) for a, b, c in self._paths for k in range(self.irreps_attribute[b].mul)})
        self._place = {key: at for at, key in enumerate(keys)}
        coupled = Irreps([(self.irreps_in[a].mul, ir) for ir, a, _, _ in keys])
        routes = [(a, b, k, at, float(ir.dim)) for at, (ir, a, b, k) in enumerate(keys)]
        self.fused = self._coupling(self.irreps_in, coupled, routes, layout)
        self.linear = _without_mask(
            Linear(coupled, self.irreps_out, biases=bias, path_normalization="path", layout=layout)
        )

    def rows(self, v: Float[Tensor, "rows dim_in"], a: Float[Tensor, "rows dim_a"]) -> Float[Tensor, "rows dim_out"]:
        return self.linear(self.fused.product(v, self._channels(a), None))

    def product_weight(self) -> Float[Tensor, " weights"]:
        """The weights of the ``o3.FullyConnectedTensorProduct`` with these numbers: (u, v, w) of each path in order."""
        slices = {
            (path.i_in, path.i_out): view for path, view in zip(self.linear.instructions, self.linear.weight_views())
        }
        pieces = []
        for a, b, c in self._paths:
            places = [self._place[self.irreps_out[c].ir, a, b, k] for k in range(self.irreps_attribute[b].mul)]
            pieces.append(torch.stack([slices[place, c] for place in places], dim=1).flatten())
        return torch.cat(pieces)


class GatheredSteerableLinear(_Adaptive):
    r"""The same layer for a v whose parts live in different places, :math:`W(a_{ij})\, (f_i \oplus f_j \oplus s_{ij})`
    say.

    It is computed as :math:`\sum_p C_p(a)\, W_p v`: first a map of channels for each path p, then the coupling. The
    maps do not know a: :meth:`expand` takes them of each part where it lives, :meth:`total` adds what was gathered, and
    :meth:`couple` brings in a. With 20 neighbours a node the maps cost a twentieth of what they would cost on edges.

    Args:
        parts: representations of the parts of v, each without an irrep that comes twice.
        irreps_attribute, irreps_out, bias, layout: as for :class:`SteerableLinear`. Parts and z are in ``ir_mul`` for
            the three methods.

    Attributes:
        maps: the maps of channels of each part.

    Raises:
        InputError: an irrep that comes twice in a part, an unknown layout, nothing of ``irreps_out`` can be reached.
    """

    def __init__(
        self, parts: Sequence[Any], irreps_attribute: Any, irreps_out: Any, *, bias: bool = True, layout: str = "ir_mul"
    ) -> None:
        super().__init__()
        self.parts = [Irreps(part) for part in parts]
        for part in self.parts:
            if len({ir for _, ir in part}) < len(part):
                raise InputError(
                    f"{part} has an irrep twice", where="parts", remedy="merge its blocks, or make two parts of them."
                )
        whole = Irreps([block for part in self.parts for block in part])
        self._paths = self._prepare(whole, irreps_attribute, irreps_out, layout)
        irs = [ir for _, ir in whole]
        keys = sorted({(irs[a], b, c, k) for a, b, c in self._paths for k in range(self.irreps_attribute[b].mul)})
        self._place = {key: at for at, key in enumerate(keys)}
        # a block for each path and channel of a
        self.expanded = Irreps([(self.irreps_out[c].mul, ir) for ir, _, c, _ in keys])
        self.maps = nn.ModuleList(self._map(part) for part in self.parts)
        scalars = self.irreps_out.count("0e")
        self.bias = nn.Parameter(torch.zeros(scalars)) if bias and scalars else None
        count = [sum(path[2] == c for path in self._paths) for c in range(len(self.irreps_out))]
        shares = [self.irreps_out[c].ir.dim / (count[c] * self.irreps_attribute[b].mul) for _, b, c, _ in keys]
        routes = [(at, b, k, c, share) for at, ((_, b, c, k), share) in enumerate(zip(keys, shares))]
        self.fused = self._coupling(self.expanded, self.irreps_out, routes, "ir_mul")

    def _map(self, part: Irreps) -> Linear:
        """From a part of v to the expanded blocks, up to the last that it reaches."""
        has = {ir for mul, ir in part if mul}
        last = max((number for number, (_, ir) in enumerate(self.expanded) if ir in has), default=-1)
        return _without_mask(Linear(part, Irreps(self.expanded[: last + 1]), layout="ir_mul"))

    def expand(self, v: Float[Tensor, "rows dim_part"], part: int) -> Float[Tensor, "rows expanded"]:
        """:math:`W_p v` of all paths p, from one part of v. Parts without the last irreps give fewer columns."""
        return self.maps[part](v)

    def total(self, *expanded: Float[Tensor, "rows _"]) -> Float[Tensor, "rows expanded"]:
        """The sum of expanded parts, the shorter ones counted from the left."""
        first, *others = sorted(expanded, key=lambda piece: -piece.shape[1])
        for piece in others:
            n = piece.shape[1]
            first = first + piece if n == first.shape[1] else torch.cat([first[:, :n] + piece, first[:, n:]], dim=1)
        return first if first.shape[1] == self.expanded.dim else F.pad(first, (0, self.expanded.dim - first.shape[1]))

    def couple(
        self, expanded: Float[Tensor, "rows expanded"], a: Float[Tensor, "rows dim_a"]
    ) -> Float[Tensor, "rows dim_out"]:
        r""":math:`\sum_p C_p(a)\, h_p + b` of expanded features h; a in the layer's layout."""
        z = self.fused.product(expanded, self._channels(a), None)
        return z if self.bias is None else z + self._everywhere(self.bias)

    def rows(self, v: Float[Tensor, "rows dim_in"], a: Float[Tensor, "rows dim_a"]) -> Float[Tensor, "rows dim_out"]:
        pieces = v.split([part.dim for part in self.parts], dim=1)
        if self.layout == "mul_ir":
            pieces = [join_blocks(split_blocks(piece, part), "ir_mul") for piece, part in zip(pieces, self.parts)]
        z = self.couple(self.total(*[self.expand(piece, number) for number, piece in enumerate(pieces)]), a)
        return z if self.layout == "ir_mul" else join_blocks(split_blocks(z, self.irreps_out, "ir_mul"))

    def product_weight(self) -> Float[Tensor, " weights"]:
        """As :meth:`SteerableLinear.product_weight`, for the product with all parts side by side."""
        matrices: list[dict[int, Tensor]] = []  # of each block of v: from expanded blocks to weights
        layers: list[Any] = list(self.maps)
        for part, layer in zip(self.parts, layers):
            views: list[dict[int, Tensor]] = [{} for _ in part]
            for path, view in zip(layer.instructions, layer.weight_views()):
                views[path.i_in][path.i_out] = view
            matrices += views
        pieces = []
        for a, b, c in self._paths:
            places = [self._place[self.irreps_in[a].ir, b, c, k] for k in range(self.irreps_attribute[b].mul)]
            pieces.append(torch.stack([matrices[a][place] for place in places], dim=1).flatten())
        return torch.cat(pieces)

    def _everywhere(self, bias: Float[Tensor, " scalars"]) -> Float[Tensor, " dim_out"]:
        """The biases of scalars among zeros of everything else."""
        pieces, start = [], 0
        for mul, ir in self.irreps_out:
            scalar = ir.l == 0 and ir.p == 1
            pieces.append(bias[start : start + mul] if scalar else bias.new_zeros(mul * ir.dim))
            start += mul if scalar else 0
        return torch.cat(pieces)


def _without_mask(layer: Linear) -> Linear:
    """The layer with nothing in its state but its parameters."""
    for name, buffer in list(layer.named_buffers()):
        layer.register_buffer(name, buffer, persistent=False)
    return layer


class StackedLinear(nn.Module):
    r"""The conditional linear layer in its stacked form, :math:`W (v \oplus a) + b`, W an ``o3.Linear``.

    By Schur's lemma a only adds to those irreps of z that it has itself; it does not change what happens to v.

    Args:
        irreps_in, irreps_attribute, irreps_out: representations of v, a and z.
        bias: whether scalars (0e) of z have a bias.
        layout: of v, a and z.
    """

    def __init__(
        self, irreps_in: Any, irreps_attribute: Any, irreps_out: Any, *, bias: bool = True, layout: str = "ir_mul"
    ) -> None:
        super().__init__()
        self.irreps_in = Irreps(irreps_in)
        self.irreps_attribute = Irreps(irreps_attribute)
        self.irreps_out = Irreps(irreps_out)
        self.linear = Linear(self.irreps_in + self.irreps_attribute, self.irreps_out, biases=bias, layout=layout)

    def forward(
        self, v: Float[Tensor, "*batch dim_in"], a: Float[Tensor, "*batch dim_a"]
    ) -> Float[Tensor, "*batch dim_out"]:
        """z of v and a."""
        require_features(v, self.irreps_in)
        require_features(a, self.irreps_attribute)
        return self.linear(torch.cat([v, a], dim=-1))
