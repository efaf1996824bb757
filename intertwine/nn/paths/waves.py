r"""Bases of paths on a graph, triplets and quadruplets of atoms: functions of a distance, of angles and of a torsion.

The waves of :mod:`intertwine.nn.paths.spherical_bessel` with an envelope, harmonics of a torsion that are smooth where
it is not defined, and the contraction of both to one matrix per edge (Gasteiger, Becker, Günnemann 2021,
arXiv:2106.08903, section 6: efficient bilinear layer).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.polynomial import chebyshev as series
from numpy.polynomial import legendre
from torch import Tensor

from intertwine.geometry import Graph, meetings, quadruplets, reverse
from intertwine.nn.cutoff import PolynomialCutoff
from intertwine.nn.paths.spherical_bessel import SphericalBesselBasis, chebyshev
from intertwine.nn.shapes import Lists
from intertwine.numerics import ExactBuffers


class RadialWaves(ExactBuffers):
    """:math:`u(d) R_{ln}(d / r_c)`, each of unit second moment over distances spread evenly from 0.2 r_c to r_c.

    Args:
        cutoff: r_c in A.
        degrees: l = 0 ... degrees - 1.
        size: functions of each degree.
    """

    scale: Tensor

    def __init__(self, cutoff: float, degrees: int, size: int) -> None:
        super().__init__()
        self.envelope, self.degrees = PolynomialCutoff(cutoff), degrees
        self.waves = SphericalBesselBasis(degrees, size)
        nodes, weights = (torch.from_numpy(x) for x in legendre.leggauss(200))
        u = 0.6 + 0.4 * nodes  # from 0.2 to 1
        values = SphericalBesselBasis(degrees, size).double()(u) * PolynomialCutoff(1.0)(u).unsqueeze(-1)
        self.register_exact("scale", (weights / 2 @ values.square()).rsqrt())

    def forward(self, d: Float[Tensor, " edges"]) -> Float[Tensor, "edges degrees size"]:
        values = self.waves(d / self.envelope.cutoff) * self.scale * self.envelope(d).unsqueeze(-1)
        return values.unflatten(-1, (self.degrees, -1))


class TorsionBasis(ExactBuffers):
    r"""Harmonics of the direction u about the axis w, turned from the half-plane of v, without any singularity:

    .. math:: Y_{lm}(u, v; w) \propto P_l^m(\cos\varphi) \sin^m\!\varphi'\, \cos m\theta, \qquad 0 \le m \le l

    with :math:`\varphi, \varphi'` the angles of u and v to w and :math:`\theta` between their parts normal to w. The
    factor :math:`\sin^m\!\varphi'`, which the paper has not, makes it a polynomial of the three cosines:
    :math:`P_l^m(\cos\varphi) = \sin^m\!\varphi\; P_l^{(m)}(\cos\varphi)`, and
    :math:`\rho_m = (\sin\varphi \sin\varphi')^m \cos m\theta` follows from
    :math:`\rho_{m+1} = 2 \rho_1 \rho_m - (\sin\varphi \sin\varphi')^2 \rho_{m-1}`,
    :math:`\rho_1 = u \cdot v - (u \cdot w)(v \cdot w)`. Unit second moment over directions u, v.

    Args:
        degrees: l = 0 ... degrees - 1.
    """

    coefficients: Tensor

    def __init__(self, degrees: int) -> None:
        super().__init__()
        self.orders = [(l, m) for m in range(degrees) for l in range(m, degrees)]
        columns = []
        for l, m in self.orders:
            square = math.factorial(l + m) / math.factorial(l - m) / (2 * l + 1)  # of P_l^m
            square *= math.prod(2 * k / (2 * k + 1) for k in range(1, m + 1)) * (0.5 if m else 1.0)
            columns.append(legendre.legder(np.eye(degrees)[l], m) / math.sqrt(square))
        rows = np.stack([np.pad(c, (0, degrees - len(c))) for c in columns], axis=1)
        self.register_exact(
            "coefficients", series.chebinterpolate(lambda t: legendre.legvander(t, degrees - 1) @ rows, degrees - 1)
        )

    def forward(
        self, uw: Float[Tensor, " paths"], vw: Float[Tensor, " paths"], uv: Float[Tensor, " paths"]
    ) -> Float[Tensor, "paths functions"]:
        """Values with columns (m, l), l fastest, from the cosines of the angles between unit vectors u, v and w."""
        first, square = uv - uw * vw, (1 - uw * uw) * (1 - vw * vw)
        powers = [torch.ones_like(uw), first]
        for _ in range(2, self.orders[-1][1] + 1):
            powers.append(2 * first * powers[-1] - square * powers[-2])
        polynomials = chebyshev(uw, len(self.coefficients)).T @ self.coefficients
        return polynomials * torch.stack([powers[m] for _, m in self.orders], dim=-1)


class Paths(NamedTuple):
    """Of each edge c -> a: what is summed (edges, places), and the basis contracted with its weights (edges, channels,
    places), zero where a place is empty. Summed are edges b -> a; or, where ``first`` is given, pairs of edges d -> b
    -> a: their edges d -> b, and their functions (pairs, channels)."""

    members: Int[Tensor, "edges places"]
    basis: Float[Tensor, "edges channels places"]
    first: Int[Tensor, " pairs"] | None = None
    circular: Float[Tensor, "pairs channels"] | None = None


def places(
    members: Int[Tensor, " paths"], edges: Int[Tensor, " paths"], count: int
) -> tuple[Int[Tensor, "edges places"], Int[Tensor, " paths"]]:
    """The paths of each edge side by side, in as many places as the edge with most of them needs.

    Args:
        members: what each path is summed from; edges: the edge that it belongs to, sorted.
        count: number of edges.

    Returns:
        (count, places): the members, zero where a place is empty; and (paths,), the place of each path, counted through
        all edges.
    """
    number = torch.bincount(edges, minlength=count)
    most = int(number.max()) if count else 0
    slots = (
        torch.arange(len(edges), device=edges.device)
        + edges * most
        - (number.cumsum(0) - number).index_select(0, edges)
    )
    return members.new_zeros(count * most).index_copy(0, slots, members).view(count, most), slots


def normal(functions: int, size: int, channels: int) -> Float[Tensor, "functions size channels"]:
    """Weights of a basis: unit variance in, unit variance out."""
    return torch.randn(functions, size, channels) * (functions * size) ** -0.5


#: What :func:`list_paths` makes, and the axes whose lengths depend on the data.
LISTS: dict[str, tuple[int, ...]] = {
    "opposite": (0,),
    "triplets": (1,),
    "triplet_members": (0, 1),
    "triplet_slots": (0,),
    "pairs": (1,),
    "quadruplets": (1,),
    "members": (0, 1),
    "slots": (0,),
}


def list_paths(near: Graph, far: Graph, torsions: bool) -> Lists:
    """The paths of two edges and, for ``torsions``, of three, with their places (:func:`places`); the edge back of each
    edge.

    Args:
        near: the graph of messages; far: of the edges in the middle of a torsion.
    """
    couplings = {"opposite": reverse(near), "triplets": meetings(near)}
    couplings["triplet_members"], couplings["triplet_slots"] = places(
        couplings["triplets"][0], couplings["triplets"][1], near.num_edges
    )
    if torsions:
        couplings["pairs"], couplings["quadruplets"] = quadruplets(near, far)
        couplings["members"], couplings["slots"] = places(
            couplings["quadruplets"][0], couplings["quadruplets"][1], near.num_edges
        )
    return couplings


def contract(
    radial: Float[Tensor, "edges functions size"],
    weight: Float[Tensor, "functions size channels"],
    angular: Float[Tensor, "paths functions"],
    members: Int[Tensor, "edges places"],
    slots: Int[Tensor, " paths"],
) -> Paths:
    """:math:`(W_S e)_{e i k} = \\sum_{s n} W_{s n i} R_{e s n} Y_{e k s}` of the k-th path of each edge; ``members``
    and ``slots`` are from :func:`places`."""
    values = (
        angular.new_zeros(members.numel(), angular.shape[1])
        .index_copy(0, slots, angular)
        .view(*members.shape, angular.shape[1])
    )
    weights = torch.einsum("esn,sni->eis", radial, weight)
    return Paths(members, torch.bmm(weights, values.transpose(1, 2)))
