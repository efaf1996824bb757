r"""Convolutions on positions and directions: kernels of the invariants of a pair.

Of two points (x_i, o) and (x_j, o') of :math:`\mathbb{R}^n \times S^{n-1}` the invariants are :math:`o \cdot x_{ij}`,
:math:`\|x_{ij} - (o \cdot x_{ij}) o\|` and :math:`o \cdot o'` (in the plane up to a reflection), and they tell all pairs
apart that no rotation maps to each other (Bekkers et al. 2024, arXiv:2310.02970, theorem 1). The first two are told by
the distance and :math:`\cos\theta = o \cdot \hat x_{ij}` as well, of which kernels are smooth where a neighbour lies
along o.
"""

from __future__ import annotations

import itertools

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from intertwine.nn.embedding import Edges
from intertwine.nn.groups.directions import Directions
from intertwine.nn.groups.regular import Depthwise
from intertwine.nn.mlp import MLP

NORM_SMOOTHING = 0.1  # of the layer norm, in units of the features


class InvariantBasis(nn.Module):
    r"""The functions of the invariants that all layers share:

    .. math::
        \varphi_{ij}(o) = c(d_{ij})\, \mathrm{MLP}(e(d_{ij}), \cos\theta, \ldots, \cos^D\theta), \qquad
        \psi(o, o') = \mathrm{MLP}(o \cdot o', \ldots, (o \cdot o')^D)

    Args:
        directions: the grid.
        edge_width: attributes of an edge: e(d) and invariants.
        hidden: hidden units of the networks.
        functions: number of functions of each.
        degree: D.
    """

    def __init__(self, directions: Directions, edge_width: int, hidden: int, functions: int, degree: int) -> None:
        super().__init__()
        self.directions, self.degree = directions, degree
        self.distance = nn.Linear(edge_width, hidden)
        self.angle = nn.Linear(degree, hidden, bias=False)
        self.spatial = nn.Linear(hidden, functions)
        self.orientation = MLP([degree, hidden, functions], F.gelu, last=True)

    def forward(self, edges: Edges) -> tuple[Float[Tensor, "edges o functions"], Float[Tensor, "o o functions"]]:
        r""":math:`\varphi` of the edges and :math:`\psi` of the pairs of directions."""
        cosines = self.directions.along(edges.directions)
        # the first layer is linear: its part of the distance is the same at all directions
        hidden = F.gelu(self.distance(edges.attributes).unsqueeze(1) + self.angle(self.powers(cosines)))
        phi = F.gelu(self.spatial(hidden)) * edges.envelope.unsqueeze(1)
        return phi, self.orientation(self.powers(self.directions.cosines()))

    def powers(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape degree"]:
        """x, ..., x^D."""
        return torch.stack(list(itertools.accumulate([x] * self.degree, torch.mul)), dim=-1)


class PositionOrientationLayer(nn.Module):
    r"""A separable convolution, in space and then over the directions, in a ConvNeXt block:

    .. math::
        a_i(o) &= \frac{1}{\sqrt{\bar N}} \sum_j (K_1 \varphi_{ij}(o)) \circ f_j(o) + u \circ f_i(o) \\
        b_i(o) &= \frac1N \sum_{o'} (K_2 \psi(o, o')) \circ a_i(o') + \beta \\
        f_i'(o) &= f_i(o) + s \circ W_2\, \mathrm{gelu}(W_1\, \mathrm{norm}(b_i(o)))

    The term of the node itself stands for the kernel at x = 0. norm is the layer norm over the channels.

    Args:
        width: channels.
        directions: the grid.
        functions: functions of the basis, in space and over the directions.
        average_degree: :math:`\bar N`, a constant.
        widening: hidden channels of the block, in units of the width.
        layer_scale: start of s; None for no such factor.
    """

    def __init__(
        self,
        width: int,
        directions: Directions,
        functions: int,
        average_degree: float,
        widening: int,
        layer_scale: float | None,
    ) -> None:
        super().__init__()
        self.count = directions.count
        self.space, self.sphere = (nn.Linear(functions, width, bias=False) for _ in range(2))
        self.sums = Depthwise(directions.count * width, average_degree)
        self.self_weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))
        self.norm = nn.LayerNorm(width, eps=NORM_SMOOTHING**2)
        self.block = MLP([width, widening * width, width], F.gelu)
        self.scale = nn.Parameter(torch.full((width,), float(layer_scale))) if layer_scale is not None else None
        for kernel in (self.space, self.sphere):
            nn.init.normal_(kernel.weight, std=3 * functions**-0.5)  # of functions with mean square about 0.1

    def forward(
        self,
        f: Float[Tensor, "nodes o width"],
        phi: Float[Tensor, "edges o functions"],
        psi: Float[Tensor, "o o functions"],
        edge_index: Int[Tensor, "2 edges"],
    ) -> Float[Tensor, "nodes o width"]:
        a = self.sums(f.flatten(1), self.space(phi).flatten(1), edge_index).view_as(f) + self.self_weight * f
        b = torch.einsum("opc,ipc->ioc", self.sphere(psi) / self.count, a) + self.bias
        step = self.block(self.norm(b))
        return f + (step if self.scale is None else self.scale * step)
