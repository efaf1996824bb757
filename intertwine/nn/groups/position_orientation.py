r"""Convolutions on positions and directions: kernels of the invariants of a pair.

Of two points (x_i, o) and (x_j, o') of :math:`\mathbb{R}^3 \times S^2` four numbers stay the same under rotations and
translations. The kernels see three: :math:`o \cdot x_{ij}`, :math:`\|x_{ij} - (o \cdot x_{ij}) o\|` and
:math:`o \cdot o'` (Bekkers et al. 2024, arXiv:2310.02970, theorem 1). The fourth, the angle between x_ij and o' about
o, is none of position or of direction alone, which a separable kernel is a product of. The first two are told by the
distance and :math:`\cos\theta = o \cdot \hat x_{ij}` as well, functions of which are smooth where a neighbour lies
along o. All are the same for a mirror image.
"""

from __future__ import annotations

import math
from typing import cast

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from intertwine.nn.embedding import Edges
from intertwine.nn.groups.directions import Directions
from intertwine.nn.groups.regular import Depthwise
from intertwine.nn.mlp import MLP, on_rows

NORM_SMOOTHING = 0.1  # of the layer norm, in units of the features


class InvariantBasis(nn.Module):
    r"""The functions of the invariants that all layers share:

    .. math::
        \varphi_{ij}(o) = c(d_{ij})\, \mathrm{MLP}(e(d_{ij}), p_1(\cos\theta), \ldots, p_D(\cos\theta)), \qquad
        \psi(o, o') = \mathrm{MLP}(p_1(o \cdot o'), \ldots, p_D(o \cdot o'))

    with :math:`p_l = \sqrt{2l+1}\, P_l`, Legendre's polynomials of mean square 1 on the sphere.

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
        # as wide as the polynomials are large: weak ones leave features nearly the same at all directions
        first, second = (cast(nn.Linear, layer) for layer in self.orientation.layers)
        for layer in (self.angle, first):
            nn.init.normal_(layer.weight, std=2 * degree**-0.5)
        for layer in (self.spatial, second):
            nn.init.normal_(layer.weight, std=hidden**-0.5)

    def forward(self, edges: Edges) -> tuple[Float[Tensor, "edges o functions"], Float[Tensor, "o o functions"]]:
        r""":math:`\varphi` of the edges and :math:`\psi` of the pairs of directions."""
        cosines = self.directions.along(edges.directions)
        # the first layer is linear: its part of the distance is the same at all directions
        hidden = F.gelu(self.distance(edges.attributes).unsqueeze(1) + on_rows(self.angle, self.polynomials(cosines)))
        phi = F.gelu(on_rows(self.spatial, hidden)) * edges.envelope.unsqueeze(1)
        return phi, self.orientation(self.polynomials(self.directions.cosines()))

    def polynomials(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape degree"]:
        """:math:`p_1(x), \\ldots, p_D(x)`."""
        before, last, values = torch.ones_like(x), x, [x * math.sqrt(3)]
        for l in range(1, self.degree):
            before, last = last, ((2 * l + 1) * x * last - l * before) / (l + 1)
            values.append(last * math.sqrt(2 * l + 3))
        return torch.stack(values, dim=-1)


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
        self.self_weight = nn.Parameter(torch.full((width,), 0.3))
        self.bias = nn.Parameter(torch.zeros(width))
        self.norm = nn.LayerNorm(width, eps=NORM_SMOOTHING**2)
        self.block = MLP([width, widening * width, width], F.gelu)
        self.scale = nn.Parameter(torch.full((width,), float(layer_scale))) if layer_scale is not None else None
        for kernel in (self.space, self.sphere):
            nn.init.normal_(kernel.weight, std=4 * functions**-0.5)

    def forward(
        self,
        f: Float[Tensor, "nodes o width"],
        phi: Float[Tensor, "edges o functions"],
        psi: Float[Tensor, "o o functions"],
        edge_index: Int[Tensor, "2 edges"],
    ) -> Float[Tensor, "nodes o width"]:
        a = self.sums(f.flatten(1), on_rows(self.space, phi).flatten(1), edge_index).view_as(f) + self.self_weight * f
        b = torch.einsum("opc,ipc->ioc", self.sphere(psi) / self.count, a) + self.bias
        step = on_rows(self.block, self.norm(b))
        return f + (step if self.scale is None else self.scale * step)
