r"""Messages in the frames of the edges, with a non-linearity there: what eSCN, EquiformerV2 and eSEN share.

.. math::
    m_{ij} = S_2\, \mathrm{gate}\big(S_1 (\phi(e_{ij}) \circ D_{ij} (x_j \oplus x_i))\big), \qquad
    z_i = \sum_j w_{ij} D_{ij}^T m_{ij}

:math:`D_{ij}` turns features into a frame with the edge on the polar axis (:func:`~intertwine.o3.edge_frames`), S are
SO(2)-linear (:class:`~intertwine.nn.SO2Linear`), with factors :math:`\phi` of invariants of the edge. An edge of length
zero has no frame, and no message.

Sources: Passaro and Zitnick, arXiv:2302.03655; Liao et al., arXiv:2306.12059; Fu et al., arXiv:2502.12147.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from intertwine.kernels.convolution.derivatives import convolve
from intertwine.nn.attention import edge_softmax
from intertwine.nn.edge_mlp import EdgeMLP
from intertwine.nn.irreps.activation import normalize2mom
from intertwine.nn.mlp import MLP
from intertwine.nn.so2.linear import SO2Linear
from intertwine.nn.so2.plans import rows, turning
from intertwine.o3 import EdgeFrames, Irreps


def degrees(width: int, lmax: int) -> Irreps:
    """``width`` channels of every degree up to lmax, of the parity of harmonics."""
    return Irreps([(width, (l, (-1) ** l)) for l in range(lmax + 1)])


def row_degrees(lmax: int, mmax: int) -> list[int]:
    """The degree of each row of features in a frame."""
    return [l for l in range(lmax + 1) for _ in range(rows(l, mmax))]


class EdgeNetwork(EdgeMLP):
    """Numbers of variance about 1 for every edge, from invariants of both ends (variance 1) and its attributes.

    Args:
        width: invariants of a node. edge_width: attributes, whose squares sum to about ``square``.
        hidden, outputs: features of the hidden layers and of the result.
        layers: hidden layers. norm: whether a layer norm stands before each silu, as in EquiformerV2 and eSEN.
    """

    def __init__(
        self,
        width: int,
        edge_width: int,
        square: float,
        hidden: int,
        outputs: int,
        layers: int = 1,
        norm: bool = False,
    ) -> None:
        super().__init__(width, width, edge_width, hidden, outputs)
        if layers > 1:
            self.second = MLP([hidden] * layers + [outputs])
        self.norms = nn.ModuleList(nn.LayerNorm(hidden) for _ in range(layers)) if norm else None
        for part, size in (
            (self.first.received, 4 * width),
            (self.first.sent, 4 * width),
            (self.first.attributes, 2 * square),
        ):
            if part is not None:
                nn.init.normal_(part.weight, std=size**-0.5)
        for layer in self.second.layers:
            nn.init.normal_(layer.get_parameter("weight"), std=(0.36 * hidden) ** -0.5)  # <silu^2> = 0.36

    def forward(
        self,
        received: Float[Tensor, "edges hidden"] | None,
        sent: Float[Tensor, "edges hidden"] | None,
        attributes: Float[Tensor, "edges attributes"],
    ) -> Float[Tensor, "edges outputs"]:
        if self.norms is None:
            return super().forward(received, sent, attributes)
        y = self.first(received, sent, attributes)
        for norm, layer in zip(self.norms, self.second.layers):
            y = layer(self.activation(norm(y)))
        return y


class FrameConvolution(nn.Module):
    r""":math:`x \mapsto \sum_j w_{ij} D_{ij}^T m_{ij}` of the module's docstring.

    Args:
        width: channels of the features. hidden: those between the maps.
        lmax: largest degree of the features. lmax_out: of the result. mmax: largest order.
        edge_width: radial functions and edge invariants, of a sum of squares of about ``square``.
        radial_width, radial_layers, radial_norm: hidden layers of the network of the factors, :class:`EdgeNetwork`.
        heads: of the attention, a divisor of ``width`` and ``hidden``; 0 for a sum.
        reflections: whether the maps commute with mirrors.
        average_degree: average number of neighbours.
    """

    gate_of_row: Tensor

    def __init__(
        self,
        width: int,
        hidden: int,
        lmax: int,
        lmax_out: int,
        mmax: int,
        edge_width: int,
        square: float,
        radial_width: int,
        heads: int,
        reflections: bool,
        average_degree: float,
        radial_layers: int = 1,
        radial_norm: bool = False,
    ) -> None:
        super().__init__()
        self.hidden, self.heads, self.lmax, self.average_degree = hidden, heads, lmax, average_degree
        self.order = min(mmax, lmax_out)
        sent, received, inside = degrees(width, lmax), degrees(width, lmax_out), degrees(hidden, lmax)
        scalars = Irreps([(hidden, "0e")] * ((1 if heads else 0) + 1 + lmax))  # for logits, to be kept, for gates
        self.first = SO2Linear(
            sent + sent, scalars + Irreps(inside[1:]), mode="uvw", mmax=self.order, reflections=reflections
        )
        self.second = SO2Linear(inside, received, mode="uvw", mmax=self.order, reflections=reflections)
        self.first_weight, self.second_weight = (
            nn.Parameter(initial_weight(maps)) for maps in (self.first, self.second)
        )
        self.there = turning(str(sent), "ir_mul", self.order, (lmax, mmax))
        self.back = turning(str(received), "ir_mul", self.order, (lmax, mmax), (1.0,) * len(received))
        self.factors = EdgeNetwork(
            width, edge_width, square, radial_width, self.first.scale_numel, radial_layers, radial_norm
        )
        self.silu, self.sigmoid = normalize2mom(F.silu), normalize2mom(torch.sigmoid)
        self.logits = nn.Parameter(torch.randn(hidden) * (heads / hidden) ** 0.5) if heads else None
        gates = torch.tensor(row_degrees(lmax, self.order)[1:], dtype=torch.int64) - 1
        self.register_buffer("gate_of_row", gates, persistent=False)

    def forward(
        self,
        x: Float[Tensor, "nodes components width"],
        invariants: Float[Tensor, "nodes width"],
        frames: EdgeFrames,
        attributes: Float[Tensor, "edges k"],
        envelope: Float[Tensor, " edges"],
        edge_index: Int[Tensor, "2 edges"],
    ) -> Float[Tensor, "nodes out width"]:
        source, target = edge_index.unbind()
        edges, flat = torch.arange(source.shape[0], device=x.device), x.flatten(1)
        seen = [
            convolve(self.there, flat, frames.matrices, None, which, edges, source.shape[0])
            for which in (source, target)
        ]
        factors = self.factors.of_edges(invariants, attributes, edge_index)
        y = self.first(torch.cat(seen, dim=1), self.first_weight, factors).unflatten(1, (-1, self.hidden))
        weight = envelope.unsqueeze(-1) * self.average_degree**-0.5
        if self.logits is not None:
            for_logits, y = y.split([1, y.shape[1] - 1], dim=1)
            logits = (self.silu(for_logits.squeeze(1)) * self.logits).unflatten(1, (self.heads, -1)).sum(-1)
            weight = edge_softmax(logits, envelope, target, x.shape[0]) * self.average_degree**0.5
        z = self.second(self.gated(y), self.second_weight)
        z = (z.unflatten(1, (-1, weight.shape[1], x.shape[2] // weight.shape[1])) * weight[:, None, :, None]).flatten(1)
        return convolve(self.back, z, frames.matrices, None, edges, target, x.shape[0]).unflatten(1, (-1, x.shape[2]))

    def gated(self, y: Float[Tensor, "edges blocks hidden"]) -> Float[Tensor, "edges inside"]:
        """Scalars through silu, other degrees times their gates; in the frame."""
        scalars, gates, others = y.split([1, self.lmax, len(self.gate_of_row)], dim=1)
        if not self.lmax:
            return self.silu(scalars).flatten(1)
        return torch.cat(
            [self.silu(scalars), others * self.sigmoid(gates).index_select(1, self.gate_of_row)], dim=1
        ).flatten(1)


def initial_weight(maps: SO2Linear) -> Float[Tensor, " weights"]:
    """Random weights with which the result, turned back, has components of variance 1 if the input has."""
    weight = torch.randn(maps.weight_numel)
    for slot in maps.slots:
        scales = [torch.full((maps.irreps_out[b].mul,), maps.factors[b]) for b in slot.outputs]
        weight[slot.start : slot.start + slot.numel].view(slot.shape).mul_(torch.cat(scales))
    return weight


class EdgeDegree(nn.Module):
    r""":math:`\bar N^{-1/2} \sum_j c_{ij} D_{ij}^T\, \mathrm{MLP}(e_{ij})`, the network's numbers in the rows of order
    zero: harmonics of each degree with radial functions.

    Args:
        width: channels. lmax, mmax: of the frames.
        edge_width, square, radial_width, radial_layers, radial_norm: as of :class:`FrameConvolution`.
        average_degree: average number of neighbours.
    """

    def __init__(
        self,
        width: int,
        lmax: int,
        mmax: int,
        edge_width: int,
        square: float,
        radial_width: int,
        average_degree: float,
        radial_layers: int = 1,
        radial_norm: bool = False,
    ) -> None:
        super().__init__()
        kind = degrees(width, lmax)
        outputs = width * (lmax + 1)
        self.mlp = EdgeNetwork(width, edge_width, square, radial_width, outputs, radial_layers, radial_norm)
        self.average_degree = average_degree
        self.back = turning(str(kind), "ir_mul", 0, (lmax, mmax), tuple(ir.dim**0.5 for _, ir in kind))

    def forward(
        self,
        invariants: Float[Tensor, "nodes width"],
        frames: EdgeFrames,
        attributes: Float[Tensor, "edges k"],
        envelope: Float[Tensor, " edges"],
        edge_index: Int[Tensor, "2 edges"],
    ) -> Float[Tensor, "nodes components width"]:
        values = self.mlp.of_edges(invariants, attributes, edge_index) * (
            envelope * self.average_degree**-0.5
        ).unsqueeze(-1)
        edges = torch.arange(values.shape[0], device=values.device)
        x = convolve(self.back, values, frames.matrices, None, edges, edge_index[1], invariants.shape[0])
        return x.unflatten(1, (-1, invariants.shape[1]))
