r"""Codes of images that turns do not change, and the turn: eta, psi and delta of an autoencoder of square images.

.. math::
    z = \eta(x), \qquad \hat x = \rho(\psi(x))\, \delta(z), \qquad \eta(g x) = \eta(x), \quad \psi(g x) = g\, \psi(x)

Winter et al., NeurIPS 2022 (arXiv:2202.07559), eq. 3 and section 3.3. Departures: eta and psi are read off moments of
any network's invariant maps about the centre; the canonical image is larger than the image by what a turn of a square
needs, so that no corner is lost; it is turned by cubic splines.
"""

from __future__ import annotations

from math import ceil, sqrt
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from intertwine.geometry import raster_positions
from intertwine.nn.checks import check_sizes
from intertwine.nn.codes.heads import CyclicHead, Estimate, RotationHead
from intertwine.nn.codes.moments import PlaneMoments
from intertwine.nn.mlp import MLP
from intertwine.numerics import ExactBuffers, safe

VANISHING = 1e-4  # of the size of the maps: shorter vectors are rounding
LIMIT = 4  # highest frequency of the moments


class ImageParts(NamedTuple):
    """What an image is taken apart into.

    Attributes:
        code: z (images, size of the code).
        turn: psi: rotations (images, 2, 2) in ``element``, or numbers of quarter turns and the like (images).
    """

    code: Float[Tensor, "images code"]
    turn: Estimate | None


