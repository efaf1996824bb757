r"""The two solutions of lecture 3.2 are one by Fourier transform: from functions on SO(2) at n angles to their
coefficients.

A regular convolution on n orientations is a matrix :math:`K(x)_{gh} = k(g^{-1} x, g^{-1} h)` at each x. Of functions of
the orientation with frequencies up to L, :math:`f(g) = \sum_a E_{ga} \hat f_a`, it is

.. math::
    \hat K(x) = \tfrac{1}{n} E^T K(x)\, E, \qquad
    E_{g,\cdot} = (1, \sqrt 2 \cos k\theta_g, \sqrt 2 \sin k\theta_g)

which is a steerable kernel, :math:`\hat K(R x) = \rho(R) \hat K(x) \rho(R)^{-1}`, as soon as n is so large that the
sums over the angles are integrals: above 2 L and the frequency of k in x together. With fewer angles frequencies fold
back.
"""

from __future__ import annotations

from math import pi

import torch
from jaxtyping import Float
from torch import Tensor

from intertwine.groups import SO
from intertwine.groups.plane import PlaneIrrep
from intertwine.nn.groups.grid_convolution import GroupConvolution
from intertwine.nn.groups.steerable_convolution import Terms
from intertwine.numerics import InputError


def circle_functions(frequencies: int, angles: int) -> Float[Tensor, "angles coefficients"]:
    """E: the values of 1, sqrt(2) cos, sqrt(2) sin up to a frequency at angles 2 pi j / n."""
    theta = 2 * pi * torch.arange(angles, dtype=torch.float64) / angles
    rows = [torch.ones_like(theta)]
    for k in range(1, frequencies + 1):
        rows += [2**0.5 * (k * theta).cos(), 2**0.5 * (k * theta).sin()]
    return torch.stack(rows, dim=1)


def circle_terms(channels: int, frequencies: int) -> Terms:
    """The fields of ``channels`` functions on SO(2), by their frequency."""
    return tuple((channels, PlaneIrrep(SO(2), k)) for k in range(frequencies + 1))


def by_frequency(f: Float[Tensor, "rows coefficients *rest"], channels: int) -> Float[Tensor, "rows *others"]:
    """Coefficients, a channel after the other, in the order of :func:`circle_terms`: a frequency after the other."""
    apart = f.unflatten(1, (channels, -1))
    sizes = [1] + [2] * (apart.shape[2] // 2)
    return torch.cat([part.flatten(1, 2) for part in apart.split(sizes, dim=2)], dim=1)


def coefficient_kernel(
    convolution: GroupConvolution, frequencies: int
) -> Float[Tensor, "coefficients_out coefficients_in *taps"]:
    r""":math:`\hat K` of a convolution on cyclic(n): what it does to functions of frequencies up to L, projected on
    those.

    In the order of :func:`circle_terms`, so that :meth:`SteerableConvolution.fit` takes it.

    Args:
        convolution: of a cyclic group; a lifting one has coefficients of invariants in, one for each channel.
        frequencies: L.

    Raises:
        InputError: another group.
    """
    n = convolution.group.order or 1
    if convolution.group.name != f"C_{n}":
        raise InputError(f"a convolution of {convolution.group}", where="fourier_link", remedy="give groups.cyclic(n).")
    E = circle_functions(frequencies, n)
    bank = convolution.kernel().detach().to(torch.float64)
    bank = bank.unflatten(0, (convolution.outputs, n))
    values = torch.einsum("ga,ogi...->oai...", E / n, bank).flatten(0, 1)
    if convolution.stacked > 1:
        values = torch.einsum("ha,oih...->oia...", E, values.unflatten(1, (convolution.inputs, n))).flatten(1, 2)
        values = by_frequency(values, convolution.inputs)
    return by_frequency(values.transpose(0, 1), convolution.outputs).transpose(0, 1)
