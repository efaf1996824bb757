r"""Functions of the plane or of space that kernels on a grid are made of, sampled at the pixels and at turned pixels.

A kernel is :math:`k(x) = \sum_b w_b B_b(x)`, and turned by g it is :math:`k(g^{-1} x)`. So turning it is one constant
matrix, :math:`T_g[b, x] = B_b(g^{-1} x)`, and weights are never interpolated. A turn that maps the grid to itself
permutes the rows of pixels exactly, whatever the basis.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from intertwine.geometry import raster_positions
from intertwine.nn.checks import check_sizes
from intertwine.numerics import InputError, choose

SHARPNESS = 0.6  # deviation of the Gaussian of a ring, in pixels: Weiler, Hamprecht, Storath 2018, section 3.3
SPLINES = ("bilinear", "bspline")


@runtime_checkable
class KernelBasis(Protocol):
    """Functions of positions.

    Attributes:
        size: pixels of the kernel along each axis, odd.
        dimension: 2 or 3.
        count: number of functions.
    """

    size: int
    dimension: int
    count: int

    def sample(self, points: Float[Tensor, "*batch points n"]) -> Float[Tensor, "*batch count points"]:
        """The values of the functions at points, in pixels from the centre."""
        ...


def kernel_pixels(size: int, dimension: int) -> Float[Tensor, "taps n"]:
    """The centres of the pixels of a kernel, from its middle, in the order of its values.

    Raises:
        InputError: an even size, whose middle is between pixels: shifting it by half a pixel is no symmetry.
    """
    check_sizes(kernel=size)
    if size % 2 == 0:
        raise InputError(
            f"a kernel of {size} pixels has no pixel in its middle", where="kernel", remedy=f"give {size + 1}."
        )
    return raster_positions(*[size] * dimension)


class SplineBasis:
    r"""Products of B-splines of each coordinate, one at each pixel: :math:`B_b(x) = \prod_a \beta(x_a - c_{ba})`.

    "bilinear" is the hat :math:`\max(0, 1 - |t|)`: the weights are the kernel's values at its pixels, and turned
    kernels are what bilinear interpolation makes of them. "bspline" is the cubic B-spline, which is smooth.

    Args:
        size: pixels along each axis, odd.
        dimension: 2 or 3.
        kind: "bilinear" or "bspline".
        disk: only functions whose centre is within the largest disk (ball), so that corners are not turned out of it.
    """

    def __init__(self, size: int, dimension: int = 2, kind: str = "bilinear", disk: bool = False) -> None:
        choose(kind, SPLINES, kind="splines", where="SplineBasis")
        centres = kernel_pixels(size, dimension)
        if disk:
            centres = centres[centres.norm(dim=1) <= (size - 1) / 2 + 0.25]
        self.size, self.dimension, self.kind, self.centres, self.count = size, dimension, kind, centres, len(centres)

    def sample(self, points: Float[Tensor, "*batch points n"]) -> Float[Tensor, "*batch count points"]:
        t = (points.unsqueeze(-3) - self.centres[:, None]).abs()
        if self.kind == "bilinear":
            values = (1 - t).clamp(min=0)
        else:
            values = (2 - t).clamp(min=0) ** 3 / 6 - 4 * (1 - t).clamp(min=0) ** 3 / 6
        return values.prod(-1)


class RingBasis:
    r"""Circular harmonics on rings: :math:`e^{-(|x| - r)^2 / 2\sigma^2}` times 1, :math:`\cos k\phi` and
    :math:`\sin k\phi`, r = 0, 1, ..., (size - 1) / 2.

    A ring of radius r has frequencies k up to 2 r, and none above ``limit``: its pixels can't tell more. So turned
    kernels are sampled and not interpolated. Weiler, Hamprecht and Storath, CVPR 2018 (arXiv:1711.07289), section 3.3.

    Args:
        size: pixels along each axis, odd.
        limit: highest frequency; None for those that the rings can have.
    """

    dimension = 2

    def __init__(self, size: int, limit: int | None = None) -> None:
        kernel_pixels(size, 2)
        self.size = size
        self.harmonics = [
            (r, k) for r in range(size // 2 + 1) for k in range(min(2 * r, 2 * r if limit is None else limit) + 1)
        ]
        self.count = sum(2 if k else 1 for _, k in self.harmonics)

    def sample(self, points: Float[Tensor, "*batch points n"]) -> Float[Tensor, "*batch count points"]:
        radius = points.norm(dim=-1)
        waves = circular_harmonics(points, 2 * (self.size // 2))
        rows = []
        for r, k in self.harmonics:
            ring = torch.exp(-((radius - r) ** 2) / (2 * SHARPNESS**2))
            rows += [ring * waves[k].real] + ([ring * waves[k].imag] if k else [])
        return torch.stack(rows, dim=-2)


def circular_harmonics(points: Float[Tensor, "*batch 2"], limit: int) -> list[Shaped[Tensor, "*batch"]]:
    r""":math:`e^{ik\phi}` for k = 0, ..., limit of points of the plane, complex (...); 0 at the origin for k > 0.

    Powers of x + iy, so that a turn through a right angle is exact.
    """
    radius = points.norm(dim=-1)
    first = torch.complex(points[..., 0], points[..., 1]) / torch.where(radius > 0, radius, 1.0)
    waves = [torch.ones_like(first)]
    for _ in range(limit):
        waves.append(waves[-1] * first)
    return waves


def kernel_basis(name: str, size: int, exact: bool) -> KernelBasis:
    """The basis of a name on the plane: "harmonic", "bilinear" or "bspline"; ``exact`` where turns keep the grid, whose
    kernels have all of their pixels.
    """
    choose(name, ("harmonic", *SPLINES), kind="kernel basis", where="basis")
    return RingBasis(size) if name == "harmonic" else SplineBasis(size, 2, name, disk=not exact)