class ImageEncoder(nn.Module):
    r"""eta and psi from invariant maps: products of moments of equal frequency, :math:`u_k \bar v_k`, are invariant;
    sums of moments of frequency 1, with invariant weights, turn with the image, and :math:`s_j = \sum_k \mathrm{Re}\,
    a_k e^{-2 \pi i j k / n}` are scores of the elements of C_n.

    Args:
        maps: F of the network.
        size: pixels along an edge.
        code: numbers of the code.
        order: 0 for SO(2), n for C_n, 1 for the group of one element: a plain autoencoder, whose code turns change.
        channels: moments of each frequency.
        hidden: width of the perceptron.
    """

    def __init__(self, maps: int, size: int, code: int, order: int, channels: int = 32, hidden: int = 128) -> None:
        super().__init__()
        check_sizes(code=code, channels=channels, hidden=hidden, order=order + 1)
        self.order = order
        self.moments = PlaneMoments(maps, size, 2 * channels, max(LIMIT, order // 2))
        frequencies = self.moments.limit
        inputs = 4 * channels * (1 + frequencies) if order == 1 else 4 * channels + 2 * channels * frequencies
        self.norm = nn.LayerNorm(inputs)
        self.trunk = MLP([inputs, hidden, hidden], last=True)
        self.code = nn.Linear(hidden, code)
        self.head: nn.Module | None = None
        if order != 1:
            used = 1 if order == 0 else frequencies
            self.gates = nn.Linear(hidden, used * 2 * channels * 2)
            self.head = RotationHead(2, VANISHING) if order == 0 else CyclicHead(order)
            self.used = used

    def forward(self, maps: Float[Tensor, "images maps rows columns"]) -> ImageParts:
        moments = self.moments(maps)
        scale = safe.sqrt(maps.square().mean((1, 2, 3))).reshape(-1, 1, 1)
        moments = [a / torch.where(scale > 0, scale, 1.0) for a in moments]
        hidden = self.trunk(self.norm(self.invariants(moments)))
        code = self.code(hidden)
        if self.head is None:
            return ImageParts(code, None)
        gates = self.gates(hidden).unflatten(1, (self.used, -1, 2))
        sums = [_times(gates[:, k - 1], moments[k]).mean(1) for k in range(1, self.used + 1)]
        return ImageParts(code, self.head(sums[0].unsqueeze(1) if self.order == 0 else self.scores(sums)))

    def invariants(self, moments: list[Float[Tensor, "images channels 2"]]) -> Float[Tensor, "images inputs"]:
        """What turns about the centre leave alone; all moments, where the group has one element."""
        if self.order == 1:
            return torch.cat([a.flatten(1) for a in moments], dim=1)
        parts = [moments[0].flatten(1)]
        for a in moments[1:]:
            u, v = a.chunk(2, dim=1)
            product = _times(u, v * v.new_tensor([1.0, -1.0]))
            parts.append((product / (1 + product.square().sum(-1, keepdim=True)) ** 0.25).flatten(1))
        return torch.cat(parts, dim=1)

    def scores(self, sums: list[Float[Tensor, "images 2"]]) -> Float[Tensor, "images order"]:
        """The regular representation of C_n, from one number of each frequency."""
        j, result = torch.arange(self.order, dtype=torch.float64), sums[0].new_zeros(len(sums[0]), self.order)
        for k, a in enumerate(sums, 1):
            angle = 2 * torch.pi * ((j * k) % self.order) / self.order
            cosine, sine = (_whole(part).to(a) for part in (angle.cos(), angle.sin()))
            result = result + a[:, :1] * cosine + a[:, 1:] * sine
        return result


class ImageDecoder(ExactBuffers):
    r"""delta: from a code to the canonical image, and rho: the canonical image turned, cut to the size of the image.

    The canonical image is a sum of cubic B-splines, one at each of its pixels, zero outside,
    :math:`f(p) = \sum_{ij} c_{ij}\, \beta(p_1 - i)\, \beta(p_2 - j)`, so that it can be seen at any point.

    Args:
        code: numbers of the code.
        channels: values of a pixel.
        size: pixels along an edge.
        hidden: width of the perceptron.
        turning: whether it is to be turned: the canonical image is then larger.
    """

    points: Tensor
    places: Tensor
    values: Tensor

    def __init__(self, code: int, channels: int, size: int, hidden: int = 256, turning: bool = True) -> None:
        super().__init__()
        self.channels, self.size = channels, size
        self.margin = ceil((sqrt(2) - 1) / 2 * size) if turning else 0
        self.edge = size + 2 * self.margin
        self.mlp = MLP([code, hidden, hidden, channels * self.edge**2])
        places = torch.arange(self.edge, dtype=torch.float64) - (self.edge - 1) / 2
        self.register_exact("points", raster_positions(size, size))
        self.register_exact("places", places)
        self.register_exact("values", _spline(places[:, None] - places))

    def forward(self, code: Float[Tensor, "images code"]) -> Float[Tensor, "images channels edge edge"]:
        """The coefficients c."""
        return self.mlp(code).unflatten(1, (self.channels, self.edge, self.edge))

    def canonical(
        self, coefficients: Float[Tensor, "images channels edge edge"]
    ) -> Float[Tensor, "images channels edge edge"]:
        """The canonical images at their pixels."""
        return self.values @ coefficients @ self.values

    def turned(
        self, coefficients: Float[Tensor, "images channels edge edge"], rotation: Float[Tensor, "images 2 2"]
    ) -> Float[Tensor, "images channels size size"]:
        """The canonical images as the images lie; right angles take pixels to pixels."""
        back = self.points @ rotation.to(coefficients)  # R^{-1} p
        columns, rows = (_spline(at.unsqueeze(-1) - self.places) for at in (back[..., 0], -back[..., 1]))
        values = torch.einsum("bpi,bcij,bpj->bcp", rows, coefficients, columns)
        return values.unflatten(2, (self.size, self.size))


class Turns(ExactBuffers):
    """The rotations of C_n as matrices.

    Args:
        order: n.
    """

    matrices: Tensor

    def __init__(self, order: int) -> None:
        super().__init__()
        head = CyclicHead(order)
        self.register_exact("matrices", head.group.linear(head.group.elements()))

    def forward(self, element: Int[Tensor, " images"]) -> Float[Tensor, "images 2 2"]:
        return self.matrices[element]


def _times(a: Float[Tensor, "*batch 2"], b: Float[Tensor, "*batch 2"]) -> Float[Tensor, "*batch 2"]:
    """The product of complex numbers."""
    (ar, ai), (br, bi) = a.unbind(-1), b.unbind(-1)
    return torch.stack([ar * br - ai * bi, ar * bi + ai * br], dim=-1)


def _spline(t: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """The cubic B-spline, of support (-2, 2)."""
    a = t.abs()
    inner, outer = 2 / 3 - a.square() * (2 - a) / 2, (2 - a).clamp(min=0) ** 3 / 6
    return torch.where(a < 1, inner, outer)


def _whole(x: Tensor) -> Tensor:
    """Numbers, those next to whole ones made exact."""
    return torch.where((x - x.round()).abs() < 1e-12, x.round(), x)
