r"""Group convolutions on :math:`\mathbb{R}^n \rtimes H` for points: lifting, convolution, and what is read out.

With features :math:`f_i(h)` of node i at the orientation :math:`R_h`, neighbours j within a cutoff and
:math:`x_{ij} = x_j - x_i`:

.. math::
    \text{lifting} \quad f_i'(h) &= \sum_j k(R_h^{-1} x_{ij})\, f_j \\
    \text{convolution} \quad f_i'(h) &= \sum_j \sum_{h'} w_{h'}\, k(R_h^{-1} x_{ij}, R_h^{-1} R_{h'})\, f_j(h')
    + \sum_{h'} w_{h'}\, k_0(R_h^{-1} R_{h'})\, f_i(h')

The attribute is :math:`g_i^{-1} g_j`, and a rotation of all nodes that permutes the orientations permutes the result in
the same way. Cohen and Welling 2016 (arXiv:1602.07576), eq. 10 and 11; lecture 3.2, "regular group convolutions".

Kernels are separable, :math:`k_c(x, R) = k^1_c(x)\, k^2_c(R)` for each channel c (channels mix in the layer's MLP;
Knigge, Romero, Bekkers 2022, arXiv:2110.13059), or full: matrices of channels for every pair of a function of x and one
of R. Functions of x are those of a :class:`~intertwine.nn.groups.steerable_basis.SteerableBasis`: the sum over the
neighbours never sees pairs of orientations.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from intertwine.nn.convolution import Convolution
from intertwine.nn.groups.orientations import Orientations
from intertwine.nn.groups.steerable_basis import SteerableBasis, Turning
from intertwine.nn.mlp import MLP, on_rows
from intertwine.o3 import Irreps

Lifted = Float[Tensor, "nodes h width"]
Basis = Float[Tensor, "edges size"]
EdgeIndex = Int[Tensor, "2 edges"]


class Depthwise(nn.Module):
    r""":math:`z_{ic} = \bar N^{-1/2} \sum_j w_{ijc}\, f_{jc}`: every channel has a weight on every edge.

    Args:
        channels: number of c.
        average_degree: :math:`\bar N`.
    """

    def __init__(self, channels: int, average_degree: float) -> None:
        super().__init__()
        self.sums = Convolution(Irreps(f"{channels}x0e"), Irreps("0e"), average_degree=average_degree)

    def forward(
        self, f: Float[Tensor, "nodes channels"], weights: Float[Tensor, "edges channels"], edge_index: EdgeIndex
    ) -> Float[Tensor, "nodes channels"]:
        return self.sums(f, weights.new_ones(weights.shape[0], 1), edge_index, weights)


class LiftingConvolution(nn.Module):
    r""":math:`f_i'(h) = \bar N^{-1/2} \sum_j k(R_h^{-1} x_{ij})\, f_j`.

    Args:
        width: channels.
        basis: functions of the edges that kernels are sums of.
        orientations: the grid.
        average_degree: :math:`\bar N`, a constant.
        separable: a weight for each function and channel, where the full kernel has a matrix of channels.
    """

    def __init__(
        self,
        width: int,
        basis: SteerableBasis,
        orientations: Orientations,
        average_degree: float,
        separable: bool = True,
    ) -> None:
        super().__init__()
        self.width, self.size, self.separable = width, basis.size, separable
        self.sums = Convolution(
            Irreps(f"{width}x0e"), Irreps([(1, "0e")] * basis.size), weighted=False, average_degree=average_degree
        )
        self.turning = Turning(basis, orientations)
        shape, scale = ((width,), 1.0) if separable else ((width, width), width**-0.5)
        self.weight = nn.Parameter(torch.randn(basis.size, *shape) * scale * basis.size**-0.5)

    def forward(self, f: Float[Tensor, "nodes width"], phi: Basis, edge_index: EdgeIndex) -> Lifted:
        """Features at the orientations from features f of the nodes and the functions phi of the edges."""
        sums = self.sums(f, phi, edge_index).unflatten(1, (self.size, self.width))
        return torch.einsum("ibc,bhc->ihc" if self.separable else "ibd,bhcd->ihc", sums, self.turning(self.weight))


class GroupConvolution(nn.Module):
    r"""Convolution with :math:`k_c(x, R) = k^1_c(x)\, k^2_c(R)`, and :math:`k_{0c}(R) = u_c\, k^2_c(R)`:

    .. math::
        g_j(h) = \sum_{h'} w_{h'}\, k^2(R_h^{-1} R_{h'})\, f_j(h'), \qquad
        f_i'(h) = \frac{1}{\sqrt{\bar N}} \sum_j k^1(R_h^{-1} x_{ij})\, g_j(h) + u\, g_i(h)

    First at the nodes, then along the edges: pairs of orientations are no edge's business.

    Args:
        width: channels.
        basis: functions of the edges that kernels are sums of.
        orientations: the grid.
        average_degree: :math:`\bar N`, a constant.
    """

    def __init__(self, width: int, basis: SteerableBasis, orientations: Orientations, average_degree: float) -> None:
        super().__init__()
        self.orientations, self.turning = orientations, Turning(basis, orientations)
        self.sums = Depthwise(orientations.count * width, average_degree)
        self.position = nn.Parameter(torch.randn(basis.size, width) * basis.size**-0.5)
        self.orientation = nn.Parameter(torch.randn(orientations.functions, width))
        self.self_weight = nn.Parameter(torch.ones(width))

    def forward(self, f: Lifted, phi: Basis, edge_index: EdgeIndex) -> Lifted:
        """f' from f (nodes, orientations, width) and the functions phi of the edges."""
        kernel = self.orientations.kernel(self.orientation) * self.orientations.weights[:, None]
        g = torch.einsum("hkc,ikc->ihc", kernel, f)
        weights = phi @ self.turning(self.position).flatten(1)
        return self.sums(g.flatten(1), weights, edge_index).view_as(g) + self.self_weight * g


class FullGroupConvolution(nn.Module):
    r"""Convolution with a matrix of channels for every function of x (that of the node itself among them) and of R:

    .. math::
        f_i'(h) = \sum_{b a h' m} D_{ab}(R_h)\, \psi_m(R_h^{-1} R_{h'})\, W_{b m}\, w_{h'} A_{i a}(h'), \qquad
        A_{i a}(h') = \frac{1}{\sqrt{\bar N}} \sum_j \varphi_a(x_{ij})\, f_j(h')

    Args:
        width: channels.
        basis: functions of the edges that kernels are sums of.
        orientations: the grid.
        average_degree: :math:`\bar N`, a constant.
    """

    def __init__(self, width: int, basis: SteerableBasis, orientations: Orientations, average_degree: float) -> None:
        super().__init__()
        self.orientations, self.turning, self.size = orientations, Turning(basis, orientations), basis.size
        self.sums = Convolution(
            Irreps(f"{orientations.count * width}x0e"),
            Irreps([(1, "0e")] * basis.size),
            weighted=False,
            average_degree=average_degree,
        )
        shape = (orientations.functions, width, width)
        self.weight = nn.Parameter(torch.randn(basis.size, *shape) * (basis.size * width) ** -0.5)
        self.self_weight = nn.Parameter(torch.randn(*shape) * width**-0.5)

    def forward(self, f: Lifted, phi: Basis, edge_index: EdgeIndex) -> Lifted:
        """f' from f (nodes, orientations, width) and the functions phi of the edges."""
        h, width = f.shape[1:]
        turned = self.turning(self.weight).permute(2, 1, 0, 3, 4)  # (functions, h, size, out, in)
        kernel = torch.cat(
            [self.orientations.kernel(self.self_weight).unsqueeze(2), self.orientations.rows(turned)], dim=2
        )
        kernel = kernel * self.orientations.weights[:, None, None, None]
        sums = self.sums(f.flatten(1), phi, edge_index).unflatten(1, (self.size, h, width))
        seen = torch.cat([f.unsqueeze(1), sums], dim=1)
        return torch.einsum("hkacd,iakd->ihc", kernel, seen)


class RegularLayer(nn.Module):
    r""":math:`f' = f + \mathrm{MLP}(\mathrm{conv}(f))`, the MLP at each node and orientation.

    Args:
        width: channels.
        convolution: a group convolution.
    """

    def __init__(self, width: int, convolution: nn.Module) -> None:
        super().__init__()
        self.convolution, self.outward = convolution, MLP([width, 2 * width, width])

    def forward(self, f: Lifted, phi: Basis, edge_index: EdgeIndex) -> Lifted:
        return f + on_rows(self.outward, self.convolution(f, phi, edge_index))


class OrientationReadout(nn.Module):
    r"""Scalars and vectors of a node from what it has at its orientations:

    .. math:: s_i = \sum_h w_h f_i(h), \qquad v_i = \sum_h w_h R_h\, U f_i(h)

    with U a linear map to n coordinates of each vector, in the frame of the orientation.

    Args:
        width: channels of f, which are the scalars.
        vectors: number of vectors.
        orientations: the grid.
    """

    def __init__(self, width: int, vectors: int, orientations: Orientations) -> None:
        super().__init__()
        self.orientations, self.vectors = orientations, vectors
        self.coordinates = nn.Linear(width, orientations.dimension * vectors, bias=False) if vectors else None

    def forward(self, f: Lifted) -> Float[Tensor, "nodes features"]:
        """(nodes, width + n * vectors) in ``mul_ir`` order."""
        s = self.orientations.mean(f)
        if self.coordinates is None:
            return s
        u = on_rows(self.coordinates, f).unflatten(-1, (self.orientations.dimension, self.vectors))
        return torch.cat([s, self.orientations.out_of(u).transpose(1, 2).flatten(1)], dim=-1)
