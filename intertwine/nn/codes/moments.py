r"""Moments of invariant maps of an image about its centre: irreps of the rotations about it.

.. math:: a_{k f r} = \sum_p f(p)\, R_r(|p|)\, e^{i k \phi_p}, \qquad x \to x \circ R^{-1}:\ a_k \to e^{i k \alpha} a_k

with Gaussian rings R and angles :math:`\phi` of the pixels p. Any network that is equivariant to rotations and gives
invariants of the pixels becomes one of the rotations about the centre of the image: translations are left out. Exact
under turns by 90 degrees; under others as far as the rings are sampled.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from intertwine.geometry import raster_positions
from intertwine.nn.checks import check_sizes
from intertwine.nn.groups.kernel_basis import SHARPNESS, circular_harmonics
from intertwine.numerics import ExactBuffers, GeometryError


class PlaneMoments(ExactBuffers):
    """Moments of maps, mixed linearly: channels of each frequency from 0 to ``limit``.

    Complex numbers are pairs, and so are the weights, which commute with turns.

    Args:
        maps: F.
        size: pixels along an edge of the images, 2 or more.
        channels: C of each frequency.
        limit: highest frequency K.
        rings: number of rings, from the centre to the middle of an edge.
    """

    def __init__(self, maps: int, size: int, channels: int, limit: int, rings: int = 5) -> None:
        super().__init__()
        check_sizes(maps=maps, size=size, channels=channels, limit=limit + 1, rings=rings)
        self.size, self.limit = size, limit
        points = raster_positions(size, size)
        radius = points.norm(dim=1)
        step = max(size / 2 / max(rings - 1, 1), 0.5)
        radii = step * torch.arange(rings, dtype=torch.float64)
        profiles = torch.exp(-((radius - radii[:, None]) ** 2) / (2 * (SHARPNESS * step) ** 2))
        weights = []
        for k, wave in enumerate(circular_harmonics(points, limit)):
            kept = profiles[2 * radii >= k]  # closer to the centre the pixels do not resolve the angle
            parts = torch.stack([kept * wave.real, kept * wave.imag])
            self.register_exact(f"waves_{k}", parts / parts.square().sum(-1, keepdim=True).mean().sqrt())
            fan = maps * len(kept)
            weights.append(nn.Parameter(torch.randn(2, channels, fan) / (fan * (2 if k else 1)) ** 0.5))
        self.weights = nn.ParameterList(weights)

    def forward(self, maps: Float[Tensor, "images maps rows columns"]) -> list[Float[Tensor, "images channels 2"]]:
        """For each frequency (images, C, 2), real and imaginary part; at frequency 0 the imaginary part is that of the
        weights, and both are invariants.

        Raises:
            GeometryError: images of another size.
        """
        if maps.shape[2:] != (self.size, self.size):
            what = (
                f"images of {' x '.join(map(str, maps.shape[2:]))} pixels, and the code is of {self.size} x {self.size}"
            )
            raise GeometryError(what, where="x", remedy="give images of the size that it was trained on.")
        flat, result = maps.flatten(2), []
        varying = flat - flat.mean(2, keepdim=True)  # a constant adds nothing to k > 0 but rounding
        for k, weight in enumerate(self.weights):
            waves = getattr(self, f"waves_{k}")
            real, imag = (torch.einsum("bfp,rp->bfr", varying if k else flat, part).flatten(1) for part in waves)
            a, b = weight
            result.append(torch.stack([real @ a.T - imag @ b.T, real @ b.T + imag @ a.T], dim=-1))
        return result
