r"""Kernels of the relative position that can be turned: radial functions times harmonics.

.. math::
    \varphi_{n a}(x) = \rho_n(\|x\|)\, Y_a(\hat x), \qquad k(x) = \sum_{n a} \varphi_{n a}(x)\, w_{n a}, \qquad
    k(R^{-1} x) = \sum_{n a} \varphi_{n a}(x) \sum_b D_{ab}(R)\, w_{n b}

since :math:`Y(R^{-1} x) = D(R)^\top Y(x)`. So the functions of an edge are evaluated once, whatever the number of
orientations, and all layers share them; what turns with an orientation are the weights (Weiler et al. 2018,
arXiv:1711.07289, section 3.2; Cesa, Lang, Weiler 2022).
"""

from __future__ import annotations

import math
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from intertwine.groups import DirectSum, O
from intertwine.groups.plane import PlaneIrrep
from intertwine.nn.checks import check_lmax
from intertwine.nn.embedding import Edges
from intertwine.nn.groups.orientations import Orientations
from intertwine.nn.mlp import MLP
from intertwine.numerics import ExactBuffers
from intertwine.o3 import Irreps, SphericalHarmonics

START = 3.0  # of the last weights of radial networks, in units of Xavier's


class PlaneHarmonics(nn.Module):
    r""":math:`1, \sqrt2 \cos\theta, \sqrt2 \sin\theta, \sqrt2 \cos 2\theta, \ldots` of unit vectors of the plane, as
    polynomials: of the zero vector all but the first vanish.

    Args:
        degree: the largest frequency.
    """

    def __init__(self, degree: int) -> None:
        super().__init__()
        self.degree = degree
        self.irreps_out = DirectSum(tuple((1, PlaneIrrep(O(2), k)) for k in range(degree + 1)))

    def forward(self, u: Float[Tensor, "edges 2"]) -> Float[Tensor, "edges harmonics"]:
        x, y = u.unbind(-1)
        c, s = torch.ones_like(x), torch.zeros_like(x)
        values = [c]
        for _ in range(self.degree):
            c, s = c * x - s * y, c * y + s * x
            values += [math.sqrt(2) * c, math.sqrt(2) * s]
        return torch.stack(values, dim=-1)


class SteerableBasis(ExactBuffers):
    r"""The functions :math:`\varphi_{na}(x_{ij})` of each edge, with the envelope of the cutoff in
    :math:`\rho = c(d)\, \mathrm{MLP}(e(d))`.

    Args:
        dimension: of space, 2 or 3.
        lmax: largest degree (frequency) of the harmonics, normalised to mean square 1.
        functions: radial functions :math:`\rho_n`.
        edge_width: attributes of an edge: e(d) and invariants.

    Attributes:
        size: number of functions :math:`\varphi`.
        parity: 1 or -1 for each of them, :math:`\varphi(-x)` in units of :math:`\varphi(x)`.
    """

    parity: Tensor

    def __init__(self, dimension: int, lmax: int, functions: int, edge_width: int) -> None:
        super().__init__()
        check_lmax(lmax)
        self.radial = MLP([edge_width, max(4 * functions, 16), functions])
        # functions of about size 1: weak ones leave features nearly the same at all orientations
        nn.init.xavier_uniform_(cast(nn.Linear, self.radial.layers[-1]).weight, gain=START)
        self.harmonics: PlaneHarmonics | SphericalHarmonics = (
            PlaneHarmonics(lmax)
            if dimension == 2
            else SphericalHarmonics(Irreps.spherical_harmonics(lmax), normalize=False, normalization="component")
        )
        self.functions, self.components = functions, int(self.harmonics.irreps_out.dim)
        self.size = functions * self.components
        inverse = -torch.eye(dimension, dtype=torch.float64)
        self.register_exact("parity", self.harmonics.irreps_out.matrix(inverse).diagonal().repeat(functions))

    def forward(self, edges: Edges) -> Float[Tensor, "edges size"]:
        rho = self.radial(edges.attributes) * edges.envelope
        return (rho.unsqueeze(-1) * self.harmonics(edges.directions).unsqueeze(1)).flatten(1)


class Turning(ExactBuffers):
    r"""Turns the weights of a :class:`SteerableBasis` to every orientation: :math:`w_{na} \mapsto \sum_b D_{ab}(R_h)
    w_{nb}`.

    Args:
        basis: the functions.
        orientations: the grid.
    """

    matrices: Tensor

    def __init__(self, basis: SteerableBasis, orientations: Orientations) -> None:
        super().__init__()
        self.register_exact("matrices", basis.harmonics.irreps_out.matrix(orientations.exact))
        self.functions, self.size = basis.functions, basis.size

    def forward(self, w: Float[Tensor, "size *channels"]) -> Float[Tensor, "size h *channels"]:
        """Weights (size, orientations, ...) of weights (size, ...)."""
        parts = w.unflatten(0, (self.functions, -1))
        return torch.einsum("hab,nb...->nah...", self.matrices, parts).flatten(0, 1)
